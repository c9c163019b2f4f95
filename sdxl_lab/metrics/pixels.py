"""Pictures as arrays, all of one size, and the regions that a mask makes of them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sdxl_lab.errors import LabError
from sdxl_lab.images import pictures


class MetricError(LabError):
    """Pictures that cannot be compared, or a word that names no color."""


def rgb(image: Image.Image) -> np.ndarray:
    """A picture's levels: uint8 of shape (H, W, 3)."""
    return np.asarray(image.convert("RGB"))


def inside(mask_image: Image.Image) -> np.ndarray:
    """Where a mask is white: bool of shape (H, W), at half intensity, as everywhere in the lab."""
    return np.asarray(pictures.grayscale(mask_image)) >= 128


def outside(mask_image: Image.Image) -> np.ndarray:
    """Where a mask is wholly black: bool of shape (H, W). A soft mask's gray is neither inside nor outside."""
    return np.asarray(pictures.grayscale(mask_image)) == 0


def require_one_size(**images: Image.Image) -> None:
    """Refuse pictures of several sizes.

    Args:
        images: What each is, in words with underscores, to the picture.

    Raises:
        MetricError: They differ in size; the message lists them.
    """
    if len({image.size for image in images.values()}) > 1:
        sizes = ", ".join(f"{name.replace('_', ' ')} {image.width}x{image.height}" for name, image in images.items())
        raise MetricError(f"these are measured pixel by pixel and must be of one size, got {sizes}: resize first")
