from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdxl_lab.settings.schedulers import SCHEDULERS
from tests.support.edits import crossed


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global build_scheduler, StableDiffusionXLInpaintPipeline, StepState, torch, Trajectory, TrajectoryCache, TrajectoryError, window, Window
    import torch
    from diffusers import StableDiffusionXLInpaintPipeline

    from sdxl_lab.generation.trajectory import StepState, Trajectory, TrajectoryCache, TrajectoryError, Window, build_scheduler, window


CONFIG = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading")


def steps(name="euler", *, num_inference_steps=50, strength=1.0, high_noise_frac=None, handover="consistent"):
    """
    The window of a schedule such as SDXL's.
    """
    arguments: dict[str, Any] = dict(num_inference_steps=num_inference_steps, strength=strength, high_noise_frac=high_noise_frac, handover=handover)
    return window(build_scheduler(name, CONFIG), **arguments)


def trajectory(count):
    """
    A trajectory whose latents hold the number of their step.
    """
    nothing = torch.zeros(1)
    states = [StepState(latents=torch.full((4, 4), index), generator_state=nothing, scheduler_state={}) for index in range(count)]
    return Trajectory(noise=nothing, image_latents=None, masked_image_latents=None, states=tuple(states))


@cache
def counted(folder: Path) -> tuple[Any, Any, list[int]]:
    """
    Diffusers' own pipeline, the configuration of its own scheduler, and a count of the calls of its UNet.
    """
    count = [0]
    pipeline: Any = StableDiffusionXLInpaintPipeline.from_pretrained(folder, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.unet.register_forward_hook(lambda *_: count.__setitem__(0, count[0] + 1))
    return pipeline, pipeline.scheduler.config, count


@pytest.mark.parametrize(("name", "strength"), crossed(list(SCHEDULERS), [0.99, 1.0], quick=lambda name, strength: strength == 1.0 or name == "heun"))
def test_windows_are_what_the_plain_pipeline_runs(random_pair, scene, name, strength):
    """
    Base and refiner take the steps that hooks count in diffusers' own calls; consistent gives a second-order step at the cut to one of them.
    """
    image, mask = scene
    pipeline, config, count = counted(random_pair / "base")
    pipeline.scheduler = scheduler = build_scheduler(name, config)
    arguments: dict[str, Any] = dict(prompt="", mask_image=mask, width=64, height=64, strength=strength, num_inference_steps=10, guidance_scale=1.0)
    count[0] = 0
    latents = pipeline(image=image, denoising_end=0.7, output_type="latent", **arguments).images
    base, count[0] = count[0], 0
    pipeline(image=latents, denoising_start=0.7, output_type="latent", **arguments)
    asked: dict[str, Any] = dict(num_inference_steps=10, strength=strength, high_noise_frac=0.7)
    assert window(scheduler, **asked, handover="stock") == Window(base=base, refiner=count[0])
    assert window(scheduler, **asked, handover="consistent") == Window(base=base - (scheduler.order == 2), refiner=count[0])


def test_strength_is_spent_in_whole_steps():
    """
    Only exactly 1.0 runs every step; everything below rounds down.
    """
    assert [steps(strength=strength).base for strength in (1.0, 0.9999, 0.99, 0.5)] == [50, 49, 49, 25]


def test_fractions_are_of_timesteps_not_of_steps():
    """
    At one fraction, schedules of other spacing give the base another number of steps.
    """
    fractions = {name: steps(name, high_noise_frac=0.8) for name in ("euler", "dpmpp_2m_karras")}
    assert fractions == {"euler": Window(base=40, refiner=10), "dpmpp_2m_karras": Window(base=31, refiner=19)}


@pytest.mark.parametrize("handover", ["consistent", "stock"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(strength=0.2, high_noise_frac=0.8), "the base no step and the refiner all 10"),
        (dict(high_noise_frac=0.001), "the base no step"),
        (dict(high_noise_frac=0.9999), "the refiner no step and the base all 50"),
        (dict(num_inference_steps=2, high_noise_frac=0.3), r"between 0\.499 and 0\.998"),
        (dict(name="heun", num_inference_steps=3, strength=0.4, high_noise_frac=0.9), "the refiner no step|the base no step"),
        (dict(strength=0.01), "leaves no step to run; raise strength to at least 0.02"),
        (dict(name="lcm", num_inference_steps=51), "num_inference_steps is 51, which LCMScheduler refuses"),
    ],
)
def test_windows_without_a_step_are_refused(settings, message, handover):
    """
    A stage that would run nothing is an error that gives the numbers and what to choose instead.
    """
    with pytest.raises(TrajectoryError, match=message):
        steps(**settings, handover=handover)


@pytest.mark.parametrize(("num_inference_steps", "strength"), [(3, 0.3), (50, 0.01), (999, 0.001), (7, 0.1)])
def test_the_strength_an_error_proposes_works(num_inference_steps, strength):
    """
    Typed as it is printed, it leaves a step to run; so does the number of steps.
    """
    with pytest.raises(TrajectoryError) as caught:
        steps(num_inference_steps=num_inference_steps, strength=strength)
    enough, count = re.findall(r"to at least (\d[\d.]*)(?:,|\.$)", str(caught.value))
    assert steps(num_inference_steps=num_inference_steps, strength=float(enough)).base == 1
    assert steps(num_inference_steps=int(count), strength=strength).base == 1


