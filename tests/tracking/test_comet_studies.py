"""The answer of a study in Comet, by the unmodified SDK against the stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdxl_lab.records.study_result import ResultFolder
from sdxl_lab.studies.result import result_of
from sdxl_lab.studies.result_page import write_result
from sdxl_lab.tracking import confirmed, pushing
from sdxl_lab.tracking.key import experiment_key
from sdxl_lab.tracking.projection import project
from tests.support.comet_runs import only, told
from tests.support.comet_server import backend as backend
from tests.support.commands import said
from tests.support.preferences import by_strength, key_of, voted

pytestmark = pytest.mark.timeout(300)
JUDGES = ("Annabel", "Boris", "Cyrill", "Dina", "Edgar")


@pytest.fixture
def answer(tmp_path: Path) -> ResultFolder:
    """The kept answer of five judges on three systems, one of which is named by a path of this machine."""
    study = key_of(["a", "b", "/home/annabel/models/c.safetensors"], repeats=5)
    strengths = dict(zip(study.systems, (3, 2, 1), strict=True))
    votes = [voted(study, judge, by_strength(strengths, seed=seed, ties=0.1), seed=seed) for seed, judge in enumerate(JUDGES)]
    write_result(result_of(study, votes, resamples=199), tmp_path / "hands" / "result")
    return ResultFolder(tmp_path / "hands" / "result")


def test_an_answer_is_an_experiment_of_its_own(backend, answer):
    """
    Pushed by its folder it is one experiment: shares and the ends of their intervals as numbers, page, drawing and table; again, nothing is sent.
    """
    pushing.push([answer.path], answer.path)
    experiment = only(backend)
    assert experiment.key == experiment_key(answer)
    assert (experiment.name, experiment.tags) == ("hands", {"hands", "study"})
    assert not experiment.running
    values = json.loads(answer.about_file.read_text())
    standing = values["rankings"][0]["standings"][0]
    numbers = {name: float(value) for name, value, *_ in experiment.metrics}
    assert numbers[f"share/{standing['system']}"] == standing["share"]["value"]
    assert numbers[f"share/{standing['system']}_low"] == standing["share"]["low"]
    assert experiment.others["judges"] == "5"
    assert experiment.others["shares"] == "derived"
    assert {asset.name for asset in experiment.assets} >= {"shares.csv", "shares.svg", "result.html"}
    assert answer.page_file.read_text("utf-8") in experiment.html
    assert confirmed.standing(answer).is_whole
    before = told(experiment)
    pushing.push([answer.path], answer.path)
    assert told(only(backend)) == before


def test_names_of_judges_and_paths_stay_here(answer, tmp_path):
    """
    Nothing of what Comet would hold has the name of a judge, or a path of this machine in a number or other.
    """
    projection = project(answer, tmp_path)
    content = [file.path.read_text("utf-8") for file in projection.files]
    said_of = json.dumps([dict(projection.others), [name for name, _ in projection.metrics], projection.name])
    assert not [judge for judge in JUDGES for text in [*content, said_of] if judge in text]
    assert "/home/" not in said_of


def test_it_is_sent_only_by_name(answer, tmp_path):
    """
    A push of everything leaves it alone; it has no archive, which is said.
    """
    assert answer.tracking == "off"
    refused = said("archive", answer.path)
    assert refused.code == 1
    assert "sdxl-lab push" in refused.err
