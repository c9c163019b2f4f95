"""What is painted by hand on a mask: strokes as a page tells them, and the mask that they make.

`bench/widget/page/strokes.js` paints the same pixels.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab.errors import LabError
from sdxl_lab.images import masks, spans
from sdxl_lab.wording import counted, few

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels; right and bottom are the first ones outside."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "brush": ("size", "points"),
    "eraser": ("size", "points"),
    "rectangle": ("erase", "points"),
    "lasso": ("erase", "points"),
    "invert": (),
    "clear": (),
    "fill": (),
}
"""By tool, what a stroke of it says besides."""

MOST_STROKES = 10_000
MOST_POINTS = 20_000
FARTHEST = 1 << 17
"""How far from the picture's corner a point may lie, in pixels."""
LARGEST = 4096
"""The largest diameter of a brush, in pixels."""


class StrokeError(LabError):
    """A stroke that can't be painted."""


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """One thing done to a mask.

    Attributes:
        tool: One of `FIELDS`.
        size: Diameter in pixels of a brush or eraser, a multiple of 0.5.
        erase: Whether a rectangle or lasso makes black what it encloses.
        points: (x, y) in pixels of the picture, multiples of 0.25, perhaps outside it: the way of a brush or eraser, the corners of a lasso, or two
            opposite ones of a rectangle.
    """

    tool: str
    size: float = 0.0
    erase: bool = False
    points: tuple[tuple[float, float], ...] = ()

    @property
    def plain(self) -> dict[str, Any]:
        """As a page tells it, and `stroke` takes it."""
        fields = {"size": self.size, "erase": self.erase, "points": [list(point) for point in self.points]}
        return {"tool": self.tool} | {name: fields[name] for name in FIELDS[self.tool]}

    @property
    def paints(self) -> bool:
        """Whether it makes white what it covers, not black."""
        return self.tool in ("brush", "fill") or (self.tool in ("rectangle", "lasso") and not self.erase)


def stroke(given: Any) -> Stroke:
    """Take a stroke as a page tells it.

    Args:
        given: A mapping with `tool`, and of `size`, `erase` and `points` what the tool has, no more and no less.

    Raises:
        StrokeError: It is something else.
    """
    tool = given.get("tool") if isinstance(given, Mapping) else None
    if not isinstance(tool, str) or tool not in FIELDS:
        raise StrokeError(f"got {_short(given)} for a stroke; it must be a mapping whose tool is one of {', '.join(FIELDS)}")
    wanted = {"tool", *FIELDS[tool]}
    if set(given) != wanted:
        raise StrokeError(
            f"a stroke of tool {tool} has {few(sorted(map(_short, given)))}; it must have {', '.join(sorted(wanted))}, and nothing else"
        )
    fields: dict[str, Any] = {}
    if "size" in wanted:
        fields["size"] = _size(given["size"], tool)
    if "erase" in wanted:
        if not isinstance(given["erase"], bool):
            raise StrokeError(f"erase of a {tool} is {_short(given['erase'])}; it must be true or false")
        fields["erase"] = given["erase"]
    if "points" in wanted:
        fields["points"] = _points(given["points"], tool)
    return Stroke(tool=tool, **fields)


def strokes(given: Any) -> list[Stroke]:
    """Take several strokes as a page tells them.

    Args:
        given: A list of them, in the order in which they were painted, at most `MOST_STROKES`.

    Raises:
        StrokeError: It is something else.
    """
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise StrokeError(f"got {_short(given)} for strokes; it must be a list of them")
    _check_count(len(given))
    return [stroke(one) for one in given]


