"""Runs in Comet, by the unmodified SDK against the stand-in: live, pushed later, and what of this machine goes along."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from pathlib import Path

import pytest
import yaml

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.tracking import confirmed, live, sender
from tests.support.comet_runs import kernel, only, told, until, workers_of
from tests.support.comet_server import backend as backend
from tests.support.commands import said
from tests.support.run_folders import complete
from tests.support.runs import made_for, resolved_run

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of three pictures, done, that Comet knows nothing of."""
    resolved = resolved_run(tmp_path / "runs" / "live", dataset=str(tmp_path / "my pictures"), tracking="online")
    return complete(resolved, change_outside_max=2.5)


def test_pictures_appear_while_the_run_goes_on(backend, tmp_path):
    """
    A picture is in Comet before the next one is made, no step of the run waits for it, and in the end everything is there and finished.
    """
    with kernel(tmp_path / "runs" / "live") as made:
        made.do("begin", "picture")
        assert made.seconds < 5
        until(lambda: any(image.name == "inpaint" for experiment in backend.experiments.values() for image in experiment.images))
        assert {image.step for image in only(backend).images} == {0}
        assert only(backend).running
        made.do("picture", "picture", "end")
        if made.end():  # a machine with much else to do is too slow to be live
            sender.push(made.run)
    experiment = only(backend)
    assert confirmed.standing(made.run).is_whole
    assert not experiment.running
    assert "prompts.csv" in [asset.name for asset in experiment.assets]
    results = {(image.name, image.step): image.sha256 for image in experiment.images}
    assert set(results) == {
        ("input", 0), ("inpaint", 0), ("inpaint-mask", 0), ("outpaint", 0), ("outpaint-mask", 0),
        ("input", 1), ("inpaint", 1), ("inpaint-mask", 1), ("contact-sheet", None),
        ("before-after-inpaint", 0), ("before-after-outpaint", 0), ("before-after-inpaint", 1),
    }  # fmt: skip
    assert len([name for name, _, step in experiment.metrics if step is not None]) == 12
    assert len([name for name, _, step in experiment.metrics if step is None]) == 8
    until(lambda: not workers_of(made.run))


