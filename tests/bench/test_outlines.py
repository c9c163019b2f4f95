from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from PIL import Image

from sdxl_lab.bench.widget.outlines import MOST_POINTS, Outlines, outlines
from sdxl_lab.families import Sizes
from sdxl_lab.settings.sections import Canvas, Crop, EditSettings, Mask
from sdxl_lab.tasks import TASKS

SIZE, WORKING = (300, 200), Sizes(area=240 * 160, max_area=240 * 160, multiple=8)
CELL = 8 * 8 * (300 * 200) / (240 * 160)
"""Pixels of the picture that a latent cell has."""


def an_object(size: tuple[int, int] = SIZE) -> np.ndarray:
    """Two blobs, one with a hole, and a speck of white and of black each."""
    white = np.zeros(size[::-1], np.uint8)
    unit = size[1] // 20
    cv2.circle(white, (6 * unit, 8 * unit), 4 * unit, 255, -1)
    cv2.circle(white, (6 * unit, 8 * unit), 2 * unit, 0, -1)
    cv2.rectangle(white, (14 * unit, 9 * unit), (17 * unit, 12 * unit), 255, -1)
    white[3:6, 7:9] = 255
    white[10 * unit : 10 * unit + 2, 15 * unit : 15 * unit + 3] = 0
    return white


def settings(mode: str | None = None, canvas: dict[str, int] | None = None, **mask: int | str) -> EditSettings:
    """Settings with nothing left to choose."""
    return EditSettings.model_validate({"mode": mode, "canvas": Canvas(**(canvas or {})), "mask": Mask.model_validate(mask)})


def without_specks(white: np.ndarray) -> np.ndarray:
    """Leave out small parts of white, then of black, labelled over the whole picture."""
    for color in (255, 0):
        count, labels, stats, _ = cv2.connectedComponentsWithStats((white == color).astype(np.uint8), connectivity=8)
        small = [label for label in range(1, count) if stats[label, cv2.CC_STAT_AREA] < CELL]
        white = np.where(np.isin(labels, small), 255 - color, white).astype(np.uint8)
    return white


def around(white: np.ndarray) -> set[tuple[tuple[int, int], ...]]:
    """Find OpenCV's contours of a whole picture."""
    found, _ = cv2.findContours(white, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return {tuple(map(tuple, line[:, 0].tolist())) for line in found}


def told(outlined: Outlines) -> list[set[tuple[tuple[int, int], ...]]]:
    """Read the lines as a page does, from lengths and points."""
    kinds = []
    for lengths, buffer in zip((outlined.fields["lengths"], outlined.fields["feather"]), outlined.buffers, strict=True):
        points = np.frombuffer(buffer, "<u2").reshape(-1, 2).tolist()
        ends = np.cumsum([0, *lengths]).tolist()
        assert ends[-1] == len(points)
        kinds.append({tuple(map(tuple, points[start:end])) for start, end in itertools.pairwise(ends)})
    return kinds


def softened(white: np.ndarray, feather_px: int) -> np.ndarray:
    """Find what is no farther from white than a feather is wide, over the whole picture."""
    distance = cv2.distanceTransform(255 - white, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.where(distance <= feather_px, 255, 0).astype(np.uint8)


@pytest.mark.parametrize(("kernel_size", "iterations", "feather_px", "specks"), [(1, 1, 0, "keep"), (25, 1, 0, "ignore"), (7, 3, 9, "ignore")])
def test_an_object_is_outlined_where_it_is_repainted(kernel_size, iterations, feather_px, specks):
    """
    The lines of inpainting are OpenCV's contours of the mask without specks, dilated and feathered, over the whole picture.
    """
    white = an_object()
    asked = settings(kernel_size=kernel_size, iterations=iterations, feather_px=feather_px, specks=specks)
    repainted, feathered = told(outlines(TASKS["inpaint"], asked, SIZE, Image.fromarray(white), WORKING))
    expected = cv2.dilate(white if specks == "keep" else without_specks(white), np.ones((kernel_size, kernel_size)), iterations=iterations)
    assert repainted == around(expected)
    assert feathered == (around(softened(expected, feather_px)) if feather_px else set())


def test_a_background_is_outlined_where_it_is_repainted():
    """
    The lines of outpainting around an object are contours of all but the object, dilated and feathered into it.
    """
    white = an_object()
    asked = settings("background", kernel_size=5, feather_px=3)
    repainted, feathered = told(outlines(TASKS["outpaint"], asked, SIZE, Image.fromarray(white), WORKING))
    expected = cv2.dilate(255 - without_specks(white), np.ones((5, 5)))
    assert repainted == around(expected)
    assert feathered == around(softened(expected, 3))


def test_a_canvas_is_outlined_beyond_the_picture():
    """
    Lines of a canvas lie in the canvas: around all but the picture less its overlap, and with the feather of what is composited, all but the picture.
    """
    sides = {"left_px": 40, "right_px": 10, "top_px": 0, "bottom_px": 25}
    outlined = outlines(TASKS["outpaint"], settings("canvas", {**sides, "overlap_px": 6}, feather_px=4), SIZE, None, WORKING)
    assert (outlined.fields["width"], outlined.fields["height"], outlined.fields["left"], outlined.fields["top"]) == (350, 225, 40, 0)
    painted, composited = np.full((225, 350), 255, np.uint8), np.full((225, 350), 255, np.uint8)
    painted[0 : 200 - 6, 40 + 6 : 40 + 300 - 6] = 0
    composited[0:200, 40 : 40 + 300] = 0
    assert told(outlined) == [around(painted), around(softened(composited, 4))]


def test_what_is_not_repainted_by_a_mask_has_no_outline():
    """
    There are no lines without a mask, of one that is all black, nor of a task that makes all of the picture.
    """
    black = Image.new("L", SIZE)
    for task, mask in (("inpaint", None), ("inpaint", black), ("outpaint", None), ("image_to_image", black), ("text_to_image", None)):
        outlined = outlines(TASKS[task], settings(kernel_size=5, feather_px=2), SIZE, mask, WORKING)
        assert outlined.fields == {"width": 300, "height": 200, "left": 0, "top": 0, "lengths": [], "feather": []}
        assert outlined.buffers == [b"", b""]


def test_of_noise_the_longest_lines_are_drawn():
    """
    A mask of countless dots is outlined by no more points than a page can draw, its object among them.
    """
    white = np.zeros((1000, 1000), np.uint8)
    white[::2, ::2] = 255
    cv2.circle(white, (500, 500), 100, 255, -1)
    repainted, _ = told(
        outlines(TASKS["inpaint"], settings(specks="keep"), (1000, 1000), Image.fromarray(white), Sizes(area=10**6, max_area=10**6, multiple=8))
    )
    assert sum(map(len, repainted)) <= MOST_POINTS
    assert max(around(white), key=len) in repainted


def test_a_crop_has_a_frame():
    """
    A page is told the box that the models will see, which holds the region with its padding, and of a whole picture nothing.
    """
    mask = Image.new("L", SIZE)
    mask.paste(255, (100, 80, 130, 110))
    whole = settings(specks="keep")
    cropped = whole.model_copy(update={"crop": Crop(padding_mask_crop=10)})
    told_of = [outlines(TASKS["inpaint"], asked, SIZE, mask, WORKING).fields for asked in (whole, cropped)]
    assert "frame" not in told_of[0]
    assert told_of[1]["frame"] == (90, 70, 140, 120)
    assert told_of[0] == {name: value for name, value in told_of[1].items() if name != "frame"}
