"""What fills a hole, and how a decoded picture is joined to its input: held to OpenCV, to scipy's solution of the equation, and to scikit-image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import spsolve

from sdxl_lab.images import holes, seams
from sdxl_lab.images.holes import filled
from sdxl_lab.images.masks import MaskError
from sdxl_lab.images.spreading import spread

ROWS, COLUMNS = np.mgrid[:64, :80]
DISC = (ROWS - 30) ** 2 + (COLUMNS - 44) ** 2 < 17**2
AT_THE_EDGE = (COLUMNS < 21) & (ROWS > 9)
FROM_SIDE_TO_SIDE = COLUMNS > 50
REGIONS = {"in the middle": DISC, "at the edge": AT_THE_EDGE, "from side to side": FROM_SIDE_TO_SIDE, "all but a disc": ~DISC}


def picture(seed: int = 0, low: int = 40, high: int = 200) -> Image.Image:
    """A smooth picture with some grain."""
    random = np.random.RandomState(seed)
    waves = sum(np.sin(ROWS[..., None] * one / 9 + COLUMNS[..., None] * other / 11 + phase) for one, other, phase in random.randn(5, 3, 3))
    grain = random.randn(*waves.shape) * 2
    return Image.fromarray((low + (high - low) * (waves - waves.min()) / np.ptp(waves) + grain).clip(0, 255).astype(np.uint8))


def mask_of(white: np.ndarray) -> Image.Image:
    """A mask."""
    return Image.fromarray(white.astype(np.uint8) * 255)


def solved(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Laplace's equation by scipy's direct solver: each unknown pixel is the mean of those neighbors that there are."""
    places = np.argwhere(~known)
    number = {tuple(place): index for index, place in enumerate(places)}
    weights: dict[tuple[int, int], float] = {}
    sums = np.zeros((len(places), 3))
    for index, (row, column) in enumerate(places):
        beside = [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
        beside = [(r, c) for r, c in beside if 0 <= r < known.shape[0] and 0 <= c < known.shape[1]]
        for place in beside:
            if known[place]:
                sums[index] += values[place]
            else:
                weights[index, number[place]] = -1.0
        weights[index, index] = float(len(beside))
    result = values.astype(float)
    result[~known] = spsolve(csc_matrix((list(weights.values()), tuple(zip(*weights, strict=True))), shape=(len(places),) * 2), sums)
    return result


@pytest.mark.parametrize("name", REGIONS)
def test_what_is_spread_hangs_as_the_equation_says(name):
    """
    Of a difference of 160 levels it is nowhere off by more than 3, in the mean by no more than 1, and what is known stays to the bit.
    """
    values, known = np.asarray(picture()).astype(np.float32), ~REGIONS[name]
    found, expected = spread(values, known), solved(values, known)
    off = np.abs(found - expected)[~known]
    assert np.array_equal(found[known], values[known])
    assert off.max() < 3
    assert off.mean() < 1


@pytest.mark.parametrize(("fill", "method"), [("telea", "INPAINT_TELEA"), ("navier_stokes", "INPAINT_NS")])
@pytest.mark.parametrize("name", REGIONS)
def test_continuing_inwards_is_opencvs(fill, method, name):
    """
    `telea` and `navier_stokes` are `cv2.inpaint` with a radius of 5, called by hand.
    """
    import cv2

    image, mask = picture(), mask_of(REGIONS[name])
    expected = cv2.inpaint(np.asarray(image), np.asarray(mask), 5, getattr(cv2, method))
    assert np.array_equal(np.asarray(filled(image, mask, fill)), expected)
    assert filled(image, mask, fill) != image


@pytest.mark.parametrize("fill", [*holes.FROM_AROUND, "neutral", "noise", "original"])
def test_a_fill_keeps_what_is_around_and_knows_nothing_of_what_it_hides(fill):
    """
    Beyond the mask every pixel stays; but for `original`, two pictures that differ under the mask alone are filled alike.
    """
    first, second = np.asarray(picture()), np.where(DISC[..., None], np.asarray(picture(1)), np.asarray(picture()))
    made, other = (np.asarray(filled(Image.fromarray(image), mask_of(DISC), fill, seed=3)) for image in (first, second))
    assert np.array_equal(made[~DISC], first[~DISC])
    assert np.array_equal(made, other) == (fill != "original")
    assert np.array_equal(made, first) == (fill == "original")


def test_gray_and_noise_are_what_they_are_called():
    """
    `neutral` is 128 throughout; noise is the seed's, another one's another, and its mean is that of all levels.
    """
    image, mask = picture(), mask_of(DISC)
    assert set(np.asarray(filled(image, mask, "neutral"))[DISC].ravel()) == {128}
    noise, again, other = (filled(image, mask, "noise", seed=seed) for seed in (-5, -5, 5))
    assert noise == again != other
    assert abs(np.asarray(noise)[DISC].mean() - 127.5) < 4


def test_gray_of_a_mask_is_filled_in_part():
    """
    Where a mask is 51 of 255, a fifth of the fill lies over the picture.
    """
    image, mask = picture(), Image.fromarray(np.where(DISC, np.uint8(51), np.uint8(0)))
    made = np.asarray(filled(image, mask, "neutral")).astype(int)
    expected = np.rint(0.8 * np.asarray(image) + 0.2 * 128)
    assert np.abs(made - np.where(DISC[..., None], expected, np.asarray(image))).max() <= 1


@pytest.mark.parametrize("fill", holes.FROM_AROUND)
def test_nothing_around_is_an_error(fill):
    """
    What continues the surroundings of a mask needs some, and says what to take instead.
    """
    with pytest.raises(MaskError, match=f"mask.fill {fill} continues what is around .* take neutral or noise"):
        filled(picture(), mask_of(np.ones_like(DISC)), fill)


@pytest.mark.parametrize("name", REGIONS)
def test_a_drift_that_is_alike_around_the_mask_is_undone(name):
    """
    An input whose levels drifted by one number a color is joined back to itself, wherever the mask lies, the picture's borders included.
    """
    image = picture()
    raw = Image.fromarray((np.asarray(image) + np.array([17, -9, 30])).astype(np.uint8))
    assert seams.joined(raw, image, mask_of(REGIONS[name])) == image


@pytest.mark.parametrize("name", REGIONS)
def test_joined_is_poissons_equation(name):
    """
    What is joined has the input's pixels beyond the mask to the bit, and within it scipy's solution, to a few levels.
    """
    image, raw, white = picture(), picture(2, 60, 180), REGIONS[name]
    before, made = (np.asarray(one).astype(np.float32) for one in (image, raw))
    expected = (made + solved(before - made, ~white)).clip(0, 255)
    found = np.asarray(seams.joined(raw, image, mask_of(white)))
    assert np.array_equal(found[~white], np.asarray(image)[~white])
    assert np.abs(found - expected)[white].max() < 4


def test_where_opencv_can_it_clones_the_same():
    """
    Of a drift that is alike around a disc, away from the borders, `cv2.seamlessClone` makes the same picture, to 4 levels of 50.
    """
    import cv2

    image, change = picture(), np.exp(-((ROWS - 30) ** 2 + (COLUMNS - 44) ** 2) / 60)[..., None] * (50, -40, 30)
    raw = (np.asarray(image) + change + (17, -9, 30)).clip(0, 255).astype(np.uint8)
    cloned = cv2.seamlessClone(raw, np.asarray(image), np.asarray(mask_of(DISC)), (44, 30), cv2.NORMAL_CLONE)
    joined = np.asarray(seams.joined(Image.fromarray(raw), image, mask_of(DISC)))
    assert np.abs(joined.astype(int) - cloned)[DISC].max() <= 4


def test_colors_are_shifted_by_what_differs_in_the_ring():
    """
    The raw picture's mean in the ring, in scikit-image's CIELAB, becomes the input's; contrasts stay, and what is under the mask counts for nothing.
    """
    from skimage.color import rgb2lab

    image = picture()
    drifted = (np.asarray(image) * (0.9, 1.0, 1.05) + (25, 3, -20)).clip(0, 255).astype(np.uint8)
    painted = np.where(DISC[..., None], np.uint8((220, 30, 40)), drifted)
    ring = _ring(DISC, 6)
    by_hand = (rgb2lab(np.asarray(image)) - rgb2lab(drifted))[ring].mean(axis=0)
    for raw in (drifted, painted):
        matched = np.asarray(seams.matched(Image.fromarray(raw), image, mask_of(DISC), reach_px=6))
        shift = (rgb2lab(matched) - rgb2lab(raw))[DISC].mean(axis=0)
        assert np.abs(shift - by_hand).max() < 0.6
    assert abs(by_hand).max() > 3


def _ring(white: np.ndarray, reach: int) -> np.ndarray:
    grown = [np.roll(white, (down, across), (0, 1)) for down in range(-reach, reach + 1) for across in range(-reach, reach + 1)]
    return np.logical_or.reduce(grown) & ~white


@pytest.mark.parametrize("close", [lambda *of: seams.matched(*of, reach_px=4), seams.joined])
def test_without_a_seam_nothing_is_done(close: Callable[..., Image.Image]):
    """
    Where all is repainted, what was decoded stays as it is.
    """
    assert close(picture(2), picture(), mask_of(np.ones_like(DISC))) == picture(2)
