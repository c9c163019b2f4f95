from __future__ import annotations

import hashlib
import itertools
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.images.strokes import FARTHEST, FIELDS, LARGEST, MOST_POINTS, Painted, Stroke, StrokeError, stroke, strokes
from tests.support.browser import CHROMIUM, chromium

SCRIPT = Path(__file__).parents[2] / "sdxl_lab/bench/widget/page/strokes.js"
SIZE = (23, 17)


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global ndimage
    from scipy import ndimage


def random_stroke(rng: np.random.Generator, size: tuple[int, int], tools: tuple[str, ...] = tuple(FIELDS), *, reach: float = 1.2) -> dict[str, Any]:
    """Draw a stroke of any tool, some of it outside the picture."""
    tool = str(rng.choice(tools))
    count = 2 if tool == "rectangle" else int(rng.integers(1, 9))
    places = (rng.random((count, 2)) * reach - (reach - 1) / 2) * size
    points = (np.round(places * 4) / 4).tolist()
    if rng.random() < 0.2:
        points[-1] = points[0]
    values = {"size": int(rng.integers(2, max(size))) / 2, "erase": bool(rng.random() < 0.3), "points": points}
    return {"tool": tool} | {name: values[name] for name in FIELDS[tool]}


def distance_squared(place: tuple[Fraction, Fraction], start: list[float], end: list[float]) -> Fraction:
    """Of a place from a segment, exactly, by the nearest point of it."""
    (px, py), (ax, ay), (bx, by) = place, map(Fraction, start), map(Fraction, end)
    length = (bx - ax) ** 2 + (by - ay) ** 2
    share = min(max(((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / length, Fraction(0)), Fraction(1)) if length else Fraction(0)
    return (px - ax - share * (bx - ax)) ** 2 + (py - ay - share * (by - ay)) ** 2


def is_enclosed(place: tuple[Fraction, Fraction], corners: list[list[float]]) -> bool:
    """Whether a ray to the right crosses the closed line an odd number of times."""
    px, py = place
    inside = False
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (ay <= py) != (by <= py) and px < Fraction(ax) + (py - Fraction(ay)) * (Fraction(bx) - Fraction(ax)) / (Fraction(by) - Fraction(ay)):
            inside = not inside
    return inside


def covers(given: dict[str, Any], place: tuple[Fraction, Fraction]) -> bool:
    """Whether a stroke with points covers a place."""
    points = given["points"]
    if given["tool"] in ("brush", "eraser"):
        ways = list(itertools.pairwise(points)) or [(points[0], points[0])]
        return any(4 * distance_squared(place, *way) <= Fraction(given["size"]) ** 2 for way in ways)
    if given["tool"] == "lasso":
        return is_enclosed(place, points)
    (ax, ay), (bx, by) = points
    return min(ax, bx) <= place[0] < max(ax, bx) and min(ay, by) <= place[1] < max(ay, by)


def painted_plainly(given: list[dict[str, Any]], white: np.ndarray) -> np.ndarray:
    """Paint pixel by pixel, in exact fractions."""
    white = white.copy()
    for one in given:
        if one["tool"] == "invert":
            white = ~white
        elif one["tool"] == "clear":
            white = np.zeros_like(white)
        elif one["tool"] == "fill":
            white = np.asarray(ndimage.binary_fill_holes(white))
        else:
            half = Fraction(1, 2)
            covered = np.array([[covers(one, (i + half, j + half)) for i in range(white.shape[1])] for j in range(white.shape[0])])
            white = np.where(covered, not (one["tool"] == "eraser" or one.get("erase")), white)
    return white


@pytest.mark.parametrize("tool", ["brush", "lasso", "rectangle"])
def test_a_shape_covers_the_pixels_whose_centers_it_holds(tool):
    """
    Each tool covers the pixels that exact fractions say, be it a dot, a way that turns back, a line along centers, or outside the picture.
    """
    rng = np.random.default_rng(3)
    given = [random_stroke(rng, SIZE, (tool,), reach=2.0) | ({} if tool == "brush" else {"erase": False}) for _ in range(60)]
    if tool == "brush":
        given += [{"tool": "brush", "size": size, "points": [[2.5, 3.5], [12.5, 3.5], [12.5, 11.5]]} for size in (1, 2, 4, 5)]
        given += [{"tool": "brush", "size": 5, "points": [[3.5, 2.5], [15.5, 11.5]]}]  # 3, 4, 5: centers lie exactly on its edge
    else:
        corners = [[2.5, 3.5], [12.5, 9.5]] if tool == "rectangle" else [[2.5, 3.5], [12.5, 3.5], [12.5, 9.5], [7.5, 4.5]]
        given += [{"tool": tool, "erase": False, "points": corners}]
    empty = np.zeros(SIZE[::-1], bool)
    for one in given:
        assert np.array_equal(Painted(SIZE, None, [stroke(one)]).white, painted_plainly([one], empty)), one


def test_strokes_are_painted_in_order_on_the_mask_that_was_given():
    """
    A mix of all tools over a given mask makes the mask that painting pixel by pixel makes; a gray of half intensity or more is white.
    """
    rng = np.random.default_rng(4)
    for _ in range(6):
        base = rng.integers(0, 256, SIZE[::-1], np.uint8)
        given = [random_stroke(rng, SIZE) for _ in range(8)]
        made = Painted(SIZE, Image.fromarray(base), strokes(given))
        assert np.array_equal(made.white, painted_plainly(given, base >= 128))
        assert made.image.mode == "L"
        assert np.array_equal(np.asarray(made.image), made.white * np.uint8(255))


def test_filling_is_that_of_morphology():
    """
    Holes are those of scipy: black, connected by sides, not touching the border; alone, within each other, or none.
    """
    rng = np.random.default_rng(5)
    pictures = [rng.random((40, 50)) < share for share in (0.0, 0.1, 0.5, 0.6, 0.9, 1.1)]
    rings = np.zeros((40, 50), bool)
    for at in (5, 8, 11):
        rings[at : 40 - at, at : 50 - at] ^= True
        rings[at + 1 : 39 - at, at + 1 : 49 - at] ^= True
    for white in [*pictures, rings, rings[5:35, 5:45]]:
        made = Painted(white.shape[::-1], Image.fromarray(white), [Stroke(tool="fill")])
        assert np.array_equal(made.white, ndimage.binary_fill_holes(white))


def test_taking_back_equals_never_having_painted():
    """
    Wherever strokes are cut and whatever is painted then, the mask is that of painting what is left from the start; nothing changes outside the box.
    """
    rng = np.random.default_rng(6)
    base = Image.fromarray(rng.random(SIZE[::-1]) < 0.5)
    made, kept = Painted(SIZE, base), []
    for _ in range(60):
        keep, add = int(rng.integers(0, len(kept) + 1)), [stroke(random_stroke(rng, SIZE)) for _ in range(rng.integers(0, 4))]
        before = made.white.copy()
        box = made.change(keep, add)
        kept = [*kept[:keep], *add]
        assert made.strokes == kept
        assert np.array_equal(made.white, Painted(SIZE, base, kept).white)
        left, top, right, bottom = box or (0, 0, 0, 0)
        before[top:bottom, left:right] = made.white[top:bottom, left:right]
        assert np.array_equal(before, made.white)


def test_a_stroke_on_a_large_picture_stays_exact():
    """
    Of a long wide stroke across a large picture, the pixels along its edge are those of exact whole numbers.
    """
    size, (ax, ay), (bx, by), diameter = (4000, 3000), (13.25, 2890.5), (3991.75, 40.25), 500.5
    white = Painted(size, None, [Stroke(tool="brush", size=diameter, points=((ax, ay), (bx, by)))]).white
    edges = np.argwhere(white[:, 1:] != white[:, :-1])[::37]
    for row, column in edges.tolist():
        for at in (column, column + 1):
            near = distance_squared((Fraction(2 * at + 1, 2), Fraction(2 * row + 1, 2)), [ax, ay], [bx, by]) * 4 <= Fraction(diameter) ** 2
            assert white[row, at] == near


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "tool is one of brush"),
        ({"tool": "pencil"}, "'pencil'"),
        ({"tool": ["brush"]}, "tool is one of"),
        ({"tool": "brush", "size": 4}, "must have points, size, tool"),
        ({"tool": "invert", "points": []}, "must have tool, and nothing else"),
        ({"tool": "brush", "size": 0.5, "points": [[0, 0]]}, "size of a brush is 0.5"),
        ({"tool": "brush", "size": 1.25, "points": [[0, 0]]}, "multiple of 0.5"),
        ({"tool": "brush", "size": LARGEST + 1, "points": [[0, 0]]}, f"from 1 to {LARGEST}"),
        ({"tool": "brush", "size": math.nan, "points": [[0, 0]]}, "size of a brush is nan"),
        ({"tool": "brush", "size": True, "points": [[0, 0]]}, "size of a brush is True"),
        ({"tool": "brush", "size": "4", "points": [[0, 0]]}, "size of a brush is '4'"),
        ({"tool": "lasso", "erase": 1, "points": [[0, 0]]}, "must be true or false"),
        ({"tool": "eraser", "size": 4, "points": []}, "0 points"),
        ({"tool": "eraser", "size": 4, "points": "00"}, "'00'"),
        ({"tool": "eraser", "size": 4, "points": [[0, 0]] * (MOST_POINTS + 1)}, f"1 to {MOST_POINTS} points"),
        ({"tool": "rectangle", "erase": False, "points": [[0, 0]]}, "must be 2 corners"),
        ({"tool": "lasso", "erase": False, "points": [[0, 0], [0.1, 0]]}, "multiples of 0.25"),
        ({"tool": "lasso", "erase": False, "points": [[0, 0, 0]]}, "pair of x and y"),
        ({"tool": "lasso", "erase": False, "points": [None]}, "None"),
        ({"tool": "lasso", "erase": False, "points": [[math.inf, 0]]}, "inf"),
        ({"tool": "lasso", "erase": False, "points": [[0, FARTHEST + 0.25]]}, f"to {FARTHEST}"),
    ],
)
def test_what_is_no_stroke_is_refused(given, said):
    """
    A stroke that a page cannot have meant is refused with what was got and what is allowed.
    """
    with pytest.raises(StrokeError, match=said.replace("[", r"\[")):
        strokes([given])


