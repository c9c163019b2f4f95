"""The pictures of a study as they are recorded, and what is kept beside these records of what people said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sdxl_lab.metrics.asked import VOTED
from sdxl_lab.records import measures
from sdxl_lab.records.finding import runs_at
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.preferred import STEM, Agreed, Shares, StudyAnswer
from sdxl_lab.records.run_files import RecordError
from sdxl_lab.studies.ballots import Ballots
from sdxl_lab.studies.trials import Study

if TYPE_CHECKING:
    from sdxl_lab.studies.result import StudyResult


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A picture that was voted on.

    Attributes:
        sha256: Of its pixels.
        shown: In how many votes it was shown.
        chosen: In how many it was chosen.
        preferred: Share of them in which it was chosen; of a tie each picture that was shown has its part.
    """

    sha256: str
    shown: int
    chosen: int
    preferred: float


def judged_in(ballots: Ballots, study: Study) -> dict[str, Judged]:
    """Count the votes on each picture.

    Args:
        ballots: The votes.
        study: What was asked.

    Returns:
        By the picture's name; pictures without a vote are left out.
    """
    found = {}
    for name, shown in study.pictures.items():
        there = ballots.pictures == name
        among = there.any(1)
        if among.any():
            chosen = there[np.arange(len(ballots)), ballots.answer] & ~ballots.is_tie
            points = chosen.sum() + (1 / ballots.size[among & ballots.is_tie]).sum()
            found[name] = Judged(sha256=shown.sha256, shown=int(among.sum()), chosen=int(chosen.sum()), preferred=float(points / among.sum()))
    return found


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A picture of a study as it is recorded.

    Attributes:
        place: The folder of its run or session.
        picture: It, with all its numbers.
    """

    place: Path
    picture: Picture


def recorded_of(study: Study, folder: Path) -> tuple[dict[str, Recorded], tuple[str, ...]]:
    """Find the records of a study's pictures.

    Args:
        study: The study.
        folder: Where it lies.

    Returns:
        Those found by name, and the names of runs and sessions that are not where they were.
    """
    found: dict[tuple[Path, str], Recorded] = {}
    lost = []
    for place in dict.fromkeys(place for system in study.systems.values() for place in system.runs):
        try:
            runs = runs_at([(folder / place).resolve()])
        except RecordError:
            lost.append(Path(place).name)
            continue
        for run in runs:
            found |= {(picture.image.resolve(), picture.sha256): Recorded(place=run.top, picture=picture) for picture in run.pictures()}
    shown = {name: found.get(((folder / picture.picture).resolve(), picture.sha256)) for name, picture in study.pictures.items()}
    return {name: each for name, each in shown.items() if each}, tuple(lost)


def keep_beside(result: StudyResult, study: Study, folder: Path) -> tuple[Path, ...]:
    """Keep beside each record of a picture that was voted on how often it was preferred, and the answer: comparisons, reports and Comet have it then.

    Args:
        result: The answer.
        study: What was asked.
        folder: Where the study lies.

    Returns:
        The files, one a run or session; what an earlier count left there is replaced.

    Raises:
        DiskError: One cannot be written.
    """
    answer = answer_of(result)
    by_place: dict[Path, list[tuple[Picture, Judged]]] = {}
    for name, recorded in recorded_of(study, folder)[0].items():
        if name in result.pictures:
            by_place.setdefault(recorded.place, []).append((recorded.picture, result.pictures[name]))
    return tuple(_keep(place, judged, answer, result) for place, judged in by_place.items())


def answer_of(result: StudyResult) -> StudyAnswer:
    """An answer in short, without names of judges."""
    return StudyAnswer(
        study=result.study,
        question=result.title,
        summary=result.summary,
        votes=sum(ranking.votes for ranking in result.rankings),
        systems=result.systems,
        rankings=tuple(Shares(standings=ranking.standings, is_counted=ranking.is_counted) for ranking in result.rankings),
        agreements=tuple(Agreed(metric=each.metric, srocc=each.srocc) for each in result.agreements if each.srocc),
        notes=result.notes,
    )


def _keep(place: Path, judged: list[tuple[Picture, Judged]], answer: StudyAnswer, result: StudyResult) -> Path:
    numbers: Mapping[measures.Key, float | None] = {measures.key_of(picture): each.preferred for picture, each in judged}
    column = measures.Column(name=answer.column, identity={"study": result.study, "key": result.digest, "votes": answer.votes}, numbers=numbers)
    titles = {measures.key_of(picture): picture.title for picture, _ in judged}
    words = VOTED[STEM]
    return measures.keep(place, column, {"sentence": words.sentence, "unit": words.unit, "better": words.better, **answer.said}, titles)
