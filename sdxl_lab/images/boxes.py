"""Boxes in a picture: what is around a region, at an aspect that is asked for, and a part put back where it was."""

from __future__ import annotations

import math

from PIL import Image

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels of the picture; the last column and row are those before `right` and `bottom`."""


def size_of(box: Box) -> tuple[int, int]:
    """(width, height) in pixels."""
    return box[2] - box[0], box[3] - box[1]


def grown(box: Box, *, across_px: int, down_px: int, within: tuple[int, int]) -> Box:
    """Grow a box as far as the picture goes.

    Args:
        box: It.
        across_px: Pixels on the left, and as many on the right.
        down_px: Pixels above, and as many below.
        within: (width, height) of the picture.
    """
    left, top, right, bottom = box
    return max(left - across_px, 0), max(top - down_px, 0), min(right + across_px, within[0]), min(bottom + down_px, within[1])


def widened(box: Box, aspect: tuple[int, int], *, within: tuple[int, int]) -> Box:
    """Grow a box along one axis to an aspect; where the picture ends it is moved inwards, and reaches from end to end where it is still too long.

    Args:
        box: It, within the picture.
        aspect: Width and height whose proportion is asked for.
        within: (width, height) of the picture.

    Source:
        diffusers' VaeImageProcessor.get_crop_region, whose boxes these are.
    """
    across, down = size_of(box)
    axis = 1 if across * aspect[1] > down * aspect[0] else 0
    asked = across * aspect[1] / aspect[0] if axis else down * aspect[0] / aspect[1]
    more = int(asked - (down if axis else across))
    start, end = box[axis] - more // 2, box[axis + 2] + more - more // 2
    back = max(end - within[axis], 0)
    start, end = start - back, end - back
    start, end = max(start, 0), min(end - min(start, 0), within[axis])
    return (box[0], start, box[2], end) if axis else (start, box[1], end, box[3])


def magnified(seen: tuple[int, int], of: tuple[int, int]) -> float:
    """How many times larger something is seen, along a side: the square root of how many times its area.

    Args:
        seen: (width, height) in pixels.
        of: Its own.
    """
    return math.sqrt(seen[0] * seen[1] / (of[0] * of[1]))


def put_back(part: Image.Image, box: Box, picture: Image.Image) -> Image.Image:
    """Lay a part over the picture that it was cropped from.

    Args:
        part: Of any size; it is brought to that of the box with Lanczos.
        box: Where it was.
        picture: Of the same mode; it stays as it is.

    Returns:
        A new picture: outside the box the given one's pixels exactly.
    """
    whole = picture.copy()
    whole.paste(part if part.size == size_of(box) else part.resize(size_of(box), Image.Resampling.LANCZOS), box[:2])
    return whole
