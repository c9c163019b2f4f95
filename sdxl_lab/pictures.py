"""Picture files of any size and mode, opened safely and read upright with 8 bits a channel."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps

from sdxl_lab.errors import LabError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""File formats that are read. EPS and PDF are not: Pillow hands them to an external program."""

_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError, OverflowError, struct.error, zlib.error)


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
    except _UNREADABLE as error:
        raise PictureError(f"the picture is cut off or damaged ({error}); copy or export it again") from None


def rgb(image: Image.Image) -> Image.Image:
    """Bring a picture of any mode to 8-bit RGB.

    Args:
        image: Any mode. Transparent pixels are laid over white; 16-bit values are scaled to 8 bits, not clipped.

    Returns:
        A new mode "RGB" picture of the same size.

    Raises:
        PictureError: Floating-point or 32-bit values, which have no fixed range.
    """
    return _flatten(image, background="white").convert("RGB")


def grayscale(image: Image.Image) -> Image.Image:
    """Bring a mask of any mode to 8-bit intensity.

    Args:
        image: Any mode. Transparent pixels are laid over black: what isn't painted isn't repainted.

    Returns:
        A new mode "L" picture of the same size.

    Raises:
        PictureError: Floating-point or 32-bit values, which have no fixed range.
    """
    return _flatten(image, background="black").convert("L")


def _flatten(image: Image.Image, *, background: str) -> Image.Image:
    """Return the picture without transparency and with 8 bits a channel, in a mode that converts to "L" and "RGB" without loss of range."""
    if image.mode in _SIXTEEN_BIT:
        return _eight_bit(image)
    if image.mode == "F":
        raise PictureError('a picture of mode "F" (floating point) has no fixed range; save it with 8 or 16 bits a channel')
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, background), layer)
    return image.convert("RGB") if image.mode in ("P", "PA", "LAB", "HSV") else image


def _eight_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise PictureError(f"the picture's values run from {values.min()} to {values.max()}; save it with 8 or 16 bits a channel")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
