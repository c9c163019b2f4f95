"""The answer of a preference study: from its key and its votes to shares, judges, and the numbers that agree with people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdxl_lab import progress
from sdxl_lab.progress.signs import shown
from sdxl_lab.records.study_result import ResultFolder
from sdxl_lab.studies.ballots import Ballots
from sdxl_lab.studies.judges import Judge, judges_of, mutual_agreement
from sdxl_lab.studies.measured import Agreement, agreements, numbers_of
from sdxl_lab.studies.notes import DOUBTFUL, notes_of
from sdxl_lab.studies.ranking import Place, Ranking, places_of, rankings_of
from sdxl_lab.studies.recorded import Judged, judged_in, recorded_of
from sdxl_lab.studies.resampling import RESAMPLES, Clusters
from sdxl_lab.studies.trials import MOST_NAMES, QUESTIONS, Question, Study, StudyError
from sdxl_lab.studies.votes import SKIP, Votes, read_votes
from sdxl_lab.wording import counted, few

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, repr=False)
class StudyResult:
    """What people said.

    Attributes:
        study: Names the study.
        digest: Of its key.
        version: Of sdxl_lab, that counted.
        question: What was asked.
        systems: Label to the settings that differ.
        rankings: Shares and pairs; several where some systems were never compared with others.
        places: Whether it mattered where a picture was shown.
        judges: All who voted, those who were left out marked.
        mutual_agreement: How often two judges gave one question the same answer; None with one judge.
        min_self_agreement: With less, judges were left out; 0 for nobody.
        agreements: Of each metric, how far it agrees with people, the best first.
        pictures: By its name in the study, the votes on each picture.
        notes: What has to be known to read the numbers.
    """

    study: str
    digest: str
    version: str
    question: Question
    systems: Mapping[str, Mapping[str, Any]]
    rankings: tuple[Ranking, ...]
    places: tuple[Place, ...]
    judges: tuple[Judge, ...]
    mutual_agreement: float | None
    min_self_agreement: float
    agreements: tuple[Agreement, ...]
    pictures: Mapping[str, Judged]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The question, as judges read it."""
        return QUESTIONS[self.question]

    @property
    def summary(self) -> str:
        """How many votes, judges and systems there are."""
        judges = sum(not judge.is_left_out for judge in self.judges)
        votes = sum(ranking.votes for ranking in self.rankings)
        return f"{counted(votes, 'vote')} of {counted(judges, 'judge')} on {counted(len(self.systems), 'system')}"

    def table(self) -> pd.DataFrame:
        """The shares, one row a system: `share`, its `low` and `high` end, how often it was `chosen` and `shown`; `group` numbers the rankings."""
        from sdxl_lab.studies.frames import shares_of  # which knows this room

        return shares_of(self)

    def pairs(self) -> pd.DataFrame:
        """One against another, one row a pair: `rate` counts wins and half of the ties of the first, with its `low` and `high` end."""
        from sdxl_lab.studies.frames import pairs_of  # which knows this room

        return pairs_of(self)

    def __repr__(self) -> str:
        return f"<StudyResult of {self.study}: {self.summary}>"

    def __str__(self) -> str:
        from rich.console import Console

        from sdxl_lab.studies.printed import print_result  # which knows this room

        printed = StringIO()
        print_result(self, console=Console(file=printed, width=80, highlight=False))
        return printed.getvalue().strip("\n")

    def as_json(self) -> str:
        """All of it, as JSON."""
        return json.dumps(ResultFolder.head() | asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def _repr_html_(self) -> str:
        from sdxl_lab.studies.result_page import body_of

        return body_of(self)


def study_result(folder: Path | str, votes: Iterable[Path | str] | Path | str = (), *, min_self_agreement: float = 0.0) -> StudyResult:
    """Count the votes of a preference study.

    Args:
        folder: The study's, with its `study.json`.
        votes: The files that judges sent back, or one; those in the study's folder, `votes-*.json`, if left out.
        min_self_agreement: Leave out judges who answered a smaller share of the repeated questions as before, from 0 to 1. 0.7 is a start.

    Returns:
        The answer, which a cell shows; `sdxl-lab study result` prints it and keeps it.

    Raises:
        StudyError: There is no study, no vote, or a file of votes is not of this study.

    Examples:
        With the study of the example of `study`, to which Ann answers that she cannot tell, but for the first question:

        >>> from sdxl_lab.studies.votes import content_of
        >>> key = study(runs / "study").key
        >>> told = {"answer": "tie", "milliseconds": 900, "at": "2026-11-29T07:00:00.000Z"}
        >>> ann = [{"trial": trial.trial, "shown": list(trial.pictures), **told} for trial in key.trials]
        >>> ann[0]["answer"] = 0
        >>> (runs / "study" / "votes-ann.json").write_bytes(content_of("Ann", ann, key)) > 0
        True
        >>> study_result(runs / "study").summary
        '2 votes of 1 judge on 2 systems'
    """
    folder = Path(folder).expanduser()
    if not 0 <= min_self_agreement <= 1:
        raise StudyError(f"min_self_agreement is {min_self_agreement}; allowed is a share from 0 (leave nobody out) to 1, such as {DOUBTFUL}")
    study = Study.read(folder)
    files = [Path(path).expanduser() for path in ([votes] if isinstance(votes, Path | str) else votes)] or sorted(folder.glob("votes-*.json"))
    if not files:
        raise StudyError(f"no votes are given, and {folder} holds no votes-*.json; give the files that judges sent back")
    with shown():
        return result_of(study, read_votes(files, study), folder=folder, min_self_agreement=min_self_agreement)


def result_of(
    study: Study, votes: Sequence[Votes], *, folder: Path | None = None, min_self_agreement: float = 0.0, resamples: int = RESAMPLES
) -> StudyResult:
    """Count votes.

    Args:
        study: What was asked.
        votes: One for each judge.
        folder: The study's, to find what was measured of its pictures; None to look at no metric.
        min_self_agreement: As for `study_result`.
        resamples: How often votes are resampled for the intervals.

    Raises:
        StudyError: No vote is left.
    """
    from sdxl_lab.records.machine import versions

    everything = Ballots.of(study, votes)
    skipped = [sum(vote.answer == SKIP for vote in own.votes) for own in votes]
    judges = judges_of(everything, skipped, min_self_agreement=min_self_agreement)
    ballots = everything.where(~np.isin(everything.judge, [index for index, judge in enumerate(judges) if judge.is_left_out]))
    if not len(ballots):
        left = sum(judge.is_left_out for judge in judges)
        said = f"{counted(left, 'judge')} answered less than {min_self_agreement:.0%} of the repeats as before" if left else "all were skipped"
        advice = "lower --min-self-agreement, or gather more votes" if left else "gather more"
        raise StudyError(f"no vote is left to count: {said}; {advice}")
    progress.tell(f"resampling {counted(len(ballots), 'vote')}")
    rankings = rankings_of(ballots, resamples=resamples)
    places = places_of(ballots, resamples=resamples)
    progress.tell("comparing metrics with votes")
    numbers, absent = _numbers(study, folder)
    result = StudyResult(
        study=study.study,
        digest=study.digest,
        version=versions()["sdxl_lab"],
        question=study.question,
        systems={label: dict(system.settings) for label, system in study.systems.items()},
        rankings=rankings,
        places=places,
        judges=judges,
        mutual_agreement=mutual_agreement(ballots),
        min_self_agreement=min_self_agreement,
        agreements=agreements(ballots, numbers, resamples=resamples),
        pictures=judged_in(ballots, study),
        notes=(),
    )
    clusters = Clusters(sample=ballots.sample, judge=ballots.judge)
    if folder and not result.agreements and not absent:
        absent = ["no metric is compared with the votes: none was recorded that differs between two pictures that were voted on"]
    return replace(result, notes=(*notes_of(result, clusters, len(study.trials)), *absent))


def _numbers(study: Study, folder: Path | None) -> tuple[Mapping[str, Mapping[str, float]], list[str]]:
    """What was measured, and what is to be said where it is not found."""
    if not folder:
        return {}, []
    found, gone = recorded_of(study, folder)
    numbers = {name: numbers_of(each.picture) for name, each in found.items()}
    lost = len(study.pictures) - len(numbers)
    where = f" ({few(gone, MOST_NAMES)}: not where {'it was' if len(gone) == 1 else 'they were'}, as seen from the study's folder)" if gone else ""
    if not numbers:
        return {}, [f"no metric is compared with the votes: of no picture a record is found{where}"]
    said = f"of {lost} of {counted(len(study.pictures), 'picture')} no record is found{where}: metrics are compared without them"
    return numbers, [said] if lost else []
