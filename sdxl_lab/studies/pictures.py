"""The pictures of a study as they stand in its page: all of them encoded in one way, and nothing in them but pixels."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sdxl_lab import progress
from sdxl_lab.images.webp import webp_file
from sdxl_lab.records.picture import UNREADABLE
from sdxl_lab.studies.trials import StudyError
from sdxl_lab.wording import counted

MOST_BYTES = 48 * 2**20
"""Of a page's pictures, as they stand in it; browsers, those of phones first, slow down on pages much larger than that."""
SMALLER_PX = 768


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """One way of encoding, for all pictures of a page.

    Attributes:
        said: What it is, in words.
        encode: A picture to the bytes of a WebP file.
    """

    said: str
    encode: Callable[[Image.Image], bytes]


def _smaller(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((SMALLER_PX, SMALLER_PX), Image.Resampling.LANCZOS)
    return small


ENCODINGS = (
    Encoding(said="to the last pixel", encode=lambda image: webp_file(image, method=1, quality=0, lossless=True)),
    Encoding(said="as WebP of quality 95", encode=lambda image: webp_file(image, method=2, quality=95)),
    Encoding(said=f"as WebP of quality 90, of {SMALLER_PX} pixels at most", encode=lambda image: webp_file(_smaller(image), method=2, quality=90)),
)
"""From the best on. All pictures are encoded by the first that leaves a page that opens everywhere."""


def encoded(paths: Mapping[str, Path]) -> tuple[dict[str, str], str]:
    """Encode pictures, all in one way, so that nothing but what they show tells them apart.

    Args:
        paths: Name to the PNG.

    Returns:
        Name to a data URI; and how they are encoded, in words.

    Raises:
        StudyError: A picture cannot be read, or they are too many for a page.
    """
    for encoding in ENCODINGS:
        if (found := _encoded(paths, encoding)) is not None:
            return found, encoding.said
    raise StudyError(
        f"{counted(len(paths), 'picture')} take more than {MOST_BYTES >> 20} MiB on a page, however they are compressed; ask for fewer --pairs, "
        "and make a second study by another --seed"
    )


def _encoded(paths: Mapping[str, Path], encoding: Encoding) -> dict[str, str] | None:
    found: dict[str, str] = {}
    size = 0
    for name, path in paths.items():
        progress.tell(f"encoding pictures {encoding.said}", done=len(found), total=len(paths), unit="picture")
        found[name] = f"data:image/webp;base64,{base64.b64encode(encoding.encode(pixels_at(path))).decode()}"
        size += len(found[name])
        if size > MOST_BYTES:
            return None
    return found


def pixels_at(path: Path) -> Image.Image:
    """Read a PNG's pixels, and nothing of what else it says.

    Args:
        path: The file.

    Returns:
        A picture of mode "RGB", or "L" for masks, without text, profile or date.

    Raises:
        StudyError: It cannot be read.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            pixels = image.convert("L" if image.mode in ("1", "L") else "RGB")
    except UNREADABLE as error:
        raise StudyError(f"{path} cannot be read ({error}); make the picture again, or leave its run out") from error
    return Image.frombytes(pixels.mode, pixels.size, pixels.tobytes())
