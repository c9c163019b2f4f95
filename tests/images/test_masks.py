from __future__ import annotations

import builtins
import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sdxl_lab.images import masks
from tests.support.masks import random_mask, random_picture, white


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global ndimage
    from scipy import ndimage


@pytest.mark.parametrize(("kernel_size", "iterations"), [(1, 1), (3, 1), (3, 4), (7, 2), (9, 0), (101, 2)])
def test_dilation_is_that_of_morphology(kernel_size, iterations):
    """
    Dilating equals scipy's binary dilation by the square, applied as often.
    """
    mask = random_mask(1)
    expected = white(mask)
    for _ in range(iterations):
        expected = ndimage.binary_dilation(expected, np.ones((kernel_size, kernel_size)))
    assert np.array_equal(white(masks.dilate(mask, kernel_size, iterations)), expected)


def test_dilation_grows_monotonically():
    """
    A larger kernel, or one more iteration, never turns white into black.
    """
    mask = random_mask(2)
    for smaller, larger in (((3, 1), (5, 1)), ((5, 1), (5, 2)), ((1, 1), (3, 1))):
        assert not (white(masks.dilate(mask, *smaller)) & ~white(masks.dilate(mask, *larger))).any()


def test_inverting_twice_changes_nothing():
    """
    Invert is an involution on binarized masks, and no pixel is white in a mask and its inverse.
    """
    mask = masks.binarize(random_picture(3))
    assert masks.invert(masks.invert(mask)) == mask
    assert (white(masks.invert(mask)) ^ white(mask)).all()


def test_binarizing_decides_as_diffusers_does():
    """
    Every intensity falls on the side where diffusers' own mask processor puts it.
    """
    from diffusers.image_processor import VaeImageProcessor

    mask = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    processor = VaeImageProcessor(do_normalize=False, do_binarize=True, do_convert_grayscale=True)
    expected = processor.preprocess(mask, height=16, width=16)[0, 0].numpy() == 1
    assert np.array_equal(white(masks.binarize(mask)), expected)


def test_the_nearest_latent_mask_is_diffusers_own():
    """
    The cells that stay white are those of diffusers' binarization and nearest interpolation.
    """
    import torch
    from diffusers.image_processor import VaeImageProcessor

    mask = masks.dilate(random_mask(4, (96, 64), 0.002), 17)
    processor = VaeImageProcessor(do_normalize=False, do_binarize=True, do_convert_grayscale=True)
    pixels = processor.preprocess(mask, height=64, width=96)
    expected = torch.nn.functional.interpolate(pixels, size=(8, 12))[0, 0].numpy() == 1
    assert np.array_equal(white(masks.latent_mask(mask)), expected)


def test_the_covering_latent_mask_is_a_maximum():
    """
    A cell is white exactly when any of its 64 pixels is; scaled up and read as nearest, the same cells come back.
    """
    mask = random_mask(5, (96, 64), 0.005)
    covered = masks.latent_mask(mask, mode="cover")
    pixels = white(mask)
    expected = [[pixels[8 * y : 8 * y + 8, 8 * x : 8 * x + 8].any() for x in range(12)] for y in range(8)]
    assert np.array_equal(white(covered), expected)
    assert masks.latent_mask(covered.resize(mask.size, Image.Resampling.NEAREST)) == covered


def test_a_region_that_would_vanish_is_refused():
    """
    A region between the pixels that nearest looks at raises an error that names cover, and cover keeps it.
    """
    pixels = np.zeros((64, 64), np.uint8)
    pixels[:24, :24] = pixels[41:48, 41:48] = 255
    mask = Image.fromarray(pixels)
    with pytest.raises(masks.MaskError, match=r"1 of the mask's white regions .*7x7 pixels at \(41, 41\).*'cover'"):
        masks.latent_mask(mask)
    assert white(masks.latent_mask(mask, mode="cover"))[5, 5]


