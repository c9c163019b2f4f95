"""Families of checkpoints, one a file: what people call them, how large their pictures are, which settings suit them. No model is needed to know.

`FAMILIES["mine"] = Family(...)` registers one; the table is read when something is asked of it.
"""

from __future__ import annotations

from pathlib import Path

from sdxl_lab.errors import LabError
from sdxl_lab.families._family import Distilled, Family, LatentColors, Published, Sizes
from sdxl_lab.families.custom import CUSTOM
from sdxl_lab.families.pocket import POCKET
from sdxl_lab.families.sdxl import SDXL

__all__ = [
    "FAMILIES",
    "OTHER",
    "Distilled",
    "Family",
    "FamilyError",
    "LatentColors",
    "Published",
    "Sizes",
    "family_of",
    "named",
    "names",
    "published",
    "recognized",
]

FAMILIES: dict[str, Family] = {"pocket": POCKET, "sdxl": SDXL, "custom": CUSTOM}
"""By the word that records hold."""

OTHER = "custom"
"""The family of what has no name and that no other recognizes."""


class FamilyError(LabError):
    """A family of checkpoints that is not known here."""


def family_of(name: str) -> Family:
    """Find a family by the word that a record holds.

    Args:
        name: Such as `sdxl`.

    Raises:
        FamilyError: There is no such family.
    """
    if name not in FAMILIES:
        raise FamilyError(
            f"the checkpoint's family is {name!r}; known here are {', '.join(FAMILIES)}: register it in sdxl_lab.families.FAMILIES, or update "
            "sdxl_lab."
        )
    return FAMILIES[name]


def names() -> list[str]:
    """What checkpoints are called that can be asked for by name."""
    return [name for family in FAMILIES.values() for name in family.names]


def named(checkpoint: str) -> tuple[str, Path | Published] | None:
    """Find what a name stands for.

    Args:
        checkpoint: A name, or anything else people give for a checkpoint.

    Returns:
        The family's word, and where the checkpoint is; None if it is none of `names`.
    """
    return next(((word, family.names[checkpoint]) for word, family in FAMILIES.items() if checkpoint in family.names), None)


def published(repository: str) -> tuple[str, Published] | None:
    """Find which named checkpoint a repository of the hub is the base of.

    Args:
        repository: `owner/name`.

    Returns:
        Its name, and where it is; None if it is of none.
    """
    places = ((name, place) for family in FAMILIES.values() for name, place in family.names.items() if isinstance(place, Published))
    return next(((name, place) for name, place in places if place.base == repository), None)


def recognized(path: Path) -> str:
    """Tell which family a folder or file is of.

    Args:
        path: Which is there; its content was not checked yet.

    Returns:
        The family's word.
    """
    return next((word for word, family in FAMILIES.items() if family.recognizes(path)), OTHER)
