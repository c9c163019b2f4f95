"""Runs of Stable Diffusion 1 and 2: named as they were planned, gone on with, recorded whole, and made again from any of their pictures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.sweep_file import SweepFile
from tests.support.edits import calls, cpu


@pytest.fixture(scope="module")
def parameters(tmp_path_factory, sd2) -> dict[str, Any]:
    """
    An object repainted, and what is around it.
    """
    return {
        "dataset": "pocket-scenes",
        "samples": ["red-circle"],
        "checkpoint": str(sd2),
        "tasks": ["inpaint", "outpaint"],
        "hyperparameters": {"denoising": {"num_inference_steps": 3, "strength": 0.7}, "compute": {"device": "cpu", "threads": 1}},
        "tracking": "off",
        "runs_folder": str(tmp_path_factory.mktemp("runs")),
    }


@pytest.fixture(scope="module")
def made(parameters) -> RunFolder:
    """
    The run, finished.
    """
    resolved = resolve(RunSpec.from_parameters(name="first", **parameters))
    run(resolved)
    finish(resolved)
    return resolved.folder


def test_a_run_is_named_as_it_was_planned(made, parameters):
    """
    Its name is the planner's, its record says the family, and each picture took as many evaluations as were planned.
    """
    from sdxl_lab.sweeps.planner import plan

    [planned] = plan(SweepFile.from_dict({"name": "first", "parameters": parameters})).runs
    assert made.resolved.run_id == planned.run_id
    assert json.loads(made.spec_file.read_text())["checkpoint"]["family"] == "sd"
    assert {picture.key: picture.base_steps for picture in made.pictures()} == {key: work.base_forwards for key, work in planned.works.items()}


def test_a_finished_run_is_not_made_again(made, parameters, sd2):
    """
    Asked for once more, it is found whole, and no model computes.
    """
    with calls(cpu(sd2).base.unet) as counted:
        again = run(resolve(RunSpec.from_parameters(name="first", **parameters)))
    assert (again, counted) == (made.pictures(), [0])


@pytest.mark.parametrize("task", ["inpaint", "outpaint"])
def test_each_picture_is_made_again(made, task):
    """
    From its own stamp, bit for bit, and the stamp names the checkpoint's family.
    """
    [picture] = [picture for picture in made.pictures() if picture.task == task]
    assert reproduce(picture.image).is_identical
    assert read_stamp(picture.image).resolved.checkpoint.family == "sd"
