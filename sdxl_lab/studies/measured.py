"""Which number agrees with people: every recorded metric against the votes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sdxl_lab.metrics import Better
from sdxl_lab.metrics.asked import VOTED, stem_of
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.preferred import Estimate
from sdxl_lab.studies.ballots import Ballots
from sdxl_lab.studies.rank_correlations import rank_correlations
from sdxl_lab.studies.resampling import RESAMPLES, Clusters
from sdxl_lab.viewing.compare.costs import SPENT, STEPS, number_of, words_of

Numbers = Mapping[str, float]
"""Metric to number, of one picture."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far a metric agrees with people.

    Attributes:
        metric: Its name.
        better: Which way is better; None where neither is: then it is taken as if higher were, and what is below one half or zero means that
            people prefer less of it.
        pairs: How many pairs of pictures have the number and were voted on.
        agreed: Where one of two pictures was chosen: share of votes for that whose number is better, one half where they are equal.
        srocc: Spearman's rank correlation over pairs, between the difference of the numbers and the difference of the votes. A pair counts in both
            directions, so that it does not matter which picture is called the first. Its interval resamples samples alone. None with fewer
            than three pairs, and where nobody preferred any.
        krocc: Kendall's, tau b.
    """

    metric: str
    better: Better | None
    pairs: int
    agreed: Estimate | None
    srocc: Estimate | None
    krocc: Estimate | None


def numbers_of(picture: Picture) -> Numbers:
    """What was measured of a picture, as far as people can agree with it: not what it cost in time and memory, nor what people said of it.

    Args:
        picture: As recorded.
    """
    metrics = (metric for metric in (*picture.metrics, STEPS) if metric not in SPENT and stem_of(metric) not in VOTED)
    known = {metric: number_of(picture, metric) for metric in metrics}
    return {metric: number for metric, number in known.items() if number is not None and math.isfinite(number)}


def agreements(ballots: Ballots, numbers: Mapping[str, Numbers], *, resamples: int = RESAMPLES) -> tuple[Agreement, ...]:
    """Compare every metric with the votes.

    Args:
        ballots: The votes.
        numbers: Of each picture, by name.
        resamples: How often the votes are resampled.

    Returns:
        The metric that agrees most first, without those that differ in no pair.
    """
    metrics = list(dict.fromkeys(metric for own in numbers.values() for metric in own))
    if not metrics or not len(ballots):
        return ()
    hits, among = (np.stack(columns, 1) for columns in zip(*(_hits(ballots, numbers, metric) for metric in metrics), strict=True))
    agreed = Clusters(sample=ballots.sample, judge=ballots.judge, resamples=resamples).ratios(hits, among)
    pairs = _pairs_of(ballots)
    found = [_agreement(metric, numbers, pairs, share, resamples) for metric, share in zip(metrics, agreed, strict=True)]
    return tuple(sorted(filter(None, found), key=lambda each: tuple(-found.value if found else 0.0 for found in (each.agreed, each.srocc))))


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Two pictures that were shown together.

    Attributes:
        first: Name of the one.
        second: Name of the other.
        sample: What both are of.
        preferred: Votes for the first less those for the second, over all votes; from -1 to 1.
    """

    first: str
    second: str
    sample: int
    preferred: float


def _pairs_of(ballots: Ballots) -> list[_Pair]:
    votes: dict[tuple[str, str], list[float]] = {}
    samples: dict[tuple[str, str], int] = {}
    for names, answer, sample in zip(ballots.pictures, ballots.answer, ballots.sample, strict=True):
        shown = [name for name in names if name]
        chosen = shown[answer] if answer >= 0 else None
        for place, one in enumerate(sorted(shown)):
            for other in sorted(shown)[place + 1 :]:
                votes.setdefault((one, other), []).append((chosen == one) - (chosen == other))
                samples[one, other] = int(sample)
    return [_Pair(first=one, second=other, sample=samples[one, other], preferred=sum(own) / len(own)) for (one, other), own in votes.items()]


def _sign(metric: str) -> int:
    return -1 if words_of(metric).better == "lower" else 1


def _hits(ballots: Ballots, numbers: Mapping[str, Numbers], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """How far each vote chose the picture whose number is better than those of the others, and whether that can be told."""
    sign = _sign(metric)
    hits, among = np.zeros(len(ballots)), np.zeros(len(ballots), bool)
    for index, (names, answer) in enumerate(zip(ballots.pictures, ballots.answer, strict=True)):
        values = [numbers.get(name, {}).get(metric) for name in names if name]
        if answer >= 0 and all(value is not None for value in values):
            chosen = values[answer]
            others = [value for place, value in enumerate(values) if place != answer]
            hits[index] = np.mean([(1 + np.sign(sign * (chosen - other))) / 2 for other in others])
            among[index] = True
    return hits, among


def _agreement(metric: str, numbers: Mapping[str, Numbers], pairs: Iterable[_Pair], agreed: Estimate | None, resamples: int) -> Agreement | None:
    known = [pair for pair in pairs if metric in numbers.get(pair.first, {}) and metric in numbers.get(pair.second, {})]
    better = np.array([_sign(metric) * (numbers[pair.first][metric] - numbers[pair.second][metric]) for pair in known])
    if not better.any():
        return None
    preferred = np.array([pair.preferred for pair in known])
    srocc, krocc = rank_correlations(better, preferred, np.array([pair.sample for pair in known], int), resamples=resamples)
    return Agreement(metric=metric, better=words_of(metric).better, pairs=len(known), agreed=agreed, srocc=srocc, krocc=krocc)
