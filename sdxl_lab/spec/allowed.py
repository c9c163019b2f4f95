"""What a parameter allows, where that is not known beforehand: tables grow, and messages read them when they are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Allowed:
    """Stands for a field's description, as in `Annotated[str, Allowed(sources.allowed)]`.

    Attributes:
        said: What errors call allowed.
    """

    said: Callable[[], str]
