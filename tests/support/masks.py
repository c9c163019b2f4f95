"""Masks and pictures drawn at random, and a mask read as what is white of it."""

from __future__ import annotations

import numpy as np
from PIL import Image


def random_mask(seed: int, size: tuple[int, int] = (61, 43), share: float = 0.02) -> Image.Image:
    """Scatter white pixels, at least one."""
    pixels = np.random.default_rng(seed).random(size[::-1]) < share
    pixels[5, 7] = True
    return Image.fromarray(pixels.astype(np.uint8) * 255)


def random_picture(seed: int, size: tuple[int, int] = (61, 43)) -> Image.Image:
    """Draw uniform colors."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def white(mask: Image.Image) -> np.ndarray:
    """Read a black and white mask, and nothing else."""
    pixels = np.asarray(mask)
    assert set(np.unique(pixels)) <= {0, 255}
    return pixels == 255
