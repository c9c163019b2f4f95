"""How like its input a picture is, inside and outside the mask, patch by patch, as DINOv2 sees them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from sdxl_lab.extractors import DinoV2, open_extractor
from sdxl_lab.images.pictures import rgb
from sdxl_lab.measures._measure import Looks, Measure, Models, Opened, Told, unit
from sdxl_lab.spec.generated import Generated

Chosen = Callable[[np.ndarray], np.ndarray]


def similarity(before: np.ndarray, after: np.ndarray, counted: np.ndarray) -> float | None:
    """The mean cosine of the patches at the same places of two pictures.

    Args:
        before: Of one, shape (rows, columns, d).
        after: Of the other.
        counted: Which places count, bool of shape (rows, columns).

    Returns:
        From -1 to 1; None if no place counts.

    Source:
        The features are those of Oquab et al., DINOv2, arXiv:2304.07193; comparing patches at the same places is the lab's own choice.
    """
    if not counted.any():
        return None
    return float((unit(before[counted]) * unit(after[counted])).sum(axis=-1).mean())


def _inside(whiteness: np.ndarray) -> np.ndarray:
    return whiteness >= 0.5


def _outside(whiteness: np.ndarray) -> np.ndarray:
    return whiteness == 0


def _open(name: str, counts: Chosen, models: Models) -> Opened:
    dino, patches = models.once("dinov2", lambda place: _dino(place, models))

    def of(made: Generated, _: Told) -> float | None:
        if made.input_image is None or made.mask_image is None:
            return None
        return similarity(patches(rgb(made.input_image)), patches(made.image), counts(dino.whiteness(made.mask_image)))

    return Opened(name=name, of=of, networks={"dinov2": dino.identity()}, models={"dinov2": dino.model})


def _dino(place: str, models: Models) -> tuple[DinoV2, Looks]:
    dino = open_extractor("dinov2", place, fetch=models.fetch)
    assert isinstance(dino, DinoV2)
    return dino, Looks(dino, dino.patches)


MEASURES = (
    Measure(name="dino_inside", open=partial(_open, "dino_inside", _inside)),
    Measure(name="dino_outside", open=partial(_open, "dino_outside", _outside)),
)
