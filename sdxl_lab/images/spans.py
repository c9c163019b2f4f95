"""Shapes as spans of pixels: runs along the rows of a picture, in whole numbers throughout, so that any language finds the same ones.

Shapes are given in quarters of a pixel. Pixel (i, j) has its center at (4i + 2, 4j + 2), and it belongs to a shape if its center does. Spans are two
arrays of equal length, where each starts and where it stops, counted row by row over the whole picture; they come in order and do not overlap, and
none crosses the end of a row.
"""

from __future__ import annotations

import math

import numpy as np

from sdxl_lab.images import masks

Spans = tuple[np.ndarray, np.ndarray]

FAR = 1 << 50
"""Farther than any point."""


def brushed(points: np.ndarray, radius: int, size: tuple[int, int]) -> Spans:
    """Find what a round brush covers: what is no farther than its radius from the way it took.

    Args:
        points: (n, 2) whole numbers, x and y in quarters of a pixel, each within 2**19; one alone is a dot.
        radius: In quarters of a pixel, up to 2**14.
        size: (width, height) of the picture, in pixels.
    """
    starts, ends = (points[:-1], points[1:]) if len(points) > 1 else (points, points)
    lowest, highest = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    which, rows = _rows(_first_pixel(lowest - radius), _last_pixel(highest + radius), size[1])
    # By its cross product with a segment, a point is within the radius of the segment's line up to the floor of this root.
    squares = ((ends - starts) ** 2).sum(axis=1)
    widths = np.array([math.isqrt(radius * radius * int(square)) for square in squares], np.int64)
    (x, y), (across, down) = starts[which].T, (ends - starts)[which].T
    square, width, below = squares[which], widths[which], 4 * rows + 2 - y
    beside = _both(_within(below * across - width, down, below * across + width), _within(1 - below * down, across, square - 1 - below * down))
    around_start, around_end = _disk(below, radius), _disk(below - down, radius)
    # What a row shares with a convex shape is one span.
    first = x + np.minimum.reduce([beside[0], around_start[0], around_end[0] + across])
    last = x + np.maximum.reduce([beside[1], around_start[1], around_end[1] + across])
    return _joined(*_in_picture(rows, _first_pixel(first), _last_pixel(last) + 1, size))


def enclosed(points: np.ndarray, size: tuple[int, int]) -> Spans:
    """Find what a closed line surrounds, by the even-odd rule; of what lies on the line itself, its left and upper side belongs to it.

    Args:
        points: (n, 2) corners, whole numbers, x and y in quarters of a pixel, each within 2**19.
        size: (width, height) of the picture, in pixels.
    """
    starts, ends = points, np.roll(points, -1, axis=0)
    turned = (starts[:, 1] > ends[:, 1])[:, None]
    starts, ends = np.where(turned, ends, starts), np.where(turned, starts, ends)
    which, rows = _rows(_first_pixel(starts[:, 1]), _last_pixel(ends[:, 1] - 1), size[1])
    (x, y), (across, down) = starts[which].T, (ends - starts)[which].T
    crossings = _first_pixel(x - (-(4 * rows + 2 - y) * across // down))
    order = np.lexsort((crossings, rows))
    rows, crossings = rows[order], crossings[order]
    # A closed line crosses each row an even number of times.
    return _joined(*_in_picture(rows[::2], crossings[::2], crossings[1::2], size))


def holes(white: np.ndarray) -> Spans:
    """Find the black regions, connected by sides, that do not touch the picture's border.

    Args:
        white: (height, width) booleans.

    Raises:
        MaskError: OpenCV can't be imported.
    """
    cv2 = masks.opencv()
    box = cv2.boundingRect(white.view(np.uint8))
    left, top, width, height = box
    around = np.zeros((height + 2, width + 2), np.uint8)
    around[1:-1, 1:-1] = white[top : top + height, left : left + width]
    cv2.floodFill(around, None, (0, 0), 1)
    edges = np.flatnonzero(np.diff(around.ravel(), prepend=1, append=1))
    rows, columns = np.divmod(edges, width + 2)
    flat = (rows + top - 1) * white.shape[1] + columns + left - 1
    return flat[::2], flat[1::2]


def _rows(first: np.ndarray, last: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Of several ranges of rows those inside the picture, one after the other: which range, and which row."""
    first, last = np.maximum(first, 0), np.minimum(last, height - 1)
    counts = np.maximum(last - first + 1, 0)
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - (np.cumsum(counts) - counts - first)[which]


def _first_pixel(place: np.ndarray) -> np.ndarray:
    """The first pixel whose center is not before a place."""
    return -((2 - place) // 4)


def _last_pixel(place: np.ndarray) -> np.ndarray:
    """The last pixel whose center is not behind a place."""
    return (place - 2) // 4


def _within(low: np.ndarray, factor: np.ndarray, high: np.ndarray) -> Spans:
    """The first and last whole number n with low <= factor * n <= high; the first is larger where there is none."""
    turned, size = factor < 0, np.abs(factor)
    low, high = np.where(turned, -high, low), np.where(turned, -low, high)
    free, divisor = np.where((low <= 0) & (high >= 0), FAR, -FAR), np.maximum(size, 1)
    return np.where(size == 0, -free, -(-low // divisor)), np.where(size == 0, free, high // divisor)


def _both(one: Spans, other: Spans) -> Spans:
    first, last = np.maximum(one[0], other[0]), np.minimum(one[1], other[1])
    return np.where(first > last, FAR, first), np.where(first > last, -FAR, last)


def _disk(below: np.ndarray, radius: int) -> Spans:
    """The first and last place of a disk, from its middle, at a distance below it."""
    square = radius * radius - below * below
    reach = np.where(square < 0, -FAR, np.floor(np.sqrt(np.maximum(square, 0))).astype(np.int64))
    return -reach, reach


def _in_picture(rows: np.ndarray, first: np.ndarray, behind: np.ndarray, size: tuple[int, int]) -> Spans:
    first, behind = np.maximum(first, 0), np.minimum(behind, size[0])
    kept = first < behind
    return (rows * size[0] + first)[kept], (rows * size[0] + behind)[kept]


def _joined(starts: np.ndarray, stops: np.ndarray) -> Spans:
    """The same pixels, each in one span only, in order."""
    order = np.argsort(starts, kind="stable")
    starts, stops = starts[order], np.maximum.accumulate(stops[order])
    opens = np.append(True, starts[1:] >= stops[:-1])[: len(starts)]
    return starts[opens], stops[np.append(opens[1:], True)[: len(starts)]]
