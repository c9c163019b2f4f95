"""A preference study as its file says it: which pictures are shown together, and which system made each of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import write_whole
from sdxl_lab.records.picture import UNREADABLE, pixels_of
from sdxl_lab.wording import few

FILE = "study.json"
PAGE = "index.html"
Question = Literal["better", "prompt", "edit"]
QUESTIONS: Mapping[Question, str] = {
    "better": "Which picture is better?",
    "prompt": "Which picture fits the prompt better?",
    "edit": "Which edit is cleaner?",
}
"""What judges can be asked, by the word that commands have for it."""
MOST_NAMES = 5


class StudyError(LabError):
    """A study cannot be made or read as asked."""


@dataclass(frozen=True, kw_only=True)
class System:
    """What is compared: settings, and the runs in which pictures were made by them.

    Attributes:
        runs: Their folders, as seen from the study's folder.
        settings: Dotted name of each setting that differs between the study's systems to its value.
    """

    runs: tuple[str, ...]
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ShownPicture:
    """A picture that judges see.

    Attributes:
        system: Label of the system that made it.
        sample: Name of the sample it is of; pictures of one sample are alike, so that samples are what is resampled.
        task: What was done with the sample.
        seed: By which it was made.
        picture: Path of its PNG as seen from the study's folder, with "/".
        sha256: Of its pixels, as `digest_of_pixels` takes it.
    """

    system: str
    sample: str
    task: str
    seed: int
    picture: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Pictures that are shown side by side, of one sample, task and seed, each of another system.

    Attributes:
        trial: Its name.
        pictures: Names of two pictures or more, in no particular order; in which one a judge sees them is drawn for each judge.
        mirrors: The trial that it asks once more, with the same pictures the other way round; None of a trial that stands for itself.
    """

    trial: str
    pictures: tuple[str, ...]
    mirrors: str | None = None


@dataclass(frozen=True, kw_only=True)
class Study:
    """The key of a preference study: what judges do not get to see.

    Attributes:
        study: Names it, at random.
        version: Of sdxl_lab, that made it.
        question: One of `QUESTIONS`.
        seed: By which the trials were chosen.
        systems: Label to what is compared.
        pictures: Name to picture; names are random and say nothing.
        trials: What is asked, in no particular order.
    """

    study: str
    version: str
    question: Question
    seed: int
    systems: Mapping[str, System]
    pictures: Mapping[str, ShownPicture]
    trials: tuple[Trial, ...]

    @classmethod
    def read(cls, folder: Path) -> Study:
        """Read the study that a folder holds.

        Args:
            folder: As `sdxl-lab study new` made it.

        Raises:
            StudyError: There is none, or it was changed since.
        """
        file, advice = folder / FILE, "give a folder that sdxl-lab study new made"
        if not file.exists():
            is_what = (
                "is not there" if not folder.exists() else f"holds no study: it has no {FILE}" if folder.is_dir() else "is a file, and no folder"
            )
            raise StudyError(f"{folder} {is_what}; {advice}")
        try:
            values = json.loads(file.read_bytes())
            digest = values.pop("digest")
            read = _studies().validate_python(values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            is_broken = isinstance(error, json.JSONDecodeError | UnicodeDecodeError | OSError)
            said = f"cannot be read ({error})" if is_broken else "holds other values than those of a study"
            raise StudyError(f"{folder} holds no study: {FILE} {said}; {advice}") from error
        fault = read.fault if digest == read.digest else "its content does not match its digest"
        if fault:
            raise StudyError(f"{file} was changed after it was written: {fault}; take the copy that its page was made with")
        return read

    def write(self, folder: Path) -> None:
        """Write the key, whole or not at all.

        Args:
            folder: The study's.

        Raises:
            DiskError: The disk is full or not writable.
        """
        content = json.dumps(self._values | {"digest": self.digest}, indent=1, ensure_ascii=False, allow_nan=False)
        write_whole(folder / FILE, (content + "\n").encode())

    @property
    def digest(self) -> str:
        """By what votes know which study they are of: sha256, hex, of the canonical JSON of all of it."""
        return hashlib.sha256(canonical(self._values)).hexdigest()

    @property
    def fault(self) -> str | None:
        """What does not go together in it; None if all does."""
        names = {trial.trial: trial for trial in self.trials}
        if len(names) < len(self.trials):
            return "two trials have one name"
        for trial in self.trials:
            if unknown := [name for name in trial.pictures if name not in self.pictures]:
                return f"trial {trial.trial} shows {few(unknown, MOST_NAMES)}, of which nothing is said"
            shown = [self.pictures[name] for name in trial.pictures]
            if len(shown) < 2 or len({picture.system for picture in shown}) < len(shown):
                return f"trial {trial.trial} does not show pictures of two systems or more, one of each"
            if len({(picture.sample, picture.task, picture.seed) for picture in shown}) > 1:
                return f"trial {trial.trial} shows pictures of more than one sample, task and seed"
            if trial.mirrors is not None and set(getattr(names.get(trial.mirrors), "pictures", ())) != set(trial.pictures):
                return f"trial {trial.trial} mirrors {trial.mirrors}, which does not show the same pictures"
        unknown = sorted({picture.system for picture in self.pictures.values()} - set(self.systems))
        return f"nothing is said of the system {few(unknown, MOST_NAMES)}" if unknown else None

    @property
    def _values(self) -> dict[str, Any]:
        return asdict(self)


def canonical(value: Any) -> bytes:
    """Write plain values as the one JSON that they have, of which digests are taken; the study's page writes the same bytes.

    Args:
        value: Plain values; whole numbers alone, since languages write others differently.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_at(picture: Path) -> str | None:
    """The sha256 of a PNG's pixels; None if there is no whole one."""
    try:
        return pixels_of(picture)[1]
    except UNREADABLE:
        return None


@cache
def _studies() -> TypeAdapter[Study]:
    return TypeAdapter(Study)
