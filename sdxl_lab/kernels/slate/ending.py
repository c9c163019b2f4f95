"""How a clean kernel ends: without taking apart all that its libraries made, which takes longer than a small picture."""

from __future__ import annotations

import gc
import os
import stat
import sys
from pathlib import Path
from typing import Any

FDS = "/dev/fd"
"""Where a process finds its open files by their numbers."""


class Ending:
    """Ends the process when only Python's own taking apart is left: threads have ended, functions of atexit have run, outputs are flushed.

    Attributes:
        is_clean: Whether nothing of a notebook lives that could want to be taken apart too.
    """

    def __init__(self) -> None:
        self.is_clean = False
        self._known = _written_to()
        # Python calls these for the first time after that in the collection with which it begins to take itself apart.
        gc.callbacks.append(self._at_a_collection)

    def _at_a_collection(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start" and self.is_clean and sys.is_finalizing() and self._known is not None and _written_to() == self._known:
            os._exit(0)


def _written_to() -> set[tuple[int, int]] | None:
    """The files that are open for writing, whose last bytes may still be on their way; None where the system does not say."""
    try:
        import fcntl

        found = set()
        for number in [int(file.name) for file in Path(FDS).iterdir()]:
            try:
                status, flags = os.fstat(number), fcntl.fcntl(number, fcntl.F_GETFL)
            except OSError:  # the list's own
                continue
            if stat.S_ISREG(status.st_mode) and flags & os.O_ACCMODE != os.O_RDONLY:
                found.add((status.st_dev, status.st_ino))
    except (ImportError, OSError):
        return None
    return found
