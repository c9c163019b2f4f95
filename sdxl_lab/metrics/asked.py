"""Metrics of pictures that are recorded already, which somebody asked for, or asked people about: what is said of their numbers.

What computes them lies in the room `measures`, since most need networks, and people are counted in `studies`; whoever only shows numbers needs
no more than this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sdxl_lab.metrics._metric import Words

ASKED: Mapping[str, Words] = MappingProxyType(
    {
        "clip_score": Words(sentence="100 times the cosine of picture and prompt, as CLIP sees them; 0 where it is negative.", better="higher"),
        "clip_directional": Words(
            sentence="The cosine of how the picture was changed and how the words were, as CLIP sees them, -1 to 1.", better="higher"
        ),
        "pick_score": Words(sentence="How much people would like the picture for its prompt, as PickScore guesses.", better="higher"),
        "lpips": Words(sentence="How unlike its input the picture looks, by the features of a network; 0 where nothing changed.", better="lower"),
        "dino_inside": Words(sentence="Cosine of input and picture inside the mask, patch by patch, as DINOv2 sees them; 1 where nothing changed."),
        "dino_outside": Words(
            sentence="Cosine of input and picture outside the mask, patch by patch, as DINOv2 sees them; 1 where nothing changed.", better="higher"
        ),
        "nrmse_outside": Words(sentence="Root of the mean square change outside the mask, as a share of the input's levels.", better="lower"),
    }
)
"""By the name that they are asked for."""

VOTED: Mapping[str, Words] = MappingProxyType(
    {
        "preferred": Words(
            sentence="Of the votes on the picture in a preference study the share that chose it; a tie is shared by those shown.",
            better="higher",
        )
    }
)
"""What people said of pictures, which nothing computes."""


def stem_of(column: str) -> str | None:
    """Which of `ASKED` or `VOTED` a column holds: its name ends in digits of what gave it, since another network's or study's are others.

    Args:
        column: Such as `clip_score-0123abcd`.

    Returns:
        Such as `clip_score`; None of a column of others.
    """
    known = {**ASKED, **VOTED}
    stem = column if column in known else column.rpartition("-")[0]
    return stem if stem in known else None


def columns_named(name: str, columns: Iterable[str]) -> list[str]:
    """The columns that a name means: that one, or all that hold the metric of that name.

    Args:
        name: As somebody asks for it.
        columns: Those that there are.

    Returns:
        In their order; the name itself if it means none.
    """
    columns = list(columns)
    return [name] if name in columns else [column for column in columns if stem_of(column) == name] or [name]
