"""A sweep over LoRAs: one warm kernel makes what processes of their own make, and weight 0 is the control."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.sweeps.sweep import Inline, Summary, sweep
from tests.support.loras import as_diffusers, as_kohya, matrices, write
from tests.support.quick_sweeps import dataset as dataset
from tests.support.quick_sweeps import notebook as notebook
from tests.support.quick_sweeps import planned as planned

MOON, SUN = "hyperparameters.loras.moon", "hyperparameters.loras.sun"
WORDS = {"hyperparameters.prompt": ["a star"], "hyperparameters.denoising.high_noise_frac": [0.5]}
ALONE = """
import json, sys
from sdxl_lab.generation.trajectory import TrajectoryCache
from sdxl_lab.runs.experiment import run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec
asked, folder = json.loads(sys.argv[1]), sys.argv[2]
[picture] = run(resolve(RunSpec.from_parameters(**asked | {"runs_folder": folder})), trajectories=TrajectoryCache())
print(picture.sha256)
"""
CAPTURED: dict[str, Any] = {"capture_output": True, "text": True, "check": True}
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
def test_one_kernel_makes_what_processes_of_their_own_make(planned, notebook, files, tmp_path):
    """
    One LoRA, another, both, the other again and none, one after another in one kernel with one set of models: the pictures of five processes.
    """
    moon, sun = {"file": files[0], "weight": 1.0}, {"file": files[1], "weight": 0.7}
    asked = [{"moon": moon}, {"sun": sun}, {"moon": moon, "sun": sun}, {"sun": sun}, {}]
    points = [{"hyperparameters": {"loras": loras, "seed": int(number > 2)}} for number, loras in enumerate(asked)]
    log, words = tmp_path / "log.txt", {"hyperparameters.prompt": "a star", "hyperparameters.denoising.high_noise_frac": 0.5}
    made = planned(notebook(after=LOADED.format(log=str(log))), fixed=words, points=points)
    assert sweep(made, Inline()) == Summary(before=0, made=5, failed=())
    assert len(log.read_text().split()) == 5
    assert len(set(log.read_text().split())) == 1
    found = [picture.sha256 for run in made.runs for picture in RunFolder(run.folder).pictures()]
    alone = [
        subprocess.run([sys.executable, "-c", ALONE, json.dumps(dict(run.parameters)), str(tmp_path / "alone")], **CAPTURED) for run in made.runs
    ]
    assert [process.stdout.split()[-1] for process in alone] == found
    assert len(set(found)) == 5


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
