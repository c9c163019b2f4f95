"""All tables at once: a task, a metric, a scheduler, a source of datasets and a family of checkpoints that somebody else brings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdxl_lab.datasets import SOURCES, Source
from sdxl_lab.families import FAMILIES
from sdxl_lab.metrics import METRICS, Metric
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.schedulers import SCHEDULERS, Scheduler
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.tasks import TASKS
from sdxl_lab.tracking.projection import project
from sdxl_lab.viewing.report.content import content_of, entries_of
from sdxl_lab.viewing.report.files import Gallery
from tests.support.commands import said
from tests.support.datasets import write_dataset
from tests.tasks.test_registered_task import RETOUCH


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global plan
    from sdxl_lab.sweeps.planner import plan


@pytest.fixture
def registered(monkeypatch, random_pair, tmp_path) -> None:
    """One line a table."""

    def bring(written: Any, datasets_folder: Path, opened: Any) -> Any:
        folder = tmp_path / "drawn"
        words = {"prompt": "a frame", "seed": 7}
        return opened(folder if folder.is_dir() else write_dataset(folder, 1, mask=None, inpaint=None, outpaint=None, retouch=words), written)

    def level(made: Any, expected: Any) -> float:
        return float(np.asarray(made.image).mean())

    monkeypatch.setitem(TASKS, "retouch", RETOUCH)
    monkeypatch.setitem(METRICS, "mean_level", Metric(name="mean_level", of=level, sentence="How bright it is.", better="higher"))
    trailing = Scheduler(class_name="EulerDiscreteScheduler", label="Euler trailing", overrides={"timestep_spacing": "trailing"})
    monkeypatch.setitem(SCHEDULERS, "euler_trailing", trailing)
    is_ours = dict(written="scenes:SEED", recognizes=lambda written: str(written).startswith("scenes:"), is_known_by_name=True)
    monkeypatch.setitem(SOURCES, "scenes", Source(bring=bring, **is_ours))
    monkeypatch.setitem(FAMILIES, "toy", replace(FAMILIES["custom"], names={"toy-models": random_pair}, threads=1))
    monkeypatch.chdir(tmp_path)


def test_what_is_registered_from_outside_is_found_everywhere(registered, tmp_path):
    """
    Errors, plan, report, comparison, Comet and reproduce know each of them, with no other change.
    """
    with pytest.raises(SpecError) as refused:
        RunSpec.from_parameters(name="x", dataset=3, checkpoint=3, tasks=["x"], hyperparameters={"denoising": {"scheduler": "x"}})
    assert [word for word in ("scenes:SEED", "toy-models", "retouch", "euler_trailing") if word not in str(refused.value)] == []

    parameters = {"dataset": "scenes:7", "checkpoint": "toy-models", "tasks": ["retouch"], "tracking": "off", "runs_folder": str(tmp_path / "runs")}
    parameters["hyperparameters"] = {"denoising": {"num_inference_steps": 3, "strength": 1.0}}
    grid = {"hyperparameters.denoising.scheduler": ["euler", "euler_trailing"]}
    planned = plan(SweepFile.from_dict({"name": "toys", "parameters": parameters, "grid": grid})).runs
    assert [{key[:2] for key in point.works} for point in planned] == [{("scene-0", "retouch")}] * 2
    assert [point.label for point in planned] == ["scheduler=euler", "scheduler=euler_trailing"]

    folders = []
    for point in planned:
        resolved = resolve(RunSpec.from_parameters(**point.parameters))
        run(resolved)
        finish(resolved)
        folders.append(resolved.folder)
    assert [folder.resolved.run_id for folder in folders] == [point.run_id for point in planned]

    content = content_of(entries_of(folders, []), Gallery(), "toys")
    [axis] = [axis for axis in content["axes"] if axis["path"] == "denoising.scheduler"]
    assert axis["values"] == ["euler", "euler_trailing"]
    settings = content["settings"][1]
    assert (settings["task"], settings["checkpoint"], settings["dataset"]) == ("retouch", "toy-models", "scenes:7")
    assert ("mean_level", "higher") in [(metric["name"], metric["better"]) for metric in content["metrics"]]

    compared = said("compare", *(folder.path for folder in folders), "--task", "retouch", "--metric", "mean_level").out
    assert [word for word in ("euler_trailing", "mean_level, higher is better") if word not in compared] == []
    assert "mean_level" in said("compare", folders[0].path, "--metric", "x").err

    projected = project(folders[1], tmp_path)
    assert (projected.parameters["checkpoint"], projected.parameters["dataset"]) == ("toy-models", "scenes:7")
    assert projected.parameters["denoising|scheduler"] == "euler_trailing"
    assert ("retouch/mean_level", 0) in projected.metrics

    [picture] = folders[1].pictures()
    assert reproduce(picture.image).is_identical
