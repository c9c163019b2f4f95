"""Where a checkpoint lies that a record names: on this machine, by content, whatever its file or folder is called now."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from sdxl_lab.errors import LabError
from sdxl_lab.files import addresses
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.runs.around import folders_around
from sdxl_lab.spec.identities import CheckpointIdentity

if TYPE_CHECKING:
    from sdxl_lab.checkpoints.locating import Source

OUTSIDE = 2
"""How far below the working folder, outside of a repository: other tools have `models/Stable-diffusion`."""
MOST_OPENED, MOST_BYTES = 500, 64 << 30
"""How many files and folders are opened, and how many bytes of all of them are read at most: nine files of SDXL, a minute or two once."""


def known_place(identity: CheckpointIdentity, picture: Path) -> str | None:
    """Where the run or the session around a picture had its checkpoint, on the machine whose file says so.

    Args:
        identity: The picture's checkpoint.
        picture: Its file.
    """
    parents = picture.resolve().parents
    of_run = RunFolder(parents[2]).local.get("checkpoint") if len(parents) > 2 else None
    of_session = SessionFolder(parents[1]).local.get("checkpoint") if len(parents) > 1 else None
    place = of_session.get(identity.digest) if isinstance(of_session, dict) else of_run
    return place if isinstance(place, str) else None


def found_by_content(identity: CheckpointIdentity, picture: Path) -> Source | None:
    """Find the checkpoint of a picture, which may be a stranger's: what is found has its digest, and nothing that it names is followed.

    Looked at are the place that its run or session knows, what was fetched, and the repository around the working folder, or that folder.

    Args:
        identity: What the picture says of it.
        picture: Its file.

    Returns:
        None if it is not here.
    """
    from sdxl_lab.checkpoints import locating

    left_bytes = MOST_BYTES
    for place in _candidates(identity, picture):
        try:
            source = locating.locate(str(place))
            size_bytes = sum(file.stat().st_size for file in _files_of(source))
            if source.family != identity.family or size_bytes > left_bytes:
                continue
            left_bytes -= size_bytes
            if source.is_identified_by(identity):
                return source
        except (LabError, OSError):  # it is none, or not whole
            continue
    return None


def _candidates(identity: CheckpointIdentity, picture: Path) -> list[Path]:
    """Files and folders that may be checkpoints: where it was first, then what is called as it was, each once."""
    place = known_place(identity, picture)
    was_here = [Path(place).expanduser()] if place else []
    name = identity.name.rstrip("/").rpartition("/")[2]
    found = sorted(chain(_fetched(), _around()), key=lambda path: name not in (path.name, path.stem))
    return list(dict.fromkeys(path.absolute() for path in (*was_here, *found) if path.exists()))[:MOST_OPENED]


def _fetched() -> Iterator[Path]:
    yield from sorted(addresses.folder().glob("*/*.safetensors"))


def _around() -> Iterator[Path]:
    from sdxl_lab.checkpoints.configurations import INDEX
    from sdxl_lab.checkpoints.single_files import SHARDED
    from sdxl_lab.checkpoints.weight_files import SUFFIX

    for folder, files in folders_around(outside=OUTSIDE):
        if INDEX in files:
            yield folder.parent if folder.name == "base" else folder
            continue
        yield from (folder / name for name in files if name.lower().endswith((SUFFIX, SHARDED)))


def _files_of(source: Source) -> list[Path]:
    from sdxl_lab.checkpoints.single_files import SingleFile

    base = source.base
    return list(base.files) if isinstance(base, SingleFile) else []