def test_a_feather_follows_the_distance():
    """
    The feathered mask is linear in scipy's exact Euclidean distance, keeps all white, and ends at feather_px.
    """
    mask = random_mask(6, share=0.002)
    distance = ndimage.distance_transform_edt(~white(mask))
    expected = np.where(distance <= 6, 255 * (1 - distance / 7), 0)  # pyright: ignore
    assert np.abs(np.asarray(masks.feather(mask, 6)) - expected).max() <= 0.51
    assert masks.feather(mask, 0) == mask


@pytest.mark.parametrize("feather_px", [0, 5])
def test_a_composite_is_exact_outside_and_inside(feather_px):
    """
    Pixels beyond the feathered mask equal the input, white ones equal the output, and the strip lies between the two.
    """
    before, after, mask = random_picture(7), random_picture(8), random_mask(7, share=0.001)
    result = np.asarray(masks.composite(before, after, mask, feather_px=feather_px)).astype(int)
    far = ndimage.distance_transform_edt(~white(mask)) > feather_px  # pyright: ignore
    under, over = np.asarray(before).astype(int), np.asarray(after).astype(int)
    assert np.array_equal(result[far], under[far])
    assert np.array_equal(result[white(mask)], over[white(mask)])
    assert (result >= np.minimum(under, over)).all()
    assert (result <= np.maximum(under, over)).all()


def test_specks_are_the_regions_that_scipy_counts_as_small():
    """
    White regions, then black ones, of fewer pixels than the limit are left out, as scipy labels them; whatever has its limit stays.
    """
    noise = Image.fromarray(np.random.default_rng(5).integers(0, 256, (43, 61), np.uint8)).filter(ImageFilter.BoxBlur(1))
    expected = np.asarray(noise) >= 128
    for color in (True, False):
        labels: Any = ndimage.label(expected == color, np.ones((3, 3)))[0]  # pyright: ignore[reportIndexIssue]
        sizes = np.bincount(labels.ravel())[1:]
        assert sizes.min() < 12 <= sizes.max()
        expected = np.where(np.isin(labels, 1 + np.flatnonzero(sizes < 12)), not color, expected)
    assert np.array_equal(white(masks.without_specks(noise, 12)), expected)


def test_what_is_all_there_is_is_no_speck():
    """
    A mask of one small region stays as it is, inverted too.
    """
    dot = Image.new("L", (20, 20))
    dot.paste(255, (3, 3, 6, 6))
    for mask in (dot, masks.invert(dot)):
        assert np.array_equal(white(masks.without_specks(mask, 64)), white(mask))


@pytest.mark.parametrize("side", [10, 100, 600])
def test_however_many_specks_there_are_they_are_found(side):
    """
    Of a grid of so many single pixels, fewer than a byte or two bytes count and more, a block alone is left, and a hole beside one that is a speck.
    """
    grid = np.zeros((side, side), bool)
    grid[::2, ::2] = True
    block = np.zeros((side, 60), bool)
    block[1:9, 20:50] = True
    holes = block.copy()
    holes[3, 25], holes[4:7, 30:40] = False, False
    found = white(masks.without_specks(Image.fromarray(np.hstack([grid, holes])), 16))
    kept = block.copy()
    kept[4:7, 30:40] = False
    assert np.array_equal(found, np.hstack([np.zeros_like(grid), kept]))


@pytest.mark.parametrize(("is_inverted", "specks_area"), [(False, 0), (True, 0), (False, 5), (True, 5)])
def test_a_region_is_cleaned_inverted_and_dilated_in_this_order(is_inverted, specks_area):
    """
    All at once gives what a filter of the cleaned mask gives, or of its inverse, and says whether anything was cleaned.
    """
    for share, count in ((0.02, 2), (0.5, 1)):
        given = white(random_mask(4, share=share))
        cleaned = ~in_whole(~in_whole(given, specks_area), specks_area) if specks_area else given
        expected = ndimage.maximum_filter(~cleaned if is_inverted else cleaned, 1 + 4 * count, mode="constant")
        found, has_specks = masks.region_of(Image.fromarray(given), 5, count, specks_area=specks_area, is_inverted=is_inverted)
        assert np.array_equal(white(found), expected)
        assert has_specks == (not np.array_equal(cleaned, given))


