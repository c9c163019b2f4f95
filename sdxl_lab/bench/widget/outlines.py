"""Where a picture will be repainted, as lines that a page draws over it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab.families import Sizes
from sdxl_lab.generation.frames import framed
from sdxl_lab.images import masks, soft_masks
from sdxl_lab.images.boxes import Box
from sdxl_lab.settings.sections import EditSettings
from sdxl_lab.tasks import Task

MOST_POINTS = 200_000
"""Of all lines of a kind together; of a mask that is noise the longest are drawn."""

LONGEST_SIDE = 1 << 16
"""In pixels: points are told in 16 bits."""

Lines = tuple[np.ndarray, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outlines:
    """Closed lines around what will be repainted, in a picture's canvas.

    Attributes:
        size: (width, height) of the canvas, in pixels: of the picture, and what it is extended by.
        left: Where the picture lies in it; likewise `top`.
        top: See `left`.
        repainted: Arrays (n, 2) of uint16, x and y of pixels in the canvas: what is repainted has its border there. It is drawn through their
            middles.
        feathered: Likewise, of what shows any of the result; empty without a feather.
        frame: The crop that the models see, in pixels of the canvas; None for all of it.
    """

    size: tuple[int, int]
    left: int
    top: int
    repainted: Lines = ()
    feathered: Lines = ()
    frame: Box | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """What a page is told besides the points: in pixels of the canvas, and how many points each line has."""
        lengths = {"lengths": [len(line) for line in self.repainted], "feather": [len(line) for line in self.feathered]}
        place = {"width": self.size[0], "height": self.size[1], "left": self.left, "top": self.top}
        return place | lengths | ({"frame": self.frame} if self.frame else {})

    @property
    def buffers(self) -> list[bytes]:
        """The points of all lines, one line after the other, as pairs of little-endian uint16: `repainted`, then `feathered`."""
        return [b"".join(line.astype("<u2").tobytes() for line in lines) for lines in (self.repainted, self.feathered)]


def outlines(task: Task, settings: EditSettings, size: tuple[int, int], mask: Image.Image | None, sizes: Sizes) -> Outlines:
    """Find where a picture will be repainted.

    Args:
        task: What makes it.
        settings: Nothing of them left to choose.
        size: (width, height) of the picture, in pixels.
        mask: Of that size, white is the object; None for one that nobody has painted yet.
        sizes: What the checkpoint was made for.

    Returns:
        Lines from the very region that the task gives; none where it makes all of the picture, or as long as nothing can be repainted.
    """
    canvas = settings.canvas.around(size)
    bare = Outlines(size=canvas, left=settings.canvas.left_px, top=settings.canvas.top_px)
    lacks_mask = "mask" in task.needs(settings) and mask is None
    if task.area is None or lacks_mask or max(canvas) > LONGEST_SIDE:
        return bare
    try:
        area, frame = framed(task, settings, size, mask, sizes)
        soft = soft_masks.faded(area.composited, settings.mask.feather_px) if settings.mask.feather_px else None
    except masks.MaskError:  # the gate says why, when it is asked
        return bare
    lines = {"repainted": _lines(area.repainted), "feathered": () if soft is None else _lines(soft)}
    return replace(bare, **lines, frame=frame and frame.box)


def _lines(mask_image: Image.Image) -> Lines:
    """Around what is not black."""
    cv2, box = masks.opencv(), mask_image.getbbox()
    if box is None:
        return ()
    found, _ = cv2.findContours(np.asarray(mask_image.crop(box)), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE, offset=box[:2])
    return _longest([line.reshape(-1, 2).astype(np.uint16) for line in found])


def _longest(lines: Iterable[np.ndarray]) -> Lines:
    lines = sorted(lines, key=len, reverse=True)
    return tuple(line for line, points in zip(lines, accumulate(map(len, lines)), strict=True) if points <= MOST_POINTS)
