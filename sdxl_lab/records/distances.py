"""Distances that were kept beside a record: where they lie, and what they say in a line each."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

FOLDER = "distances"
"""Below the folder of a run or a session; no part of the record."""


def told(place: Path) -> dict[str, str]:
    """Say which distances are kept beside a record.

    Args:
        place: The folder of a run or a session.

    Returns:
        Such as `fid to scenes, as judge 0123abcd sees them` to `12.3 [10.9, 13.7], 300 pictures`, by the names of their
        files; what can't be read is passed over.
    """
    lines: dict[str, str] = {}
    for file in sorted((place / FOLDER).glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads(file.read_bytes())
            to = f" to {document['to']['name']}" if document["to"] else ""
            seen_by = f"{document['extractor']['extractor']} {document['extractor']['weights'][:8]}"
            for name, number in document["distances"].items():
                ends = f" [{number['low']:.4g}, {number['high']:.4g}]" if number["low"] is not None else ""
                lines[f"{name}{to}, as {seen_by} sees them"] = f"{number['value']:.4g}{ends}, {document['set']['n']} pictures"
    return lines
