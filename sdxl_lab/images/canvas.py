"""A picture on a larger canvas, and the mask of what is to be painted around it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from sdxl_lab.images.masks import rgb_only
from sdxl_lab.images.white import MaskError

MAX_CANVAS_PIXELS = 100_000_000
"""Most pixels an extended canvas may have."""

Fill = Literal["reflect", "noise"]


def extend_canvas(
    image: Image.Image, *, left_px: int = 0, right_px: int = 0, top_px: int = 0, bottom_px: int = 0, fill: Fill = "reflect", seed: int = 0
) -> Image.Image:
    """Put a picture on a larger canvas.

    Args:
        image: Picture of size (W, H), mode "RGB".
        left_px: New pixels left of the picture, 0 or more; `right_px`, `top_px` and `bottom_px` likewise.
        right_px: See `left_px`.
        top_px: See `left_px`.
        bottom_px: See `left_px`.
        fill: What the new pixels hold before they are painted: "reflect" mirrors the picture, again and again if need be;
            "noise" draws uniform colors from `seed`.
        seed: Any integer of 64 bits, negative ones too; used by "noise" only.

    Returns:
        The canvas, mode "RGB", of size (W + left_px + right_px, H + top_px + bottom_px); it holds the whole picture in its place.

    Raises:
        MaskError: A width is negative, all are zero, the fill is unknown, the canvas would be larger than `MAX_CANVAS_PIXELS`, or the picture
            isn't RGB.
    """
    _check_canvas(image.size, {"left_px": left_px, "right_px": right_px, "top_px": top_px, "bottom_px": bottom_px}, 0)
    pixels = np.asarray(rgb_only(image, "image"))
    height, width = pixels.shape[:2]
    if fill == "reflect":
        return Image.fromarray(np.pad(pixels, ((top_px, bottom_px), (left_px, right_px), (0, 0)), mode="reflect"))
    if fill != "noise":
        raise MaskError(f"canvas fill is {fill!r}; it must be 'reflect' or 'noise'")
    canvas = noise((width + left_px + right_px, height + top_px + bottom_px), seed)
    canvas[top_px : top_px + height, left_px : left_px + width] = pixels
    return Image.fromarray(canvas)


def canvas_mask(
    size: tuple[int, int], *, left_px: int = 0, right_px: int = 0, top_px: int = 0, bottom_px: int = 0, overlap_px: int = 0
) -> Image.Image:
    """Mask what is to be painted around a picture on a larger canvas.

    With `overlap_px` 0 the mask ends where the picture begins. Above 0 it reaches that far into the picture, on the extended sides
    only, so that what is painted grows out of the picture. Composited with this mask the overlap is replaced too, which heals the seam;
    composited with the mask of overlap 0, every pixel of the picture stays.

    Args:
        size: (W, H) of the picture, in pixels.
        left_px: As in `extend_canvas`; `right_px`, `top_px` and `bottom_px` likewise.
        right_px: See `left_px`.
        top_px: See `left_px`.
        bottom_px: See `left_px`.
        overlap_px: How far the mask reaches into the picture on each extended side, 0 or more.

    Returns:
        A mode "L" mask of the canvas's size, with only 0 and 255.

    Raises:
        MaskError: A width is negative, all are zero, the overlap would leave nothing of the picture, or the canvas would be larger than
            `MAX_CANVAS_PIXELS`.
    """
    sides = {"left_px": left_px, "right_px": right_px, "top_px": top_px, "bottom_px": bottom_px}
    _check_canvas(size, sides, overlap_px)
    width, height = size
    mask = Image.new("L", (width + left_px + right_px, height + top_px + bottom_px), 255)
    inset = {side: overlap_px if amount else 0 for side, amount in sides.items()}
    kept = (left_px + inset["left_px"], top_px + inset["top_px"], left_px + width - inset["right_px"], top_px + height - inset["bottom_px"])
    mask.paste(0, kept)
    return mask


def noise(size: tuple[int, int], seed: int) -> np.ndarray:
    """Draw uniform colors.

    Args:
        size: (W, H) in pixels.
        seed: Any integer of 64 bits, negative ones too.

    Returns:
        (H, W, 3) levels, uint8.
    """
    words = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF]
    return np.random.RandomState(words).randint(0, 256, (size[1], size[0], 3), np.uint8)


def _check_canvas(size: tuple[int, int], sides: dict[str, int], overlap_px: int) -> None:
    negative = {name: value for name, value in {**sides, "overlap_px": overlap_px}.items() if value < 0}
    if negative:
        raise MaskError(f"canvas.{next(iter(negative))} is {next(iter(negative.values()))}; it must be 0 or more")
    if not any(sides.values()):
        raise MaskError(f"the canvas isn't extended: all of {', '.join(sides)} are 0; set at least one of them")
    for length, axis in zip(size, (("left_px", "right_px"), ("top_px", "bottom_px")), strict=True):
        if overlap_px * sum(sides[side] > 0 for side in axis) >= length:
            raise MaskError(f"canvas.overlap_px is {overlap_px}, which leaves nothing of a picture of {size[0]}x{size[1]}; make it smaller")
    width, height = size[0] + sides["left_px"] + sides["right_px"], size[1] + sides["top_px"] + sides["bottom_px"]
    if width * height > MAX_CANVAS_PIXELS:
        raise MaskError(f"the canvas would be {width}x{height}; at most {MAX_CANVAS_PIXELS:,} pixels are allowed: extend it less")
