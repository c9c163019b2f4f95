"""Where the object of a picture is, told by the colors of the world's own scenes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from PIL import Image
from scipy import ndimage

from sdxl_lab.pocket.world import draw, object_mask, sample_scene

FIRST_SEED = 8_000_000
"""Of the scenes that show which colors an object has."""
LEAST_PX = 60
"""Smaller regions are no object: the smallest has hundreds of pixels."""


@cache
def likeness(colour: str, background: str) -> np.ndarray:
    """How much likelier a pixel is in an object of a color than around it, by what true scenes show.

    Returns:
        Differences of logarithms by red, green and blue, of 32 levels each.
    """
    counted = {is_object: np.zeros((32, 32, 32)) for is_object in (True, False)}
    for number in range(60):
        scene = replace(sample_scene(FIRST_SEED + number), colour=colour, background=background)
        levels, inside = np.asarray(draw(scene)) // 8, np.asarray(object_mask(scene))
        for is_object, pixels in ((True, levels[inside > 224]), (False, levels[inside < 32])):
            np.add.at(counted[is_object], tuple(pixels.T), 1 / len(pixels))
    inside, outside = (np.log(ndimage.gaussian_filter(counts, 1) + 1e-6) for counts in (counted[True], counted[False]))
    return inside - outside


def region(picture: Image.Image, colour: str, background: str) -> np.ndarray | None:
    """Where an object of a color is: the largest region whose pixels are likelier its own.

    Args:
        picture: Mode "RGB".
        colour: A key of `COLOURS`.
        background: A key of `PLACES`.

    Returns:
        True on the object, of shape (height, width); None where there is none.
    """
    levels = np.asarray(picture) // 8
    likelier = ndimage.gaussian_filter(likeness(colour, background)[tuple(np.moveaxis(levels, 2, 0))], 1) > 0
    labels = np.zeros(likelier.shape, int)
    ndimage.label(likelier, output=labels)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax() if sizes.max() >= LEAST_PX else None
