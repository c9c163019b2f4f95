"""Which pictures a study shows together."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from sdxl_lab.studies.choosing import Possible, chosen, repeated


def whole(systems: int, samples: int, seeds: int) -> dict[tuple[int, int], Possible]:
    """Every system has a picture of every sample and seed, no two of them the same."""
    names = [f"system {number}" for number in range(systems)]
    return {(sample, seed): Possible(sample=str(sample), looks={name: name for name in names}) for sample in range(samples) for seed in range(seeds)}


@pytest.mark.parametrize("count", [1, 7, 25, 36, 100])
@pytest.mark.parametrize(("systems", "samples", "seeds"), [(2, 5, 2), (3, 4, 1), (4, 6, 2), (6, 10, 1)])
def test_pairs_of_systems_and_samples_are_shown_as_often_as_each_other(systems, samples, seeds, count):
    """
    Whatever number is asked for, two pairs of systems, and two samples, differ by one in how often they are shown, and no trial comes twice.
    """
    possible = whole(systems, samples, seeds)
    for seed in range(5):
        trials = chosen(possible, together=2, count=count, seed=seed)
        assert len(trials) == min(count, systems * (systems - 1) // 2 * samples * seeds)
        assert len({(place, frozenset(group)) for place, group in trials}) == len(trials)
        pairs = Counter(frozenset(group) for _, group in trials)
        shown = Counter(place[0] for place, _ in trials)
        by_pair = [pairs[frozenset(pair)] for pair in combinations([f"system {number}" for number in range(systems)], 2)]
        by_sample = [shown[sample] for sample in range(samples)]
        assert max(by_pair) - min(by_pair) <= 1
        assert max(by_sample) - min(by_sample) <= 1


def test_four_of_four_are_shown_of_every_sample():
    """
    Where as many are shown together as there are systems, every place is shown once before any question could come again.
    """
    trials = chosen(whole(4, 5, 2), together=4, count=None, seed=0)
    assert Counter(place for place, _ in trials) == dict.fromkeys(whole(4, 5, 2), 1)
    assert all(len(set(group)) == 4 for _, group in trials)


def test_three_of_five_show_every_pair_about_as_often():
    """
    Of ten groups of three each is shown before one is shown again, and so every pair of systems three times.
    """
    trials = chosen(whole(5, 10, 1), together=3, count=10, seed=1)
    pairs = Counter(frozenset(pair) for _, group in trials for pair in combinations(group, 2))
    assert set(pairs.values()) == {3}
    assert len(pairs) == 10


def test_the_same_seed_chooses_the_same_and_another_does_not():
    """
    What is shown is drawn by the seed alone.
    """
    possible = whole(4, 10, 1)
    assert chosen(possible, together=2, count=9, seed=3) == chosen(possible, together=2, count=9, seed=3)
    assert chosen(possible, together=2, count=9, seed=3) != chosen(possible, together=2, count=9, seed=4)


def test_pictures_that_are_missing_or_the_same_are_not_shown():
    """
    No system is shown where it has no picture, nor two of which one cannot be told from the other.
    """
    possible = {
        "a": Possible(sample="a", looks={"x": "1", "y": "1", "z": "2"}),
        "b": Possible(sample="b", looks={"x": "1", "y": "2"}),
    }
    trials = chosen(possible, together=2, count=None, seed=0)
    assert {(place, frozenset(group)) for place, group in trials} == {("a", frozenset("xz")), ("a", frozenset("yz")), ("b", frozenset("xy"))}


def test_sides_in_the_key_say_nothing():
    """
    The systems of a trial stand in an order that is drawn, each in each place about as often.
    """
    trials = chosen(whole(2, 100, 2), together=2, count=200, seed=0)
    assert 70 < sum(group[0] == "system 0" for _, group in trials) < 130


@pytest.mark.parametrize(("trials", "share", "count"), [(100, 0.1, 10), (4, 0.1, 1), (4, 0, 0), (4, 1, 4), (25, 0.25, 6)])
def test_a_share_is_asked_again(trials, share, count):
    """
    About the share that is asked for comes again, at least one trial, each at most once.
    """
    again = repeated(trials, share, 7)
    assert len(set(again)) == len(again) == count
    assert set(again) <= set(range(trials))
