"""How a command that makes the pocket checkpoint, or measures it, says how far it is, and how it is stopped."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from sdxl_lab import progress
from sdxl_lab.errors import LabError
from sdxl_lab.progress.signs import shown

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)
_T = TypeVar("_T")


class _Course:
    """What is made one after the other, such as styles: all have the same parts."""

    def __init__(self) -> None:
        self.names: Sequence[str] = ()
        self.number, self.since = 0, time.monotonic()

    def titled(self, what: str) -> str:
        return f"{self.names[self.number]}, {self.number + 1} of {len(self.names)}: {what}" if self.names else what

    def left_s(self, of_part: float) -> float:
        """What is left of the last part of this one, and of those that come after it, each as long as this one."""
        return of_part + (len(self.names) - self.number - 1) * (time.monotonic() - self.since + of_part) if self.names else of_part


_course = _Course()
_latest = ""


def in_course(names: Iterable[str]) -> Iterator[str]:
    """Go through what is made one after the other.

    Args:
        names: How each is called.
    """
    _course.names = list(names)
    try:
        for number, name in enumerate(_course.names):
            _course.number, _course.since = number, time.monotonic()
            yield name
    finally:
        _course.names = ()


def each(pieces: Iterable[_T], what: str, *, unit: str = "picture", total: int | None = None) -> Iterator[_T]:
    """Go through pieces of work, and tell which one it is; what tells more of a piece is not heard.

    Args:
        pieces: The work.
        what: What it is for.
        unit: What a piece is called.
        total: How many there are, where `pieces` are drawn one by one.
    """
    if total is None:
        pieces = list(pieces)
        total = len(pieces)
    for number, piece in enumerate(pieces, 1):
        _tell(what, number, total, unit)
        with progress.heard_here(lambda _: None):
            yield piece


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Have ctrl-C and a request to end wait, while the block lasts, until a step is done and can be kept.

    Yields:
        Whether it is to stop. A second ctrl-C stops at once. In another thread than the first of the process nobody asks.
    """
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    try:
        before = [signal.signal(number, ask) for number in SIGNALS]
    except ValueError:  # not the main thread
        before = []
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in zip(SIGNALS, before, strict=False):
            signal.signal(number, handler)


def step(what: str, done: int, total: int, left_s: float | None) -> None:
    """Tell how far a training is.

    Args:
        what: Its name.
        done: Steps that are done.
        total: Steps in all.
        left_s: Seconds that the others still take, if that is known.
    """
    _tell(what, done, total, "step", None if left_s is None else _course.left_s(left_s))


def as_command(main: Callable[[], object], *, goes_on: bool = True) -> None:
    """Run a command of this folder: with the lab's own lines of progress, and one line and code 130 where it is stopped.

    Args:
        main: The command.
        goes_on: Whether it keeps what it did, so that the next call goes on from there.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()
        logging.set_verbosity_error()  # that no module is to stay wide, which nobody asked
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with shown():
            main()
        return
    except KeyboardInterrupt:
        said, code = f"stopped{f' at {_latest}' if _latest else ''}; the same command {'goes on' if goes_on else 'begins anew'}", INTERRUPTED
    except LabError as error:
        said, code = str(error), 1
    print(said, file=sys.stderr)
    sys.exit(code)  # here, where what was under way is let go of: workers that draw would go on to the end


def undisturbed() -> None:
    """Leave it to the process that started this one to say that it is stopped."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _tell(what: str, done: int, total: int, unit: str, left_s: float | None = None) -> None:
    global _latest
    doing = progress.Doing(what=_course.titled(what), done=done, total=total, unit=unit)
    _latest = str(doing)
    progress.tell(doing.what, done=done, total=total, unit=unit, left_s=left_s)
