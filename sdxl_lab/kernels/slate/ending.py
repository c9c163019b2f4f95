"""How a clean kernel ends: without taking apart all that its libraries made, which takes longer than a small picture."""

from __future__ import annotations

import atexit
import gc
import io
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

FILES = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)

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
        atexit.register(self._flush)  # behind what notebooks register, and before the kernel's own, which may wait for its threads until it is killed
        # Python calls these for the first time after that in the collection with which it begins to take itself apart.
        gc.callbacks.append(self._at_a_collection)

    def _at_a_collection(self, phase: str, _: dict[str, Any]) -> None:
        if phase != "start" or not sys.is_finalizing():
            return
        gc.callbacks.remove(self._at_a_collection)  # the names of this module are gone at the next one
        if self.is_clean and self._known is not None and _written_to() == self._known:
            os._exit(0)

    def _flush(self) -> None:
        """Bring to the disk what files hold that nobody closed."""
        if _written_to() == self._known:
            return
        gc.unfreeze()
        for thing in gc.get_objects():
            if type(thing) in FILES and not thing.closed:
                with suppress(Exception):
                    thing.flush()


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
