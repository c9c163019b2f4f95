"""What a notebook began and that has to end with it, such as a thread that makes pictures.

Who begins such a thing says so here, and a warm kernel ends it after the notebook, as Python's own end does: neither needs to know the other.
"""

from __future__ import annotations

import atexit
import weakref
from contextlib import suppress
from typing import Protocol


class Ends(Protocol):
    """Something that can be ended."""

    def close(self) -> None:
        """End it, and return once it has ended; twice does nothing."""
        ...


_begun: weakref.WeakSet[Ends] = weakref.WeakSet()


def ends_with_the_notebook(thing: Ends) -> None:
    """Have something ended when the notebook is over.

    Args:
        thing: It is not kept alive.
    """
    _begun.add(thing)
    atexit.unregister(end_all)  # once is enough
    atexit.register(end_all)


def end_all() -> None:
    """End all that is still going on."""
    for thing in list(_begun):
        with suppress(Exception):  # nobody is left to be told
            thing.close()
    _begun.clear()
