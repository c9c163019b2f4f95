"""What imports large libraries: one thread at a time, without looking for garbage, and without what their modules hold for somebody else."""

from __future__ import annotations

import gc
from threading import RLock
from types import TracebackType

from sdxl_lab.process.later import later

MANY = 100_000
"""Objects that are not made without importing a large library: torch alone makes 200,000."""


class _Importing:
    """Held by whoever may be the first to import torch, diffusers and transformers; by one thread at a time, which may hold it several times.

    Their modules import each other in circles, and of two threads that begin at once, Python gives one a module that the other has not finished.
    While it is held no garbage is looked for: imports leave none, and each look walks through all that has been imported, a quarter of the seconds.
    What they import and only others need, such as scipy's statistics, is imported when it is first used.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._depth = 0
        self._collected = False

    def __enter__(self) -> None:
        self._lock.acquire()
        if not self._depth:
            self._collected = gc.isenabled()
            gc.disable()
            later.begin()
        self._depth += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._depth -= 1
        if not self._depth:
            later.end()
            if self._collected:
                _count_as_old()
                gc.enable()
        self._lock.release()


def _count_as_old() -> None:
    """Spare the collector the walk through all that was imported with which it would begin: what is old is looked at when much has been added."""
    if gc.get_count()[0] > MANY and not gc.get_freeze_count():  # else what is frozen would not be any more
        gc.freeze()
        gc.unfreeze()


importing = _Importing()
"""This process's."""
