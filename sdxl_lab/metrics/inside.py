"""What happened inside the mask: how far the picture left its input there, and how sharp it is."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sdxl_lab.metrics import pixels
from sdxl_lab.metrics._metric import Metric
from sdxl_lab.spec.generated import Generated


def change_inside(input_image: Image.Image, image: Image.Image, mask_image: Image.Image) -> dict[str, float]:
    """Measure how much a picture changed inside its mask; neither more nor less is better.

    The change of a pixel is its largest absolute difference among red, green and blue, from 0 to 255. Only pixels where the mask is
    white (at half intensity) count.

    Args:
        input_image: What the picture started from, of size (W, H), any mode; compared as 8-bit RGB.
        image: The picture, of size (W, H), any mode.
        mask_image: White where it was repainted, of size (W, H), any mode.

    Returns:
        `max`, `mean` and `share`, as `change_outside` defines them, of the pixels inside. Empty if no pixel is inside the mask.

    Raises:
        MetricError: The three differ in size.
    """
    pixels.require_one_size(input_image=input_image, image=image, mask_image=mask_image)
    return pixels.changes(pixels.rgb(input_image), pixels.rgb(image), pixels.inside(mask_image))


def sharpness_inside(image: Image.Image, mask_image: Image.Image) -> float | None:
    """Measure how sharp a picture is inside its mask: the variance of the luma's Laplacian.

    Higher is sharper, noise included; compare pictures of the same sample at the same size. A pixel counts if it and its four neighbors
    are in the mask, so that neither the seam nor what lies beyond it is taken for detail.

    Args:
        image: The picture, of size (W, H), any mode.
        mask_image: White where it was repainted, of size (W, H), any mode.

    Returns:
        In squared levels, from 0, a plane without detail, up. None if no pixel counts.

    Raises:
        MetricError: The two differ in size.

    Source:
        Pech-Pacheco, Cristóbal, Chamorro-Martínez and Fernández-Valdivia, Diatom autofocusing in brightfield microscopy: a comparative
        study, ICPR 2000, doi:10.1109/ICPR.2000.903548.
    """
    pixels.require_one_size(image=image, mask_image=mask_image)
    luma = np.asarray(image.convert("RGB").convert("L"), np.float32)
    counted = _with_neighbors(pixels.inside(mask_image), np.logical_and)
    if not counted.any():
        return None
    laplacian = _with_neighbors(luma, np.add) - 5 * luma[1:-1, 1:-1]
    return float(laplacian[counted].astype(np.float64).var())


def _with_neighbors(field: np.ndarray, join: np.ufunc) -> np.ndarray:
    """Join each pixel that is not on the picture's border with the four beside it."""
    joined = field[1:-1, 1:-1]
    for neighbor in (field[:-2, 1:-1], field[2:, 1:-1], field[1:-1, :-2], field[1:-1, 2:]):
        joined = join(joined, neighbor)
    return joined


@pixels.once
def _changed(made: Generated) -> dict[str, float]:
    return pixels.if_there(change_inside, made.input_image, made.image, made.mask_image) or {}


METRICS = (
    Metric(
        name="change_inside_max",
        of=lambda made, _: _changed(made).get("max"),
        sentence="The largest change of a color inside the mask, of 255.",
        unit="levels",
    ),
    Metric(
        name="change_inside_mean",
        of=lambda made, _: _changed(made).get("mean"),
        sentence="The mean change of a pixel's color inside the mask, of 255.",
        unit="levels",
    ),
    Metric(
        name="change_inside_share",
        of=lambda made, _: _changed(made).get("share"),
        sentence="The share of the pixels inside the mask that changed, 0 to 1.",
    ),
    Metric(
        name="sharpness_inside",
        of=lambda made, _: pixels.if_there(sharpness_inside, made.image, made.mask_image),
        sentence="The variance of the Laplacian inside the mask: more where it is sharp, and where it is noisy.",
        unit="levels²",
        telling=5,
    ),
)
