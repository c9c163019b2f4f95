"""What a single call gives back: the picture, and all that made it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import write_whole
from sdxl_lab.images.png import png
from sdxl_lab.records.stamps import Stamp, stamped_png
from sdxl_lab.settings.sections import EditSettings
from sdxl_lab.spec.asked_again import with_files
from sdxl_lab.spec.edit import Edit
from sdxl_lab.viewing import display
from sdxl_lab.wording import counted, printable

LONGEST_SHOWN = 60
"""Characters of a prompt on the one line that says what a picture is."""


class SaveError(LabError):
    """A picture cannot be saved under that name."""


class Described(ABC):
    """A picture that says how it was made."""

    @property
    @abstractmethod
    def stamp(self) -> Stamp:
        """What its PNG says of it, which is all that is needed to make it again."""

    @property
    @abstractmethod
    def image(self) -> Image.Image:
        """The picture, mode "RGB"."""

    @property
    def files(self) -> Mapping[str, str]:
        """Where the files are here of what was on the models, such as `embeddings.dreamy`; what it does not tell is known by name alone."""
        return {}

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.size

    @property
    def edit(self) -> Edit:
        """What was painted, with every setting."""
        return self.stamp.edit

    @property
    def task(self) -> str:
        """What was done."""
        return self.edit.task

    @property
    def prompt(self) -> str:
        """The text that was painted."""
        return self.edit.prompt

    @property
    def negative_prompt(self) -> str | None:
        """The text it was led away from."""
        return self.edit.negative_prompt

    @property
    def seed(self) -> int:
        """Where its noise came from: 0 if none was given."""
        return self.edit.seed

    @property
    def settings(self) -> EditSettings:
        """Everything else it depends on, with nothing left to choose."""
        return self.edit.settings

    @property
    def picture_id(self) -> str:
        """Names it by all that made it: the same picture of a run has the same."""
        assert self.stamp.picture_id is not None
        return self.stamp.picture_id

    @property
    def sha256(self) -> str:
        """Of its pixels."""
        return self.stamp.sha256

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of it, such as words that its model did not read, one line each."""
        return self.stamp.notes

    @property
    def asked(self) -> dict[str, Any]:
        """The settings that were asked for, seed and negative prompt among them, as calls take them: to go on from it with some changed."""
        given = with_files(self.stamp.resolved.spec.given(self.task), self.files)
        return {key: value for key, value in given.items() if key not in ("prompt", "image")} | given.get("image", {})

    def save(self, path: Path | str) -> Path:
        """Write it as a PNG that says how it was made, for `reproduce`, `sdxl-lab show` and other tools.

        Args:
            path: Ends in .png; replaced if it exists.

        Returns:
            The path.

        Raises:
            SaveError: It is no name of a PNG, or its folder is not there.
            DiskError: The disk is full or not writable.
        """
        chosen = require_png(path)
        write_whole(chosen, stamped_png(self.image, self.stamp))
        return chosen

    def show(self, max_side_px: int = display.MAX_SIDE_PX) -> None:
        """Show it in a notebook, small: the notebook holds no more than what is seen.

        Args:
            max_side_px: Longest side in pixels.
        """
        display.show({f"{_short(self.prompt)}, seed {self.seed}": self.image}, max_side_px)

    def _repr_png_(self) -> bytes:
        """What a notebook shows of it as a cell's value."""
        return png(self.image)

    def __repr__(self) -> str:
        width, height = self.size
        noted = f", {counted(len(self.notes), 'note')}" if self.notes else ""
        return f"<{type(self).__name__} {self.picture_id[:10]}: {self.task} {_short(self.prompt)!r}, seed {self.seed}, {width}x{height}{noted}>"


class MadePicture(Described):
    """A picture that one call made, such as `inpaint`. As a cell's value, a notebook shows it.

    Args:
        image: The picture, mode "RGB".
        stamp: What its PNG says of it, which is all that is needed to make it again.
        seconds: Wall time of making it, less whatever was remembered.

    Examples:
        >>> made = inpaint("photo.png", "mask.png", "a blue star on grass", num_inference_steps=3)
        >>> made.seed, made.settings.denoising.num_inference_steps, made.image.size
        (0, 3, (128, 128))
        >>> inpaint("photo.png", "mask.png", made.prompt, **made.asked | {"seed": 8}).seed
        8
        >>> made.save("star.png").name
        'star.png'
    """

    def __init__(self, *, image: Image.Image, stamp: Stamp, seconds: float, files: Mapping[str, str] | None = None) -> None:
        self._image, self._stamp, self.seconds, self._files = image, stamp, seconds, dict(files or {})

    @property
    def files(self) -> Mapping[str, str]:
        """Where the files are here of what was on the models, such as `embeddings.dreamy`."""
        return self._files

    @property
    def image(self) -> Image.Image:
        """The picture, mode "RGB"."""
        return self._image

    @property
    def stamp(self) -> Stamp:
        """What its PNG says of it, which is all that is needed to make it again."""
        return self._stamp


def require_png(written: Path | str) -> Path:
    """See that a picture can be saved under a name.

    Args:
        written: It, as somebody gave it.

    Returns:
        The path.

    Raises:
        SaveError: It is no name of a PNG, or its folder is not there.
    """
    if not isinstance(written, str | os.PathLike):
        raise SaveError(f"the path to save to: got {written!r}; allowed is the path of a PNG, such as 'star.png'")
    path = Path(written).expanduser()
    if path.suffix.lower() != ".png":
        raise SaveError(
            f"the path to save to: got {str(written)!r}; it must end in .png, the one format that keeps how a picture was made. `.image.save(...)` "
            "writes any other"
        )
    if not path.parent.is_dir():
        raise SaveError(f"the path to save to: got {str(written)!r}, and there is no folder {path.parent}; make it first, or choose another")
    if path.exists() and not path.is_file():
        raise SaveError(f"the path to save to: got {str(written)!r}, and something else than a file has that name; choose another")
    return path


def _short(prompt: str) -> str:
    line = printable(" ".join(prompt.split()))
    return line if len(line) <= LONGEST_SHOWN else f"{line[: LONGEST_SHOWN - 1]}…"