PROPOSED = re.compile(r"Choose it (?:between (\S+) and (\S+)|as (\S+)), or")


@pytest.mark.parametrize("handover", ["consistent", "stock"])
@pytest.mark.parametrize("name", ["euler", "heun"])
@pytest.mark.parametrize(("num_inference_steps", "strength"), [(2, 0.99), (3, 0.5), (6, 0.334), (50, 0.5)])
def test_the_range_an_error_proposes_is_the_range_that_works(name, num_inference_steps, strength, handover):
    """
    Typed as they are printed, the fractions that the error names work, and a thousandth further they do not; where none works, none is named.
    """
    asked = dict(name=name, num_inference_steps=num_inference_steps, strength=strength, handover=handover)
    wrong = next(frac for frac in (0.001, 0.999, 0.5) if not works(asked, frac))
    with pytest.raises(TrajectoryError) as caught:
        steps(**asked, high_noise_frac=wrong)
    proposed = PROPOSED.search(str(caught.value))
    if proposed is None:
        assert "No fraction gives both a step: take more steps, or null for no refiner." in str(caught.value)
        assert not any(works(asked, cut / 1000) for cut in range(1, 1000, 20))
        return
    low, high = (float(text) for text in proposed.groups() if text) if proposed[1] else (float(proposed[3]),) * 2
    assert low < high if proposed[1] else low == high
    assert works(asked, low)
    assert works(asked, high)
    assert not works(asked, low - 0.001)
    assert not works(asked, high + 0.001)


def works(asked: dict[str, Any], frac: float) -> bool:
    """
    Whether a fraction gives both a step.
    """
    if not 0 < frac < 1:
        return False
    try:
        return steps(**asked, high_noise_frac=frac).base >= 1
    except TrajectoryError:
        return False


@pytest.mark.parametrize("name", ["pndm", "dpm"])
def test_unknown_schedulers_are_refused(name):
    """
    A scheduler that is not offered is an error that lists those that are; PNDM with its reason.
    """
    with pytest.raises(TrajectoryError, match="allowed are euler, euler_a") as caught:
        build_scheduler(name, CONFIG)
    assert ("PNDM" in str(caught.value)) == (name == "pndm")


def test_a_trajectory_can_be_cut_and_shortened():
    """
    Cut, it ends with the state of that step; shortened, it still knows how many steps were made.
    """
    whole = trajectory(5)
    assert whole.until(3).steps == 3
    assert torch.equal(whole.until(3).states[-1].latents, torch.full((4, 4), 2))
    assert (whole.end().steps, len(whole.end().states)) == (5, 1)
    assert whole.end().states[-1] is whole.states[-1]


def test_a_cache_never_holds_more_than_it_may():
    """
    Whatever is put into it, the tensors it holds stay within its bound, and the least recently used go first.
    """
    cache, random = TrajectoryCache(max_bytes=1000), np.random.RandomState(0)
    for number in range(200):
        cache.put(number, {"tensor": torch.zeros(int(random.randint(1, 90)))})
        held = [cache.get(key) for key in range(number + 1)]
        assert sum(4 * len(value["tensor"]) for value in held if value is not None) == cache.used_bytes <= 1000
        assert cache.get(number) is not None
    cache.clear()
    assert (len(cache), cache.used_bytes) == (0, 0)

    recent = TrajectoryCache(max_bytes=12)
    for key in "ab":
        recent.put(key, torch.zeros(1))
    recent.get("a")
    for key in "cd":
        recent.put(key, torch.zeros(1))
    assert [key for key in "abcd" if recent.get(key) is not None] == ["a", "c", "d"]


def test_a_value_larger_than_the_cache_is_not_kept():
    """
    It evicts nothing either.
    """
    cache = TrajectoryCache(max_bytes=100)
    cache.put("small", torch.zeros(4))
    cache.put("large", torch.zeros(400))
    assert cache.get("large") is None
    assert cache.get("small") is not None


def test_memory_that_values_share_counts_once():
    """
    A trajectory's states all point at the same noise and schedule; these bytes are counted once.
    """
    cache, shared = TrajectoryCache(), torch.zeros(1000)
    cache.put("key", (shared, [shared, shared[:10]], {"again": shared}))
    assert cache.used_bytes == 4000


def test_no_more_values_are_held_than_are_allowed():
    """
    Where a number of values is set, the least recently used goes first, however small all of them are.
    """
    cache = TrajectoryCache(max_values=2)
    for key in ("a", "b"):
        cache.put(key, torch.zeros(1))
    assert cache.get("a") is not None
    cache.put("c", torch.zeros(1))
    assert [cache.get(key) is None for key in ("a", "b", "c")] == [False, True, False]
    assert cache.used_bytes == 8


def test_what_is_recalled_is_made_once():
    """
    The second time it is remembered.
    """
    cache, made = TrajectoryCache(), []
    values = [cache.recall("key", lambda: made.append(1) or torch.ones(2)) for _ in range(3)]
    assert made == [1]
    assert all(value is values[0] for value in values)
