"""Whether the mask's boundary shows: steps of brightness and color that follow it.

A single picture cannot tell a seam from an object's outline. Where the mask ends on an outline, as an undilated one does, the metrics of
the picture alone see that outline; `seam_mismatch`, which compares the two pictures that were put together, does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab.images.masks import opencv
from sdxl_lab.metrics import pixels
from sdxl_lab.metrics._metric import Metric
from sdxl_lab.spec.generated import Generated

_NEAR_PX = 9
"""Side of the square over which the color of a ring is averaged."""


def seam_gradient(image: Image.Image, mask_image: Image.Image) -> float | None:
    """Measure how much steeper a picture is across the mask's boundary than beside it; lower is better.

    The mean absolute difference between the two pixels of each pair that the boundary separates (side by side or one above the other),
    less that of the pairs one pixel further in and further out in the same direction, over red, green and blue. What the picture does
    everywhere, a texture or a slope, cancels. Absolute values, not squares: of squares a few strong edges of the background that happen to
    cross the boundary make most, and then a step may lower the sum.

    Args:
        image: The picture, of size (W, H), any mode.
        mask_image: White where it was repainted, of size (W, H), any mode.

    Returns:
        In levels a pixel, -255 to 255. About 0 without a seam, below it where the boundary is smoother than what is beside it; a step of
        8 levels on an even ground gives 8. None if there is no boundary, or nothing beside it.

    Raises:
        MetricError: The two differ in size.

    Source:
        Steps across block boundaries against those beside them, as measures of blocking take them: Wang, Sheikh and Bovik, No-reference
        perceptual quality assessment of JPEG compressed images, ICIP 2002.
    """
    pixels.require_one_size(image=image, mask_image=mask_image)
    levels, white = pixels.rgb(image), pixels.inside(mask_image)
    across, beside = [], []
    for turned, region in ((levels, white), (levels.swapaxes(0, 1), white.T)):
        first, along = np.nonzero(region[1:] != region[:-1])
        across.append(_steps(turned, first, along))
        for pair, outer in ((first - 1, first - 1), (first + 1, first + 2)):
            within = (outer >= 0) & (outer < len(region))
            pair, column = pair[within], along[within]
            alike = region[pair, column] == region[pair + 1, column]
            beside.append(_steps(turned, pair[alike], column[alike]))
    at, near = np.concatenate(across), np.concatenate(beside)
    if not at.size or not near.size:
        return None
    return float(at.mean() - near.mean())


def seam_delta_e(image: Image.Image, mask_image: Image.Image) -> float | None:
    """Measure how differently a picture is colored just inside and just outside the mask's boundary; lower is better.

    At each pixel that touches the mask, the colors (CIELAB, D65) of the ring of pixels just inside and of the ring just outside are
    averaged over the 9x9 pixels around, each is carried on half a pixel to the boundary at the slope it has from the next ring, and their
    difference is taken (CIEDE2000). The result is the mean of these differences. Averaging along the boundary keeps a seam, which goes
    along with it, and loses a texture. Carrying on removes a slope of the background, a shadow's above all; without it, and with rings two
    or three pixels wide, shadows hide steps of 8 levels.

    Args:
        image: The picture, of size (W, H), any mode; its RGB is taken for sRGB.
        mask_image: White where it was repainted, of size (W, H), any mode.

    Returns:
        From 0, no difference; about 1 is just noticeable, black against white is 100. None if there is no boundary.

    Raises:
        MetricError: The two differ in size.

    Source:
        Sharma, Wu and Dalal, The CIEDE2000 color-difference formula, Color Research and Application 30 (2005), doi:10.1002/col.20070;
        scikit-image, skimage.color.deltaE_ciede2000.
    """
    from skimage.color import deltaE_ciede2000

    pixels.require_one_size(image=image, mask_image=mask_image)
    white = pixels.inside(mask_image)
    inner, outer = _rings(white), _rings(~white)
    touching = np.nonzero(outer[0])
    if not touching[0].size:
        return None
    lab = _lab(pixels.rgb(image), np.logical_or.reduce([*inner, *outer]))
    at_boundary = []
    for nearest, next_one in (inner, outer):
        color, beyond = _average(lab, nearest, touching), _average(lab, next_one, touching)
        at_boundary.append(color + 0.5 * (color - np.where(np.isnan(beyond), color, beyond)))
    return float(deltaE_ciede2000(*at_boundary).mean())


def seam_mismatch(input_image: Image.Image, raw: Image.Image, mask_image: Image.Image) -> float | None:
    """Measure how far what was painted just outside the mask is from what compositing puts back there; lower is better.

    Both pictures show the same place, so an object's outline on the boundary does no harm: this sees what compositing has to hide, and
    only that. At each pixel of the two rings just outside the mask, both pictures' colors (CIELAB, D65) are averaged over the rings within
    the 9x9 pixels around; the result is the mean difference of these (CIEDE2000).

    Args:
        input_image: What the picture started from, of size (W, H), any mode; its RGB is taken for sRGB.
        raw: The decoded picture before compositing, of size (W, H), any mode.
        mask_image: White where the raw picture replaced the input, of size (W, H), any mode.

    Returns:
        From 0, no difference; about 1 is just noticeable, black against white is 100. None if there is no boundary.

    Raises:
        MetricError: The three differ in size.

    Source:
        As `seam_delta_e`.
    """
    from skimage.color import deltaE_ciede2000

    pixels.require_one_size(input_image=input_image, raw=raw, mask_image=mask_image)
    ring = np.logical_or(*_rings(~pixels.inside(mask_image)))
    places = np.nonzero(ring)
    if not places[0].size:
        return None
    before, after = (_average(_lab(pixels.rgb(image), ring), ring, places) for image in (input_image, raw))
    return float(deltaE_ciede2000(before, after).mean())


def _steps(levels: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Absolute differences between pixels and those one row further."""
    return np.abs(levels[row + 1, column].astype(np.int16) - levels[row, column])


