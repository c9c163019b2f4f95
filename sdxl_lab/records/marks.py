"""What people say of a session's pictures: stars, notes and deletions, a line each; of several on one thing the last one holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sdxl_lab.files.disk import append_line, whole_lines


@dataclass(frozen=True)
class Marks:
    """All that is said, by `picture_id`.

    Attributes:
        said: `picture_id` and what is said (`starred`, `note`, `deleted`, `asked_after`) to its value; what was said last stands last.
    """

    said: Mapping[tuple[str, str], Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a session's marks. A damaged line is passed over.

        Args:
            path: The file; need not exist.
        """
        said: dict[tuple[str, str], Any] = {}
        for line in whole_lines(path):
            try:
                values = json.loads(line)
                found = {(values["picture_id"], key): value for key, value in values.items()}
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                continue
            for place, value in found.items():
                said.pop(place, None)
                said[place] = value
        return cls(said)

    @property
    def starred(self) -> tuple[str, ...]:
        """The `picture_id` of each starred picture, in the order in which they were starred."""
        return tuple(picture_id for (picture_id, key), value in self.said.items() if key == "starred" and value)

    def asked_again(self, lines: int) -> str:
        """The `picture_id` that was asked for once more when there were so many lines, the last one of several; empty if there is none."""
        found = [picture_id for (picture_id, key), value in self.said.items() if key == "asked_after" and value == lines]
        return found[-1] if found else ""

    def is_starred(self, picture_id: str) -> bool:
        """Whether somebody wants to find a picture again."""
        return bool(self.said.get((picture_id, "starred")))

    def is_deleted(self, picture_id: str) -> bool:
        """Whether a picture was deleted, and not made again since."""
        return bool(self.said.get((picture_id, "deleted")))

    def note(self, picture_id: str) -> str:
        """What somebody wrote of a picture; empty if nobody did."""
        return str(self.said.get((picture_id, "note"), ""))


def mark(path: Path, picture_id: str, **said: Any) -> None:
    """Say something of a picture. Only for who may write to the session.

    Args:
        path: The file.
        picture_id: The picture's.
        **said: As in `Marks.said`; `asked_after` is how many lines there were when it was asked for once more.

    Raises:
        DiskError: The disk is full or not writable.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds")
    append_line(path, json.dumps({"picture_id": picture_id, **said, "at": at}, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace"))
