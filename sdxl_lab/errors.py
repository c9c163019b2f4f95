"""The one base class of every error that users of the lab bench see."""

from __future__ import annotations


class LabError(Exception):
    """Something the user can put right. The message says what was got, what is allowed, and what to do next.

    Each room raises its own subclass. Anything else that escapes from the library is a fault of the library.

    Examples:
        >>> try:
        ...     fetch("nowhere")
        ... except LabError as error:
        ...     print(error)
        the dataset 'nowhere' is not there; give a folder that holds a metadata.json, ...
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback, which would bury the message under the lab's own calls."""
        return as_shown(type(self).__name__, str(self))


def as_shown(name: str, message: str) -> list[str]:
    """The lines that a notebook shows of an error of the lab, by which its output is told from that of any other error.

    Args:
        name: Of the error's class.
        message: The error's.
    """
    return [f"{name}: {message}"]
