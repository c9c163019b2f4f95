"""The text chunk `sdxl_lab` of a PNG: all that is needed to make the picture again, and no local path."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, PngImagePlugin

from sdxl_lab.errors import LabError
from sdxl_lab.spec import Edit, ResolvedSpec, SpecError

KEYWORD = "sdxl_lab"
FORMAT = 1
LIMIT_BYTES = 1 << 20
"""Longest stamp that is written or read, 1 MiB. One with a prompt of 1,000 words has 10 KiB."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"


class StampError(LabError):
    """A picture has no stamp, or one that cannot be trusted to say how the picture was made."""


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What a picture says of itself.

    Attributes:
        run_id: The run it was made in, which may have made others too.
        resolved: That run cut down to this one picture: dataset and checkpoint by digest, names instead of local paths.
        versions: Library name to version.
        instruction_set: The CPU instructions torch used, or None where it does not matter.
        sha256: Of the pixels, as `digest_of_pixels` takes it.
    """

    run_id: str
    resolved: ResolvedSpec
    versions: dict[str, str]
    instruction_set: str | None
    sha256: str

    @property
    def edit(self) -> Edit:
        """The picture that was made: sample, task, prompts, seed, settings."""
        return self.resolved.edits[0]


def stamp_of(resolved: ResolvedSpec, edit: Edit, *, versions: dict[str, str], instruction_set: str | None, sha256: str) -> Stamp:
    """Cut a run down to one of its pictures.

    Args:
        resolved: The run.
        edit: One of its edits.
        versions: Library name to version.
        instruction_set: The CPU instructions torch used, or None.
        sha256: Of the picture's pixels.

    Returns:
        The stamp to write into the picture.
    """
    narrowed = resolved.spec.model_copy(update={"samples": (edit.sample,), "tasks": (edit.task,)})
    # Built anew, not copied: a copy would keep the run_id of the whole run.
    one = ResolvedSpec(
        spec=narrowed,
        dataset=resolved.dataset,
        checkpoint=resolved.checkpoint,
        edits=(edit,),
        dtype=resolved.dtype,
        threads=resolved.threads,
        device=resolved.device,
    )
    portable = ResolvedSpec.from_json(json.dumps(one.portable()))
    return Stamp(run_id=resolved.run_id, resolved=portable, versions=versions, instruction_set=instruction_set, sha256=sha256)


def stamped_png(image: Image.Image, stamp: Stamp) -> bytes:
    """Encode a picture as PNG with its stamp.

    Args:
        image: The picture.
        stamp: What it says of itself.

    Returns:
        The file's bytes; the same for the same picture and stamp.

    Raises:
        StampError: The stamp is longer than 1 MiB, which only a prompt can make it.
    """
    text = json.dumps(
        {
            "format": FORMAT,
            "run_id": stamp.run_id,
            "resolved": json.loads(stamp.resolved.to_json()),
            "versions": stamp.versions,
            "instruction_set": stamp.instruction_set,
            "sha256": stamp.sha256,
        }
    )
    if len(text) > LIMIT_BYTES:
        raise StampError(
            f"the description of {stamp.edit.sample} would take {len(text)} bytes of its PNG; at most {LIMIT_BYTES} are allowed: shorten its prompt"
        )
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text(KEYWORD, text)
    return png(image, chunks)


def png(image: Image.Image, chunks: PngImagePlugin.PngInfo | None = None) -> bytes:
    """Encode a picture as PNG.

    Args:
        image: The picture.
        chunks: Text to put into it.

    Returns:
        The file's bytes.
    """
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def digest_of_pixels(image: Image.Image) -> str:
    """Identify what a picture shows, whatever file holds it.

    Args:
        image: The picture.

    Returns:
        sha256, hex, over its red, green and blue bytes, row by row from the top.
    """
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def read_stamp(picture: Path) -> Stamp:
    """Read what a picture says of itself, from a file that may come from anywhere.

    The picture itself is not decoded, and no more than 1 MiB of the file is held in memory.

    Args:
        picture: A PNG.

    Returns:
        Its stamp. That the pixels are the ones it names is for the caller to check.

    Raises:
        StampError: No file, no PNG, no stamp, or one that is damaged, too long, or of another version.
    """
    try:
        with picture.open("rb") as file:
            text = _stamp_text(file, picture)
    except OSError as error:
        raise StampError(f"cannot read {picture}: {error.strerror or error}; give the path of a PNG that sdxl_lab made") from error
    if text is None:
        raise StampError(
            f"{picture} says nothing of how it was made: sdxl_lab did not make it, or a program that saved it again dropped its text chunk "
            f"{KEYWORD!r}; give the file from the run's images folder"
        )
    try:
        return _parse(json.loads(text))
    except (ValueError, RecursionError, KeyError, TypeError, SpecError) as error:
        reason = str(error) if isinstance(error, SpecError) else f"its text chunk {KEYWORD!r} is not what sdxl_lab {FORMAT}.x writes"
        raise StampError(f"{picture} does not say how it was made: {reason}; give the file from the run's images folder") from error


def _stamp_text(file: BinaryIO, picture: Path) -> bytes | None:
    if file.read(len(SIGNATURE)) != SIGNATURE:
        raise StampError(f"{picture} is not a PNG; give the path of a PNG that sdxl_lab made")
    prefix = KEYWORD.encode() + b"\0"
    for kind, length in _chunks(file):
        if kind != b"tEXt" or length < len(prefix):
            file.seek(length + 4, 1)
            continue
        start = file.read(len(prefix))
        if start != prefix:
            file.seek(length - len(prefix) + 4, 1)
            continue
        if length > LIMIT_BYTES + len(prefix):
            raise StampError(f"{picture} has a text chunk {KEYWORD!r} of {length} bytes; at most {LIMIT_BYTES} are read: sdxl_lab did not write it")
        rest = file.read(length - len(prefix))
        if file.read(4) != struct.pack(">I", zlib.crc32(kind + start + rest)):
            raise StampError(f"{picture} is damaged: its text chunk {KEYWORD!r} does not match its checksum; make the picture again")
        return rest
    return None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and length of each chunk; the reader moves the file past its content and checksum."""
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind == b"IEND":
            return
        yield kind, length


def _parse(values: Any) -> Stamp:
    if values["format"] != FORMAT:
        raise ValueError("another format")
    texts = {str(name): str(version)[:100] for name, version in dict(values["versions"]).items()}
    resolved = ResolvedSpec.from_json(json.dumps(values["resolved"]))
    if len(resolved.edits) != 1:
        raise ValueError("not one edit")
    instruction_set = values["instruction_set"]
    return Stamp(
        run_id=_text(values["run_id"]),
        resolved=resolved,
        versions=texts,
        instruction_set=None if instruction_set is None else _text(instruction_set),
        sha256=_text(values["sha256"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
