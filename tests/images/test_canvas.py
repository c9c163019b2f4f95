"""Pictures on larger canvases, and what is painted around them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.images.canvas import canvas_mask, extend_canvas
from sdxl_lab.images.white import MaskError
from tests.support.masks import random_picture, white

PICTURE = random_picture(13)


@pytest.mark.parametrize("fill", ["reflect", "noise"])
@pytest.mark.parametrize("size", [(9, 7), (1, 1), (2, 5)])
def test_an_extended_canvas_keeps_the_picture_in_place(fill, size):
    """
    The canvas has exactly the asked size and holds every pixel of the picture where it was; the mask is white exactly outside it.
    """
    picture = random_picture(9, size)
    sides = {"left_px": 30, "top_px": 3, "bottom_px": 41}
    canvas, mask = extend_canvas(picture, **sides, fill=fill, seed=-5), canvas_mask(size, **sides)
    assert canvas.size == mask.size == (size[0] + 30, size[1] + 44)
    box = (30, 3, 30 + size[0], 3 + size[1])
    assert canvas.crop(box) == picture
    assert not white(mask.crop(box)).any()
    assert white(mask).sum() == canvas.width * canvas.height - size[0] * size[1]


def test_reflection_goes_on_beyond_the_pictures_own_size():
    """
    Each new pixel is the one that a ray bouncing between the picture's edges would meet.
    """
    picture = random_picture(10, (5, 4))
    canvas = extend_canvas(picture, left_px=23, right_px=19, top_px=17, bottom_px=2)

    def bounce(position: int, length: int) -> int:
        step, where = 1, 0
        for _ in range(abs(position)):
            if not 0 <= where + step < length:
                step = -step
            where += step
        return where

    for y in range(-17, 6):
        for x in range(-23, 24):
            assert canvas.getpixel((x + 23, y + 17)) == picture.getpixel((bounce(x, 5), bounce(y, 4)))


def test_noise_depends_on_the_seed_alone():
    """
    The same seed fills alike, another one differently, over all integers of 64 bits.
    """
    picture = random_picture(11)
    seeds = (0, 1, -1, 2**32, 2**62, -(2**63))
    drawn = {seed: extend_canvas(picture, right_px=20, fill="noise", seed=seed).tobytes() for seed in seeds}
    assert len(set(drawn.values())) == len(seeds)
    assert extend_canvas(picture, right_px=20, fill="noise", seed=-1).tobytes() == drawn[-1]


def test_an_overlap_reaches_in_from_extended_sides_only():
    """
    The mask reaches overlap_px into the picture at the sides that grow, and not at the others.
    """
    mask = canvas_mask((20, 10), right_px=8, overlap_px=3)
    expected = np.zeros((10, 28), bool)
    expected[:, 17:] = True
    assert np.array_equal(white(mask), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: extend_canvas(PICTURE), "isn't extended"),
        (lambda: extend_canvas(PICTURE, left_px=-1), "canvas.left_px is -1"),
        (lambda: extend_canvas(PICTURE, left_px=1, fill="grey"), "'grey'; it must be 'reflect' or 'noise'"),  # pyright: ignore
        (lambda: canvas_mask(PICTURE.size, left_px=1, right_px=1, overlap_px=31), "leaves nothing of a picture of 61x43"),
        (lambda: extend_canvas(PICTURE, left_px=10**9), "at most 100,000,000 pixels"),
        (lambda: extend_canvas(Image.new("L", (64, 64)), left_px=1), "mode 'L'; it must be 'RGB'"),
    ],
)
def test_a_canvas_that_cannot_be_is_refused_with_its_reason(call, message):
    """
    Each unusable side, overlap, fill or picture raises one MaskError that says what it got and what is allowed.
    """
    with pytest.raises(MaskError, match=message):
        call()
