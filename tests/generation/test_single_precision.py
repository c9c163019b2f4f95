"""Pictures while torch's default dtype is another one: it is the whole process's, and loading models in another thread sets it."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from sdxl_lab.settings.schedulers import SCHEDULERS
from tests.conftest import OTHER_SIZES
from tests.support.edits import cpu, crossed, make_edit, same


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, torch, TrajectoryCache
    import torch

    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache


TASKS = ("inpaint", "outpaint", "image_to_image", "text_to_image")
OTHERS = ("float64", "float16", "bfloat16")


@contextmanager
def default_dtype(name: str) -> Iterator[None]:
    """
    While the block runs, torch's default dtype is that one; `any` sets others all the while, in a thread.
    """
    before, ended, interval = torch.get_default_dtype(), threading.Event(), sys.getswitchinterval()

    def flip() -> None:
        choice = random.Random(0).choice
        while not ended.is_set():
            torch.set_default_dtype(getattr(torch, choice(("float32", *OTHERS))))
            time.sleep(1e-5)

    thread = threading.Thread(target=flip) if name == "any" else None
    try:
        if thread:
            sys.setswitchinterval(1e-5)
            thread.start()
        else:
            torch.set_default_dtype(getattr(torch, name))
        yield
    finally:
        ended.set()
        if thread:
            thread.join()
        sys.setswitchinterval(interval)
        torch.set_default_dtype(before)


def edit_of(task: str, scheduler: str, **denoising: Any) -> Any:
    """
    A refined edit that runs the whole schedule, as text to image always does.
    """
    return make_edit(task, scheduler=scheduler, high_noise_frac=0.6, **({} if task == "text_to_image" else dict(strength=1.0)) | denoising)


def made(edit: Any, scene: Any, checkpoint: Any) -> tuple[Any, list[Any]]:
    """
    A picture, and the latents after each step.
    """
    inputs = {"image_to_image": (scene[0], None), "text_to_image": (None, None)}.get(edit.task, scene)
    cache = TrajectoryCache()
    picture = generate(edit, inputs[0], inputs[1], checkpoint, trajectories=cache)
    return picture.raw, [state.latents for value, _ in cache._values.values() for state in getattr(value, "states", ())]


@pytest.mark.parametrize(
    ("scheduler", "task"),
    crossed(
        SCHEDULERS,
        TASKS,
        quick=lambda scheduler, task: (
            (scheduler, task)
            in (("euler", "inpaint"), ("lcm", "outpaint"), ("lcm", "text_to_image"), ("unipc", "text_to_image"), ("heun", "image_to_image"))
        ),
    ),
)
def test_no_picture_depends_on_the_default_dtype(random_pair, scene, scheduler, task):
    """
    Under each default dtype, and while another thread sets one after the other, base and refiner make the same latents and the same picture.
    """
    checkpoint, edit = cpu(random_pair), edit_of(task, scheduler)
    expected, latents = made(edit, scene, checkpoint)
    for name in (*OTHERS, "any"):
        with default_dtype(name):
            actual, others = made(edit, scene, checkpoint)
        assert all(one.dtype == other.dtype and torch.equal(one, other) for one, other in zip(latents, others, strict=True)), name
        assert same(expected, actual), name


def test_guidance_that_a_unet_is_told_is_not_rounded(random_pair):
    """
    A UNet that takes its guidance as a number, as distilled ones do, is told the same under each default dtype.
    """
    from diffusers import StableDiffusionXLInpaintPipeline, UNet2DConditionModel

    resident = cpu(random_pair)
    torch.manual_seed(0)
    unet = UNet2DConditionModel(cross_attention_dim=40, projection_class_embeddings_input_dim=6 * 8 + 24, time_cond_proj_dim=8, **OTHER_SIZES).eval()
    base: Any = StableDiffusionXLInpaintPipeline(**resident.base.components | {"unet": unet}, add_watermarker=False)
    checkpoint, told = replace(resident, base=base), []
    unet.register_forward_hook(lambda _, inputs, kwargs, outputs: told.append(kwargs["timestep_cond"]), with_kwargs=True)
    edit = make_edit("text_to_image", guidance_scale=3.3, num_inference_steps=2, negative_prompt=None)
    expected = generate(edit, None, None, checkpoint).raw
    for name in OTHERS:
        with default_dtype(name):
            assert same(expected, generate(edit, None, None, checkpoint).raw)
    # Of 1000 (w - 1), as in diffusers: sines and cosines at 4 frequencies from 1 to 1/10000.
    angles = 2300 * 10000.0 ** (-torch.arange(4, dtype=torch.float64) / 3)
    assert all(torch.allclose(cond[0].double(), torch.cat([angles.sin(), angles.cos()]), rtol=0, atol=1e-3) for cond in told)


def test_what_is_remembered_serves_under_every_default_dtype(random_pair, scene):
    """
    A picture that is made again while another thread loads in another dtype is the remembered one.
    """
    checkpoint, cache, edit, heard = cpu(random_pair), TrajectoryCache(), edit_of("inpaint", "euler"), []
    expected = generate(edit, scene[0], scene[1], checkpoint, trajectories=cache).raw
    with default_dtype("bfloat16"):
        assert same(expected, generate(edit, scene[0], scene[1], checkpoint, trajectories=cache, on_step=heard.append).raw)
    assert not heard
