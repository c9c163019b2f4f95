"""What pages do not know yet of a session's pictures."""

from __future__ import annotations

from typing import Any

from sdxl_lab.bench.widget.history import entry
from sdxl_lab.records.session import SessionFolder


class News:
    """Entries of pictures that are new or have changed since they were told.

    Args:
        session: Whose pictures.
    """

    def __init__(self, session: SessionFolder) -> None:
        self._session = session
        self._told: dict[int, dict[str, Any]] = {}

    def news(self) -> tuple[list[dict[str, Any]], list[int]]:
        """What is to be told now.

        Returns:
            Entries, as plain values, and the numbers of pictures that are gone.
        """
        pictures = [kept for kept in self._session.pictures() if kept.is_sound]  # a session may come from anywhere
        entries = {kept.number: entry(kept, before) for kept, before in zip(pictures, [None, *pictures], strict=False)}
        changed = [one for number, one in entries.items() if self._told.get(number) != one]
        gone = [number for number in self._told if number not in entries]
        self._told = entries
        return changed, gone

    def forget(self) -> None:
        """Tell everything next time: a view has come that knows nothing."""
        self._told = {}
