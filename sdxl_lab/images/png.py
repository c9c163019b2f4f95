"""PNG and its text: pictures to files that say something of themselves, and what a file from anywhere says."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from PIL import Image, PngImagePlugin

from sdxl_lab.errors import LabError

SIGNATURE = b"\x89PNG\r\n\x1a\n"


class PngError(LabError):
    """A file is no PNG, or its text is damaged or too long."""


def png(image: Image.Image, texts: Mapping[str, str] = MappingProxyType({}), *, compress_level: int | None = None) -> bytes:
    """Encode a picture as PNG.

    Args:
        image: The picture.
        texts: Keyword to text, a chunk each, in that order.
        compress_level: zlib's, from 0 to 9, for files that are named by their bytes, which must not become others. When left out zlib looks for
            repetitions of one byte alone: of a photograph there are no others behind PNG's filters, and looking takes four times as long.

    Returns:
        The file's bytes; the same for the same picture and texts.
    """
    chunks = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        chunks.add_text(keyword, text)
    buffer = io.BytesIO()
    compression = {"compress_type": zlib.Z_RLE} if compress_level is None else {"compress_level": compress_level}
    image.save(buffer, "PNG", pnginfo=chunks, **compression)
    return buffer.getvalue()


def digest_of_pixels(image: Image.Image) -> str:
    """Identify what a picture shows, whatever file holds it.

    Args:
        image: The picture.

    Returns:
        sha256, hex, over its red, green and blue bytes, row by row from the top.
    """
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def digests_of_pixels(images: Mapping[str, Image.Image]) -> dict[str, str]:
    """Identify pictures by their names, each as `digest_of_pixels` does."""
    return {name: digest_of_pixels(image) for name, image in images.items()}


def text_in(picture: Path, keyword: str, *, most_bytes: int) -> bytes | None:
    """Read a text chunk of a file that may come from anywhere.

    The picture itself is not decoded, and no more than the text is held in memory.

    Args:
        picture: A PNG.
        keyword: What the text is called.
        most_bytes: How long it may be.

    Returns:
        The first `tEXt` of that name, encoded as it is; None if there is none.

    Raises:
        PngError: It is no PNG, or its text is too long, or damaged.
        OSError: It cannot be read.
    """
    prefix = keyword.encode() + b"\0"
    with picture.open("rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            raise PngError(f"{picture} is not a PNG; give the path of a PNG that sdxl_lab made")
        for kind, length in _chunks(file):
            if kind != b"tEXt" or length < len(prefix):
                file.seek(length + 4, 1)
                continue
            start = file.read(len(prefix))
            if start != prefix:
                file.seek(length - len(prefix) + 4, 1)
                continue
            if length > most_bytes + len(prefix):
                raise PngError(f"{picture} has a text chunk {keyword!r} of {length} bytes; at most {most_bytes} are read: sdxl_lab did not write it")
            rest = file.read(length - len(prefix))
            if file.read(4) != struct.pack(">I", zlib.crc32(kind + start + rest)):
                raise PngError(f"{picture} is damaged: its text chunk {keyword!r} does not match its checksum; make the picture again")
            return rest
    return None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and length of each chunk; the reader moves the file past its content and checksum."""
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind == b"IEND":
            return
        yield kind, length
