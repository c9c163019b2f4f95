"""WebP files, for pictures that are only looked at."""

from __future__ import annotations

import io

from PIL import Image
from PIL.WebPImagePlugin import WebPImageFile


def webp_file(image: Image.Image, *, method: int, quality: int, lossless: bool = False) -> bytes:
    """Encode a picture as WebP, without the plugins for all other formats, which Pillow imports where it is asked for this one by name alone.

    Args:
        image: A picture of mode "RGB" or "L".
        method: From 0, the quickest, to 6, the smallest.
        quality: From 0 to 100; of a lossless file how long is looked for a smaller one.
        lossless: Whether every pixel is kept.

    Returns:
        The file's bytes.
    """
    buffer = io.BytesIO()
    image.save(buffer, WebPImageFile.format, method=method, quality=quality, lossless=lossless)
    return buffer.getvalue()
