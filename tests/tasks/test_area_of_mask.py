from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.images.masks import MaskError
from sdxl_lab.settings.sections import EditSettings, Mask
from sdxl_lab.tasks import area_of_mask


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global ndimage
    from scipy import ndimage


def without_small(region: np.ndarray, area: float) -> np.ndarray:
    """Leave out connected parts of fewer pixels; none where there are no others."""
    labels, count = ndimage.label(region, np.ones((3, 3)))  # pyright: ignore
    small = [label for label in range(1, count + 1) if (labels == label).sum() < area]
    return region if len(small) == count else region & ~np.isin(labels, small)


@pytest.mark.parametrize("size", [(40, 30), (60, 4), (3, 50)])
@pytest.mark.parametrize("is_background", [False, True])
def test_an_area_is_that_of_the_whole_mask(size, is_background):
    """
    Wherever an object lies, what is repainted is the whole mask without specks, dilated; or all but that.
    """
    rng = np.random.default_rng(7)
    width, height = size
    for _ in range(150):
        (left, right), (top, bottom) = (np.sort(rng.integers(0, side + 1, 2)) for side in size)
        gray = np.zeros((height, width), np.uint8)
        share = rng.choice([0.03, 0.3, 0.8, 1.0])
        gray[top:bottom, left:right] = np.where(rng.random((bottom - top, right - left)) < share, rng.choice([200, 255]), rng.choice([0, 60]))
        cell, reach = float(rng.choice([1, 4.5, 30, 200])), int(rng.integers(0, 4))
        specks = str(rng.choice(["keep", "ignore"]))
        settings = EditSettings(mask=Mask.model_validate({"kernel_size": 2 * reach + 1, "specks": specks}))
        given = gray >= 128
        cleaned = ~without_small(~without_small(given, cell), cell) if specks == "ignore" else given
        expected = ndimage.maximum_filter(~cleaned if is_background else cleaned, 2 * reach + 1, mode="constant")
        if not expected.any():
            with pytest.raises(MaskError, match="no white pixel"):
                area_of_mask(settings, Image.fromarray(gray), cell, is_background=is_background)
            continue
        found = area_of_mask(settings, Image.fromarray(gray), cell, is_background=is_background)
        assert np.array_equal(np.asarray(found.repainted), expected * np.uint8(255))
        assert found.has_ignored == bool((cleaned != given).any())
