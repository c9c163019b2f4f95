"""What Comet was last seen to hold of a run or a session: a note beside the record, so that what it lacks shows without asking it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sdxl_lab.comet import account
from sdxl_lab.files.disk import write_whole
from sdxl_lab.records.finding import Recorded
from sdxl_lab.tracking import projection

NOTE_NAME = "confirmed.json"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a run or a session stands.

    Attributes:
        planned: Pictures of the run; None of a session.
        made: Pictures on the disk.
        confirmed: Pictures that Comet was seen to hold.
        is_whole: Whether Comet was seen to hold all that is recorded now.
        url: Of the experiment, once it was seen.
    """

    planned: int | None
    made: int
    confirmed: int
    is_whole: bool
    url: str | None


def standing(record: Recorded) -> Standing:
    """Read where a run or a session stands, from its folder alone; no network and no SDK.

    Args:
        record: A run, done or not, or a session.

    Raises:
        RecordError: The folder holds none.
    """
    note = _read(record)
    return Standing(
        planned=record.planned,
        made=record.count,
        confirmed=note.get("pictures", 0),
        is_whole=note.get("state") == state_of(record),
        url=note.get("url"),
    )


def state_of(record: Recorded) -> str:
    """Identify what a projection is made from, without opening a picture: each picture's line holds the digest of its pixels.

    Args:
        record: A run, done or not, or a session.

    Returns:
        64 hexadecimal digits, the same on every machine.
    """
    digest = hashlib.sha256(account.server().encode())
    for path in record.record_files:
        content = path.read_bytes() if path.is_file() else b""
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def write(record: Recorded, state: str, *, pictures: int, url: str | None) -> None:
    """Note that Comet was seen to hold all of a record.

    Args:
        record: The run or session.
        state: Of the record that was sent, taken before it was read.
        pictures: How many it had.
        url: The experiment's.

    Raises:
        DiskError: The disk is full or not writable.
    """
    seen = datetime.now(UTC).isoformat(timespec="seconds")
    note = {"state": state, "pictures": pictures, "url": url, "seen": seen, "projection": projection.VERSION}
    write_whole(record.comet_folder / NOTE_NAME, json.dumps(note, indent=2).encode() + b"\n")


def is_of_another_version(record: Recorded, state: str) -> bool:
    """Whether Comet was seen to hold all of a record as another version of sdxl_lab projects it.

    Args:
        record: The run or session.
        state: Of the record as it is now.
    """
    note = _read(record)
    return note.get("state") == state and note.get("projection", 1) != projection.VERSION


def is_from_after(record: Recorded, file: Path) -> bool:
    """Whether Comet was last seen to hold a record after a file of it was written."""
    try:
        return (record.comet_folder / NOTE_NAME).stat().st_mtime_ns >= file.stat().st_mtime_ns
    except FileNotFoundError:
        return False


def _read(record: Recorded) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        note = json.loads((record.comet_folder / NOTE_NAME).read_bytes())
        if isinstance(note, dict):
            return note
    return {}
