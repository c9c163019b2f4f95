"""Picture files of any size and mode, opened safely and read upright with 8 bits a channel."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from sdxl_lab.errors import LabError
from sdxl_lab.images import color_profiles

ColorProfile = Literal["srgb", "ignore"]
Background = Literal["white", "gray", "black"]

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""File formats that are read. EPS and PDF are not: Pillow hands them to an external program."""

SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError, OverflowError, struct.error, zlib.error)


class PictureError(LabError):
    """A picture that can't be read: broken, too large, or in a mode without a fixed range."""


def decode(content: bytes) -> Image.Image:
    """Open a picture file's content and read every pixel, so that a broken file shows here and not later.

    Args:
        content: The whole file. Of several frames the first is taken.

    Returns:
        The picture, turned as its EXIF orientation says, in the file's own mode.

    Raises:
        PictureError: The content is no picture of a format in `FORMATS`, is cut off or damaged, or has more pixels than
            Pillow's limit against decompression bombs (`PIL.Image.MAX_IMAGE_PIXELS`, 89 megapixels unless changed).
    """
    limit = Image.MAX_IMAGE_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                image.load()
                return ImageOps.exif_transpose(image)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise PictureError(f"the picture has more than {limit or 0:,} pixels, the most that is read; scale it down first") from None
    except Image.UnidentifiedImageError:
        raise PictureError(f"not a picture of a known format ({', '.join(FORMATS)}); save it as PNG or JPEG") from None
    except UNREADABLE as error:
        raise PictureError(f"the picture is cut off or damaged ({error}); copy or export it again") from None


def rgb(image: Image.Image, *, color_profile: ColorProfile = "srgb", background: Background = "white") -> Image.Image:
    """Bring a picture of any mode to 8-bit RGB.

    Args:
        image: Any mode. 16-bit values are scaled to 8 bits, not clipped.
        color_profile: `srgb` brings the colors to sRGB by the profile that the picture carries; `ignore` takes its numbers as they are. Without a
            profile both are the same.
        background: What transparent pixels are laid over.

    Returns:
        A new mode "RGB" picture of the same size, without a profile.

    Raises:
        PictureError: Floating-point or 32-bit values, which have no fixed range.
    """
    layer = image.convert("RGBA") if image.has_transparency_data else None
    colors = image.convert("L") if image.mode == "LA" else _opaque(image if layer is None else layer.convert("RGB"))
    if color_profile == "srgb":
        colors = color_profiles.to_srgb(colors, image.info.get("icc_profile"))
    flat = colors.convert("RGB")
    if layer is not None:
        flat.putalpha(layer.getchannel("A"))
        flat = Image.alpha_composite(Image.new("RGBA", image.size, background), flat).convert("RGB")
    flat.info.pop("icc_profile", None)
    return flat


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What of a picture file changes how it is read as RGB.

    Attributes:
        color_profile: What its color profile calls itself; None if it has none, or one that says no more than sRGB.
        transparent_share: How much of it is transparent, wholly or partly: a share of its pixels, 0 to 1.
        readings: The arguments of `rgb` that make a difference to it.
        doubt: What else of the file says that its numbers are no sRGB, which is not read; None for most.
    """

    color_profile: str | None = None
    transparent_share: float = 0.0
    readings: frozenset[str] = frozenset()
    doubt: str | None = None


def facts_of(image: Image.Image, flat: Image.Image) -> Facts:
    """Look at a picture.

    Args:
        image: As it was decoded.
        flat: What `rgb` makes of it.
    """
    profile = color_profiles.name_of(image)
    transparent = 0.0
    if image.has_transparency_data:
        transparent = float((np.asarray(image.convert("RGBA").getchannel("A")) < 255).mean())
    moved = profile is not None and flat.tobytes() != rgb(image, color_profile="ignore").tobytes()
    readings = {"color_profile": moved, "background": transparent > 0}
    return Facts(
        color_profile=profile,
        transparent_share=transparent,
        readings=frozenset(name for name, matters in readings.items() if matters),
        doubt=color_profiles.doubt_of(image),
    )


def grayscale(image: Image.Image) -> Image.Image:
    """Bring a mask of any mode to 8-bit intensity.

    Args:
        image: Any mode. Transparent pixels are laid over black: what isn't painted isn't repainted.

    Returns:
        A new mode "L" picture of the same size.

    Raises:
        PictureError: Floating-point or 32-bit values, which have no fixed range.
    """
    if image.has_transparency_data:
        return Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA")).convert("L")
    return _opaque(image).convert("L")


def _opaque(image: Image.Image) -> Image.Image:
    """A picture without transparency with 8 bits a channel, in a mode that converts to "L" and "RGB" without loss of range."""
    if image.mode in SIXTEEN_BIT:
        return _eight_bit(image)
    if image.mode == "F":
        raise PictureError('a picture of mode "F" (floating point) has no fixed range; save it with 8 or 16 bits a channel')
    return image.convert("RGB") if image.mode in ("P", "PA", "LAB", "HSV") else image


def _eight_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise PictureError(f"the picture's values run from {values.min()} to {values.max()}; save it with 8 or 16 bits a channel")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
