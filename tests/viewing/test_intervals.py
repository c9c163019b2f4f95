"""Means with bootstrap intervals: against plain numpy, scipy's bootstrap, Student's t and simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sdxl_lab.viewing.compare import IntervalError, mean_interval


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global stats
    from scipy import stats


def ends(numbers: np.ndarray, names: list[str]) -> tuple[float, float]:
    """The interval, where there has to be one."""
    found = mean_interval(list(numbers), names)
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def drawn(seed: int, samples: int, each: int, *, between: float, within: float) -> tuple[np.ndarray, list[str]]:
    """Numbers of mean 0: each sample has its own level, and every number some noise."""
    generator = np.random.RandomState(seed)
    levels = generator.normal(0, between, samples)
    numbers = (levels[:, None] + generator.normal(0, within, (samples, each))).ravel()
    return numbers, [f"sample {index // each}" for index in range(samples * each)]


def test_the_mean_is_that_of_all_numbers():
    """
    The mean is numpy's over all numbers, each counted once however many its sample has.
    """
    numbers = [1.0, 2.5, -3.0, 8.0, 0.25, 7.0]
    found = mean_interval(numbers, ["a", "a", "a", "b", "c", "d"])
    assert found.mean == pytest.approx(np.mean(numbers), abs=1e-12)
    assert (found.n, found.samples) == (6, 4)


@pytest.mark.parametrize("samples", [6, 12, 40])
def test_it_is_scipys_bootstrap_at_the_expanded_level(samples):
    """
    With one number a sample, the interval is that of scipy's percentile bootstrap at the expanded confidence level, up to chance.
    """
    numbers, names = drawn(3, samples, 1, between=2.0, within=1.0)
    tail = stats.norm.cdf(-math.sqrt(samples / (samples - 1)) * stats.t.ppf(0.975, samples - 1))
    reference = stats.bootstrap((numbers,), np.mean, n_resamples=20000, confidence_level=1 - 2 * tail, method="percentile", rng=7).confidence_interval
    width = reference.high - reference.low
    assert ends(numbers, names) == pytest.approx((reference.low, reference.high), abs=0.05 * width)


def test_of_many_samples_it_is_students_interval():
    """
    Of 200 numbers from a normal distribution, it is the t interval up to chance.
    """
    numbers, names = drawn(5, 200, 1, between=1.0, within=1.0)
    low, high = stats.t.interval(0.95, 199, loc=numbers.mean(), scale=stats.sem(numbers))
    assert ends(numbers, names) == pytest.approx((low, high), abs=0.05 * (high - low))


@pytest.mark.parametrize(("samples", "each", "least"), [(5, 1, 0.9), (10, 2, 0.915), (40, 3, 0.925)])
def test_it_covers_the_truth_as_often_as_it_says(samples, each, least):
    """
    Over 400 simulated experiments whose numbers cluster by sample, the interval holds the true mean in about 95 of 100, no less than `least`.
    """
    hits = 0
    for seed in range(400):
        numbers, names = drawn(seed, samples, each, between=1.0, within=0.5)
        low, high = ends(numbers, names)
        hits += low <= 0 <= high
    assert least <= hits / 400 <= 0.985


def test_numbers_of_one_sample_do_not_count_as_many():
    """
    Ten equal numbers of each sample leave the interval as it is with one; taken for samples of their own, they would make it far narrower.
    """
    numbers, names = drawn(9, 12, 1, between=1.0, within=0.0)
    low, high = ends(numbers, names)
    repeated = np.repeat(numbers, 10)
    assert ends(repeated, list(np.repeat(names, 10))) == pytest.approx((low, high), abs=1e-12)
    assert np.ptp(ends(repeated, [str(index) for index in range(120)])) < 0.5 * (high - low)


def test_order_changes_nothing():
    """
    The same pairs of number and sample give the same bits in any order, and at each call.
    """
    numbers, names = drawn(1, 7, 3, between=1.0, within=1.0)
    order = np.random.RandomState(0).permutation(21)
    first = mean_interval(list(numbers), names)
    assert mean_interval(list(numbers[order]), [names[index] for index in order]) == first
    assert mean_interval(list(numbers), names) == first


def test_shifting_and_scaling_move_the_interval_along():
    """
    The interval of 3 x + 10 is three times that of x, plus 10.
    """
    numbers, names = drawn(2, 15, 2, between=1.0, within=1.0)
    low, high = ends(numbers, names)
    assert ends(3 * numbers + 10, names) == pytest.approx((3 * low + 10, 3 * high + 10), abs=1e-9)


@pytest.mark.parametrize(("numbers", "names"), [([1.0, 2.0, 3.0, 4.0], "abcd"), ([1.0, 2.0, 5.0], "aaa"), ([2.0] * 9, "abcdefghi"), ([1.0], "a")])
def test_no_interval_where_resampling_says_nothing(numbers, names):
    """
    Fewer than five samples, or equal numbers alone, have a mean and no interval.
    """
    found = mean_interval(numbers, list(names))
    assert found.mean == np.mean(numbers)
    assert (found.low, found.high) == (None, None)


@pytest.mark.parametrize(("numbers", "names"), [([], []), ([1.0], []), ([1.0, 2.0], ["a"])])
def test_no_number_is_an_error(numbers, names):
    """
    No number, or a number without its sample, is refused in one line that says what was given.
    """
    with pytest.raises(IntervalError, match=f"got {len(numbers)} numbers? of {len(names)} sample"):
        mean_interval(numbers, names)
