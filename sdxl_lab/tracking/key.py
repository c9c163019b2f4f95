"""The key by which Comet knows the experiment of a run or a session, drawn once and kept beside the record."""

from __future__ import annotations

import re
import secrets

from sdxl_lab.files.disk import write_once
from sdxl_lab.records.finding import Recorded
from sdxl_lab.records.run_files import RecordError


def experiment_key(record: Recorded) -> str:
    """Read the experiment's key, after drawing it at random if this is the first time.

    Args:
        record: A run, done or not, or a session.

    Returns:
        32 hexadecimal digits, the same ever after. Keys are unique for everybody, so none is derived from the record.

    Raises:
        RecordError: The file of the key holds something else.
        DiskError: The disk is full or not writable.
    """
    path = record.comet_folder / "key"
    if not path.is_file():
        write_once(path, secrets.token_hex(16).encode() + b"\n")
    key = path.read_text("ascii", "replace").strip()
    if not re.fullmatch(r"[0-9a-f]{32}", key):
        raise RecordError(f"{path} holds {key[:40]!r}; allowed are 32 hexadecimal digits: remove it to draw another, for a new experiment")
    return key