def test_a_refused_change_changes_nothing():
    """
    Strokes that are not there cannot be kept, nor more painted than are allowed, nor strokes be laid on a mask of another size.
    """
    made = Painted(SIZE, None, [Stroke(tool="invert")])
    for keep in (-1, 2):
        with pytest.raises(StrokeError, match="from 0 to 1"):
            made.change(keep)
    with pytest.raises(StrokeError, match="at most"):
        made.change(1, [Stroke(tool="invert")] * 10_000)
    with pytest.raises(StrokeError, match="a list"):
        strokes("brush")
    with pytest.raises(StrokeError, match="the mask is 5x6 and the picture 23x17"):
        Painted(SIZE, Image.new("L", (5, 6)))
    assert len(made.strokes) == 1
    assert made.white.all()


def test_a_stroke_is_told_as_it_was_taken():
    """
    What a stroke says of itself is what it was made of.
    """
    rng = np.random.default_rng(7)
    given = [random_stroke(rng, SIZE) for _ in range(40)]
    assert [one.plain for one in strokes(given)] == given


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; on Debian: sudo apt-get install chromium")
@pytest.mark.parametrize("size", [(1024, 1024), (4000, 3000)])
def test_the_page_paints_the_same_pixels(tmp_path, size):
    """
    Of the same strokes by all tools, a browser makes the same mask bit by bit, painted at once, growing point by point, and after taking some back.
    """
    rng = np.random.default_rng(8)
    given = [random_stroke(rng, size) for _ in range(60)]
    for one in given:
        if "size" in one:
            one["size"] = float(rng.integers(2, 400)) / 2
    later = [random_stroke(rng, size, ("brush", "lasso", "eraser", "fill")) for _ in range(6)]
    made = Painted(size, None, strokes(given))
    expected = [hashlib.sha256(made.white.tobytes()).hexdigest()]
    made.change(40, strokes(later))
    expected.append(hashlib.sha256(made.white.tobytes()).hexdigest())
    page_file = tmp_path / "page.html"
    page_file.write_text("<!doctype html><title>strokes</title>")
    script = f"""(async () => {{
        const module = "data:text/javascript," + encodeURIComponent({json.dumps(SCRIPT.read_text())});
        const {{ Raster }} = await import(module);
        const raster = new Raster({size[0]}, {size[1]});
        const digest = async () => [...new Uint8Array(await crypto.subtle.digest("SHA-256", raster.pixels))]
            .map((byte) => byte.toString(16).padStart(2, "0")).join("");
        for (const stroke of {json.dumps(given)}) {{
            if (stroke.tool !== "brush" && stroke.tool !== "eraser") {{ raster.change(raster.strokes.length, [stroke]); continue; }}
            raster.begin({{ ...stroke, points: stroke.points.slice(0, 1) }});
            for (const point of stroke.points.slice(1)) raster.extend([point]);
            raster.finish();
        }}
        const before = await digest();
        raster.change(40, {json.dumps(later)});
        return [before, await digest()];
    }})()"""
    with chromium(tmp_path / "profile") as page:
        page.open(page_file.as_uri())
        assert page.evaluate(script) == expected
