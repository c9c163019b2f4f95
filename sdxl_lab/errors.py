"""The one base class of every error that users of the lab bench see."""

from __future__ import annotations


class LabError(Exception):
    """Something the user can put right. The message says what was got, what is allowed, and what to do next.

    Each room raises its own subclass. Anything else that escapes from the library is a fault of the library.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback, which would bury the message under the lab's own calls."""
        return [f"{type(self).__name__}: {self}"]
