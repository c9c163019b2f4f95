from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sdxl_lab.images.masks import composite, dilate
from sdxl_lab.metrics import (
    METRICS,
    MetricError,
    change_inside,
    change_outside,
    measure,
    psnr_outside,
    seam_delta_e,
    seam_gradient,
    seam_mismatch,
    sharpness_inside,
    shows_colour,
    ssim_outside,
)
from sdxl_lab.pocket.world import draw, object_mask, sample_scene
from sdxl_lab.spec.generated import Generated
from tests.support.runs import generated


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global laplace, peak_signal_noise_ratio, structural_similarity
    from skimage.filters import laplace
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity


OUTSIDE = ("change_outside_max", "change_outside_mean", "change_outside_share")


def picture(pixels: np.ndarray) -> Image.Image:
    """An image of 8-bit pixels."""
    return Image.fromarray(pixels.astype(np.uint8))


def pair(size: tuple[int, int] = (9, 7)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two random pictures, and a mask that is neither black nor white everywhere."""
    generator = np.random.RandomState(3)
    width, height = size
    mask = (generator.rand(height, width) > 0.5) * 255
    return generator.randint(0, 256, (height, width, 3)), generator.randint(0, 256, (height, width, 3)), mask


def world(seed: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture of the world, the same under slight noise, and a mask around its object."""
    scene = sample_scene(seed)
    before = np.asarray(draw(scene)).astype(int)
    noise = np.random.RandomState(seed).normal(0, 4, before.shape)
    return before, np.clip(np.rint(before + noise), 0, 255).astype(int), np.asarray(dilate(object_mask(scene), 13)).astype(int)


def made(before: np.ndarray, raw: np.ndarray, mask: np.ndarray, *, feather_px: int = 0) -> Generated:
    """A result as `generate` returns it, composited."""
    images = picture(before), picture(raw), picture(mask)
    return generated(composite(*images, feather_px=feather_px), images[0], images[2], raw=images[1])


def test_the_change_is_counted_pixel_by_pixel():
    """
    Maximum, mean and share equal those of a plain loop over the pixels whose mask is black.
    """
    before, after, mask = pair()
    after[:3] = before[:3]
    changes = [max(abs(int(a) - int(b)) for a, b in zip(before[y, x], after[y, x], strict=True)) for y, x in np.argwhere(mask == 0)]
    found = change_outside(picture(before), picture(after), picture(mask))
    assert found["max"] == max(changes)
    assert found["mean"] == pytest.approx(sum(changes) / len(changes))
    assert found["share"] == pytest.approx(sum(change > 0 for change in changes) / len(changes))


def test_what_happens_inside_the_mask_does_not_count():
    """
    A picture that differs from its input only where the mask is not black has changed by nothing.
    """
    before, after, mask = pair()
    after[mask == 0] = before[mask == 0]
    assert change_outside(picture(before), picture(after), picture(mask)) == {"max": 0.0, "mean": 0.0, "share": 0.0}


def test_one_pixel_is_seen():
    """
    One changed channel of one pixel outside the mask gives that change, and a share of one pixel.
    """
    before = np.full((5, 4, 3), 100)
    after = before.copy()
    after[2, 1, 1] = 93
    found = change_outside(picture(before), picture(after), picture(np.zeros((5, 4))))
    assert found == {"max": 7.0, "mean": pytest.approx(7 / 20), "share": pytest.approx(1 / 20)}


def test_sizes_must_agree():
    """
    Every metric refuses pictures of several sizes, and names the sizes.
    """
    before, after, mask = pair()
    small, rest = picture(after[:6]), (picture(before), picture(mask))
    for metric in (change_outside, psnr_outside, ssim_outside, change_inside, seam_mismatch):
        with pytest.raises(MetricError, match=r"9x7.* 9x6"):
            metric(rest[0], small, rest[1])
    for metric in (seam_gradient, seam_delta_e, sharpness_inside):
        with pytest.raises(MetricError, match=r"9x6.* 9x7"):
            metric(small, rest[1])
    with pytest.raises(MetricError, match=r"9x6.* 9x7"):
        shows_colour(small, rest[1], "red")


def test_what_is_not_defined_is_left_out():
    """
    Where all is repainted there is neither outside nor seam, and no number stands for them; likewise nothing inside an empty mask.
    """
    before, after, mask = pair((20, 16))
    inside = {"change_inside_max", "change_inside_mean", "change_inside_share", "sharpness_inside"}
    full = made(before, after, np.full_like(mask, 255))
    assert set(measure(full)) == inside
    assert set(measure(full, expected={"colour": "red"})) == inside | {"colour_as_asked"}
    empty = measure(made(before, before, np.zeros_like(mask)), expected={"colour": "red"})
    assert set(empty) == {f"{stage}{name}" for stage in ("", "raw_") for name in (*OUTSIDE, "ssim_outside")}


def test_each_metric_needs_only_what_it_measures():
    """
    A picture made from words alone, without input and mask, has no number that needs them, and measuring it is no error.
    """
    image = picture(pair()[0])
    nothing: dict[str, Any] = {"input_image": None, "mask_image": None, "seam_image": None}
    assert measure(replace(generated(image, image, image), **nothing), expected={"colour": "red"}) == {}


def test_an_unchanged_picture_is_its_own_ideal():
    """
    The input itself has no change, no mismatch and a similarity of exactly 1; its infinite signal-to-noise ratio is left out.
    """
    scene = sample_scene(4)
    before, mask = np.asarray(draw(scene)), np.asarray(dilate(object_mask(scene), 13))
    found = measure(made(before, before, mask))
    assert {found[name] for name in found if "change" in name or "raw_seam" in name} == {0.0}
    assert found["ssim_outside"] == found["raw_ssim_outside"] == 1.0
    assert not [name for name in found if "psnr" in name]


def test_all_numbers_are_finite_and_named():
    """
    A picture with a mask and an asked color has these numbers, all of them finite.
    """
    before, after, mask = world()
    found = measure(made(before, after, mask, feather_px=4), expected={"colour": "blue"})
    both = {f"{stage}{name}" for stage in ("", "raw_") for name in (*OUTSIDE, "psnr_outside_db", "ssim_outside")}
    seam = {"seam_gradient", "seam_delta_e", "raw_seam_delta_e"}
    assert set(found) == both | seam | {"change_inside_max", "change_inside_mean", "change_inside_share", "sharpness_inside", "colour_as_asked"}
    assert list(found) == list(METRICS)
    assert all(math.isfinite(number) for number in found.values())


def test_the_signal_to_noise_ratio_is_scikit_image_s():
    """
    Outside the mask it equals scikit-image's of the pixels there, and one level everywhere is 48.13 dB.
    """
    before, after, mask = pair((40, 30))
    expected = peak_signal_noise_ratio(before[mask == 0].astype(np.uint8), after[mask == 0].astype(np.uint8))
    assert psnr_outside(picture(before), picture(after), picture(mask)) == pytest.approx(expected)
    even = np.full((9, 9, 3), 100)
    assert psnr_outside(picture(even), picture(even + 1), picture(np.zeros((9, 9)))) == pytest.approx(48.13, abs=0.005)


def test_similarity_is_the_mean_over_windows_that_lie_outside():
    """
    It equals the mean of scikit-image's whole map over the pixels whose 11x11 window holds no white pixel and no border.
    """
    before, after, mask = world()
    after[:60] = before[:60]
    lumas = [pixels @ np.array((0.299, 0.587, 0.114)) for pixels in (before, after)]
    similar = structural_similarity(*lumas, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True)[1]
    height, width = mask.shape
    windows = [(y, x) for y in range(5, height - 5) for x in range(5, width - 5) if not mask[y - 5 : y + 6, x - 5 : x + 6].any()]
    expected = np.mean([similar[place] for place in windows])
    assert ssim_outside(picture(before), picture(after), picture(mask)) == pytest.approx(expected, abs=1e-5)


def test_similarity_sees_nothing_of_the_repainted_region():
    """
    However the mask's inside is repainted, an untouched outside is similar by exactly 1, up to the boundary.
    """
    before, after, mask = world()
    noise = np.random.RandomState(5).randint(0, 256, before.shape)
    assert ssim_outside(picture(before), picture(np.where(mask[..., None] > 0, noise, before)), picture(mask)) == 1.0
    assert ssim_outside(picture(before), picture(after), picture(np.full_like(mask, 255))) is None


def test_what_compares_two_pictures_is_symmetric():
    """
    Exchanging input and picture changes none of the metrics that compare them.
    """
    before, after, mask = world()
    for metric in (change_outside, change_inside, psnr_outside, ssim_outside, seam_mismatch):
        there, back = (metric(picture(first), picture(second), picture(mask)) for first, second in ((before, after), (after, before)))
        assert there == pytest.approx(back, rel=1e-5)


@pytest.mark.parametrize("damage", ["noise", "blur", "fade"])
def test_growing_damage_makes_each_metric_worse(damage):
    """
    The more a picture is damaged, the more it has changed, the less it resembles its input, and the worse it would meet it at the seam.
    """
    before, _, mask = world()
    generator = np.random.RandomState(1)
    noise = generator.normal(0, 1, before.shape)

    def damaged(strength: float) -> Image.Image:
        if damage == "blur":
            return picture(before).filter(ImageFilter.GaussianBlur(0.5 * strength))
        changed = before + 3 * strength * noise if damage == "noise" else before * (1 - 0.05 * strength)
        return picture(np.clip(np.rint(changed), 0, 255))

    numbers = [measure(made(before, np.asarray(damaged(strength)), mask)) for strength in (1, 2, 3, 4)]
    for name in ("raw_change_outside_mean", "change_inside_mean", "raw_seam_delta_e"):
        assert [found[name] for found in numbers] == sorted({found[name] for found in numbers}), name
    for name in ("raw_psnr_outside_db", "raw_ssim_outside"):
        assert [found[name] for found in numbers] == sorted({found[name] for found in numbers}, reverse=True), name


def test_sharpness_is_the_variance_of_scikit_image_s_laplacian():
    """
    It equals the variance of scikit-image's Laplacian over the pixels whose four neighbors are in the mask.
    """
    _, after, mask = world()
    laplacian = laplace(np.asarray(picture(after).convert("L"), float), ksize=3)
    white = mask > 0
    within = [(y, x) for y, x in np.argwhere(white) if white[y - 1, x] and white[y + 1, x] and white[y, x - 1] and white[y, x + 1]]
    expected = np.var([laplacian[place] for place in within])
    assert sharpness_inside(picture(after), picture(mask)) == pytest.approx(expected)


def test_sharpness_falls_with_blur_and_ignores_the_outside():
    """
    The more the mask's inside is blurred the less sharp it is, a plane is not sharp at all, and the outside does not count.
    """
    before, _, mask = world()
    blurred = [sharpness_inside(picture(before).filter(ImageFilter.GaussianBlur(radius)), picture(mask)) for radius in (0, 0.5, 1, 2, 4)]
    assert blurred == sorted(set(blurred), reverse=True)
    plane = np.where(mask[..., None] > 0, 90, np.random.RandomState(0).randint(0, 256, before.shape))
    assert sharpness_inside(picture(plane), picture(mask)) == 0.0
    assert sharpness_inside(picture(plane), picture(np.eye(128) * 255)) is None


def test_compositing_hides_what_the_raw_picture_changed():
    """
    A composited picture keeps its input outside the mask, and the measures of the raw one say how much it did not.
    """
    before, after, mask = pair()
    found = measure(made(before, after, mask))
    assert found["change_outside_max"] == 0
    assert found["raw_change_outside_max"] == np.abs(after - before)[mask == 0].max()


def test_a_raw_picture_of_another_size_is_brought_to_the_input_s():
    """
    A flat raw picture at twice the size measures as it would at the input's own.
    """
    before, _, mask = pair()
    grey = Image.new("RGB", (18, 14), (128, 128, 128))
    flat = generated(picture(before), picture(before), picture(mask), raw=grey)
    assert measure(flat)["raw_change_outside_max"] == np.abs(before - 128)[mask == 0].max()


def test_the_seam_is_where_compositing_put_it():
    """
    Where less is composited than was repainted, as where a canvas overlaps its picture, the seam's metrics look at the composited region.
    """
    before, raw, mask = world()
    smaller = np.asarray(object_mask(sample_scene(4)))
    brighter = np.clip(raw + 30, 0, 255)

    images = picture(before), picture(brighter), picture(mask)
    found = measure(generated(composite(*images[:2], picture(smaller)), images[0], images[2], raw=images[1], seam_image=picture(smaller)))
    assert found["seam_gradient"] == seam_gradient(composite(*images[:2], picture(smaller)), picture(smaller))
    assert found["raw_seam_delta_e"] == seam_mismatch(images[0], images[1], picture(smaller))
