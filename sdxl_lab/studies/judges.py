"""Judges: whether each answers a question again as before, and as others do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdxl_lab.studies.ballots import Ballots


@dataclass(frozen=True, kw_only=True)
class Judge:
    """One who voted.

    Attributes:
        judge: The name.
        votes: Answers, without what was skipped.
        skipped: What was skipped.
        repeats: Questions that were answered twice, the second time mirrored.
        self_agreement: Share of `repeats` that were answered alike: the same picture, or a tie both times; None without repeats.
        agreement: Share of the answers of others to the same questions that were the same; None where nobody else answered any.
        is_left_out: Whether nothing of it was counted, for too little `self_agreement`.
    """

    judge: str
    votes: int
    skipped: int
    repeats: int
    self_agreement: float | None
    agreement: float | None
    is_left_out: bool = False


def judges_of(ballots: Ballots, skipped: Sequence[int], *, min_self_agreement: float = 0.0) -> tuple[Judge, ...]:
    """Look at each judge.

    Args:
        ballots: All votes.
        skipped: How many questions each judge skipped.
        min_self_agreement: Those who agree with themselves less, from 0 to 1, are marked as left out; one without repeats cannot be told, and stays.

    Returns:
        In the order of the ballots.
    """
    found = []
    alike = alike_with_others(ballots)
    for index, judge in enumerate(ballots.judges):
        again = same_again(ballots.where(ballots.judge == index))
        own = float(again.mean()) if len(again) else None
        found.append(
            Judge(
                judge=judge,
                votes=int((ballots.judge == index).sum()),
                skipped=skipped[index],
                repeats=len(again),
                self_agreement=own,
                agreement=alike[index],
                is_left_out=own is not None and own < min_self_agreement,
            )
        )
    return tuple(found)


def same_again(own: Ballots) -> np.ndarray:
    """Whether each question that was asked twice was answered alike.

    Args:
        own: The votes of one judge.

    Returns:
        Of shape (repeats,), by question.
    """
    first, again = ({int(question): int(chosen) for question, chosen in zip(part.question, part.chosen, strict=True)} for part in _halves(own))
    return np.array([first[question] == again[question] for question in sorted(first.keys() & again.keys())], bool)


def alike_with_others(ballots: Ballots) -> list[float | None]:
    """Of each judge, the share of others' answers to the same questions that are the same; mirrored repeats are not looked at."""
    first, _ = _halves(ballots)
    _, question = np.unique(first.question, return_inverse=True)
    counts = np.zeros((int(question.max(initial=-1)) + 1, len(ballots.systems) + 1))
    np.add.at(counts, (question, first.chosen), 1)  # a tie is the last column
    same = counts[question, first.chosen] - 1
    others = counts[question].sum(1) - 1
    found: list[float | None] = []
    for index in range(len(ballots.judges)):
        own = first.judge == index
        met = float(others[own].sum())
        found.append(float(same[own].sum()) / met if met else None)
    return found


def mutual_agreement(ballots: Ballots) -> float | None:
    """The mean over all pairs of answers that two judges gave to one question: the share that is the same. None with one judge."""
    first, _ = _halves(ballots)
    _, question = np.unique(first.question, return_inverse=True)
    counts = np.zeros((int(question.max(initial=-1)) + 1, len(ballots.systems) + 1))
    np.add.at(counts, (question, first.chosen), 1)
    pairs = counts.sum(1) * (counts.sum(1) - 1)
    return float((counts * (counts - 1)).sum() / pairs.sum()) if pairs.sum() else None


def _halves(ballots: Ballots) -> tuple[Ballots, Ballots]:
    """What was asked the first time, and what was asked again."""
    return ballots.where(~ballots.mirrors), ballots.where(ballots.mirrors)
