"""Whether a picture shows a crescent: by geometry, without any model, since the judge knows only the shapes that were there before.

An object is a crescent if one bite is missing of it, and little else, and if it tapers from its middle to its horns:

1. its convex hull has more than it has, and at least a fifth of the hull is one piece of that: the bite;
2. the bite is at least three quarters of all that the hull has more, so that a star's or a cross's many notches are none;
3. where a disk of 0.7 times its greatest half thickness finds no room, it has at least a tenth of its area: its horns.

A hole is no bite, so rings are disks here.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from sdxl_lab.pocket.training.regions import region

LEAST_BITE, LEAST_SHARE, LEAST_HORNS = 0.2, 0.75, 0.1
ROOM = 0.7
"""Of the greatest half thickness: what a disk has that horns hold no more."""


def is_crescent(inside: np.ndarray) -> bool:
    """Say whether a region has the shape of a crescent, of any size, place and direction.

    Args:
        inside: True on the object, of shape (height, width), with 60 pixels or more.
    """
    from skimage.morphology import convex_hull_image

    inside = np.asarray(ndimage.binary_fill_holes(inside))
    hull = convex_hull_image(inside)
    labels = np.zeros(inside.shape, int)
    ndimage.label(hull & ~inside, output=labels)
    pieces = np.bincount(labels.ravel())[1:]
    if not len(pieces) or pieces.max() < LEAST_BITE * hull.sum() or pieces.max() < LEAST_SHARE * pieces.sum():
        return False
    return horns(inside) >= LEAST_HORNS


def horns(inside: np.ndarray) -> float:
    """The share of a region in which a disk of `ROOM` times its greatest half thickness finds no room."""
    deep = np.asarray(ndimage.distance_transform_edt(np.pad(inside, 1)))[1:-1, 1:-1]
    room = ROOM * deep.max()
    reached = np.asarray(ndimage.distance_transform_edt(deep < room)) < room
    return 1 - float(reached[inside].mean())


def shows_crescent(picture: Image.Image, colour: str, background: str) -> bool:
    """Say whether a picture of the world shows a crescent of a color.

    Args:
        picture: Mode "RGB".
        colour: The color it is to have, a key of `world.COLOURS`.
        background: What is around it, a key of `world.PLACES`.
    """
    inside = region(picture, colour, background)
    return inside is not None and is_crescent(inside)
