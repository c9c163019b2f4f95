from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from runs import Made

from sdxl_lab.metrics import MetricError, change_outside, measure


def picture(pixels: np.ndarray) -> Image.Image:
    """An image of 8-bit pixels."""
    return Image.fromarray(pixels.astype(np.uint8))


def pair(size: tuple[int, int] = (9, 7)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two random pictures, and a mask that is neither black nor white everywhere."""
    generator = np.random.RandomState(3)
    width, height = size
    mask = (generator.rand(height, width) > 0.5) * 255
    return generator.randint(0, 256, (height, width, 3)), generator.randint(0, 256, (height, width, 3)), mask


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


def test_a_mask_without_outside_measures_nothing():
    """
    Where everything is repainted, every change is 0.
    """
    before, after, mask = pair()
    assert set(change_outside(picture(before), picture(after), picture(np.full_like(mask, 255))).values()) == {0.0}


def test_sizes_must_agree():
    """
    A picture of another size is an error that names the three sizes.
    """
    before, after, mask = pair()
    with pytest.raises(MetricError, match=r"\(9, 7\).*\(9, 6\)"):
        change_outside(picture(before), picture(after[:6]), picture(mask))


def test_compositing_hides_what_the_raw_picture_changed():
    """
    A composited picture keeps its input outside the mask, and the measures of the raw one say how much it did not.
    """
    before, after, mask = pair()
    composited = np.where(mask[..., None] > 0, after, before)
    found = measure(Made(image=picture(composited), raw=picture(after), input_image=picture(before), mask_image=picture(mask)))
    assert found["change_outside_max"] == 0
    assert found["raw_change_outside_max"] == np.abs(after - before)[mask == 0].max()
    assert len(found) == 6


def test_a_raw_picture_of_another_size_is_brought_to_the_input_s():
    """
    A flat raw picture at twice the size measures as it would at the input's own.
    """
    before, _, mask = pair()
    grey = Image.new("RGB", (18, 14), (128, 128, 128))
    made = Made(image=picture(before), raw=grey, input_image=picture(before), mask_image=picture(mask))
    assert measure(made)["raw_change_outside_max"] == np.abs(before - 128)[mask == 0].max()
