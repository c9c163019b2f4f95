"""The lines of a session: a picture with its spec, and the part with what it has in common with others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sdxl_lab.records.picture import Picture, from_line
from sdxl_lab.records.stamps import MADE_WITH

OF_PART = ("checkpoint", "dtype", "threads", "device")
"""What the pictures of one part of a session have in common, as a resolved spec names it; beside it stands what they were made with."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """What is held of a line once it was read; `image` is the sha256 of the file that a single call would have been given, if there was one."""

    raw: bytes
    picture: Picture
    run_id: str
    part: int
    image: str | None

    @classmethod
    def of(cls, raw: bytes, folder: Path, parts: list[dict[str, Any]]) -> Self | None:
        """None if it or its part is damaged: a power cut can leave a line of zeros."""
        picture = from_line(raw, folder)
        try:
            values = json.loads(raw)
            part, run_id = int(values["part"]), str(values["resolved"]["run_id"])
            image = (values["resolved"]["dataset"].get("inputs") or {}).get("image")
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
            return None
        has_part = 1 <= part <= len(parts) and parts[part - 1].keys() >= {*OF_PART, *MADE_WITH}
        return cls(raw=raw, picture=picture, run_id=run_id, part=part, image=image) if picture and picture.picture_id and has_part else None


def part_of(line: bytes) -> dict[str, Any]:
    """What a part's line says; nothing if it is damaged, since the parts are known by their numbers."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
