from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.images.masks import composite, dilate, invert
from sdxl_lab.metrics import seam_delta_e, seam_gradient, seam_mismatch
from sdxl_lab.pocket.world import Scene, draw, object_mask, paint_background, sample_scene
from tests.support.edits import crossed


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global deltaE_ciede2000, rgb2lab
    from skimage.color import deltaE_ciede2000, rgb2lab


Place = tuple[Image.Image, Image.Image]
COUNT = 100
FIRST_SEED = 9_000_000


def picture(pixels: np.ndarray) -> Image.Image:
    """An image of 8-bit pixels."""
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


@cache
def scenes() -> list[tuple[Scene, Image.Image]]:
    """A hundred of the world's, drawn."""
    return [(scene, draw(scene)) for scene in (sample_scene(FIRST_SEED + index) for index in range(COUNT))]


@cache
def places(kind: str) -> list[Place]:
    """A hundred pictures of the world, each with a mask whose boundary lies on the background."""
    if kind == "bare background":
        return [(picture(paint_background(scene)), object_mask(scene)) for scene, _ in scenes()]
    return [(drawn, dilate(object_mask(scene), 13 if kind == "in the shadow" else 25)) for scene, drawn in scenes()]


def known(number: float | None) -> float:
    """A measure that must be there."""
    assert number is not None
    return number


def with_step(image: Image.Image, mask: Image.Image, levels: float) -> Image.Image:
    """The picture with its masked region brighter by some levels."""
    return composite(image, picture(np.asarray(image, float) + levels), mask)


def disc(radius: float = 30) -> Image.Image:
    """A mask of 128x128 pixels, white in a circle."""
    y, x = np.mgrid[:128, :128]
    return picture(255 * ((x - 60) ** 2 + (y - 70) ** 2 < radius**2))


@pytest.mark.parametrize(
    ("kind", "levels"),
    crossed(
        ["bare background", "beside the object", "in the shadow"],
        [8, -8],
        quick=lambda kind, levels: (levels < 0) == (kind == "in the shadow"),
    ),
)
@pytest.mark.parametrize("metric", [seam_gradient, seam_delta_e])
def test_a_seam_of_eight_levels_is_ranked_above_none_in_every_world_picture(metric: Callable, levels: int, kind: str):
    """
    In 100 of 100 pictures, a step of 8 levels at the mask's boundary, up or down, measures higher than the picture without it.
    """
    right = [metric(with_step(image, mask, levels), mask) > metric(image, mask) for image, mask in places(kind)]
    assert sum(right) == COUNT


@pytest.mark.parametrize("levels", [8, -8])
def test_what_compositing_hides_is_ranked_rightly_even_on_an_object_s_outline(levels):
    """
    In 100 of 100 pictures masked exactly, a decoded picture that is off by 8 levels measures higher than one that is right.
    """
    numbers = [
        [seam_mismatch(image, picture(np.asarray(image, float) + step), object_mask(scene)) for step in (0, levels)] for scene, image in scenes()
    ]
    assert all(none == 0.0 and known(seam) > 0.5 for none, seam in numbers)


def test_the_gradient_is_that_of_a_plain_loop():
    """
    It equals the mean step of the pairs across the boundary, less that of the pairs one pixel further in and out, counted one by one.
    """
    image, mask = places("in the shadow")[3]
    levels, white = np.asarray(image).astype(int), np.asarray(mask) > 0
    across, beside = [], []
    for dy, dx in ((1, 0), (0, 1)):
        for y, x in np.argwhere(np.ones((128 - dy, 128 - dx))):
            if white[y, x] == white[y + dy, x + dx]:
                continue
            across.append(abs(levels[y + dy, x + dx] - levels[y, x]))
            for back in (-1, 1):
                start, end = (y + back * dy, x + back * dx), (y + (back + 1) * dy, x + (back + 1) * dx)
                inside_picture = min(*start, *end) >= 0 and max(*start, *end) < 128
                if inside_picture and white[start] == white[end]:
                    beside.append(abs(levels[end] - levels[start]))
    assert seam_gradient(image, mask) == pytest.approx(np.mean(across) - np.mean(beside))


