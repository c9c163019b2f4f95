"""What votes say of systems: against counting by hand and against resampling that is written out."""

# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# Of these votes there is an interval; a test that meets None fails, as it should.

from __future__ import annotations

import numpy as np
import pytest

from sdxl_lab.records.preferred import Estimate
from sdxl_lab.studies.ballots import Ballots
from sdxl_lab.studies.ranking import places_of, rankings_of
from sdxl_lab.studies.resampling import Clusters
from sdxl_lab.studies.votes import Votes
from tests.support.preferences import by_strength, key_of, voted

STRENGTHS = {"a": 0.5, "b": 0.3, "c": 0.2}


def ballots_of(judges: int = 6, *, together: int = 2, ties: float = 0.1, samples: int = 8) -> Ballots:
    """Some judges who agree on three systems."""
    study = key_of("abc", samples=samples, together=together)
    return Ballots.of(study, [voted(study, f"j{judge}", by_strength(STRENGTHS, seed=judge, ties=ties), seed=judge) for judge in range(judges)])


def test_pairs_are_counted():
    """
    Wins, losses and ties of a pair are those in the votes on it, and its rate is wins and half of the ties over all.
    """
    study = key_of("ab", samples=4)
    told = iter(["a", "a", "b", "tie"])

    def answer(shown):
        choice = next(told)
        return choice if choice == "tie" else shown.index(choice)

    (ranking,) = rankings_of(Ballots.of(study, [voted(study, "j", answer)]))
    (pairing,) = ranking.pairings
    assert (pairing.first, pairing.wins, pairing.losses, pairing.ties) == ("a", 2, 1, 1)
    assert pairing.rate == Estimate(value=2.5 / 4)
    assert ranking.ties == Estimate(value=0.25)
    assert [standing.share for standing in ranking.standings] == [Estimate(value=pytest.approx(2 / 3)), Estimate(value=pytest.approx(1 / 3))]


def test_shares_of_all_together_are_counted():
    """
    Where every system was shown each time, shares are choices over the votes that chose, and said to be counted.
    """
    ballots = ballots_of(together=3)
    (ranking,) = rankings_of(ballots)
    assert ranking.is_counted
    chosen = np.bincount(ballots.chosen[ballots.chosen >= 0], minlength=3)
    found = {standing.system: standing for standing in ranking.standings}
    assert [found[label].share.value for label in "abc"] == pytest.approx(chosen / chosen.sum())
    assert [found[label].chosen for label in "abc"] == chosen.tolist()


def test_shares_of_pairs_are_derived_and_ordered():
    """
    Of pairs, shares are derived, sum to one, stand in order, and each has an interval around it.
    """
    (ranking,) = rankings_of(ballots_of())
    assert not ranking.is_counted
    shares = [standing.share for standing in ranking.standings]
    assert sum(share.value for share in shares) == pytest.approx(1)
    assert shares == sorted(shares, key=lambda share: -share.value)
    assert all(0 < share.low < share.value < share.high < 1 for share in shares)


def test_the_same_votes_have_the_same_intervals():
    """
    Resampling has a fixed seed: twice counted, every end is the same.
    """
    assert rankings_of(ballots_of()) == rankings_of(ballots_of())


def test_an_interval_is_as_wide_as_the_formula_of_both_clusters_says():
    """
    A counted share's interval is that of Cameron, Gelbach and Miller's variance, of samples and of judges less of both, written out here.
    """
    random = np.random.default_rng(5)
    sample, judge = np.repeat(np.arange(20), 12), np.tile(np.arange(12), 20)
    chance = 1 / (1 + np.exp(-random.normal(size=20)[sample] - random.normal(size=12)[judge]))
    hits = (random.random(240) < chance).astype(float)
    (found,) = Clusters(sample=sample, judge=judge, resamples=4000).ratios(hits[:, None], np.ones((240, 1)))
    share = hits.mean()
    rest = (hits - share) / (240 * share * (1 - share))
    by_sample = sum(rest[sample == each].sum() ** 2 for each in range(20)) * 20 / 19
    by_judge = sum(rest[judge == each].sum() ** 2 for each in range(12)) * 12 / 11
    variance = max(by_sample, by_judge, by_sample + by_judge - (rest**2).sum())
    reach = np.log(found.high / (1 - found.high)) - np.log(share / (1 - share))
    assert reach == pytest.approx(2.1 * np.sqrt(variance), rel=0.1)  # Student's with 11 to 30 degrees of freedom is 2.04 to 2.20
    assert np.log(share / (1 - share)) - np.log(found.low / (1 - found.low)) == pytest.approx(reach)


