"""How well a picture keeps its input where nothing was to change: outside the mask."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from sdxl_lab.images.masks import opencv
from sdxl_lab.metrics import pixels
from sdxl_lab.metrics._metric import Metric
from sdxl_lab.spec.generated import Generated

_SIGMA_PX = 1.5
_REACH_PX = 5
"""Pixels from the center of scikit-image's Gaussian window to its rim: int(3.5 sigma + 0.5)."""
Compared = tuple[Image.Image | None, Image.Image | None, Image.Image | None]
"""Input, picture and mask."""

_LUMA = np.array((0.299, 0.587, 0.114), np.float32)


def change_outside(input_image: Image.Image, image: Image.Image, mask_image: Image.Image) -> dict[str, float]:
    """Measure how much a picture changed outside its mask; lower is better.

    The change of a pixel is its largest absolute difference among red, green and blue, from 0 to 255. Only pixels where the
    mask is black (0 of 255) count.

    Args:
        input_image: What the picture started from, of size (W, H), any mode; compared as 8-bit RGB.
        image: The picture, of size (W, H), any mode.
        mask_image: White where it was repainted, of size (W, H), any mode.

    Returns:
        `max`: the largest change, 0 to 255. `mean`: the mean change over the pixels outside, 0 to 255. `share`: the share of the
        pixels outside that changed at all, 0 to 1. Empty if no pixel is outside the mask.

    Raises:
        MetricError: The three differ in size.
    """
    pixels.require_one_size(input_image=input_image, image=image, mask_image=mask_image)
    return pixels.changes(pixels.rgb(input_image), pixels.rgb(image), pixels.outside(mask_image))


def psnr_outside(input_image: Image.Image, image: Image.Image, mask_image: Image.Image) -> float | None:
    """Measure the peak signal-to-noise ratio outside the mask, in decibels; higher is better.

    It is 10 log10(255² / MSE), the mean taken over the three channels of the pixels where the mask is black. One level of difference
    everywhere is 48.13 dB.

    Args:
        input_image: What the picture started from, of size (W, H), any mode; compared as 8-bit RGB.
        image: The picture, of size (W, H), any mode.
        mask_image: White where it was repainted, of size (W, H), any mode.

    Returns:
        From 0 (black against white) up. None if no pixel is outside, and if none of them changed: then it would be infinite, and
        `change_outside` says it better.

    Raises:
        MetricError: The three differ in size.

    Source:
        Huynh-Thu and Ghanbari, Scope of validity of PSNR in image/video quality assessment, Electronics Letters 44 (2008),
        doi:10.1049/el:20080522. Equals skimage.metrics.peak_signal_noise_ratio of these pixels.
    """
    pixels.require_one_size(input_image=input_image, image=image, mask_image=mask_image)
    outside = pixels.outside(mask_image)
    before, after = pixels.rgb(input_image), pixels.rgb(image)
    difference = (np.maximum(before, after) - np.minimum(before, after))[outside]
    counts = np.bincount(difference.ravel(), minlength=256)
    squares = int(counts @ np.arange(256) ** 2)
    return 10 * math.log10(255**2 * difference.size / squares) if squares else None


def ssim_outside(input_image: Image.Image, image: Image.Image, mask_image: Image.Image) -> float | None:
    """Measure the structural similarity to the input outside the mask; higher is better.

    The mean of the map of local similarities of the lumas (ITU-R 601), with the paper's own window: 11x11 pixels, Gaussian of 1.5 pixels,
    K1 0.01, K2 0.03. A window that reaches over the mask's boundary compares repainted pixels too, so it would blame the repainted
    region on its surroundings; one that reaches over the picture's border compares mirrored pixels. Neither counts: a window does only if
    all of it lies outside the mask and in the picture.

    Args:
        input_image: What the picture started from, of size (W, H), any mode.
        image: The picture, of size (W, H), any mode.
        mask_image: White where it was repainted, of size (W, H), any mode.

    Returns:
        From -1 to 1, which is exactly reached where nothing changed. None if no window lies outside the mask.

    Raises:
        MetricError: The three differ in size.

    Source:
        Wang, Bovik, Sheikh and Simoncelli, Image quality assessment: from error visibility to structural similarity, IEEE TIP 13 (2004),
        doi:10.1109/TIP.2003.819861; scikit-image, skimage.metrics.structural_similarity.
    """
    from skimage.metrics import structural_similarity

    pixels.require_one_size(input_image=input_image, image=image, mask_image=mask_image)
    window = np.ones((2 * _REACH_PX + 1, 2 * _REACH_PX + 1), np.uint8)
    counted = opencv().erode(pixels.outside(mask_image).astype(np.uint8), window, borderType=0, borderValue=0) > 0
    if not counted.any():
        return None
    before, after = pixels.rgb(input_image), pixels.rgb(image)
    # Equal windows are similar by 1 exactly, so only the part of the picture whose windows hold a changed pixel is computed.
    changed = pixels.outside(mask_image) & (before != after).any(axis=2)
    part = _box(changed, margin_px=2 * _REACH_PX)
    if part is None:
        return 1.0
    similar = structural_similarity(
        before[part] @ _LUMA,
        after[part] @ _LUMA,
        data_range=255,
        gaussian_weights=True,
        sigma=_SIGMA_PX,
        use_sample_covariance=False,
        full=True,
    )[1]
    missing = 1.0 - similar[counted[part]].astype(np.float64)
    return float(1.0 - missing.sum() / counted.sum())