PICTURE = random_picture(13)
BLACK = Image.new("L", (64, 64))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: masks.dilate(random_mask(1), 4), "kernel_size is 4; it must be odd .* take 5"),
        (lambda: masks.dilate(random_mask(1), -3), "kernel_size is -3"),
        (lambda: masks.dilate(random_mask(1), 3, -1), "iterations is -1"),
        (lambda: masks.dilate(BLACK, 3), "no white pixel"),
        (lambda: masks.feather(random_mask(1), -1), "feather_px is -1"),
        (lambda: masks.latent_mask(BLACK), "no white pixel"),
        (lambda: masks.latent_mask(random_mask(1)), "61x43; both sides must be multiples of 8"),
        (lambda: masks.latent_mask(masks.invert(BLACK), mode="most"), "'most'; it must be 'nearest' .* or 'cover'"),  # pyright: ignore
        (lambda: masks.composite(PICTURE, PICTURE, BLACK), "mask 64x64"),
        (lambda: masks.composite(PICTURE, PICTURE.convert("RGBA"), random_mask(1)), "output_image has mode 'RGBA'"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(call, message):
    """
    Each unusable mask or setting raises one MaskError that says what it got and what is allowed.
    """
    with pytest.raises(masks.MaskError, match=message):
        call()


@pytest.mark.parametrize(
    ("failure", "remedy"),
    [("libGL.so.1: cannot open shared object file", r"libgl1.*opencv-python-headless"), ("No module named 'cv2'", "pip install opencv-python")],
)
def test_an_opencv_that_does_not_import_says_what_to_install(monkeypatch, failure, remedy):
    """
    When OpenCV fails to import, the error names the system library or the package that is missing.
    """
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "cv2":
            raise ImportError(failure)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(masks.MaskError, match=remedy):
        masks.dilate(random_mask(1), 3)


def in_whole(white: np.ndarray, area: float) -> np.ndarray:
    """Leave out connected parts of fewer pixels, labelled over the whole picture."""
    labels, count = ndimage.label(white, np.ones((3, 3)))  # pyright: ignore
    sizes = np.bincount(labels.ravel())
    small = [label for label in range(1, count + 1) if sizes[label] < area]
    return white if len(small) == count else white & ~np.isin(labels, small)


@pytest.mark.parametrize("box", [(0, 0, 9, 7), (20, 15, 40, 30), (50, 33, 61, 43), (0, 10, 61, 20), (3, 0, 12, 43), (0, 0, 61, 43), (1, 1, 60, 42)])
def test_where_a_mask_lies_in_its_picture_makes_no_difference(box):
    """
    Wherever in the picture the white or the black lies, dilation, feather and what is a speck are those of looking at the whole picture.
    """
    left, top, right, bottom = box
    rng = np.random.default_rng(9)
    for share, is_inverted in itertools.product((0.02, 0.3, 0.6, 0.95), (False, True)):
        expected = np.zeros((43, 61), bool)
        expected[top:bottom, left:right] = rng.random((bottom - top, right - left)) < share
        expected[top, left] = True
        expected ^= is_inverted
        mask = Image.fromarray(expected)
        for area in (2, 5, 40, 150):
            cleaned = in_whole(expected, area)
            assert np.array_equal(white(masks.without_specks(mask, area, holes=False)), cleaned)
            assert np.array_equal(white(masks.without_specks(mask, area)), ~in_whole(~cleaned, area))
        distance = np.asarray(ndimage.distance_transform_edt(~expected))
        for reach in (1, 4, 30):
            square = ndimage.maximum_filter(expected, 2 * reach + 1, mode="constant")
            assert np.array_equal(white(masks.dilate(mask, 2 * reach + 1)), square)
            alpha = np.where(distance <= reach, 255 * (1 - distance / (reach + 1)), 0)
            assert np.abs(np.asarray(masks.feather(mask, reach)) - alpha).max() <= 0.51
            assert np.array_equal(np.asarray(masks.feather(mask, reach)) > 0, distance <= reach)
