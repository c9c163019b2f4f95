"""Pictures made in a warm kernel after notebooks that leave everything in disorder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from PIL import Image

from sdxl_lab.errors import LabError
from sdxl_lab.kernels import engine, notebooks
from sdxl_lab.runs import experiment, resolution
from sdxl_lab.spec.run_spec import RunSpec
from tests.support.datasets import write_dataset


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global TrajectoryCache
    from sdxl_lab.generation.trajectory import TrajectoryCache


DISORDER = """
import logging, os, random, signal, sys, threading, time, warnings
import numpy as np
import torch
random.seed(1); np.random.seed(1); torch.manual_seed(1)
torch.set_default_dtype(torch.float64); torch.set_num_threads(2); torch.use_deterministic_algorithms(True, warn_only=True)
torch.set_float32_matmul_precision("medium"); torch.set_grad_enabled(False); torch.set_flush_denormal(True)
torch.set_default_device("meta"); torch.autocast("cpu", dtype=torch.bfloat16).__enter__()
os.environ.update(HF_HOME="/nowhere", OMP_NUM_THREADS="2", TMPDIR="/nowhere"); os.chdir("/")
sys.path.insert(0, "/nowhere"); sys.argv[:] = ["x"]; signal.signal(signal.SIGTERM, signal.SIG_IGN)
warnings.simplefilter("error"); logging.disable(50); logging.basicConfig(level=1, force=True)
thread = threading.Thread(target=print); thread.start(); thread.join()
"""

EXPERIMENT = """
import os
os.environ.update(HOME={home!r}, COMET_LOGGING_CONSOLE="ERROR")
import comet_ml
comet_ml.OfflineExperiment(project_name="x", offline_directory={home!r}, log_code=False, display_summary_level=0)
1 / 0
"""

LOADED = """
import torch
from sdxl_lab.checkpoints import loading
from sdxl_lab.settings.sections import Compute
models = loading.load({checkpoint!r}, Compute(device="cpu", dtype="float32", threads=1))
"""

HOSTILE = {
    "disorder": ("kept", DISORDER + "exit()"),
    "an experiment left open, and an error": ("kept", EXPERIMENT),
    "a hook": ("replaced", LOADED + "models.base.unet.register_forward_hook(lambda *_: None)\nraise RuntimeError"),
    "weights": ("replaced", LOADED + "with torch.no_grad(): next(models.base.unet.parameters()).data.mul_(1.01)\nraise SystemExit(3)"),
    "a patch": ("replaced", "import sdxl_lab.generation.frames\nsdxl_lab.generation.frames.working_size = lambda *_, **__: (64, 32)\n1 / 0"),
    "a pipeline's scheduler": ("replaced", LOADED + "models.base.register_to_config(force_zeros_for_empty_prompt=False)\n1 / 0"),
}

POINTS: list[dict[str, Any]] = [{"high_noise_frac": frac} for frac in (None, 0.8, 0.6)] + [
    {"guidance_scale": 5.0},
    {"strength": 0.8},
    {"scheduler": "ddim"},
]


def pixels_of(folder: Path) -> dict[str, np.ndarray]:
    """Every result of a run, read by Pillow alone."""
    return {path.parent.name + path.name: np.asarray(Image.open(path)) for path in sorted((folder / "images").glob("*/*paint.png"))}


@pytest.mark.slow
def test_no_notebook_changes_the_pictures_of_the_next(tmp_path, random_pair, monkeypatch):
    """
    Points of a sweep in a warm kernel, a hostile notebook before each, give the pictures of undisturbed runs, bit for bit.
    """
    dataset = write_dataset(tmp_path / "scenes", count=1)
    seen = []
    monkeypatch.setattr(engine.logger, "info", lambda message, *_: seen.append(message))
    hostile = tmp_path / "hostile.ipynb"
    try:
        for point, (name, (fate, source)) in zip(POINTS, HOSTILE.items(), strict=True):
            parameters = {
                "name": "point",
                "dataset": str(dataset),
                "checkpoint": str(random_pair),
                "samples": None,
                "tasks": ["inpaint"],
                "hyperparameters": {"denoising": {"num_inference_steps": 5, **point}, "compute": {"device": "cpu", "dtype": "float32", "threads": 1}},
                "tracking": "off",
            }
            text = source.format(home=str(tmp_path), checkpoint=str(random_pair)) if "{home!r}" in source or source.startswith(LOADED) else source
            nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text)]), hostile)
            seen.clear()
            with pytest.raises(LabError):
                notebooks.run(hostile, {}, tmp_path / "never.ipynb", warm=True, preload=experiment.PRELOAD)
            replaced = any("new kernel" in message for message in seen)
            assert replaced == (fate == "replaced"), (name, seen)
            swept = experiment.execute(
                notebooks.find("inpaint_outpaint"), parameters | {"runs_folder": str(tmp_path / "swept")}, warm=True
            ).folder.path
            alone = resolution.resolve(RunSpec.from_parameters(**parameters, runs_folder=str(tmp_path / "alone")))
            experiment.run(alone, trajectories=TrajectoryCache())
            expected, actual = pixels_of(alone.folder.path), pixels_of(swept)
            assert expected.keys() == actual.keys()
            assert all(np.array_equal(expected[key], actual[key]) for key in expected), name
    finally:
        engine.close()
