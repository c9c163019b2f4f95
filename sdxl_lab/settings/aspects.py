"""Aspects, and the sizes that Stable Diffusion XL was trained at."""

from __future__ import annotations

import math
import re

ASPECT = "width to height such as 1:1, 16:9 or 3:4, from 1:4 to 4:1, or None"

WIDE = (
    *((1024, 1024), (1024, 960), (1088, 960), (1088, 896), (1152, 896), (1152, 832), (1216, 832), (1280, 768), (1344, 768), (1344, 704)),
    *((1408, 704), (1472, 704), (1536, 640), (1600, 640), (1664, 576), (1728, 576), (1792, 576), (1856, 512), (1920, 512), (1984, 512)),
    (2048, 512),
)
BUCKETS = tuple(sorted({*WIDE, *((height, width) for width, height in WIDE)}))
"""(width, height) in pixels: the buckets of multi-aspect training, all of about 1024x1024 pixels (Podell et al., arXiv:2307.01952, appendix I), which
lacks the upright one of 1344x704. 1024x1024, 1152x896, 1216x832, 1344x768, 1536x640 and their upright ones are those that Stability AI recommends."""

TRAINED_SIDE_PX = 1024

_WRITTEN = re.compile(r"([1-9][0-9]{0,4})\s*:\s*([1-9][0-9]{0,4})")


def checked_aspect(written: str) -> str:
    """Let an aspect pass as it is written.

    Raises:
        ValueError: It is none, or beyond the buckets.
    """
    match = _WRITTEN.fullmatch(written.strip())
    if match is None:
        raise ValueError("write two whole numbers with a colon between, width first")
    width, height = map(int, match.groups())
    if not height <= 4 * width <= 16 * height:
        raise ValueError("no checkpoint here was trained at more than four times as wide as high, or as high as wide; for more give width and height")
    return written


def bucket(aspect: str, *, area: int, multiple: int) -> tuple[int, int]:
    """Choose the size for an aspect.

    Args:
        aspect: As `checked_aspect` takes it.
        area: Pixels that the checkpoint was trained at.
        multiple: Of which sides are multiples, in pixels.

    Returns:
        (width, height) in pixels: the bucket whose aspect is nearest by ratio, scaled to the area.
    """
    asked, scale = math.log(_ratio(aspect)), math.sqrt(area) / TRAINED_SIDE_PX
    nearest = min(BUCKETS, key=lambda size: (abs(math.log(size[0] / size[1]) - asked), -size[0] * size[1]))
    width, height = (max(round(side * scale / multiple), 1) * multiple for side in nearest)
    return width, height


def _ratio(aspect: str) -> float:
    width, _, height = aspect.partition(":")
    return int(width) / int(height)
