"""Room on the disk: roughly what pictures and all that is written about them take, and whether so much is free."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from sdxl_lab.files.disk import DiskError
from sdxl_lab.wording import counted

BYTES_PER_PIXEL = 4
"""Of a photograph's PNG about 2, once for the result, and once for the input and the sheet together."""

BYTES_PER_PICTURE = 150_000
"""In the report, the notebook and the archive. The demo's runs, of 128x128 pixels, come to 185 kB a picture in all."""

LEAST_BYTES = 8192
"""Of a picture and its mask, each at least a block of the disk."""


def check_room(folder: Path, sizes: Sequence[tuple[int, int]]) -> list[str]:
    """Compare what pictures will take with what is free.

    Args:
        folder: Where runs are recorded; it need not exist yet.
        sizes: Of each picture still to be made, (width, height) in pixels.

    Returns:
        What is to be said, at most one line: the room may not do.

    Raises:
        DiskError: It certainly will not.
    """
    if not sizes:
        return []
    try:
        free_bytes = shutil.disk_usage(next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())).free
    except OSError:  # what may not be looked at shows when it is written to
        return []
    needed_bytes = sum(BYTES_PER_PIXEL * width * height + BYTES_PER_PICTURE for width, height in sizes)
    if free_bytes >= needed_bytes:
        return []
    line = (
        f"{counted(len(sizes), 'picture')} and what is written about them will take about {_written(needed_bytes)}, and the disk of {folder} has "
        f"{_written(free_bytes)} free; free some space, or choose another runs_folder"
    )
    if free_bytes < LEAST_BYTES * len(sizes):
        raise DiskError(line)
    return [line]


def _written(size_bytes: int) -> str:
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= one:
            return f"{size_bytes / one:.3g} {unit}"
    return f"{size_bytes} bytes"