def test_who_was_not_resampled_does_not_widen():
    """
    With fewer judges than five, samples alone are resampled: judges who contradict each other leave the interval as it is.
    """
    sample = np.repeat(np.arange(10), 4)
    hits = (np.arange(40) % 4 < 2).astype(float)  # two judges always say yes, two always no
    same = Clusters(sample=sample, judge=np.arange(40) % 4)
    assert not same.resamples_judges
    (found,) = same.ratios(hits[:, None], np.ones((40, 1)))
    assert found == Estimate(value=0.5)


def test_few_samples_have_no_interval():
    """
    Votes on fewer than five samples have shares and no intervals.
    """
    (ranking,) = rankings_of(ballots_of(samples=4))
    assert all(standing.share.low is None for standing in ranking.standings)


def test_what_never_lost_gets_a_ridge_that_is_told():
    """
    A system that always won has a finite share by a ridge, the ridge is told, and so is what wins do not connect.
    """
    study = key_of("abc")
    first = voted(study, "j", lambda shown: shown.index("a") if "a" in shown else 0)
    (ranking,) = rankings_of(Ballots.of(study, [first]))
    assert ranking.ridge > 0
    assert ranking.unconnected == (("a",), ("b", "c"))
    assert ranking.standings[0].system == "a"
    assert 0.5 < ranking.standings[0].share.value < 1


def test_systems_without_a_bridge_are_ranked_apart():
    """
    Systems that no question connects have rankings of their own, in each of which shares sum to one.
    """
    study = key_of("abcd")
    apart = {frozenset("ab"), frozenset("cd")}
    votes = [
        voted(
            study,
            f"j{judge}",
            by_strength({"a": 3, "b": 1, "c": 1, "d": 1}, seed=judge),
            trials=lambda trial: frozenset(study.pictures[name].system for name in trial.pictures) in apart,
        )
        for judge in range(5)
    ]
    found = rankings_of(Ballots.of(study, votes))
    assert [sorted(standing.system for standing in ranking.standings) for ranking in found] == [["a", "b"], ["c", "d"]]
    assert [sum(standing.share.value for standing in ranking.standings) for ranking in found] == pytest.approx([1, 1])


def test_ties_alone_rank_nothing():
    """
    Where every answer is a tie, no system has a share.
    """
    study = key_of("abc")
    (ranking,) = rankings_of(Ballots.of(study, [voted(study, "j", lambda shown: "tie")]))
    assert [standing.share for standing in ranking.standings] == [None] * 3
    assert ranking.ties.value == 1


def test_skipped_votes_are_nowhere():
    """
    What a judge skipped is in no count.
    """
    study = key_of("abc")
    skipping = Ballots.of(study, [voted(study, "j", lambda shown: "skip"), voted(study, "k", lambda shown: 0)])
    assert len(skipping) == len(study.trials)


def test_a_favored_side_shows():
    """
    Judges who always choose the left picture show as a place that is chosen always; on systems they say nothing.
    """
    study = key_of("abc", samples=10)
    votes: list[Votes] = [voted(study, f"j{judge}", lambda shown: 0, seed=judge) for judge in range(8)]
    ballots = Ballots.of(study, votes)
    (place,) = places_of(ballots)
    assert (place.place, place.share.value, place.expected) == (1, 1.0, 0.5)
    (ranking,) = rankings_of(ballots)
    assert all(standing.share.low < 1 / 3 < standing.share.high for standing in ranking.standings)
