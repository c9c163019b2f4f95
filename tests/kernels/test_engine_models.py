"""Loaded models in a warm kernel: what a notebook does to them reaches no other, whoever loaded them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdxl_lab.kernels import engine
from tests.support.warm_notebooks import execute, printed

LOAD = """
from sdxl_lab.checkpoints import loading
from sdxl_lab.settings.sections import Compute
models = loading.load({pair!r}, Compute(device="cpu", dtype="float32", threads=1))
"""

PICTURE = """
import numpy as np
from PIL import Image
from sdxl_lab.generation.generate import generate
from sdxl_lab.settings.sections import Denoising, EditSettings
from sdxl_lab.spec.edit import Edit
settings = EditSettings(denoising=Denoising(num_inference_steps=4, high_noise_frac=0.6))
image, mask = Image.new("RGB", (64, 64), "red"), Image.fromarray(np.eye(64, dtype=np.uint8).repeat(8, 0)[:64] * 255)
made = generate(Edit(sample="disc", task="inpaint", prompt="a red star", seed=3, settings=settings), image, mask, models)
print(hash(made.raw.tobytes()))
"""

SHUFFLE = "import torch\nwith torch.no_grad(): weight = next(models.{part}.unet.parameters()); weight.copy_(weight.flip(0))"


@pytest.fixture(autouse=True)
def profile(tmp_path, random_pair, monkeypatch) -> Iterator[None]:
    """A user whose startup file loads a checkpoint."""
    (tmp_path / "profile_default" / "startup").mkdir(parents=True)
    (tmp_path / "profile_default" / "startup" / "loads.py").write_text(LOAD.format(pair=str(random_pair)))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    engine.close()
    yield
    engine.close()


@pytest.mark.slow
def test_shuffled_weights_cost_a_kernel():
    """
    Pictures keep a kernel; a notebook that shuffles the weights of models that a startup file loaded costs it.
    """
    told: list[str] = []
    assert len({printed(execute(PICTURE, tell=told.append)) for _ in range(2)}) == 1
    assert told == []
    execute(SHUFFLE.format(part="base"), tell=told.append)
    assert told == ["a new kernel for the next notebook: a notebook changed the loaded base"]


@pytest.mark.slow
def test_shuffled_weights_reach_no_other_notebook(random_pair):
    """
    After weights of a base or refiner were shuffled, whoever loaded them, the next picture is the first one's.
    """
    told: list[str] = []
    again = f"models = None; loading.forget()\n{LOAD.format(pair=str(random_pair))}"
    pictures = {printed(execute(PICTURE, tell=told.append))}
    for part, loaded in (("refiner", "models.refiner"), ("base", again)):
        execute(loaded, SHUFFLE.format(part=part), tell=told.append)
        assert told.pop() == f"a new kernel for the next notebook: a notebook changed the loaded {part}"
        pictures.add(printed(execute(PICTURE, tell=told.append)))
    assert len(pictures) == 1
    assert told == []
