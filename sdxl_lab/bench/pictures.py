"""The pictures of a bench, as code has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from sdxl_lab.bench.errors import BenchError
from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.records.stamps import Stamp
from sdxl_lab.runs.made_picture import Described
from sdxl_lab.wording import counted


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
    def files(self) -> Mapping[str, str]:
        """Where the files were of what was on the models, such as `embeddings.dreamy`, as far as they are still there."""
        return SessionFolder(self.kept.session).files_of(self.kept)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.kept.recorded.width, self.kept.recorded.height

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


def meant(session: SessionFolder, picture: Any, *, also_deleted: bool = False) -> KeptPicture | None:
    """Find the picture of a session that is meant.

    Args:
        session: The session.
        picture: One of its pictures, its number, or the first six digits or more of its `picture_id`; None for the one that was asked for last.
        also_deleted: Whether one that was deleted may be meant, of which it is known how it was made.

    Returns:
        None if it is none of them.
    """
    if picture is None:
        return session.latest()
    kept = session.recorded() if also_deleted else session.pictures()
    if isinstance(picture, int) and not isinstance(picture, bool):
        return next((one for one in kept if one.number == picture), None)
    wanted = picture.picture_id if isinstance(picture, Described) else picture
    found = [one for one in kept if isinstance(wanted, str) and len(wanted) >= 6 and one.picture_id.startswith(wanted)]
    return found[0] if len(found) == 1 else None


def required(session: SessionFolder, picture: Any, *, also_deleted: bool = False) -> KeptPicture:
    """The picture of a session that is meant.

    Args:
        session: As for `meant`.
        picture: Likewise, and `also_deleted`.
        also_deleted: See `meant`.

    Raises:
        BenchError: It is none of them.
    """
    if kept := meant(session, picture, also_deleted=also_deleted):
        return kept
    if picture is None:
        raise BenchError("the session has no picture yet; make one first")
    has = f"the session has {counted(session.count, 'picture')}" if session.count else "the session has no picture yet"
    raise BenchError(f"got the picture {picture!r}, and {has}; give one of bench.pictures, its number, or six digits of its picture_id")


def looked_at(session: SessionFolder, *, starred: bool) -> list[KeptPicture]:
    """The pictures of a session to be looked at.

    Args:
        session: The session.
        starred: Whether the starred ones alone.

    Raises:
        BenchError: There is none.
    """
    pictures = [kept for kept in session.pictures() if kept.is_sound and (kept.is_starred or not starred)]
    if not pictures:
        raise BenchError("no picture is starred; star one, or look at all" if starred else "there is no picture yet; make one first")
    return pictures
