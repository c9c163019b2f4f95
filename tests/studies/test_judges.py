"""How judges agree, with themselves and with each other: counted by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from sdxl_lab.studies.ballots import Ballots
from sdxl_lab.studies.judges import judges_of, mutual_agreement
from tests.support.preferences import by_strength, key_of, voted


def test_the_same_picture_again_is_agreement():
    """
    A repeat that is mirrored agrees if the same picture is chosen, whichever side it is on; who always takes the left one never agrees.
    """
    study = key_of("ab", samples=6, repeats=5)
    steady, left = voted(study, "steady", lambda shown: shown.index("a")), voted(study, "left", lambda shown: 0)
    tied = voted(study, "tied", lambda shown: "tie")
    found = judges_of(Ballots.of(study, [left, steady, tied]), [0, 0, 0], min_self_agreement=0.7)
    assert [(judge.judge, judge.self_agreement, judge.repeats, judge.is_left_out) for judge in found] == [
        ("left", 0.0, 5, True),
        ("steady", 1.0, 5, False),
        ("tied", 1.0, 5, False),
    ]


def test_who_answered_no_repeat_stays():
    """
    Without a repeat nothing is known of self-agreement, and nobody is left out for it.
    """
    study = key_of("ab", repeats=3)
    (found,) = judges_of(Ballots.of(study, [voted(study, "j", lambda shown: 0, trials=lambda trial: not trial.mirrors)]), [0], min_self_agreement=1)
    assert (found.self_agreement, found.repeats, found.is_left_out) == (None, 0, False)


def test_agreement_is_that_of_all_pairs_of_answers():
    """
    Judges agree in the share of equal answers among all pairs of answers to one question, repeats aside; one judge in that of those with others.
    """
    study = key_of("abc", samples=5, repeats=4)
    votes = [voted(study, f"j{judge}", by_strength({"a": 2, "b": 1, "c": 1}, seed=judge, ties=0.2), seed=judge) for judge in range(4)]
    given = [[vote for vote in own.votes if not vote.trial.startswith("again")] for own in votes]
    said = [{vote.trial: vote.shown[vote.answer] if isinstance(vote.answer, int) else vote.answer for vote in own} for own in given]
    alike = {(one, other): [said[one][trial] == said[other][trial] for trial in said[one]] for one, other in combinations(range(4), 2)}
    ballots = Ballots.of(study, votes)
    assert mutual_agreement(ballots) == pytest.approx(np.mean(list(alike.values())))
    first = judges_of(ballots, [0] * 4)[0]
    assert first.agreement == pytest.approx(np.mean([alike[0, other] for other in (1, 2, 3)]))


def test_one_judge_agrees_with_nobody():
    """
    With one judge there is no agreement with others to tell.
    """
    study = key_of("ab")
    ballots = Ballots.of(study, [voted(study, "j", lambda shown: 0)])
    assert mutual_agreement(ballots) is None
    assert judges_of(ballots, [0])[0].agreement is None
