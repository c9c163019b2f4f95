"""Votes as arrays: who was shown what, and what was answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from sdxl_lab.studies.strengths import Model
from sdxl_lab.studies.trials import Study
from sdxl_lab.studies.votes import SKIP, TIE, Votes

TIED = -1
NOTHING = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Ballots:
    """Votes that say something, without those that were skipped.

    Attributes:
        systems: Their labels, which the arrays mean by their indices.
        samples: Names of samples, likewise.
        judges: Names of judges, likewise.
        shown: The system in each place, in the order in which the judge saw them, `NOTHING` beyond the last; of shape (votes, places).
        answer: The place that was chosen, or `TIED`; of shape (votes,).
        sample: What was shown, of shape (votes,).
        judge: Who answered, of shape (votes,).
        question: Of shape (votes,), the same number for a trial and for the one that mirrors it.
        mirrors: Whether it was asked the second time, of shape (votes,).
        pictures: Name of the picture in each place, as `shown`; "" beyond the last.
    """

    systems: tuple[str, ...]
    samples: tuple[str, ...]
    judges: tuple[str, ...]
    shown: np.ndarray
    answer: np.ndarray
    sample: np.ndarray
    judge: np.ndarray
    question: np.ndarray
    mirrors: np.ndarray
    pictures: np.ndarray

    @classmethod
    def of(cls, study: Study, votes: Iterable[Votes]) -> Self:
        """Put votes into arrays.

        Args:
            study: What was asked.
            votes: What was answered to it, one for each judge.
        """
        given = list(votes)
        systems, trials = tuple(study.systems), {trial.trial: trial for trial in study.trials}
        samples = tuple(dict.fromkeys(picture.sample for picture in study.pictures.values()))
        questions = {name: index for index, name in enumerate(trials)}
        found = [(index, vote) for index, own in enumerate(given) for vote in own.votes if vote.answer != SKIP]
        places = max((len(trial.pictures) for trial in study.trials), default=2)
        shown = np.full((len(found), places), NOTHING)
        pictures = np.full((len(found), places), "", dtype=object)
        for row, names, (_, vote) in zip(shown, pictures, found, strict=True):
            row[: len(vote.shown)] = [systems.index(study.pictures[name].system) for name in vote.shown]
            names[: len(vote.shown)] = vote.shown
        asked = [trials[vote.trial] for _, vote in found]
        return cls(
            systems=systems,
            samples=samples,
            judges=tuple(own.judge for own in given),
            shown=shown,
            answer=np.array([TIED if vote.answer == TIE else vote.answer for _, vote in found], int),
            sample=np.array([samples.index(study.pictures[trial.pictures[0]].sample) for trial in asked], int),
            judge=np.array([index for index, _ in found], int),
            question=np.array([questions[trial.mirrors or trial.trial] for trial in asked], int),
            mirrors=np.array([trial.mirrors is not None for trial in asked], bool),
            pictures=pictures,
        )

    def __len__(self) -> int:
        return len(self.answer)

    def where(self, chosen: np.ndarray) -> Self:
        """Some of the votes.

        Args:
            chosen: Which, of shape (votes,).
        """
        arrays = ("shown", "answer", "sample", "judge", "question", "mirrors", "pictures")
        return replace(self, **{name: getattr(self, name)[chosen] for name in arrays})

    def among(self, systems: Sequence[int]) -> Self:
        """The votes on some systems, which are numbered anew.

        Args:
            systems: Indices of those that were never shown with others.
        """
        numbers = np.full(len(self.systems) + 1, NOTHING)
        numbers[list(systems)] = range(len(systems))
        ballots = self.where(np.isin(self.shown[:, 0], systems))
        return replace(ballots, systems=tuple(self.systems[system] for system in systems), shown=numbers[ballots.shown])

    @cached_property
    def is_tie(self) -> np.ndarray:
        """Of shape (votes,)."""
        return self.answer == TIED

    @cached_property
    def size(self) -> np.ndarray:
        """How many pictures were shown, of shape (votes,)."""
        return (self.shown != NOTHING).sum(1)

    @cached_property
    def chosen(self) -> np.ndarray:
        """The system that was chosen, or `TIED`; of shape (votes,)."""
        picked = np.take_along_axis(self.shown, np.maximum(self.answer, 0)[:, None], 1)[:, 0]
        return np.where(self.is_tie, TIED, picked)

    @cached_property
    def has_shown(self) -> np.ndarray:
        """Whether a system was among those shown, of shape (votes, systems)."""
        return (self.shown[:, :, None] == np.arange(len(self.systems))).any(1)

    @cached_property
    def model(self) -> Model:
        """What can be answered."""
        sets = sorted({tuple(map(int, np.flatnonzero(row))) for row in self.has_shown})
        return Model(systems=len(self.systems), sets=tuple(sets), has_ties=bool(self.is_tie.any()))

    @cached_property
    def outcomes(self) -> tuple[np.ndarray, np.ndarray]:
        """Each vote as the model has it: the index of its set, and of its answer, each of shape (votes,)."""
        places = {shown: index for index, shown in enumerate(self.model.sets)}
        asked = np.array([places[tuple(map(int, np.flatnonzero(row)))] for row in self.has_shown], int)
        rank = np.cumsum(self.has_shown, axis=1) - 1
        answered = np.where(self.is_tie, self.model.outcomes - 1, np.take_along_axis(rank, np.maximum(self.chosen, 0)[:, None], 1)[:, 0])
        return asked, answered

    @cached_property
    def columns(self) -> np.ndarray:
        """A one where a vote gave an answer, of shape (votes, sets * outcomes): summed with weights, what `fit` takes as counts."""
        asked, answered = self.outcomes
        columns = np.zeros((len(self), len(self.model.sets) * self.model.outcomes))
        columns[np.arange(len(self)), asked * self.model.outcomes + answered] = 1
        return columns