def write_notebook(run: RunFolder, source: str) -> None:
    """As if a notebook of one cell had been executed."""
    cell = {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": 1}
    run.executed_notebook.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def test_pushing_twice_changes_nothing(backend, run, tmp_path, monkeypatch):
    """
    A second push, also from another machine, writes nothing; what changed is sent, and replaces what it was before.
    """
    write_notebook(run, "x = 1")
    sender.push(run)
    first, requests = told(only(backend)), len(backend.requests)
    elsewhere = RunFolder(shutil.copytree(run.path, tmp_path / "other machine" / "runs" / "live" / run.path.name))
    (tmp_path / "other home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "other home"))
    sender.push(elsewhere)
    assert told(only(backend)) == first
    assert {method for method, _ in backend.requests[requests:]} == {"GET"}
    write_notebook(elsewhere, "x = 2")
    assert not confirmed.standing(elsewhere).is_whole
    sender.push(elsewhere)
    assert confirmed.standing(elsewhere).is_whole
    [notebook] = [asset for asset in only(backend).assets if asset.name == "executed.ipynb"]
    assert (notebook.type, b"x = 2" in notebook.content) == ("notebook", True)
    assert told(only(backend)) | {"assets": first["assets"]} == first


def test_a_server_that_lists_late_gets_nothing_twice(backend, run):
    """
    Where Comet lists only after seconds what it has accepted, push waits for the listing and sends nothing again.
    """
    backend.lag(3.0)
    sender.push(run)
    backend.clear()
    uploads = [path for _, path in backend.requests if path.endswith("visualizations/upload")]
    assert len(uploads) == len(only(backend).images) == 11
    assert confirmed.standing(run).is_whole


def test_a_long_prompt_is_whole_somewhere(backend, tmp_path):
    """
    A prompt that is too long for a parameter is cut there, tells the hash of the whole, and is whole in the metadata and in prompts.csv.
    """
    resolved = resolved_run(tmp_path / "runs" / "live", tracking="online")
    prompts = [f"{number} {'very ' * 500}long" for number in range(2)]
    edits = [edit.model_copy(update={"prompt": prompt}) for edit, prompt in zip(resolved.edits[:2], prompts, strict=True)]
    own = resolved.spec.model_copy(update={"hyperparameters": {edit.task: {"prompt": edit.prompt} for edit in edits}})
    long = ResolvedSpec.model_validate(resolved.model_dump() | {"spec": own.model_dump(), "edits": [edit.model_dump() for edit in edits]})
    run = RunFolder.of(long)
    with run.open(long):
        for edit in run.pending():
            run.add_picture(edit, made_for(edit))
    sender.push(run)
    experiment = only(backend)
    shown = {name: experiment.parameters[f"{name}|prompt"] for name in ("inpaint", "outpaint")}
    assert all(len(text) <= 1000 and prompt.startswith(text[:970]) for text, prompt in zip(shown.values(), prompts, strict=True))
    assert all(hashlib.sha256(prompt.encode()).hexdigest()[:16] in text for text, prompt in zip(shown.values(), prompts, strict=True))
    found = {image.name: image.metadata for image in experiment.images}
    assert [(found[name] or {})["prompt"] for name in shown] == prompts
    assets = {asset.name: asset.content.decode() for asset in experiment.assets}
    assert all(prompt in assets["prompts.csv"] for prompt in prompts)
    assert [yaml.safe_load(assets["parameters.yaml"])["hyperparameters"][name]["prompt"] for name in shown] == prompts
    assert experiment.others["description"] == "sdxl-lab run inpaint_outpaint -f parameters.yaml"
    assert not experiment.running
    assert experiment.crashed


def test_a_run_is_followed_before_it_is_begun(backend, tmp_path, monkeypatch):
    """
    Whoever waits for a run's process follows it from the start; that nothing reaches Comet is said once something could have.
    """
    monkeypatch.setattr(live, "START_S", 0.2)
    backend.fail(delay_s=float("inf"))
    resolved = resolved_run(tmp_path / "runs" / "live", tracking="online")
    followed, notices = RunFolder.of(resolved), []
    live.follow(followed, notices.append)
    until(lambda: backend.requests)
    assert notices == []
    with followed.open(resolved):
        until(lambda: notices)
    backend.clear()
    live.let_go(followed)
    assert "nothing has reached Comet" in notices[0]
    until(lambda: not workers_of(followed))


def test_the_commands_say_where_runs_stand(backend, run, tmp_path):
    """
    `status` tells without a request what Comet lacks; `push` brings it there and leaves with 0; without a key it leaves with 1 and one line.
    """
    before = said("status", tmp_path)
    assert before.code == 0
    assert "3 of 3" in before.out
    assert "has nothing" in before.out
    assert backend.requests == []
    pushed = said("push", tmp_path)
    assert pushed.code == 0, pushed.err
    assert only(backend).key in pushed.out
    assert "has all of it" in said("status", run.path).out
    for name in ("COMET_API_KEY", "COMET_URL_OVERRIDE"):
        os.environ.pop(name)  # the fixture puts them back
    without = said("push", run.path)
    assert (without.code, without.out, without.err.count("\n")) == (1, "", 1)
    assert "COMET_API_KEY" in without.err


def test_a_refused_key_is_one_error(backend, run):
    """
    A key that Comet does not accept ends `push` at once, with 1 and one line that does not repeat it.
    """
    backend.expire_key()
    refused = said("push", run.path)
    assert refused.code == 1
    [line] = [line for line in refused.err.splitlines() if line.startswith("sdxl-lab: ") and not line.startswith("sdxl-lab: sending ")]
    assert "does not accept the API key" in line
    assert backend.api_key not in refused.err
    assert not confirmed.standing(run).is_whole


@pytest.mark.parametrize(
    ("variable", "shows"),
    [
        ("COMET_AUTO_LOG_ENV_HOST", lambda experiment: platform.node() in str(experiment.system)),
        ("COMET_AUTO_LOG_GIT_METADATA", lambda experiment: experiment.git),
        ("COMET_AUTO_LOG_ENV_CPU", lambda experiment: any(name.startswith("sys.cpu") for name, _, _ in experiment.metrics)),
        ("COMET_AUTO_LOG_CLI_ARGUMENTS", lambda experiment: "pytest" in str(experiment.parameters) + str(experiment.system)),
    ],
)
@pytest.mark.slow
def test_what_is_private_can_be_turned_on(variable, shows, backend, run, monkeypatch):
    """
    Each of Comet's own switches in the environment turns its part on; without it the part is not sent.
    """
    sender.push(run)
    assert not shows(only(backend))
    shutil.rmtree(run.comet_folder)
    backend.experiments.clear()
    monkeypatch.setenv("COMET_AUTO_LOG_ENV_DETAILS", "1")
    monkeypatch.setenv(variable, "1")
    sender.push(run)
    assert shows(only(backend))
