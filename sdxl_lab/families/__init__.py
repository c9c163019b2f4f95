"""Families of checkpoints, one a file: what people call them, how large their pictures are, which settings suit them. No model is needed to know.

`FAMILIES["mine"] = Family(...)` registers one; the table is read when something is asked of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sdxl_lab.errors import LabError
from sdxl_lab.families._family import CONFIGURATIONS, OF_THE_REFINER, Architecture, Distilled, Family, LatentColors, Lender, Made, Published, Sizes
from sdxl_lab.families.custom import CUSTOM
from sdxl_lab.families.pocket import POCKET
from sdxl_lab.families.pocket_sd2 import POCKET_SD2
from sdxl_lab.families.sd import SD
from sdxl_lab.families.sdxl import SDXL
from sdxl_lab.settings.hyperparams import closest

__all__ = [
    "CONFIGURATIONS",
    "FAMILIES",
    "OF_THE_REFINER",
    "OTHER",
    "Architecture",
    "Distilled",
    "Family",
    "FamilyError",
    "LatentColors",
    "Lender",
    "Made",
    "Published",
    "Sizes",
    "family_of",
    "for_all_tasks",
    "instead_of",
    "meant_by",
    "moved_to",
    "named",
    "names",
    "published",
    "recognized",
]

FAMILIES: dict[str, Family] = {"pocket": POCKET, "pocket-sd2": POCKET_SD2, "sdxl": SDXL, "sd": SD, "custom": CUSTOM}
"""By the word that records hold."""

OTHER = "custom"
"""The family of what has no name and that no other recognizes."""


INPAINTING = "-inpaint"
"""With which the name of a checkpoint ends that was trained to inpaint."""


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


def named(checkpoint: str) -> tuple[str, Path | Published | Made] | None:
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


def instead_of(repository: str) -> str | None:
    """Say what to do in place of downloading a repository of the hub that is no checkpoint as a whole.

    Args:
        repository: `owner/name`.

    Returns:
        A clause; None of any other repository.
    """
    return next((family.downloads[repository] for family in FAMILIES.values() if repository in family.downloads), None)


def moved_to(repository: str) -> str | None:
    """Find what a repository of the hub is called here that is gone from its old place.

    Args:
        repository: `owner/name`.

    Returns:
        One of `names`; None of any other repository.
    """
    return next((family.moved[repository] for family in FAMILIES.values() if repository in family.moved), None)


def for_all_tasks(checkpoint: str, family: str) -> str:
    """Find what to take in place of a checkpoint that was trained to inpaint, for a task that it cannot do.

    Args:
        checkpoint: As it was asked for, such as `sd15-inpaint`.
        family: Its family's word.

    Returns:
        That of the family's own names which is most like it; `sdxl` where the family has none.
    """
    plain = [name for name in family_of(family).names if not name.endswith(INPAINTING)]
    return closest(checkpoint.removesuffix(INPAINTING), plain) or next(iter(plain), "sdxl")


def meant_by(checkpoint: str) -> str | None:
    """Find what was meant by a name that stands for nothing.

    Args:
        checkpoint: As it was written, such as `SDXL_Turbo` or `sdxl-lightning`.

    Returns:
        A sentence: of one of `names`, or of what to do for a checkpoint that was distilled to few steps; None if nothing resembles it.
    """
    words = re.findall(r"[a-z]+|[0-9.]+", checkpoint.casefold())
    kinds = [word for word in words if any(word in family.distilled for family in FAMILIES.values())]
    if name := next((name for name in names() if kinds and set(kinds) <= set(name.split("-"))), None):
        return f"Did you mean {name}?"
    repositories = {repository: said for family in FAMILIES.values() for repository, said in family.downloads.items()}
    for repository, said in repositories.items():
        if any(kind in re.findall(r"[a-z]+", repository.casefold()) for kind in kinds):
            return f"Of {repository}: {said}; the page Few steps says more."
    near = closest(checkpoint.replace("_", "-").replace(" ", "-"), names())
    return f"Did you mean {near}?" if near and not kinds else None


def recognized(path: Path, shapes: Mapping[str, tuple[int, ...]] | None = None, generation: int | None = None) -> str:
    """Tell which family a folder or file is of.

    Args:
        path: Which is there; its content was not checked yet.
        shapes: Of a single file's weights, by name.
        generation: Of Stable Diffusion, if its weights are called as before XL: 1 or 2.

    Returns:
        The family's word.
    """
    held = (shapes or {}).items()
    by_sight = (word for word, family in FAMILIES.items() if family.recognizes(path) or (family.shapes and family.shapes.items() <= held))
    by_names = (word for word, family in FAMILIES.items() if generation in family.generations)
    return next(by_sight, None) or next(by_names, OTHER)
