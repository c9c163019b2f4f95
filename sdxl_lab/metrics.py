"""Pictures to numbers: how far a result strays from its input where nothing was to change."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from PIL import Image

from sdxl_lab.errors import LabError


class MetricError(LabError):
    """Pictures that cannot be compared."""


class Result(Protocol):
    """One finished picture, as `generate` returns it.

    Attributes:
        image: The composited result, of size (W, H).
        raw: The decoded picture before compositing, of any size.
        input_image: What it started from, of size (W, H).
        mask_image: White where it was repainted, of size (W, H).
    """

    @property
    def image(self) -> Image.Image: ...  # noqa: D102 - described above, as are those below
    @property
    def raw(self) -> Image.Image: ...  # noqa: D102
    @property
    def input_image(self) -> Image.Image: ...  # noqa: D102
    @property
    def mask_image(self) -> Image.Image: ...  # noqa: D102


def change_outside(input_image: Image.Image, image: Image.Image, mask_image: Image.Image) -> dict[str, float]:
    """Measure how much a picture changed outside its mask.

    The change of a pixel is its largest absolute difference among red, green and blue, from 0 to 255. Only pixels where the
    mask is black (0 of 255) count.

    Args:
        input_image: What the picture started from, of size (W, H), any mode; compared as 8-bit RGB.
        image: The picture, of size (W, H), any mode.
        mask_image: White where it was repainted, of size (W, H), any mode.

    Returns:
        `max`: the largest change, 0 to 255. `mean`: the mean change over the pixels outside, 0 to 255. `share`: the share of the
        pixels outside that changed at all, 0 to 1. All 0.0 if no pixel is outside the mask.

    Raises:
        MetricError: The three differ in size.
    """
    if not input_image.size == image.size == mask_image.size:
        raise MetricError(
            f"got an input of {input_image.size}, a picture of {image.size} and a mask of {mask_image.size} pixels; "
            "all three must be of one size: resize first"
        )
    before, after = (np.asarray(picture.convert("RGB"), np.int16) for picture in (input_image, image))
    outside = np.asarray(mask_image.convert("L")) == 0
    change = np.abs(after - before).max(axis=2)[outside]
    if not change.size:
        return {"max": 0.0, "mean": 0.0, "share": 0.0}
    return {"max": float(change.max()), "mean": float(change.mean()), "share": float((change > 0).mean())}


def measure(result: Result) -> dict[str, float]:
    """Measure a finished picture.

    Args:
        result: The picture with its input, its mask, and what was decoded before compositing.

    Returns:
        `change_outside_max`, `change_outside_mean` and `change_outside_share`, as `change_outside` defines them, of the
        composited picture: 0 without feathering. `raw_change_outside_...`: the same of the decoded picture, brought to the
        input's size with Lanczos; what compositing hides, above all the VAE's own loss.

    Raises:
        MetricError: Result, input and mask differ in size.
    """
    size = result.input_image.size
    raw = result.raw if result.raw.size == size else result.raw.resize(size, Image.Resampling.LANCZOS)
    composited = change_outside(result.input_image, result.image, result.mask_image)
    decoded = change_outside(result.input_image, raw, result.mask_image)
    return {f"change_outside_{name}": number for name, number in composited.items()} | {
        f"raw_change_outside_{name}": number for name, number in decoded.items()
    }
