"""Edits of the conftest's scene, with settings as few as the law at hand is about."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sdxl_lab.checkpoints.loading import Checkpoint, load
from sdxl_lab.settings.sections import Canvas, Compute, Denoising, Edit, EditSettings, Mask, Refiner

PROMPT, NEGATIVE, SEED, STEPS = "a red star on grass", "blurry", -732, 6


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
    return load(str(folder), Compute(device="cpu", threads=1))


def same(expected: Any, actual: Any) -> bool:
    """
    Whether two pictures agree in every pixel.
    """
    return np.array_equal(np.asarray(expected), np.asarray(actual))
