"""How many threads torch computes with: the lab sets that, and still knows what it was before."""

from __future__ import annotations

import sys
from typing import Any

before: list[int] = []
"""The count that torch had when the lab first set one; empty as long as it has not."""


def machine_threads() -> int:
    """The machine's own thread count, or the user's: as torch had it before `use_threads`. torch must be imported."""
    return before[0] if before else _torch().get_num_threads()


def use_threads(count: int) -> None:
    """Set torch's thread count for this thread, and for threads that begin later. torch must be imported.

    Args:
        count: 1 or more.
    """
    before[:] = [machine_threads()]
    _torch().get_num_threads()  # a thread's first question, or its first work, sets its count to what was set last by any thread
    _torch().set_num_threads(count)


def _torch() -> Any:
    return sys.modules["torch"]