@pytest.mark.parametrize(("inner", "outer"), [((120, 90, 60), (112, 82, 52)), ((0, 0, 0), (255, 255, 255)), ((200, 30, 40), (30, 60, 200))])
def test_on_even_ground_a_step_measures_what_it_is(inner, outer):
    """
    Between two even colors the gradient is their mean difference in levels, and both differences are their CIEDE2000.
    """
    mask = disc()
    white = np.asarray(mask)[..., None] > 0
    image = picture(np.where(white, np.array(inner), np.array(outer)))
    assert seam_gradient(image, mask) == pytest.approx(np.abs(np.subtract(inner, outer)).mean())
    expected = deltaE_ciede2000(*(rgb2lab(np.array(color) / 255) for color in (inner, outer)))
    assert seam_delta_e(image, mask) == pytest.approx(expected, rel=1e-4)
    even, other = (Image.new("RGB", mask.size, color) for color in (inner, outer))
    assert seam_mismatch(other, even, mask) == pytest.approx(expected, rel=1e-4)


def test_black_against_white_is_a_hundred():
    """
    CIEDE2000's whole scale fits between black and white.
    """
    mask = disc()
    assert seam_delta_e(mask.convert("RGB"), mask) == pytest.approx(100, abs=0.01)


def test_neither_a_plane_nor_a_slope_is_a_seam():
    """
    A plane measures 0, and so, but for rounding to levels, does a slope however steep.
    """
    mask = disc()
    plane = Image.new("RGB", mask.size, (90, 140, 60))
    assert seam_gradient(plane, mask) == seam_mismatch(plane, plane, mask) == 0.0
    assert known(seam_delta_e(plane, mask)) < 1e-5
    slope = picture(np.repeat(np.arange(128)[None, :, None], 128, 0) * 1.5 * np.ones(3) + 30)
    assert abs(known(seam_gradient(slope, mask))) < 0.05
    assert known(seam_delta_e(slope, mask)) < 0.1


@pytest.mark.parametrize("metric", [seam_gradient, seam_delta_e])
def test_a_higher_step_measures_higher(metric):
    """
    Growing from 2 to 16 levels, a step's measure grows.
    """
    for image, mask in places("beside the object")[:10]:
        numbers = [metric(with_step(image, mask, levels), mask) for levels in (2, 4, 8, 16)]
        assert all(low < high for low, high in pairwise(numbers))


@pytest.mark.parametrize("metric", [seam_gradient, seam_delta_e])
def test_feathering_lowers_a_seam(metric):
    """
    A step that fades over 8 pixels measures lower than a hard one.
    """
    for image, mask in places("beside the object")[:10]:
        brighter = picture(np.asarray(image, float) + 12)
        hard, soft = (metric(composite(image, brighter, mask, feather_px=width), mask) for width in (0, 8))
        assert soft < hard


def test_a_seam_is_the_same_seen_from_both_sides():
    """
    The gradient does not depend on which side of the boundary is white.
    """
    image, mask = places("in the shadow")[0]
    stepped = with_step(image, mask, 8)
    assert seam_gradient(stepped, mask) == seam_gradient(stepped, invert(mask))


def test_without_a_boundary_there_is_no_seam_to_measure():
    """
    A mask of one color has no boundary, and the measures are None, as is a gradient that nothing lies beside.
    """
    image = draw(sample_scene(1))
    for level in (0, 255):
        mask = Image.new("L", image.size, level)
        assert (seam_gradient(image, mask), seam_delta_e(image, mask), seam_mismatch(image, image, mask)) == (None, None, None)
    checkered = picture(255 * (np.indices((8, 8)).sum(axis=0) % 2))
    assert seam_gradient(image.crop((0, 0, 8, 8)), checkered) is None
    assert seam_delta_e(image.crop((0, 0, 8, 8)), checkered) is not None