class Painted:
    """A mask with strokes on it, which knows of each what was below it.

    Attributes:
        size: (width, height) in pixels.
        strokes: What was painted, in order; changed by `change` alone.
    """

    def __init__(self, size: tuple[int, int], given: Image.Image | None = None, strokes: Iterable[Stroke] = ()) -> None:
        """Start with the mask that was given.

        Args:
            size: (width, height) in pixels.
            given: Mask of that size, any mode, binarized at half intensity; None for one that is all black.
            strokes: What is painted on it.

        Raises:
            StrokeError: The mask has another size, or there are more than `MOST_STROKES`.
            MaskError: A stroke fills holes, and OpenCV can't be imported.
        """
        if given is not None and given.size != size:
            raise StrokeError(
                f"the mask is {given.width}x{given.height} and the picture {size[0]}x{size[1]}; they must have one size: resize the mask"
            )
        self.size = size
        self.strokes: list[Stroke] = []
        self._white = np.zeros(size[::-1], bool) if given is None else np.asarray(masks.binarize(given)) > 0
        self._below: list[tuple[spans.Spans, bytes]] = []
        self.change(0, strokes)

    @property
    def white(self) -> np.ndarray:
        """The mask, (height, width) booleans, True for white; a view that changes with it and can't be written to."""
        view = self._white.view()
        view.flags.writeable = False
        return view

    @property
    def image(self) -> Image.Image:
        """The mask, a new picture of mode "L" that holds only 0 and 255."""
        return Image.fromarray(self._white.view(np.uint8) * np.uint8(255))

    def change(self, keep: int, add: Iterable[Stroke] = ()) -> Box | None:
        """Take back the strokes after the first ones, and paint others.

        Args:
            keep: How many stay, 0 up to all of them.
            add: What is painted then.

        Returns:
            A box outside which nothing has changed; None if nothing has at all.

        Raises:
            StrokeError: There are fewer strokes than are to be kept, or there would be more than `MOST_STROKES`. Nothing has changed then.
            MaskError: A stroke fills holes, and OpenCV can't be imported.
        """
        count, add = len(self.strokes), list(add)
        if not 0 <= keep <= count:
            raise StrokeError(f"got {counted(keep, 'stroke')} to keep of {count}; it must be a whole number from 0 to {count}")
        _check_count(keep + len(add))
        taken_back = [self._take_back() for _ in range(count - keep)]
        return reduce(_around, [*taken_back, *map(self._paint, add)], None)

    def _paint(self, one: Stroke) -> Box | None:
        found = _spans(one, self._white)
        flat = self._white.reshape(-1)
        below = b"".join(flat[start:stop].tobytes() for start, stop in zip(*map(np.ndarray.tolist, found), strict=True))
        for start, stop in zip(*map(np.ndarray.tolist, found), strict=True):
            flat[start:stop] = ~flat[start:stop] if one.tool == "invert" else one.paints
        # A mask of large regions is next to nothing once it is packed.
        self._below.append((found, zlib.compress(np.packbits(np.frombuffer(below, bool)).tobytes(), 1)))
        self.strokes.append(one)
        return _box(found, self.size[0])

    def _take_back(self) -> Box | None:
        self.strokes.pop()
        found, packed = self._below.pop()
        below, flat, done = np.unpackbits(np.frombuffer(zlib.decompress(packed), np.uint8)).view(bool), self._white.reshape(-1), 0
        for start, stop in zip(*map(np.ndarray.tolist, found), strict=True):
            flat[start:stop] = below[done : done + stop - start]
            done += stop - start
        return _box(found, self.size[0])


def _spans(one: Stroke, white: np.ndarray) -> spans.Spans:
    """The pixels that a stroke sets."""
    height, width = white.shape
    if one.tool in ("invert", "clear"):
        return np.array([0]), np.array([white.size])
    if one.tool == "fill":
        return spans.holes(white)
    points = np.array([(4 * x, 4 * y) for x, y in one.points], np.int64)
    if one.tool in ("brush", "eraser"):
        return spans.brushed(points, round(2 * one.size), (width, height))
    if one.tool == "rectangle":
        (left, top), (right, bottom) = points
        points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.int64)
    return spans.enclosed(points, (width, height))


def _box(found: spans.Spans, width: int) -> Box | None:
    starts, stops = found
    if not len(starts):
        return None
    ends = stops - 1
    return int((starts % width).min()), int(starts[0] // width), int((ends % width).max()) + 1, int(ends[-1] // width) + 1


def _around(one: Box | None, other: Box | None) -> Box | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _size(given: Any, tool: str) -> float:
    if not _is_number(given) or not 1 <= given <= LARGEST or given * 2 % 1:
        raise StrokeError(f"size of a {tool} is {_short(given)}; it must be a multiple of 0.5 from 1 to {LARGEST}, in pixels of the picture")
    return float(given)


def _points(given: Any, tool: str) -> tuple[tuple[float, float], ...]:
    least, most = (2, 2) if tool == "rectangle" else (1, MOST_POINTS)
    if not isinstance(given, Sequence) or isinstance(given, str | bytes) or not least <= len(given) <= most:
        allowed = "2 corners" if tool == "rectangle" else f"a list of 1 to {MOST_POINTS} points"
        got = counted(len(given), "point") if isinstance(given, list | tuple) else _short(given)
        raise StrokeError(f"points of a {tool} are {got}; they must be {allowed}, each a pair of x and y")
    for place in given:
        if (
            not isinstance(place, Sequence)
            or len(place) != 2
            or not all(_is_number(one) and abs(one) <= FARTHEST and not one * 4 % 1 for one in place)
        ):
            allowed = f"a pair of x and y in pixels of the picture, multiples of 0.25 from -{FARTHEST} to {FARTHEST}"
            raise StrokeError(f"a point of a {tool} is {_short(place)}; it must be {allowed}")
    return tuple((float(x), float(y)) for x, y in given)


def _check_count(count: int) -> None:
    if count > MOST_STROKES:
        raise StrokeError(f"got {counted(count, 'stroke')}; at most {MOST_STROKES} are kept: go on from the mask that they make")


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."
