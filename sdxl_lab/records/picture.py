"""One line of `images.jsonl`: a picture as it is recorded, and whether its files are still whole."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from PIL import Image
from pydantic import TypeAdapter
from pydantic_core import from_json

from sdxl_lab.files.digests import once_a_file
from sdxl_lab.images.png import digest_of_pixels
from sdxl_lab.spec.edit import PictureKey, apart
from sdxl_lab.spec.generated import Frame, Generated
from sdxl_lab.tasks import INPUT, MASK, RESULT, TASKS

UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
LATER = ("picture_id", "notes", "ordinal", "frame")
"""What lines of 0.1.0 lack; written where there is something to say."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One line of `images.jsonl`: a picture that is whole on the disk.

    Attributes:
        sample: Name of the sample it starts from.
        task: What was done with it.
        step: Index of the sample in its dataset, from 0; Comet steps through pictures by it. In a record of 0.1.0, its index in the run.
        prompt: The text that was painted.
        negative_prompt: The text it was led away from, or None.
        seed: As given, perhaps negative.
        files: Paths of its PNGs by role, as its task has them: such as `input`, what it started from, `mask`, as really used, and `result`.
        width: Pixels of the result.
        height: Pixels of the result.
        working_width: Pixels the checkpoint worked at.
        working_height: Pixels the checkpoint worked at.
        stretch: Width's scale over height's between input and working size; 1.0 keeps the aspect.
        base_steps: Denoising steps the base really ran.
        refiner_steps: Denoising steps the refiner really ran.
        seconds: Wall time it took.
        sha256: Of its pixels, as `digest_of_pixels` takes it.
        metrics: Name to number.
        picture_id: Names it by all that made it, as `ResolvedSpec.picture_id` does; None in a line of 0.1.0, until its run folder computes it.
        notes: What was to be said of it, such as words that its model did not read.
        ordinal: Its place among the run's pictures of this sample and task, which differ in their seeds, from 0.
        frame: The crop that its models saw; None where they saw all of it.
    """

    sample: str
    task: str
    step: int
    prompt: str
    negative_prompt: str | None
    seed: int
    files: Mapping[str, Path]
    width: int
    height: int
    working_width: int
    working_height: int
    stretch: float
    base_steps: int
    refiner_steps: int
    seconds: float
    sha256: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    picture_id: str | None = None
    notes: tuple[str, ...] = ()
    ordinal: int = 0
    frame: Frame | None = None

    @classmethod
    def of(
        cls, made: Generated, *, step: int, files: Mapping[str, Path], sha256: str, picture_id: str, metrics: Mapping[str, float], **said: Any
    ) -> Self:
        """What is recorded of a picture that was made.

        Args:
            made: The picture.
            step: As an attribute; likewise `files`, `sha256` and `picture_id`.
            files: By role.
            sha256: Of its pixels.
            picture_id: Its name.
            metrics: Name to number.
            **said: Further attributes: `notes` and `ordinal`.
        """
        edit = made.edit
        return cls(
            sample=edit.sample,
            task=edit.task,
            step=step,
            prompt=edit.prompt,
            negative_prompt=edit.negative_prompt,
            seed=edit.seed,
            files=files,
            width=made.image.width,
            height=made.image.height,
            working_width=made.working_size[0],
            working_height=made.working_size[1],
            stretch=float(made.stretch),
            base_steps=int(made.base_steps),
            refiner_steps=int(made.refiner_steps),
            seconds=round(float(made.seconds), 6),
            sha256=sha256,
            metrics={name: float(number) for name, number in metrics.items()},
            picture_id=picture_id,
            frame=made.frame,
            **said,
        )

    @property
    def key(self) -> PictureKey:
        """Sample, task and seed, which name a picture within its run."""
        return self.sample, self.task, self.seed

    @property
    def title(self) -> str:
        """What people call it: its sample and task, and its seed unless it is the first of them."""
        return apart(f"{self.sample} {self.task}", " ", self.seed, self.ordinal)

    @property
    def image(self) -> Path:
        """Path of the result's PNG."""
        return self.files[RESULT.name]

    @property
    def input_image(self) -> Path:
        """Path of what it started from; only for tasks that have an input. Likewise `mask_image`."""
        return self.files[INPUT.name]

    @property
    def mask_image(self) -> Path:
        """Path of the mask as really used; only for tasks that have a mask."""
        return self.files[MASK.name]


def to_line(picture: Picture, folder: Path) -> bytes:
    """Write a picture as one line of JSON.

    Args:
        picture: What is recorded.
        folder: The run's folder; the line's paths are relative to it.

    Returns:
        UTF-8 without a newline.
    """
    values: dict[str, Any] = {}
    for name, value in asdict(picture).items():
        values |= _paths(picture, folder) if name == "files" else {name: value}
    values = {name: value for name, value in values.items() if value or name not in LATER}
    return json.dumps(values, ensure_ascii=False, allow_nan=False).encode()


def from_line(line: bytes, folder: Path) -> Picture | None:
    """Read what `to_line` wrote.

    Args:
        line: One line.
        folder: The run's folder.

    Returns:
        The picture; None if the line is damaged or names a file outside the folder: a power cut can leave a line of zeros, and a folder may
        come from anywhere. Its picture is made again.
    """
    try:
        values = from_json(line)
        files = {role.name: values[role.key] for role in TASKS[values["task"]].roles}
        picture = _pictures().validate_python(values | {"files": files})
    except (ValueError, LookupError, TypeError):
        return None
    if any(file.is_absolute() or ".." in file.parts for file in picture.files.values()):
        return None
    return replace(picture, files={name: folder / file for name, file in picture.files.items()})


def is_whole(picture: Picture) -> bool:
    """Whether a picture's files are there, and its pixels are those that were recorded."""
    if not all(file.is_file() for file in picture.files.values()):
        return False
    try:
        size, sha256 = pixels_of(picture.image)
    except UNREADABLE:
        return False
    return size == (picture.width, picture.height) and sha256 == picture.sha256


@once_a_file
def pixels_of(path: Path) -> tuple[tuple[int, int], str]:
    """Read size and digest of a PNG's pixels, once as long as the file is the same: who follows a run asks after each picture.

    Raises:
        OSError: One of `UNREADABLE`, all of which say that there is no whole PNG.
    """
    with Image.open(path, formats=["PNG"]) as image:
        return image.size, digest_of_pixels(image)


def _paths(picture: Picture, folder: Path) -> dict[str, str]:
    """A picture's files as its line names them, the result first."""
    roles = sorted(TASKS[picture.task].roles, key=lambda role: role != RESULT)
    return {role.key: picture.files[role.name].relative_to(folder).as_posix() for role in roles}


@cache
def _pictures() -> TypeAdapter[Picture]:
    """What checks the types of a line's values."""
    return TypeAdapter(Picture)


def file_name(sample: str) -> str:
    """Turn a sample's name into a name any file system takes.

    Args:
        sample: Any text.

    Returns:
        The text itself where it is a plain name; elsewhere with `%` and a code for each character that is not, so that
        different samples keep different names.
    """
    if re.fullmatch(r"[\w-][\w. -]{0,60}", sample) and sample[-1] not in ". ":
        return sample
    coded = quote(sample, safe="").replace(".", "%2E")
    return coded if 0 < len(coded) <= 180 else f"{coded[:100]}%{hashlib.sha256(sample.encode()).hexdigest()[:16]}"
