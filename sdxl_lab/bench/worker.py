"""One thread that makes the pictures of a bench one after the other, so that a notebook stays free meanwhile."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Condition, Event, Lock, Thread, current_thread
from typing import TYPE_CHECKING, Literal

from sdxl_lab import progress
from sdxl_lab.bench.errors import BenchError
from sdxl_lab.bench.pictures import BenchPicture
from sdxl_lab.process.imports import importing
from sdxl_lab.process.quiet import quiet_libraries
from sdxl_lab.runs.single import Planned

if TYPE_CHECKING:
    from PIL import Image

    from sdxl_lab.generation.steps import Step

IDLE_S = 2.0
"""A thread without work ends; the next picture starts another, in less than a millisecond."""

SWITCH_S = 0.0005
"""How soon a cell of pure Python lets the thread go on while a picture is made: by Python's own 5 ms, each small call of torch waits that long."""

State = Literal["queued", "making", "done", "failed", "cancelled"]


class Making:
    """A picture on its way. Made by `Bench.start`.

    Attributes:
        planned: What is made.
        state: How far it is: `queued`, `making`, `done`, `failed` or `cancelled`.
        step: The latest evaluation of a UNet; None before the first.
        doing: What is under way, in words; None before anything is.
        is_recalled: Whether the picture was there already.
    """

    def __init__(self, planned: Planned, on_step: Callable[[Making], object] | None = None, on_end: Callable[[Making], object] | None = None) -> None:
        self.planned = planned
        self.state: State = "queued"
        self.step: Step | None = None
        self.doing: progress.Doing | None = None
        self.is_recalled = False
        self._on_step, self._on_end = on_step, on_end
        self._is_cancelled, self._ended, self._lock = False, Event(), Lock()
        self._picture: BenchPicture | None = None
        self._error: BaseException | None = None
        self._first: tuple[int, float] | None = None

    @property
    def remembered(self) -> int:
        """How many steps of it need not be computed, since an earlier picture has them in common; 0 as long as nobody knows."""
        return self._first[0] - 1 if self._first else 0

    @property
    def left_s(self) -> float | None:
        """Seconds until the last step, about; None where nobody knows yet."""
        if self.step is None or self._first is None or self.step.done == self._first[0]:
            return None
        first, began = self._first
        return (time.monotonic() - began) / (self.step.done - first) * (self.step.total - self.step.done)

    @property
    def under_way(self) -> progress.Doing | None:
        """What is under way, with the time left; None before anything is."""
        return self.doing and replace(self.doing, left_s=self.left_s)

    def preview(self) -> Image.Image | None:
        """What the picture will look like, as far as the latest step tells: one pixel for each latent cell, mode "RGB".

        Returns:
            None before the first step, and of a family of checkpoints whose latents nobody has a map of.
        """
        from sdxl_lab.generation.previews import preview

        return self.step and preview(self.step.latents, self.planned.resolved.spec.checkpoint.family)

    def cancel(self) -> None:
        """Stop it: at once while it waits, else when the step ends that is being computed. Of one that has ended nothing changes."""
        with self._lock:
            self._is_cancelled = True
            if self.state == "queued":
                self.end("cancelled")

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended.

        Args:
            timeout_s: How long, at most; None for as long as it takes.

        Returns:
            Whether it has.
        """
        return self._ended.wait(timeout_s)

    def result(self, timeout_s: float | None = None) -> BenchPicture:
        """Wait for the picture.

        Args:
            timeout_s: As for `wait`.

        Raises:
            BenchError: It was cancelled, or is not made in time.
            LabError: It could not be made.
        """
        if not self.wait(timeout_s):
            raise BenchError(f"the picture is not made within {timeout_s:g} s; wait longer, or cancel it")
        if self._error is not None:
            raise self._error
        if self._picture is None:
            raise BenchError("the picture was cancelled; make it again, and it goes on from where it was")
        return self._picture

    def __repr__(self) -> str:
        at = f", step {self.step.done} of {self.step.total}" if self.step and self.state == "making" else ""
        return f"<Making {self.planned.edit.prompt[:60]!r}, seed {self.planned.edit.seed}: {self.state}{at}>"

    def begin(self) -> bool:
        """Begin to make it; False if it was cancelled while it waited."""
        with self._lock:
            if not self._is_cancelled:
                self.state = "making"
            return not self._is_cancelled

    def stepped(self, step: Step) -> None:
        """Take a step in; raises `CancelledError` if no other is wanted."""
        self.step = step
        self._first = self._first or (step.done, time.monotonic())
        if self._on_step and not self._is_cancelled:
            self._on_step(self)
        self.require_wanted()

    def require_wanted(self) -> None:
        """Raise `CancelledError` if it was cancelled."""
        if self._is_cancelled:
            from sdxl_lab.generation.steps import CancelledError  # imports torch

            raise CancelledError

    def _hear(self, doing: progress.Doing) -> None:
        self.doing = doing
        self.require_wanted()

    def end(self, state: State, *, picture: BenchPicture | None = None, error: BaseException | None = None) -> None:
        """Say how it ended."""
        self.state, self._picture, self._error = state, picture, error
        self._ended.set()
        if self._on_end:
            self._on_end(self)


class Worker:
    """Makes pictures in the order in which they were asked for, in one thread, which ends when there is nothing to do.

    Args:
        make: Makes one, calls `Making.stepped` after each step, and keeps it.
    """

    def __init__(self, make: Callable[[Making], BenchPicture]) -> None:
        self._make = make
        self._waiting: deque[Making] = deque()
        self._changed = Condition()
        self._current: Making | None = None
        self._thread: Thread | None = None
        self._is_closing = False

    def submit(self, making: Making, *, latest: bool) -> None:
        """Have a picture made.

        Args:
            making: It.
            latest: Whether it takes the place of all that were asked for before it.
        """
        with self._changed:
            if latest:
                self._cancel()
            self._waiting.append(making)
            if self._thread is None:
                self._thread = Thread(target=self._work, name="sdxl_lab bench", daemon=True)
                self._thread.start()
            self._changed.notify()

    def require_another_thread(self) -> None:
        """See that somebody else than the worker waits for its work.

        Raises:
            BenchError: It is the worker's own thread.
        """
        if self._thread is current_thread():
            raise BenchError("a listener cannot wait for a picture of its own bench, which makes one at a time; start(...) it, or use another bench")

    def cancel(self) -> None:
        """Stop what is being made, and forget what waits."""
        with self._changed:
            self._cancel()
            self._changed.notify()

    def close(self) -> None:
        """Stop everything, and return once the thread has ended."""
        self.cancel()
        with self._changed:
            thread, self._is_closing = self._thread, True
            self._changed.notify()
        if thread is not None and thread is not current_thread():
            thread.join()
        self._is_closing = False

    def _cancel(self) -> None:
        for making in [*self._waiting, *([self._current] if self._current else [])]:
            making.cancel()

    def _work(self) -> None:
        with _quick_switches():
            while making := self._next():
                try:
                    self._run(making)
                except BaseException as fault:  # noqa: BLE001 - of who listens to its end; those that wait are made all the same
                    sys.excepthook(type(fault), fault, fault.__traceback__)
                self._current = None
                del making  # it holds latents

    def _next(self) -> Making | None:
        with self._changed:
            if not (self._waiting or self._is_closing):
                self._changed.wait(IDLE_S)
            self._current = self._waiting.popleft() if self._waiting else None
            if self._current is None:
                self._thread = None
            return self._current

    def _run(self, making: Making) -> None:
        from sdxl_lab.generation.steps import CancelledError

        if not making.begin():
            return
        try:
            with progress.heard_here(making._hear):
                picture = self._make(making)
        except CancelledError:
            making.end("cancelled")
        except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
            making.end("failed", error=error)
        else:
            making.end("done", picture=picture)


def import_all() -> None:
    """Import what making a picture needs."""
    quiet_libraries()
    with importing:
        import sdxl_lab.generation.generate  # noqa: F401


_hurrying: list[float] = []
"""What the interval was before the first of the threads that are at work now, and what the others found; two benches may overlap in any order."""
_hurry = Lock()


@contextmanager
def _quick_switches() -> Iterator[None]:
    with _hurry:
        _hurrying.append(sys.getswitchinterval() if not _hurrying else _hurrying[0])
        sys.setswitchinterval(min(SWITCH_S, _hurrying[0]))
    try:
        yield
    finally:
        with _hurry:
            before = _hurrying.pop()
            if not _hurrying:
                sys.setswitchinterval(before)
