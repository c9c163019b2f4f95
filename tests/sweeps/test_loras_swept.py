"""A sweep over LoRAs: one warm kernel makes what processes of their own make, and weight 0 is the control."""

from __future__ import annotations

from typing import Any

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.sweep import Inline, Summary, sweep
from tests.support.loras import as_diffusers, as_kohya, matrices, write
from tests.support.quick_sweeps import dataset as dataset
from tests.support.quick_sweeps import notebook as notebook
from tests.support.quick_sweeps import planned as planned

MOON, SUN = "hyperparameters.loras.moon", "hyperparameters.loras.sun"
WORDS = {"hyperparameters.prompt": ["a star"], "hyperparameters.denoising.high_noise_frac": [0.5]}
LOADED = """
from pathlib import Path
from sdxl_lab.checkpoints import loading
with Path({log!r}).open("a") as log:
    print(id(loading._latest[0].base), file=log)
"""


@pytest.fixture
def files(tmp_path, random_pair) -> tuple[str, str]:
    """
    Two LoRAs for the UNet and both text encoders.
    """
    moon, sun = matrices(random_pair / "base", 1), matrices(random_pair / "base", 2)
    return str(write(tmp_path / "moon.safetensors", as_diffusers(moon))), str(write(tmp_path / "sun.safetensors", as_kohya(sun, 2.0)))


@pytest.mark.slow
def test_one_kernel_makes_what_processes_of_their_own_make(planned, notebook, files, random_pair, tmp_path):
    """
    With each of two LoRAs, both and none, in one kernel with one set of models, which is found unchanged, each picture is another process's.
    """
    moon, sun = files
    log = tmp_path / "log.txt"
    points = {MOON: [moon, None], SUN: [{"file": sun, "weight": 0.7}, None]}
    made = planned(notebook(after=LOADED.format(log=str(log))), grid=WORDS | points)
    assert len(made.runs) == 4
    works = [work for run in made.runs for work in run.works.values()]
    assert len({work.base for work in works}) == len({work.refined for work in works}) == 4
    assert sweep(made, Inline()) == Summary(before=0, made=4, failed=())
    assert len(log.read_text().split()) == 4
    assert len(set(log.read_text().split())) == 1
    pictures = [picture for run in made.runs for picture in RunFolder(run.folder).pictures()]
    assert len({picture.sha256 for picture in pictures}) == 4
    for run in made.runs:
        apart = resolve(RunSpec.from_parameters(**dict(run.parameters) | {"runs_folder": str(tmp_path / "alone")}))
        [expected] = made_alone(apart)
        assert [picture.sha256 for picture in RunFolder(run.folder).pictures()] == [expected.sha256]
    assert not planned(notebook(), grid=WORDS | points).pending


def test_weight_is_an_axis(planned, notebook, files):
    """
    A LoRA's weight is an axis of a sweep, of which 0 is the run without it.
    """
    fixed = {f"{MOON}.file": [files[0]]}
    made = planned(notebook(), grid=WORDS | fixed | {f"{MOON}.weight": [0, 0.5, 1]})
    [control] = planned(notebook(), grid=WORDS).runs
    assert [run.overrides[f"{MOON}.weight"] for run in made.runs] == [0, 0.5, 1]
    assert made.runs[0].run_id == control.run_id
    assert len({run.run_id for run in made.runs}) == 3
    by_name = planned(notebook(), grid=WORDS | {MOON: [None, {"file": files[0], "weight": 0.5}, files[0]]})
    assert [run.run_id for run in by_name.runs] == [run.run_id for run in made.runs]


def made_alone(resolved: Any) -> Any:
    """
    The pictures of a run that builds on no other.
    """
    from sdxl_lab.generation.trajectory import TrajectoryCache
    from sdxl_lab.runs.experiment import run

    return run(resolved, trajectories=TrajectoryCache())
