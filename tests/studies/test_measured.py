"""Metrics against votes: rank correlations against scipy, agreement counted by hand."""

# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# Of these votes there is an interval; a test that meets None fails, as it should.

from __future__ import annotations

import numpy as np
import pytest

from sdxl_lab.studies.ballots import Ballots
from sdxl_lab.studies.measured import agreements
from sdxl_lab.studies.rank_correlations import rank_correlations
from tests.support.preferences import key_of, voted


def setup_module() -> None:
    """
    What takes time to import.
    """
    global stats
    from scipy import stats


def differences(seed: int, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Two differences that go together somewhat, with equal ones among them."""
    random = np.random.default_rng(seed)
    one = np.round(random.normal(size=pairs), 1)
    return one, np.sign(np.round(one + random.normal(size=pairs))) * random.integers(0, 4, pairs) / 3


@pytest.mark.parametrize("seed", range(3))
def test_rank_correlations_are_scipys(seed):
    """
    Spearman's and Kendall's numbers are scipy's of the differences in both directions, with ties among them.
    """
    one, other = differences(seed, 40)
    spearman, kendall = rank_correlations(one, other, np.arange(40) // 2)
    both = np.concatenate([one, -one]), np.concatenate([other, -other])
    assert spearman.value == pytest.approx(stats.spearmanr(*both).statistic)
    assert kendall.value == pytest.approx(stats.kendalltau(*both).statistic)


def test_which_picture_is_first_does_not_matter():
    """
    A pair that is turned around, with both of its differences negated, leaves numbers and intervals as they are.
    """
    one, other = differences(7, 30)
    turned = np.where(np.random.default_rng(1).random(30) < 0.5, -1, 1)
    sample = np.arange(30) // 3
    for found, again in zip(rank_correlations(one, other, sample), rank_correlations(one * turned, other * turned, sample), strict=True):
        assert [found.value, found.low, found.high] == pytest.approx([again.value, again.low, again.high])


def test_its_interval_is_that_of_drawn_samples():
    """
    The interval is close to that of scipy's numbers of whole samples drawn with replacement.
    """
    one, other = differences(3, 60)
    sample = np.arange(60) // 2
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(300):
        taken = np.concatenate([np.flatnonzero(sample == each) for each in random.integers(0, 30, 30)])
        drawn.append(stats.spearmanr(np.concatenate([one[taken], -one[taken]]), np.concatenate([other[taken], -other[taken]])).statistic)
    found, _ = rank_correlations(one, other, sample)
    low, high = np.quantile(drawn, (0.02, 0.98))  # as far out as 30 samples ask for
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.25 * (high - low))


def test_a_metric_that_people_follow_agrees():
    """
    A metric by which a judge chooses agrees in all votes with correlations of 1, its opposite in none; lower is better where it says so.
    """
    study = key_of("abc", samples=6)
    worth = {name: float(sum(map(ord, name)) % 7 + 10 * "abc".index(picture.system)) for name, picture in study.pictures.items()}
    votes = voted(study, "j", lambda shown: int(np.argmax(["abc".index(system) for system in shown])))
    numbers = {name: {"mine": value, "seam_delta_e": value, "flat": 1.0} for name, value in worth.items()}
    found = {each.metric: each for each in agreements(Ballots.of(study, [votes]), numbers)}
    assert list(found) == ["mine", "seam_delta_e"], "a number that never differs says nothing"
    assert (found["mine"].agreed.value, found["seam_delta_e"].agreed.value) == (1, 0)
    assert found["seam_delta_e"].better == "lower"
    assert found["mine"].srocc.value == pytest.approx(-found["seam_delta_e"].srocc.value)
    assert found["mine"].srocc.value > 0.8
    assert found["mine"].pairs == 18


def test_pictures_without_a_number_are_left_out():
    """
    Votes on a picture that has no number say nothing of that metric, and its pairs are not counted.
    """
    study = key_of("ab", samples=6)
    numbers = {name: {"mine": float(index)} for index, name in enumerate(study.pictures) if "p0" not in name}
    (found,) = agreements(Ballots.of(study, [voted(study, "j", lambda shown: shown.index("b"))]), numbers)
    assert found.pairs == 5
    assert found.agreed.value == 1
