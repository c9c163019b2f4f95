"""Color profiles in picture files: what their numbers mean, brought to sRGB."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms

INVISIBLE_LEVELS = 2
"""A profile that moves no color by more than this, of 255 levels, is sRGB written in other words: what it would change is rounding."""

SRGB_GAMMA = 2.2
GAMMA_TOLERANCE = 0.05
UNCALIBRATED = 0xFFFF
"""EXIF's ColorSpace of a camera that was set to another one than sRGB."""


def name_of(image: Image.Image) -> str | None:
    """Name a picture's color profile.

    Args:
        image: As it was decoded, of any mode.

    Returns:
        What the profile calls itself, such as `Display P3`; None if it has none, or one that says no more than sRGB.
    """
    content = image.info.get("icc_profile")
    if not content or _is_srgb(content, _mode(image)):
        return None
    profile = _opened(content)
    return ImageCms.getProfileDescription(profile).strip() or "without a name" if profile else "that cannot be read"


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Bring colors to sRGB: relative colorimetric, with black point compensation.

    Args:
        image: Mode "L", "RGB" or "CMYK", 8 bits a channel.
        profile: What its numbers mean, in the ICC's format.

    Returns:
        A mode "RGB" picture of the same size; the picture itself, in its own mode, if there is no profile, one that says no more than sRGB, or one
        that cannot be read or is of another color space: those are passed over, as browsers do.

    Source:
        LittleCMS, by Pillow's ImageCms.
    """
    if not profile or _is_srgb(profile, image.mode):
        return image
    transform = _transform(profile, image.mode)
    return image if transform is None else _applied(image, transform)


def doubt_of(image: Image.Image) -> str | None:
    """Say why a picture without a profile may hold other numbers than sRGB, which Pillow tells but nothing here reads.

    Args:
        image: As it was decoded.

    Returns:
        Half a sentence, such as "its gamma is 1"; None for most.
    """
    if image.info.get("icc_profile"):
        return None
    gamma = image.info.get("gamma")
    if isinstance(gamma, float) and gamma > 0 and abs(gamma * SRGB_GAMMA - 1) > GAMMA_TOLERANCE:
        return f"its gamma is {1 / gamma:.3g}"
    if image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace) == UNCALIBRATED:
        return "its EXIF data names another color space"
    return None


def _mode(image: Image.Image) -> str:
    """The mode of a picture's colors alone, without alpha and palette."""
    return {"LA": "L", "RGBA": "RGB", "RGBX": "RGB", "P": "RGB", "PA": "RGB", "1": "L", "RGBa": "RGB", "La": "L"}.get(image.mode, image.mode)


def _applied(image: Image.Image, transform: Any) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted


def _opened(content: bytes) -> Any:
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(content))
    except (OSError, ImageCms.PyCMSError):
        return None


@lru_cache(maxsize=16)
def _transform(content: bytes, mode: str) -> Any:
    """From a profile to sRGB; None for a profile that does not fit."""
    profile = _opened(content)
    if profile is None:
        return None
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    try:
        return ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB", renderingIntent=intent, flags=flags)
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None


@lru_cache(maxsize=16)
def _is_srgb(content: bytes, mode: str) -> bool:
    """Whether a profile moves no color by more than rounding, looked at on a grid of colors."""
    transform = _transform(content, mode) if mode in ("RGB", "L") else None
    if transform is None:
        return False
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "L":
        colors = levels[:, None]
        expected = np.repeat(levels[:, None, None], 3, axis=2)
    else:
        colors = expected = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
    moved = np.asarray(_applied(Image.fromarray(np.ascontiguousarray(colors)), transform))
    return int(np.abs(moved.astype(int) - expected).max()) <= INVISIBLE_LEVELS
