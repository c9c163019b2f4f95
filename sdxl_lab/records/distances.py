"""Distances that were kept beside a record: where they lie, and what they say in a line each."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = "distances"
"""Below the folder of a run or a session; no part of the record."""


@dataclass(frozen=True, kw_only=True)
class KeptDistance:
    """A distance that is kept beside a record.

    Attributes:
        name: Such as `fid`.
        about: It, to what, and what saw the pictures: `fid to scenes, as judge 0123abcd sees them`.
        value: The number.
        low: Lower end of its 95% interval; None where there is none.
        high: Upper end.
        n: How many pictures the set has.
    """

    name: str
    about: str
    value: float
    low: float | None
    high: float | None
    n: int


def kept(place: Path) -> list[KeptDistance]:
    """Read the distances that are kept beside a record.

    Args:
        place: The folder of a run or a session.

    Returns:
        By the names of their files; what can't be read is passed over.
    """
    found = []
    for file in sorted((place / FOLDER).glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads(file.read_bytes())
            to = f" to {document['to']['name']}" if document["to"] else ""
            seen_by = f"{document['extractor']['extractor']} {document['extractor']['weights'][:8]}"
            for name, number in document["distances"].items():
                numbers = {end: number[end] for end in ("value", "low", "high")}
                found.append(KeptDistance(name=name, about=f"{name}{to}, as {seen_by} sees them", **numbers, n=document["set"]["n"]))
    return found


def told(place: Path) -> dict[str, str]:
    """Say which distances are kept beside a record.

    Args:
        place: The folder of a run or a session.

    Returns:
        What each is about, to `12.3 [10.9, 13.7], 300 pictures`.
    """
    lines: dict[str, str] = {}
    for each in kept(place):
        ends = f" [{each.low:.4g}, {each.high:.4g}]" if each.low is not None and each.high is not None else ""
        lines[each.about] = f"{each.value:.4g}{ends}, {each.n} pictures"
    return lines
