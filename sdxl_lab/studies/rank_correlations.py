"""Rank correlations between differences, with 95% intervals that know which differences are of one sample."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np

from sdxl_lab.records.preferred import Estimate
from sdxl_lab.studies.resampling import FEWEST_SAMPLES, LEVEL, RESAMPLES, SEED

FEWEST_PAIRS = 3

Signs: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Of each difference less each other, and of each and each other together, both of shape (pairs, pairs)."""


def rank_correlations(
    one: np.ndarray, other: np.ndarray, sample: np.ndarray, *, resamples: int = RESAMPLES
) -> tuple[Estimate | None, Estimate | None]:
    """Correlate the ranks of two differences, over pairs of pictures.

    Which picture of a pair is the first is chance. So each pair counts in both directions: as it is, and with both differences negated.

    Args:
        one: Differences, of shape (pairs,).
        other: Differences of the same pairs.
        sample: The sample of each pair.
        resamples: How often samples get new weights from the exponential distribution; the interval lies between percentiles, as far out as in a
            comparison of runs with as many samples.

    Returns:
        Spearman's, and Kendall's tau b, as scipy has them of `(one, -one)` and `(other, -other)`. None with fewer than `FEWEST_PAIRS` pairs, and
        where all differences are 0.
    """
    if len(one) < FEWEST_PAIRS or not one.any() or not other.any():
        return None, None
    names, sample = np.unique(sample, return_inverse=True)
    count = len(names)
    drawn = np.random.default_rng(SEED).exponential(size=(resamples if count >= FEWEST_SAMPLES else 0, count))
    weights = np.concatenate([np.ones((1, count)), drawn])
    of_sample = np.eye(count)[sample]
    signs = [(np.sign(values[:, None] - values), np.sign(values[:, None] + values)) for values in (one, other)]
    return _estimate(_spearman(signs, of_sample, weights), count), _estimate(_kendall(signs, of_sample, weights), count)


def _spearman(signs: list[Signs], of_sample: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The correlation of middle ranks, once for each row of weights."""
    first, second = (weights @ ((less + more) @ of_sample).T for less, more in signs)
    each = weights @ of_sample.T
    return (each * first * second).sum(1) / np.sqrt((each * first**2).sum(1) * (each * second**2).sum(1))


def _kendall(signs: list[Signs], of_sample: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pairs of differences in the same order less those in opposite order, over the geometric mean of those that have an order."""

    def total(one: Signs, other: Signs) -> np.ndarray:
        between = of_sample.T @ (one[0] * other[0] + one[1] * other[1]) @ of_sample
        return ((weights @ between) * weights).sum(1)

    first, second = signs
    return total(first, second) / np.sqrt(total(first, first) * total(second, second))


def _estimate(found: np.ndarray, count: int) -> Estimate:
    from scipy.special import ndtr, stdtrit

    value, draws = float(found[0]), found[1:]
    if not len(draws) or draws.min() == draws.max():
        return Estimate(value=value)
    tail = float(ndtr(-math.sqrt(count / (count - 1)) * stdtrit(count - 1, (1 + LEVEL) / 2)))
    low, high = np.quantile(draws, (tail, 1 - tail))
    return Estimate(value=value, low=float(low), high=float(high))
