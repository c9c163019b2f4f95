"""Things that must stay as they are from one notebook to the next, such as loaded models.

Who makes such a thing says so here, and a warm kernel looks here after each notebook: neither needs to know the other.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


@dataclass
class _Watched(Generic[_T]):
    """A thing that must not change, and what it was like when it could first be changed."""

    name: str
    reference: weakref.ref[_T]
    fingerprint: Callable[[_T], Hashable]
    known: Hashable = None

    def remember(self) -> None:
        if (thing := self.reference()) is not None:
            self.known = self.fingerprint(thing)

    def has_changed(self) -> bool:
        return (thing := self.reference()) is not None and self.fingerprint(thing) != self.known


class Watch:
    """The things that are watched in a process. Until it begins, and where it never does, no fingerprint is taken: that of a model takes seconds."""

    def __init__(self) -> None:
        self._things: list[_Watched[Any]] = []
        self._has_begun = False

    def add(self, name: str, thing: _T, fingerprint: Callable[[_T], Hashable]) -> None:
        """Watch a thing as it is now or, if the watch has not begun, as it will be then.

        Args:
            name: What people call it.
            thing: What is watched. It is not kept alive.
            fingerprint: Tells two states of it apart.
        """
        self._things[:] = [watched for watched in self._things if watched.reference() is not None]
        self._things.append(_Watched(name, weakref.ref(thing), fingerprint))
        if self._has_begun:
            self._things[-1].remember()

    def begin(self) -> None:
        """Remember what the things are like that were added so far, and each later one at once."""
        self._has_begun = True
        for watched in self._things:
            watched.remember()

    def changed(self) -> str:
        """Name one that still lives and is not what it was; empty if there is none."""
        return next((watched.name for watched in self._things if watched.has_changed()), "")


watch = Watch()
"""This process's."""
