"""The pictures of a bench, as code has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.stamps import Stamp
from sdxl_lab.runs.made_picture import Described


class BenchPicture(Described):
    """A picture of a session. As a cell's value, a notebook shows it.

    It is as it was when it was asked for: `bench.pictures` knows of later stars and notes.

    Args:
        kept: As it is recorded. Its pixels are read from the disk when somebody wants them.
    """

    def __init__(self, kept: KeptPicture) -> None:
        self.kept = kept

    @property
    def stamp(self) -> Stamp:
        """What its PNG says of it."""
        return self.kept.stamp

    @property
    def image(self) -> Image.Image:
        """The picture, mode "RGB"."""
        with Image.open(self.path) as image:
            return image.convert("RGB")

    @property
    def path(self) -> Path:
        """Its PNG, which says how it was made."""
        return self.kept.recorded.image

    @property
    def number(self) -> int:
        """Its place in the session, from 1."""
        return self.kept.number

    @property
    def is_starred(self) -> bool:
        """Whether it was starred."""
        return self.kept.is_starred

    @property
    def note(self) -> str:
        """What was written of it."""
        return self.kept.note

    @property
    def metrics(self) -> Mapping[str, float]:
        """What was measured of it: name to number."""
        return self.kept.recorded.metrics

    @property
    def seconds(self) -> float:
        """Wall time of making it, less whatever was remembered."""
        return self.kept.recorded.seconds

    @property
    def picture_id(self) -> str:
        """Names it by all that made it."""
        return self.kept.picture_id

    @property
    def sha256(self) -> str:
        """Of its pixels."""
        return self.kept.recorded.sha256

    def __repr__(self) -> str:
        star = ", starred" if self.is_starred else ""
        note = f", note {self.note[:40]!r}" if self.note else ""
        return f"{super().__repr__()[:-1]}, number {self.number}{star}{note}>"
