"""Edits of the conftest's scene, with settings as few as the law at hand is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sdxl_lab.settings.sections import Canvas, Compute, Denoising, EditSettings, Mask, Refiner
from sdxl_lab.spec.edit import Edit

if TYPE_CHECKING:
    from sdxl_lab.checkpoints.checkpoint import Checkpoint

PROMPT, NEGATIVE, SEED, STEPS = "a red star on grass", "blurry", -732, 6

KINDS = ("euler", "euler_a", "dpmpp_2m", "heun")
"""A scheduler of each kind: plain, stochastic, multistep and second-order."""


def crossed(*values: Iterable[Any], quick: Callable[..., bool]) -> list[Any]:
    """
    A test's cases, each value of one parameter with each of the others; those that are not quick are left to the slow tests.
    """
    return [pytest.param(*case, marks=() if quick(*case) else pytest.mark.slow) for case in product(*values)]


def make_edit(
    task: Any = "inpaint",
    *,
    seed: int = SEED,
    negative_prompt: str | None = NEGATIVE,
    mode: Any = None,
    mask: Mask | None = None,
    canvas: Canvas | None = None,
    refiner: Refiner | None = None,
    **denoising: Any,
) -> Edit:
    """
    An edit of the scene.
    """
    settings = EditSettings(
        denoising=Denoising(**{"num_inference_steps": STEPS, **denoising}),
        mask=mask or Mask(),
        canvas=canvas or Canvas(),
        refiner=refiner or Refiner(),
        mode=mode,
    )
    return Edit(sample="disc", task=task, prompt=PROMPT, negative_prompt=negative_prompt, seed=seed, settings=settings)


@cache
def cpu(folder: Path) -> Checkpoint:
    """
    The checkpoint in a folder, on one thread; held, so that it is loaded once.
    """
    from sdxl_lab.checkpoints.loading import load

    return load(str(folder), Compute(device="cpu", threads=1))


def waiting(resident: Checkpoint, folder: Path, offload: str) -> Checkpoint:
    """
    The same checkpoint with models that are brought to where they compute when they are called, and wait elsewhere.
    """
    import torch

    from sdxl_lab.checkpoints.configurations import MODELS, SHARED
    from sdxl_lab.checkpoints.files import PipelineFolder
    from sdxl_lab.checkpoints.offload import Residence

    base = PipelineFolder(folder / "base").load(torch.float32, {})
    residence = Residence(torch.device("cpu"), offload)
    residence.admit(base, MODELS)
    refiner = PipelineFolder(folder / "refiner", is_refiner=True).load(torch.float32, {name: getattr(base, name) for name in SHARED})
    residence.admit(refiner, ("unet",))
    return replace(resident, base=base, _load_refiner=lambda: refiner)


def same(expected: Any, actual: Any) -> bool:
    """
    Whether two pictures agree in every pixel.
    """
    return np.array_equal(np.asarray(expected), np.asarray(actual))


@contextmanager
def calls(*modules: Any) -> Iterator[list[int]]:
    """
    How often each module's forward runs.
    """
    counts = [0] * len(modules)

    def count(index: int) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            counts[index] += 1

        return hook

    handles = [module.register_forward_hook(count(index)) for index, module in enumerate(modules)]
    yield counts
    for handle in handles:
        handle.remove()
