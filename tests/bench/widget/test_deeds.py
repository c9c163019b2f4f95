"""What a page does with pictures that were made, without a page."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from sdxl_lab import Bench
from sdxl_lab.bench.widget import deeds
from tests.support import sessions


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    """A bench whose session holds two pictures."""
    monkeypatch.chdir(tmp_path)
    session = sessions.begun_in(tmp_path, tracking="off")
    for seed in (1, 2):
        sessions.add(session, "a star", seed=seed)
    return Bench.on(session)


def test_parameters_say_of_what_they_are_and_where_they_belong(bench):
    """Above the lines that set them stands whose they are; they are comments, so that the cell runs as the bench prints it."""
    text = deeds.QUICK["parameters"](bench, {"number": 2})["text"]
    assert text.startswith(f"# Parameters of picture 2 of {bench.session.name}: for a notebook that makes runs")
    assert ast.dump(ast.parse(text)) == ast.dump(ast.parse(str(bench.parameters(2))))


def test_a_sweep_has_seeds_to_the_last_digit(bench):
    """Seeds that a page sends as texts, since its numbers do not hold them, are those numbers in the file; texts of other settings stay texts."""
    axes = {"seed": ["18446744073709551615", 3], "prompt": ["12", "a star"]}
    written = yaml.safe_load(Path(deeds.QUICK["sweep"](bench, {"number": 1, "axes": axes})["path"]).read_text())
    assert written["grid"] == {"hyperparameters.seed": [2**64 - 1, 3], "hyperparameters.prompt": ["12", "a star"]}
    drawn = yaml.safe_load(Path(deeds.QUICK["sweep"](bench, {"number": 2, "axes": {"seed": "random(3)"}})["path"]).read_text())
    assert drawn["grid"] == {"hyperparameters.seed": "random(3)"}
