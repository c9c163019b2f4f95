"""Where the image and the mask lie that a picture was made from: found by content, whatever their files are called now."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path

from sdxl_lab import progress
from sdxl_lab.datasets import inputs
from sdxl_lab.files.disk import write_whole
from sdxl_lab.images import given
from sdxl_lab.images.pictures import PictureError
from sdxl_lab.settings.sections import ImageReading

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm")
MOST_FILES, MOST_BYTES = 200, 1 << 30
"""How many files are opened, and how many bytes of all of them are read at most: photographs of a day, a minute or two."""
DEEPEST = 2
"""How far below a folder that somebody named files are looked for; in others in the folder alone."""


class _Found:
    """A folder of this process: what is found lies there as it is kept anywhere, until the process ends."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sdxl_lab-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


_found = cache(_Found)


def found_by_content(
    wanted: Mapping[str, str], kept: Sequence[Path], places: Sequence[tuple[Path, bool]], reading: ImageReading
) -> tuple[Path, set[str]]:
    """Find what a picture was made from among the picture files of some folders: the kept files themselves, or those that were given.

    Args:
        wanted: `image` and `mask`, as far as they were given, to the sha256 of their files as they are kept.
        kept: Folders of files by their digests, which may have one of two.
        places: Folders of any files, likely ones first, and whether somebody named it.
        reading: How the image was read.

    Returns:
        A folder that has what was found as it is kept, until this process ends; and the names of what was not.
    """
    missing, left_bytes = dict(wanted), MOST_BYTES
    by_digest = [file for folder in kept for sha256 in wanted.values() if (file := inputs.file_of(sha256, folder)).is_file()]
    others = islice((file for place, is_named in places for file in _pictures_in(place, DEEPEST if is_named else 0)), MOST_FILES)
    for file in progress.told(dict.fromkeys([*by_digest, *others]), "looking for what it was made from", unit="file"):
        try:
            left_bytes -= file.stat().st_size
            if left_bytes < 0:
                break
            for content in _as_kept(file, tuple(missing), reading):
                sha256 = hashlib.sha256(content).hexdigest()
                for name in [name for name, one in missing.items() if one == sha256]:
                    write_whole(inputs.file_of(missing.pop(name), _found().folder), content)
        except (PictureError, OSError):  # it is none, or not whole
            continue
        if not missing:
            break
    return _found().folder, set(missing)


def _as_kept(file: Path, names: Sequence[str], reading: ImageReading) -> Iterator[bytes]:
    """The file itself, which may be a kept one, and what is kept of it where it is given as image or mask."""
    yield file.read_bytes()
    for name in names:
        picture = given.mask(file) if name == "mask" else given.picture(file, **reading.model_dump())
        yield from inputs.encoded({name: picture}).values()


def _pictures_in(top: Path, deepest: int) -> Iterator[Path]:
    for folder, below, files in os.walk(top):
        path = Path(folder)
        yield from (path / name for name in sorted(files) if name.lower().endswith(SUFFIXES) and not name.startswith("."))
        is_deep = len(path.relative_to(top).parts) >= deepest
        below[:] = [] if is_deep else sorted(name for name in below if not name.startswith("."))
