"""The world in other styles: its objects as neon tubes, and its scenes cut out of paper."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageFilter

from sdxl_lab.pocket.world import COLOURS, Scene, object_mask, paint_background

TUBE_PX = 8.0
"""Thinner tubes lose their color in the checkpoint's autoencoder."""
LIFT_PX = 6


def neon(scene: Scene) -> Image.Image:
    """A scene whose object is a glowing tube along its outline, through which the background is seen.

    Args:
        scene: Any scene of the world.

    Returns:
        Mode "RGB", (width, height) pixels.
    """
    pixels = paint_background(scene)
    if scene.shape is not None:
        mask = np.asarray(object_mask(scene), np.float64)
        tube = np.clip(1.76 - 2.2 * np.abs(2 * _soft(mask, TUBE_PX / 2) / 255 - 1), 0, 1)
        colour = np.array(COLOURS[str(scene.colour)], np.float64)
        pixels = _over(pixels, 0.6 * pixels, np.clip(1.6 * _soft(tube, 5), 0, 1))
        pixels = _over(pixels, colour, 0.3 * _soft(tube, 5))
        pixels = _over(pixels, colour, tube)
    return _picture(pixels)


def paper(scene: Scene) -> Image.Image:
    """A scene cut out of paper: a background of three flat layers, and on it the flat object with a torn white rim and a hard shadow.

    Args:
        scene: Any scene of the world.

    Returns:
        Mode "RGB", (width, height) pixels.
    """
    pixels = _layers(paint_background(scene))
    if scene.shape is not None:
        mask = np.asarray(object_mask(scene), np.float64)
        cut = np.clip((_soft(mask, 2) - 96) / 64, 0, 1)
        pixels = _over(pixels, 0.3 * pixels, 0.75 * _shifted(_soft(cut, 1.5), LIFT_PX))
        pixels = _over(pixels, np.array(COLOURS[str(scene.colour)], np.float64), cut)
    return _picture(pixels)


LOOKS: dict[str, Callable[[Scene], Image.Image]] = {"neon": neon, "paper": paper}
"""By the word after `pocket-` in the checkpoint's name."""


def _layers(ground: np.ndarray) -> np.ndarray:
    """Three flat tones, each lighter one casting a shadow to its lower right."""
    few = _picture(ground).filter(ImageFilter.GaussianBlur(2.5)).quantize(3, dither=Image.Dither.NONE).convert("RGB")
    tones = np.asarray(few.filter(ImageFilter.ModeFilter(7)), np.float64)
    light = tones.mean(axis=2)
    return _over(tones, 0.7 * tones, np.clip((_shifted(light, 2) - light) / 20, 0, 1))


def _shifted(weight: np.ndarray, by_px: int) -> np.ndarray:
    return np.pad(weight, ((by_px, 0), (by_px, 0)), mode="edge")[:-by_px, :-by_px]


def _soft(levels: np.ndarray, radius_px: float) -> np.ndarray:
    return cv2.GaussianBlur(levels, (0, 0), radius_px, borderType=cv2.BORDER_REPLICATE)


def _over(below: np.ndarray, above: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return below + weight[..., None] * (above - below)


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
