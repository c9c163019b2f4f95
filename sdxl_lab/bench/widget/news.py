"""What pages do not know yet of a session's pictures."""

from __future__ import annotations

from typing import Any

from sdxl_lab.bench.widget.history import entries
from sdxl_lab.records.session import SessionFolder


class News:
    """Entries of pictures that are new or have changed since they were told.

    Args:
        session: Whose pictures.
    """

    def __init__(self, session: SessionFolder) -> None:
        self._session = session
        self._told: dict[int, dict[str, Any]] = {}
        self._state: Any = None

    def news(self) -> tuple[list[dict[str, Any]], list[int]]:
        """What is to be told now.

        Returns:
            Entries, as plain values, and the numbers of pictures that are gone.
        """
        state = _state_of(self._session)
        if state == self._state:
            return [], []
        self._state = state
        here = {one["number"]: one for one in entries(self._session)}
        changed = [one for number, one in here.items() if self._told.get(number) != one]
        gone = [number for number in self._told if number not in here]
        self._told = here
        return changed, gone

    def forget(self) -> None:
        """Tell everything next time: a view has come that knows nothing."""
        self._told, self._state = {}, None


def _state_of(session: SessionFolder) -> list[tuple[int, int]]:
    """What tells whether a session's files changed, in a hundredth of the time that reading hundreds of pictures takes."""
    places = (*session.record_files, session.images_folder, session.thumbnails_folder)
    status = [place.stat() if place.exists() else None for place in places]
    return [(one.st_mtime_ns, one.st_size) if one else (0, 0) for one in status]