def nrmse_outside(input_image: Image.Image, image: Image.Image, mask_image: Image.Image) -> float | None:
    """Measure the normalized root-mean-square change outside the mask; lower is better.

    The root of the sum of squared differences over that of the input's squared levels, over red, green and blue of the pixels where the mask
    is black.

    Args:
        input_image: What the picture started from, of size (W, H), any mode; compared as 8-bit RGB.
        image: The picture, of size (W, H), any mode.
        mask_image: White where it was repainted, of size (W, H), any mode.

    Returns:
        From 0, nothing changed, up. None if no pixel is outside, or the input is all black there.

    Raises:
        MetricError: The three differ in size.

    Source:
        Equals skimage.metrics.normalized_root_mse of these pixels, whose normalization is the Euclidean one.
    """
    pixels.require_one_size(input_image=input_image, image=image, mask_image=mask_image)
    outside = pixels.outside(mask_image)
    before, after = (pixels.rgb(picture)[outside].astype(np.float64) for picture in (input_image, image))
    levels = float(np.square(before).sum())
    return math.sqrt(float(np.square(after - before).sum()) / levels) if levels else None


def _box(where: np.ndarray, *, margin_px: int) -> tuple[slice, slice] | None:
    """The rectangle around a region, at least one window large; None around none."""
    spans = []
    for axis in (1, 0):
        hit = np.flatnonzero(where.any(axis=axis))
        if not hit.size:
            return None
        spans.append(slice(max(int(hit[0]) - margin_px, 0), int(hit[-1]) + 1 + margin_px))
    return spans[0], spans[1]


def _metrics(prefix: str, which: str, compared: Callable[[Generated], Compared], *, telling: int | None = None) -> tuple[Metric, ...]:
    """The metrics of the finished picture, or those of the decoded one."""

    @pixels.once
    def changed(made: Generated) -> dict[str, float]:
        return pixels.if_there(change_outside, *compared(made)) or {}

    return (
        Metric(
            name=f"{prefix}change_outside_max",
            of=lambda made, _: changed(made).get("max"),
            sentence=f"The largest change of a color outside the mask, {which}, of 255.",
            unit="levels",
            better="lower",
        ),
        Metric(
            name=f"{prefix}change_outside_mean",
            of=lambda made, _: changed(made).get("mean"),
            sentence=f"The mean change of a pixel's color outside the mask, {which}, of 255.",
            unit="levels",
            better="lower",
        ),
        Metric(
            name=f"{prefix}change_outside_share",
            of=lambda made, _: changed(made).get("share"),
            sentence=f"The share of the pixels outside the mask that changed, {which}, 0 to 1.",
            better="lower",
        ),
        Metric(
            name=f"{prefix}psnr_outside_db",
            of=lambda made, _: pixels.if_there(psnr_outside, *compared(made)),
            sentence=f"Peak signal-to-noise ratio to the input outside the mask, {which}.",
            unit="dB",
            better="higher",
            telling=telling,
        ),
        Metric(
            name=f"{prefix}ssim_outside",
            of=lambda made, _: pixels.if_there(ssim_outside, *compared(made)),
            sentence=f"Structural similarity to the input outside the mask, {which}; 1 where nothing changed.",
            better="higher",
        ),
    )


def _finished(made: Generated) -> Compared:
    return made.input_image, made.image, made.mask_image


def _decoded(made: Generated) -> Compared:
    return pixels.as_decoded(made, made.input_image), pixels.decoded(made), pixels.as_decoded(made, made.mask_image)


METRICS = (
    *_metrics("", "in the finished picture", _finished),
    *_metrics("raw_", "before compositing put the input back", _decoded, telling=3),
)