def _rings(region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of a region that touch its outside along a side, and those that touch these; the picture's border is not a boundary."""
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    once = opencv().erode(region.astype(np.uint8), cross)
    twice = opencv().erode(once, cross)
    return region & (once == 0), (once > 0) & (twice == 0)


def _lab(levels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """CIELAB colors in a region, 0 elsewhere: float32 of shape (H, W, 3)."""
    from skimage.color import rgb2lab

    lab = np.zeros(levels.shape, np.float32)
    lab[where] = rgb2lab(levels[where])
    return lab


def _average(lab: np.ndarray, ring: np.ndarray, places: Any) -> np.ndarray:
    """The mean color of a ring around each place, of shape (N, 3); NaN where the ring is not near."""
    box = {"ddepth": -1, "ksize": (_NEAR_PX, _NEAR_PX), "normalize": False, "borderType": opencv().BORDER_CONSTANT}
    count = opencv().boxFilter(ring.astype(np.float32), **box)[places]
    total = opencv().boxFilter(np.where(ring[..., None], lab, np.float32(0)), **box)[places]
    return np.divide(total, count[:, None], out=np.full(total.shape, np.nan, np.float32), where=count[:, None] > 0.5)


def _mismatch(made: Generated) -> float | None:
    before, mask = pixels.as_decoded(made, made.input_image), pixels.as_decoded(made, made.seam_image)
    return pixels.if_there(seam_mismatch, before, pixels.decoded(made), mask)


METRICS = (
    Metric(
        name="seam_gradient",
        of=lambda made, _: pixels.if_there(seam_gradient, made.image, made.seam_image),
        sentence="How much steeper the picture is across the mask's boundary than beside it; about 0 without a seam.",
        unit="levels",
        better="lower",
    ),
    Metric(
        name="seam_delta_e",
        of=lambda made, _: pixels.if_there(seam_delta_e, made.image, made.seam_image),
        sentence="How differently the picture is colored just inside and just outside the mask's boundary; about 1 is just noticeable.",
        unit="ΔE",
        better="lower",
        telling=1,
    ),
    Metric(
        name="raw_seam_delta_e",
        of=lambda made, _: _mismatch(made),
        sentence="How far what was painted just outside the mask is from what compositing puts back there; about 1 is just noticeable.",
        unit="ΔE",
        better="lower",
        telling=2,
    ),
)
