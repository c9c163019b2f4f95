"""What is white of a mask, as an array: dilated, cleaned of specks, and where its borders lie, in time that suits twelve megapixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdxl_lab.errors import LabError


class MaskError(LabError):
    """A mask, or a setting of one, that can't be used."""


def dilated(white: np.ndarray, kernel_size: int, iterations: int) -> np.ndarray:
    """Grow what is white by a square, as `sdxl_lab.images.masks.dilate` says; what cv2.dilate gives, by cv2.boxFilter, in a fraction of its time.

    Args:
        white: (height, width) booleans.
        kernel_size: As there; likewise `iterations`.
        iterations: How often.

    Raises:
        MaskError: As there.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise MaskError(f"kernel_size is {kernel_size}; it must be odd and 1 or more (1 leaves the mask as it is), so take {max(kernel_size + 1, 1)}")
    if iterations < 0:
        raise MaskError(f"iterations is {iterations}; it must be 0 or more (0 leaves the mask as it is)")
    if not white.any():
        raise MaskError("the mask has no white pixel, so there is nothing to dilate; white marks what is repainted, so check that it isn't inverted")
    reach = min(kernel_size // 2 * iterations, max(white.shape))
    if reach == 0:
        return white
    cv2, part, side = opencv(), around(white, reach), 2 * reach + 1
    # A square applied n times is one larger square, and there is white within it where any is counted, in a time that does not grow with it.
    counted = cv2.boxFilter(white[part].view(np.uint8), cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
    result = white.copy()
    result[part] = counted > 0
    return result


def cleaned(white: np.ndarray, area: float, *, holes: bool = True) -> np.ndarray:
    """Leave out what is too small to be meant, as `sdxl_lab.images.masks.without_specks` says.

    Args:
        white: (height, width) booleans.
        area: In pixels; a connected region with fewer is a speck.
        holes: Whether specks of black are left out, too.

    Returns:
        The same array where there are no specks.
    """
    part = around(white, 1)
    # Beyond the part all is as on its rim, which stands for it.
    beyond = [(one.start, length - one.stop) for one, length in zip(part, white.shape, strict=True)]
    region = white[part]
    kept = _larger(region, area, beyond)
    if holes:
        black = ~kept
        larger = _larger(black, area, beyond)
        kept = kept if larger is black else ~larger
    return white if kept is region else np.pad(kept, beyond, mode="edge")


def largest(white: np.ndarray) -> int:
    """Pixels of the largest connected region of white, 0 if there is none."""
    stats = opencv().connectedComponentsWithStats(white.view(np.uint8), connectivity=8)[2]
    return int(stats[1:, opencv().CC_STAT_AREA].max(initial=0))


def around(white: np.ndarray, reach: int) -> tuple[slice, slice]:
    """Find the rows and columns that hold all borders between white and black.

    Args:
        white: (height, width) booleans.
        reach: How many pixels around the borders are held, too.
    """
    height, width = white.shape
    box = opencv().boundingRect(white.view(np.uint8))
    if box == (0, 0, width, height):
        box = opencv().boundingRect((~white).view(np.uint8))
    left, top, across, down = box
    if not across:
        return slice(0, height), slice(0, width)
    return slice(max(top - reach, 0), min(top + down + reach, height)), slice(max(left - reach, 0), min(left + across + reach, width))


def _larger(region: np.ndarray, area: float, beyond: list[tuple[int, int]]) -> np.ndarray:
    """A region without its connected parts of fewer pixels than `area`; as it is where there are no others.

    `beyond` says for how many more rows the first and the last stand, and then columns.
    """
    count, labels = opencv().connectedComponents(region.view(np.uint8), connectivity=8)
    if count <= 2:
        return region
    labels = labels.astype(np.min_scalar_type(count - 1))  # few labels are counted and looked up in a tenth of the time
    widths = np.ones(region.shape[1])
    widths[0] += beyond[1][0]
    widths[-1] += beyond[1][1]
    sizes = _sizes(labels, count)
    for end, rows, columns in zip((0, -1), *beyond, strict=True):
        sizes += rows * np.bincount(labels[end], widths, count) + columns * np.bincount(labels[:, end], minlength=count)
    kept = sizes >= area
    kept[0] = False
    return region if kept[1:].all() or not kept.any() else _looked_up(kept, labels)


def _sizes(labels: np.ndarray, count: int) -> np.ndarray:
    """How many pixels have each label."""
    if labels.dtype.itemsize > 2:
        return np.bincount(labels.ravel(), minlength=count).astype(float)
    return opencv().calcHist([labels], [0], None, [count], [0, count]).ravel().astype(float)


def _looked_up(of_labels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Truth values by label, for each pixel."""
    if labels.dtype != np.uint8:
        return of_labels.take(labels)
    table = np.zeros(256, np.uint8)
    table[: len(of_labels)] = of_labels
    return opencv().LUT(labels, table).view(bool)


def opencv() -> Any:
    """Import OpenCV.

    Returns:
        The module `cv2`.

    Raises:
        MaskError: It can't be imported; the message says what to install.
    """
    try:
        import cv2
    except ImportError as error:
        if "libGL" in str(error):
            remedy = "the system lacks a library: install it (Debian, Ubuntu: apt install libgl1), or replace opencv-python by opencv-python-headless"
        else:
            remedy = "install it with `pip install opencv-python` (on a machine without a display: opencv-python-headless)"
        raise MaskError(f"OpenCV can't be imported ({error}); {remedy}") from error
    return cv2
