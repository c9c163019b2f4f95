"""What people said of the pictures of a comparison, and what a preference model guesses, which a difference of its scores does not show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from sdxl_lab.metrics.asked import stem_of
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.preferred import answers_on
from sdxl_lab.viewing.compare.costs import number_of
from sdxl_lab.viewing.compare.intervals import Interval, mean_interval
from sdxl_lab.viewing.compare.rows import Row

LOGITS = ("pick_score",)
"""Metrics whose difference between two pictures of one prompt is a log of odds."""


def asked(rows: Iterable[Row], metrics: Sequence[str]) -> list[str]:
    """Say of each share of votes from which study it is.

    Args:
        rows: Of the comparison.
        metrics: Of it.
    """
    answers = answers_on((run.top, picture) for row in rows for run in row.runs for picture in row.pictures)
    return [f"{each.column} is the share of votes in a study: {each.question} {each.summary}" for each in answers if each.column in metrics]


def preference(row: Row, reference: Row, metric: str) -> Interval | None:
    """The mean probability that a row's picture is preferred to the reference's, over pairs of the same sample, task, seed and prompt.

    Args:
        row: It.
        reference: The other.
        metric: A column of one of `LOGITS`.

    Returns:
        With its 95% interval where there are samples enough; None if there is no pair.

    Source:
        Kirstain, Polyak, Singer, Matiana, Penna and Levy, Pick-a-Pic, arXiv:2305.01569: the softmax of the scores of both.
    """
    theirs = _scores(reference.pictures, metric)
    pairs = [(score - theirs[key], key[0]) for key, score in _scores(row.pictures, metric).items() if key in theirs]
    return mean_interval([_logistic(difference) for difference, _ in pairs], [sample for _, sample in pairs]) if pairs else None


def told(rows: Iterable[Row], reference: Row, metrics: Sequence[str]) -> list[str]:
    """Say it of each row, a line each."""
    lines = []
    for metric in metrics:
        if stem_of(metric) not in LOGITS:
            continue
        for row in rows:
            found = preference(row, reference, metric) if row is not reference else None
            if found:
                ends = f" [{found.low:.2f}, {found.high:.2f}]" if found.low is not None and found.high is not None else ""
                lines.append(f"{row.name} is preferred to {reference.name} with probability {found.mean:.2f}{ends}, n {found.n}, as {metric} guesses")
    return lines


def _scores(pictures: Iterable[Picture], metric: str) -> dict[tuple[str, str, int, str], float]:
    """By sample, task, seed and prompt: a score says nothing across prompts."""
    return {(*picture.key, picture.prompt): number for picture in pictures if (number := number_of(picture, metric)) is not None}


def _logistic(difference: float) -> float:
    return 0.5 * (1 + math.tanh(difference / 2))
