"""Simulated studies of which the truth is known: a few of those that `benchmarks/preference.py` counts by the hundred."""

# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# Of these votes there is an interval; a test that meets None fails, as it should.

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sdxl_lab.studies.ballots import TIED
from sdxl_lab.studies.judges import judges_of
from sdxl_lab.studies.ranking import rankings_of

STUDIES = 30


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    """The benchmark, as a module."""
    spec = importlib.util.spec_from_file_location("preference", Path(__file__).parents[2] / "benchmarks" / "preference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def strengths(simulation: ModuleType) -> np.ndarray:
    """The log strengths behind the shares of the paper."""
    return simulation.strengths()


def test_intervals_hold_the_truth(simulation, strengths):
    """
    Of 120 intervals of 30 studies, at least 105 hold the paper's share: with 95% each, fewer than that would come once in some thousand tries.
    """
    held = 0
    for number in range(STUDIES):
        ballots, _ = simulation.simulated(strengths, number, careless=0)
        (ranking,) = rankings_of(ballots, resamples=199)
        shares = {standing.system: standing.share for standing in ranking.standings}
        held += sum(shares[system].low <= truth <= shares[system].high for system, truth in zip(simulation.SYSTEMS, simulation.TRUTH, strict=True))
    assert held >= 105


def test_careless_judges_are_known_by_their_repeats(simulation, strengths):
    """
    Of judges half of whom answer at random, most of these agree with themselves in less than 0.7 of six repeats, and few of the others do.
    """
    left, careless = [], []
    for number in range(STUDIES):
        ballots, is_careless = simulation.simulated(strengths, number, careless=0.5)
        left += [judge.is_left_out for judge in judges_of(ballots, [0] * simulation.JUDGES, min_self_agreement=0.7)]
        careless += is_careless.tolist()
    assert np.mean(np.array(left)[np.array(careless)]) > 0.85
    assert np.mean(np.array(left)[~np.array(careless)]) < 0.1


def test_attentive_judges_answer_alike_beside_careless_ones(simulation, strengths):
    """
    A study with careless judges differs from the one without in these judges' answers alone, and places are shared out evenly.
    """
    one, _ = simulation.simulated(strengths, 3, careless=0)
    other, is_careless = simulation.simulated(strengths, 3, careless=0.5)
    same = ~is_careless[other.judge]
    assert (one.answer[same] == other.answer[same]).all()
    assert (one.shown == other.shown).all()
    assert not (one.answer == other.answer).all()
    assert (one.answer == TIED).mean() == pytest.approx(0.12, abs=0.06)
    assert (one.answer == 0).sum() == pytest.approx((one.answer == 1).sum(), rel=0.25)


def test_what_was_counted_is_not_counted_again(simulation, tmp_path, capsys):
    """
    With a file to keep them in, studies are counted once: the second time the table is the same and nothing is computed; a torn line is made again.
    """
    page, file = tmp_path / "page.md", tmp_path / "studies.jsonl"
    page.write_text("before\n<!-- simulated -->\nold\n<!-- end of simulated -->\nafter\n")
    asked = ["--studies", "3", "--resamples", "19", "--into", str(file), "--write", str(page)]
    simulation.main(asked)
    first = capsys.readouterr().out
    file.write_text(file.read_text()[:-40])
    simulation.main(asked)
    again = capsys.readouterr().out
    assert "counted now: 3 studies" in first
    assert "counted now: 1 studies" in again
    assert first.partition("counted now")[0] == again.partition("counted now")[0]
    assert simulation.kept(file, 19).keys() == {0, 1, 2}
    assert page.read_text().startswith("before\n<!-- simulated -->\n| judges")
    assert page.read_text().endswith("<!-- end of simulated -->\nafter\n")
