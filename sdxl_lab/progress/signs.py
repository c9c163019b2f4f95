"""Signs of life: what is under way as a line in a notebook or at a terminal, or as a few lines in a file."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

from sdxl_lab.progress import Doing, clock, heard, passed_on

POLL_S = 0.2
SILENT_S = 2.0
"""What takes longer gives a sign."""
LONGEST_PAUSE_S = 60.0


class Lines:
    """Lines at pauses that grow from two seconds to a minute: for files and pipes, where nothing can be overwritten.

    Args:
        write: Writes one; on stderr when left out.
    """

    def __init__(self, write: Callable[[str], object] | None = None) -> None:
        self._write = write or (lambda text: print(f"sdxl-lab: {text}\n", end="", file=sys.stderr, flush=True))  # at once: several threads say lines
        self._pause_s = SILENT_S
        self._due, self._said = time.monotonic() + self._pause_s, ""

    def show(self, text: str) -> None:
        """Offer a line, as often as one likes; the same one is said again only after the longest pause."""
        now = time.monotonic()
        if text and now >= self._due + (LONGEST_PAUSE_S if text == self._said else 0):
            self.say(text)

    def say(self, text: str) -> None:
        """Say a line at once."""
        self._write(text)
        self._pause_s = min(self._pause_s * 1.5, LONGEST_PAUSE_S)
        self._due, self._said = time.monotonic() + self._pause_s, text

    def end(self, text: str) -> None:
        """Leave nothing behind: what the command says next says it."""


class _AtTerminal:
    """One line on stderr that is overwritten."""

    def show(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[K{text[:width]}", end="", file=sys.stderr, flush=True)

    def end(self, text: str) -> None:
        print(f"\r\x1b[K{text}", end="\n" if text else "", file=sys.stderr, flush=True)


class _InNotebook:
    """One output of a cell that is replaced: a saved notebook holds what it said last."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._said = ""

    def show(self, text: str) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display({"text/plain": text}, raw=True, display_id=True)
        elif text != self._said:
            self._handle.update({"text/plain": text}, raw=True)
        self._said = text

    def end(self, text: str) -> None:
        if text or self._handle is not None:
            self.show(text)


class Sign:
    """What is shown of one piece of work; made by `shown`. Of a run it counts the pictures."""

    def __init__(self) -> None:
        self.last: Doing | None = None
        self.since = time.monotonic()
        self.end = ""
        self._picture, self._made, self._total, self._at_first = "", 0, 0, 0
        self._began = time.monotonic()

    def pictures(self, total: int, made: int) -> None:
        """Begin to count pictures, some of which may be made."""
        self._total, self._made, self._at_first, self._began = total, made, made, time.monotonic()

    def picture(self, title: str) -> None:
        """Begin a picture; those before it are made."""
        self._made += bool(self._picture)
        self._picture = title

    def within(self, doing: Doing) -> Doing:
        """What is told, as a part of the picture that is being made."""
        if not self._picture:
            return doing
        spent_s, new = time.monotonic() - self._began, self._made - self._at_first + (doing.share if doing.unit == "step" else 0)
        left_s = spent_s / new * (self._total - self._at_first - new) if new and spent_s > SILENT_S else None
        return replace(doing, what=f"{self._picture}, {doing.what}" if doing.what else self._picture, left_s=left_s)

    def __str__(self) -> str:
        counted = f"{self._made} of {self._total} pictures, " if self._total > 1 else ""
        lasted_s = time.monotonic() - self.since
        lasting = f", {clock(lasted_s)} so far" if lasted_s >= 10 and not self._picture else ""
        return f"{counted}{self.last}{lasting}" if self.last else ""


@contextmanager
def shown(path: Path | None = None) -> Iterator[Sign]:
    """Show what is told while the block lasts: in a notebook, or else on stderr.

    Args:
        path: Where it is passed on to the command that may have started this process, too.

    Yields:
        Counts pictures, and has what is left standing in a notebook and at a terminal when the block ends well: `sign.end`.
    """
    sign, screen = Sign(), _screen()

    def hear(doing: Doing) -> Doing:
        doing = sign.within(doing)
        if sign.last is None or sign.last.what != doing.what:
            sign.since = time.monotonic()
        sign.last = doing
        if isinstance(screen, _InNotebook):  # not from another thread, as elsewhere: a notebook would not know which cell it belongs to
            show()
        return doing

    def show() -> None:
        if sign.last is not None:
            screen.show(str(sign))

    try:
        with passed_on(path, hear) if path else heard(hear), repeated(None if isinstance(screen, _InNotebook) else show):
            yield sign
    except BaseException:
        if not isinstance(screen, _InNotebook):
            screen.end("")
        raise
    screen.end(sign.end)


def _screen() -> Lines | _AtTerminal | _InNotebook:
    if "IPython" in sys.modules:
        from IPython.core.getipython import get_ipython

        if hasattr(get_ipython(), "kernel"):
            return _InNotebook()
    return _AtTerminal() if sys.stderr.isatty() else Lines()


@contextmanager
def repeated(call: Callable[[], object] | None) -> Iterator[None]:
    """Call something every now and then, in a thread, while the block lasts."""
    if call is None:
        yield
        return
    ended = Event()

    def repeat() -> None:
        while not ended.wait(POLL_S):
            call()

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
