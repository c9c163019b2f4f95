"""Room on the disks that pictures, downloads and temporary files go to, and whether they can be written to at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sdxl_lab.doctor.findings import Finding, attention, broken, ok, quoted
from sdxl_lab.files.disk import FULL

TRIAL_BYTES = 1 << 20
"""Written to see that it can be: what a picture of SDXL's size takes, about."""

LITTLE_BYTES = 10**9
"""Five hundred pictures of 1024x1024, or a hundred and fifty runs of one."""

PAIR_BYTES = 12 * 10**9
"""What the hub's half-precision files of SDXL's base and refiner take, about."""


def disk(_: str | None) -> Iterator[Finding]:
    """The places that the lab writes to."""
    places = {
        "artifacts": (_artifacts, LITTLE_BYTES, "pictures are kept there: free some space, or work in a folder on another disk"),
        "hub cache": (_hub_cache, PAIR_BYTES, "SDXL and its refiner take about 12 GB there: free some space, or let HF_HOME name a folder elsewhere"),
        "temporary": (_temporary, LITTLE_BYTES, "free some space, or let TMPDIR name a folder on another disk"),
    }
    for part, (find, needed_bytes, advice) in places.items():
        try:
            yield _room(part, find(), needed_bytes, advice)
        except OSError as error:
            said = "the disk, a quota or a size limit is full" if error.errno in FULL else error.strerror or type(error).__name__
            yield broken(part, f"cannot be written to: {said}", advice)
        except ImportError as error:
            yield broken(part, f"its folder is not known: {quoted(error)}")


def _room(part: str, folder: Path, needed_bytes: int, advice: str) -> Finding:
    """What a folder has free, once something was written to it; or to the one around it that is there."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    free_bytes = shutil.disk_usage(there).free
    with tempfile.TemporaryFile(dir=there, buffering=0) as file:
        file.write(bytes(TRIAL_BYTES))
        if file.seek(0, os.SEEK_END) < TRIAL_BYTES:  # the system took a part of it
            file.write(bytes(TRIAL_BYTES))
        os.fsync(file.fileno())
    line = f"{free_bytes / 1e9:.1f} GB free, and can be written to"
    return ok(part, line) if free_bytes >= needed_bytes else attention(part, line, advice)


def _artifacts() -> Path:
    from sdxl_lab.runs.early import home

    return home() / "artifacts"


def _hub_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _temporary() -> Path:
    wanted, used = os.environ.get("TMPDIR"), tempfile.gettempdir()
    if wanted and Path(wanted).resolve() != Path(used).resolve():
        raise OSError(0, "the folder that TMPDIR names is passed over")
    return Path(used)
