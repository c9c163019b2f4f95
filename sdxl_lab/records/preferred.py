"""What people preferred, as a preference study found it: kept beside the records of the pictures that were judged, as one more measure of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import FiniteFloat, TypeAdapter

from sdxl_lab.files.digests import once_a_file
from sdxl_lab.records.measures import FOLDER, Key, key_of
from sdxl_lab.records.picture import Picture

STEM = "preferred"
"""With what the columns of studies begin; digits of the study follow."""
_ANSWER = "answer"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number that votes give.

    Attributes:
        value: The number.
        low: Lower end of its 95% interval; None with too few samples, and where all votes say the same, since resampling equal votes gives nothing
            but equal votes.
        high: Upper end; None as for `low`.
    """

    value: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A system among others.

    Attributes:
        system: Its label.
        shown: In how many votes it was shown.
        chosen: In how many it was chosen.
        share: How often people choose it among all systems of its ranking; None where every answer was a tie.
    """

    system: str
    shown: int
    chosen: int
    share: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Systems that were asked about together.

    Attributes:
        standings: The largest share first.
        is_counted: Whether shares are counted; else they are derived from strengths.
    """

    standings: tuple[Standing, ...]
    is_counted: bool


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """How far a metric agrees with people.

    Attributes:
        metric: Its name.
        srocc: Spearman's rank correlation with the votes.
    """

    metric: str
    srocc: Estimate


@dataclass(frozen=True, kw_only=True)
class StudyAnswer:
    """What a study found, in short, and without names of judges.

    Attributes:
        study: Names the study.
        question: What was asked, as judges read it.
        summary: How many votes, judges and systems there are, in words.
        votes: How many were counted.
        systems: Label to the settings that differ, by dotted name.
        rankings: Shares; several where some systems were never compared with others.
        agreements: Metrics that are correlated with the votes, the one that agrees most first.
        notes: What has to be known to read the numbers.
    """

    study: str
    question: str
    summary: str
    votes: int
    systems: Mapping[str, Mapping[str, Any]]
    rankings: tuple[Shares, ...]
    agreements: tuple[Agreed, ...]
    notes: tuple[str, ...]

    @property
    def column(self) -> str:
        """Under which name each picture has its share of votes, as records and comparisons name metrics."""
        return f"{STEM}-{self.study[:8]}"

    @property
    def said(self) -> dict[str, Any]:
        """What a file of measures says beside the numbers."""
        return {_ANSWER: asdict(self)}


def answers_on(pictures: Iterable[tuple[Path, Picture]]) -> tuple[StudyAnswer, ...]:
    """Find what people preferred among some pictures; what can't be read is passed over.

    Args:
        pictures: Each with the folder of the run or session that it is recorded in.

    Returns:
        Each study once, in the order of the pictures; where copies of its answer differ, the one with the most votes.
    """
    places: dict[Path, set[Key]] = {}
    for place, picture in pictures:
        places.setdefault(place, set()).add(key_of(picture))
    found: dict[str, StudyAnswer] = {}
    for place, keys in places.items():
        for file in sorted((place / FOLDER).glob(f"{STEM}-*.json")):
            with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                judged, answer = _read(file)
                if judged & keys and (answer.study not in found or answer.votes > found[answer.study].votes):
                    found[answer.study] = answer
    return tuple(found.values())


@once_a_file
def _read(file: Path) -> tuple[frozenset[Key], StudyAnswer]:
    document = json.loads(file.read_bytes())
    judged = frozenset((str(each["picture_id"]), str(each["sha256"])) for each in document["pictures"])
    return judged, _answers().validate_python(document[_ANSWER])


@cache
def _answers() -> TypeAdapter[StudyAnswer]:
    return TypeAdapter(StudyAnswer)
