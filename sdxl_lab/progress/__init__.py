"""What is under way: told by whoever does it, heard by whoever shows it, and passed between processes by a file in the run's folder."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

PAUSE_S = 0.3
"""Between two signs of the same work; a piece of another work is heard at once."""

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Doing:
    """What is under way.

    Attributes:
        what: In words: `loading the base`, `red-circle inpaint, refiner`.
        done: How much of it is done, in units.
        total: Of how much; None where nobody knows.
        unit: `B` for bytes, else a word for one: `step`, `component`, `sample`. Empty where nothing is counted.
        left_s: Seconds that all of a run still needs, about; None where nobody knows.
    """

    what: str
    done: float = 0
    total: float | None = None
    unit: str = ""
    left_s: float | None = None

    def __str__(self) -> str:
        left = f"about {clock(self.left_s)} left" if self.left_s is not None else ""
        return ", ".join(part for part in (self.what, self._counted(), left) if part)

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1; 0 where nobody knows."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    def _counted(self) -> str:
        if self.unit == "B":
            return f"{_size(self.done)} of {_size(self.total)}" if self.total else ""
        return f"{self.unit} {self.done:.0f} of {self.total:.0f}" if self.unit and self.total else ""


Listener: TypeAlias = Callable[[Doing], object]


class Lock(Protocol):
    """One of the standard library's."""

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool:  # noqa: FBT001 - its own signature
        """Take it, if it is free in time."""
        ...

    def release(self) -> None:
        """Let go of it."""
        ...


class Follow(Protocol):
    """Shows the progress of one run while its block lasts."""

    def __call__(self, label: str, total: int, count: Callable[[], int], doing: Callable[[], Doing | None] = ..., /) -> AbstractContextManager[None]:
        """Given a label, how many pictures, a count of those done, and what is under way."""
        ...


_listener: Listener | None = None
"""Of this process, not of a thread: downloads come in threads of their own."""

_own = threading.local()
"""Of a thread that does work of its own, `listener`."""


def tell(what: str, *, done: float = 0, total: float | None = None, unit: str = "", left_s: float | None = None) -> None:
    """Say what is under way, to whoever listens; call it as often as there is something to say.

    Args:
        what: As `Doing` has it; likewise `done`, `total` and `unit`.
        done: How much of it.
        total: Of how much.
        unit: Of what.
        left_s: Seconds that all of it still needs, where that is known.
    """
    listener = getattr(_own, "listener", None) or _listener
    if listener is not None:
        listener(Doing(what=what, done=done, total=total, unit=unit, left_s=left_s))


def told(each: Iterable[_T], what: str, *, unit: str) -> Iterator[_T]:
    """Go through something, and tell before each piece which one it is.

    Args:
        each: The pieces.
        what: As `tell` takes it; likewise `unit`.
        unit: What one piece is called.
    """
    pieces = list(each)
    for number, piece in enumerate(pieces, 1):
        tell(what, done=number, total=len(pieces), unit=unit)
        yield piece


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Hear what is told in this process while the block lasts; whoever listened before hears nothing meanwhile.

    Args:
        listener: Called at most every `PAUSE_S` as long as the work is the same, from any thread.
    """
    global _listener
    before, _listener = _listener, _Sparing(listener)
    try:
        yield
    finally:
        _listener = before


@contextmanager
def heard_here(listener: Listener) -> Iterator[None]:
    """Hear what this thread tells while the block lasts, and nobody else hears it: beside other work of the process.

    Args:
        listener: Called in this thread, each time. What it raises stops the work, wherever that is.
    """
    before, _own.listener = getattr(_own, "listener", None), listener
    try:
        yield
    finally:
        _own.listener = before


@contextmanager
def passed_on(path: Path, also: Callable[[Doing], Doing] | None = None) -> Iterator[None]:
    """Write what is told into a file while the block lasts, for `read` in another process.

    Args:
        path: The file. Where it cannot be written, nothing is passed on.
        also: Hears it first, and says what is written.
    """

    def write(doing: Doing) -> None:
        written = json.dumps(asdict(also(doing) if also else doing))
        # Not whole-or-absent: whoever reads half of it reads again.
        with suppress(OSError):
            path.write_text(written, "utf-8")

    try:
        with heard(write):
            yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def read(path: Path) -> Doing | None:
    """What another process told last, if it is at it."""
    try:
        return Doing(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def held(lock: Lock, what: str) -> Iterator[None]:
    """Hold a lock; as long as another thread has it, that is told.

    Args:
        lock: Of the standard library.
        what: As `tell` takes it.
    """
    while not lock.acquire(timeout=PAUSE_S):
        tell(what)
    try:
        yield
    finally:
        lock.release()


def clock(seconds: float) -> str:
    """Write a duration: `0:07`, `12:30`, `1:05:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Sparing:
    """Passes on what is new, and of the same work not more than is of use."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._what, self._due = "", 0.0

    def __call__(self, doing: Doing) -> None:
        now = time.monotonic()
        if doing.what != self._what or now >= self._due:
            self._what, self._due = doing.what, now + PAUSE_S
            self._listener(doing)


def _size(count_bytes: float) -> str:
    return f"{count_bytes / 1e9:.2f} GB" if count_bytes >= 1e9 else f"{count_bytes / 1e6:.1f} MB"
