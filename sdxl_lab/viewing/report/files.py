"""The pictures of a report: each once, as WebP, under the digest of the original's pixels."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image

from sdxl_lab.images.png import digest_of_pixels
from sdxl_lab.images.webp import webp_file

SIDE_PX = 768
"""Longest side a picture is shown with; larger ones are scaled down."""
LOSSLESS_SIDE_PX = 256
"""Pictures no larger than this keep every pixel; so do masks, which compress to little."""
QUALITY = 90


class Gallery:
    """Collects pictures, and encodes each of them once.

    Args:
        ahead: Has encoded some of them already, and perhaps others.
    """

    def __init__(self, ahead: Gallery | None = None) -> None:
        self._encoded: dict[str, bytes] = {}
        self._seen: dict[str, str] = {}
        self._ahead = ahead

    @property
    def size_bytes(self) -> int:
        """All of them together, as they would stand in a page: base64 has four characters for three bytes."""
        return sum(-(-len(picture) // 3) * 4 for picture in self._encoded.values())

    def add(self, path: Path) -> str | None:
        """Take a picture in.

        Args:
            path: A PNG of a run.

        Returns:
            sha256 of its pixels, hex; None if the file is not there or is no picture.
        """
        try:
            content = path.read_bytes()
            # Each run has a copy of its input, the same file to the last byte.
            file_digest = hashlib.sha256(content).hexdigest()
            if self._ahead and file_digest in self._ahead._seen:
                sha256 = self._seen[file_digest] = self._ahead._seen[file_digest]
                self._encoded[sha256] = self._ahead._encoded[sha256]
            if file_digest not in self._seen:
                with Image.open(io.BytesIO(content)) as image:
                    self._seen[file_digest] = self._encode(image)
        except (OSError, SyntaxError, ValueError):
            return None
        return self._seen[file_digest]

    def data_uris(self) -> dict[str, str]:
        """The pictures as they stand in a page, by sha256 of the original's pixels."""
        return {sha256: f"data:image/webp;base64,{base64.b64encode(picture).decode()}" for sha256, picture in self._encoded.items()}

    def names(self) -> Mapping[str, str]:
        """File names, by sha256 of the original's pixels."""
        return {sha256: f"{sha256}.webp" for sha256 in self._encoded}

    def named(self) -> Iterator[tuple[str, bytes]]:
        """File names and contents."""
        return ((f"{sha256}.webp", picture) for sha256, picture in self._encoded.items())

    def _encode(self, image: Image.Image) -> str:
        pixels = image.convert("RGB")
        sha256 = digest_of_pixels(pixels)
        if sha256 not in self._encoded:
            is_mask = image.mode in ("1", "L")
            shown = image.convert("L") if is_mask else pixels
            if max(shown.size) > SIDE_PX:
                # Half the time of Lanczos, and the eye sees no difference at such small steps down.
                shown.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.HAMMING)
            if is_mask or max(shown.size) <= LOSSLESS_SIDE_PX:
                # Of a photograph method 2 takes four times as long and saves one twentieth; a mask is quick in any way, and with it small.
                self._encoded[sha256] = webp_file(shown, method=2 if is_mask else 0, quality=0, lossless=True)
            else:
                self._encoded[sha256] = webp_file(shown, method=1, quality=QUALITY)
        return sha256
