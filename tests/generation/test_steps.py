"""Who listens to a picture: steps as they come, what the model predicts, and how a picture is stopped."""

from __future__ import annotations

import gc
import math
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.checkpoints.configurations import MODELS, SHARED
from sdxl_lab.checkpoints.files import PipelineFolder
from sdxl_lab.settings.schedulers import SCHEDULERS
from tests.support.edits import KINDS, calls, cpu, crossed, make_edit, same


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global CancelledError, generate, Residence, state_of, tensors_of, torch, TrajectoryCache
    import torch

    from sdxl_lab.checkpoints.model_state import state_of
    from sdxl_lab.checkpoints.offload import Residence
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.steps import CancelledError
    from sdxl_lab.generation.trajectory import TrajectoryCache, tensors_of


TASKS = ("inpaint", "image_to_image", "text_to_image")
WHOLE: dict[str, Any] = dict(strength=1.0)


def inputs_of(task: str, scene: Any) -> tuple[Any, Any]:
    """
    What a task is given of the scene.
    """
    return {"inpaint": scene, "image_to_image": (scene[0], None), "text_to_image": (None, None)}[task]


def edit_of(task: str, **denoising: Any) -> Any:
    """
    An edit that runs the whole schedule, as text to image always does.
    """
    return make_edit(task, **(WHOLE if task != "text_to_image" else {}) | denoising)


def stopping(at: int, error: BaseException) -> Callable[[Any], None]:
    """
    A listener that raises an error once so many evaluations are made.
    """

    def listen(step: Any) -> None:
        if step.done == at:
            raise error

    return listen


@pytest.mark.parametrize(
    ("task", "scheduler"), crossed(TASKS, KINDS, quick=lambda task, scheduler: task == "inpaint" or (task, scheduler) == ("text_to_image", "heun"))
)
@pytest.mark.parametrize("refined", [False, True])
def test_nobody_changes_a_picture_by_listening(random_pair, scene, task, scheduler, refined):
    """
    Each evaluation is heard once, in the thread that makes it; a picture has the bits of one that nobody heard, even if the listener writes.
    """
    checkpoint, (image, mask), heard = cpu(random_pair), inputs_of(task, scene), []
    edit = edit_of(task, scheduler=scheduler, **dict(high_noise_frac=0.6) if refined else {})

    def listen(step: Any) -> None:
        heard.append((step.role, step.done, step.total, threading.get_ident()))
        step.latents.fill_(float("nan"))

    unheard = generate(edit, image, mask, checkpoint)
    with calls(checkpoint.base.unet, checkpoint.refiner.unet) as counts:
        actual = generate(edit, image, mask, checkpoint, on_step=listen)
    total, here = sum(counts), threading.get_ident()
    assert heard == [("base" if done <= counts[0] else "refiner", done, total, here) for done in range(1, total + 1)]
    assert counts == [unheard.base_steps, unheard.refiner_steps]
    assert (counts[1] > 0) == refined
    assert same(unheard.raw, actual.raw)


def test_what_is_remembered_is_counted_and_not_heard(random_pair, scene):
    """
    A picture that goes on from another's trajectory begins to count where that stood, and one that is all there is silent.
    """
    checkpoint, cache, heard = cpu(random_pair), TrajectoryCache(), []
    first = generate(edit_of("inpaint", high_noise_frac=0.6), scene[0], scene[1], checkpoint, trajectories=cache)
    assert (first.base_steps, first.refiner_steps) == (3, 3)
    for _ in range(2):
        generate(edit_of("inpaint", high_noise_frac=0.8), scene[0], scene[1], checkpoint, trajectories=cache, on_step=heard.append)
        assert [(step.role, step.done, step.total) for step in heard] == [("base", 4, 6), ("refiner", 5, 6), ("refiner", 6, 6)]


def expected_predictions(scheduler: str, evaluations: list[tuple[Any, Any, Any]]) -> list[Any]:
    """
    The clean latents by each UNet call's input, timestep and output alone, from the definition of the noise schedule (arXiv:2006.11239, eq. 4).

    In every sampler the UNet sees x_t = a x_0 + s noise with a^2 + s^2 = 1. Karras' schedule is that of arXiv:2206.00364, eq. 5; what LCM predicts
    is that of arXiv:2310.04378, eq. 9, with timesteps scaled by 10 and a spread of 0.5. Between timesteps the logarithm of s / a is linear.
    """
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - betas, dim=0)
    sigmas = ((1 - kept) / kept) ** 0.5
    predicted = []
    for number, (sample, timestep, noise) in enumerate(evaluations):
        below, above = sigmas[[math.floor(timestep), math.ceil(timestep)]].log()
        sigma = torch.lerp(below, above, float(timestep) % 1).exp()
        if scheduler == "dpmpp_2m_karras":  # its timesteps are rounded, its noise is not
            share = number / (len(evaluations) - 1)
            sigma = (sigmas[-1] ** (1 / 7) + share * (sigmas[0] ** (1 / 7) - sigmas[-1] ** (1 / 7))) ** 7
        clean = sample.double() * (1 + sigma**2) ** 0.5 - sigma * noise.double()
        if scheduler == "lcm":
            scaled = 10 * int(timestep)
            clean = scaled / (scaled**2 + 0.25) ** 0.5 * clean + 0.25 / (scaled**2 + 0.25) * sample.double()
        predicted.append(clean)
    return predicted


GO_ON = {"ddim", "ddpm", "tcd", "deis", "lms"}
"""Schedulers that end at the noise of the first timestep, above none, or that extrapolate to the end."""


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_what_is_heard_is_the_clean_picture_as_predicted(random_pair, scheduler):
    """
    At each evaluation the latents are those that follow from the UNet's own input and output.
    """
    checkpoint, evaluations, heard = cpu(random_pair), [], []
    handle = checkpoint.base.unet.register_forward_hook(lambda _, inputs, outputs: evaluations.append((*inputs[:2], outputs[0])))
    edit = edit_of("text_to_image", scheduler=scheduler, negative_prompt=None, guidance_scale=1.0)
    generate(edit, None, None, checkpoint, on_step=heard.append)
    handle.remove()
    expected = expected_predictions(scheduler, evaluations)
    assert len(expected) == len(heard)
    for clean, step in zip(expected, heard, strict=True):
        assert step.latents.shape == (1, 4, 8, 8)
        assert float((clean - step.latents).abs().max()) < 1e-4 * float(clean.abs().max())


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS.keys() - GO_ON))
def test_the_last_prediction_is_what_is_decoded(random_pair, scene, scheduler):
    """
    A sampler that ends without noise ends at what was predicted last, the input's surroundings blended in.
    """
    heard, cache = [], TrajectoryCache()
    generate(edit_of("inpaint", scheduler=scheduler), scene[0], scene[1], cpu(random_pair), trajectories=cache, on_step=heard.append)
    final = trajectory_in(cache).states[-1].latents
    assert torch.allclose(heard[-1].latents, final, rtol=0, atol=1e-5 * float(final.abs().max()))


def trajectory_in(cache: Any) -> Any:
    """
    The one trajectory that a cache holds.
    """
    [trajectory] = [value for value, _ in cache._values.values() if hasattr(value, "states")]
    return trajectory


@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize("channels", [4, 9])
@pytest.mark.filterwarnings("ignore:.*hand-over of a 9-channel base")
def test_surroundings_are_the_inputs_from_the_first_step_on(random_pair, random_inpaint_pair, scene, channels, refined):
    """
    Where the pipeline keeps the surroundings of the mask, each prediction shows them clean; a 9-channel UNet paints them too, its refiner does not.
    """
    checkpoint, heard, cache = cpu(random_pair if channels == 4 else random_inpaint_pair), [], TrajectoryCache()
    edit = edit_of("inpaint", **dict(high_noise_frac=0.6) if refined else {})
    generate(edit, scene[0], scene[1], checkpoint, on_step=heard.append, trajectories=cache)
    encoded = max((value for value, _ in cache._values.values() if hasattr(value, "states")), key=lambda run: run.image_latents is not None)
    around = torch.ones(8, 8, dtype=torch.bool)
    around[1:6, 2:8] = False  # the disc and what touches it
    kept = [encoded.image_latents is not None and torch.equal(step.latents[..., around], encoded.image_latents[..., around]) for step in heard]
    assert kept == [channels == 4 or step.role == "refiner" for step in heard]
    inside = torch.stack([step.latents[..., 3, 4] for step in heard])
    assert len(inside.unique(dim=0)) == len(heard)


@pytest.mark.parametrize(
    ("task", "scheduler", "handover"),
    crossed(
        TASKS,
        [*KINDS, "dpmpp_2m_sde"],
        ["consistent", "stock"],
        quick=lambda task, scheduler, handover: (
            (task, scheduler, handover)
            in (("inpaint", "heun", "stock"), ("text_to_image", "dpmpp_2m_sde", "consistent"), ("image_to_image", "euler", "consistent"))
        ),
    ),
)
@pytest.mark.filterwarnings("ignore:.* no effect")  # under euler, stock makes the picture of consistent
def test_nothing_is_computed_once_a_picture_is_stopped(random_pair, scene, task, scheduler, handover):
    """
    What the listener raises comes out as it is, no evaluation or decoding follows it, and the picture goes on from there with the same bits.
    """
    checkpoint, (image, mask) = cpu(random_pair), inputs_of(task, scene)
    edit = edit_of(task, scheduler=scheduler, high_noise_frac=0.6, handover=handover)
    whole = generate(edit, image, mask, checkpoint)
    base, total = whole.base_steps, whole.base_steps + whole.refiner_steps
    for number, at in enumerate(sorted({1, 2, base - 1, base, base + 1, total - 1, total})):
        error, cache = (CancelledError("enough"), KeyError(at), KeyboardInterrupt())[number % 3], TrajectoryCache()
        with calls(checkpoint.base.unet, checkpoint.refiner.unet, checkpoint.base.vae.decoder) as counts, pytest.raises(type(error)) as caught:
            generate(edit, image, mask, checkpoint, trajectories=cache, on_step=stopping(at, error))
        assert caught.value is error
        assert counts == [min(at, base), max(at - base, 0), 0]
        with calls(checkpoint.base.unet, checkpoint.refiner.unet, checkpoint.base.vae.decoder) as more:
            again = generate(edit, image, mask, checkpoint, trajectories=cache)
        assert [first + second for first, second in zip(counts, more, strict=True)] == [base, total - base, 1]
        assert same(whole.raw, again.raw)


def test_a_picture_stopped_at_every_step_is_the_same_picture(random_pair, scene):
    """
    One evaluation at a time, each call stopped after its first, makes the bits of one call; a base alone likewise.
    """
    checkpoint = cpu(random_pair)
    for choice in ({}, dict(high_noise_frac=0.6)):
        edit, cache, error = edit_of("inpaint", scheduler="euler_a", **choice), TrajectoryCache(), CancelledError()
        whole = generate(edit, scene[0], scene[1], checkpoint)
        for at in range(1, 7):
            with calls(checkpoint.base.unet, checkpoint.refiner.unet) as counts, pytest.raises(CancelledError):
                generate(edit, scene[0], scene[1], checkpoint, trajectories=cache, on_step=stopping(at, error))
            assert sum(counts) == 1
        assert same(whole.raw, generate(edit, scene[0], scene[1], checkpoint, trajectories=cache, on_step=stopping(1, error)).raw)


@pytest.mark.parametrize("scheduler", KINDS)
def test_who_listens_leaves_no_trace_in_what_is_remembered(random_pair, scene, scheduler):
    """
    The states of a picture that was heard, and of one that was stopped and went on, are those of a picture that nobody heard.
    """
    checkpoint, edit = cpu(random_pair), edit_of("inpaint", scheduler=scheduler)
    unheard, heard, stopped = (TrajectoryCache() for _ in range(3))
    generate(edit, scene[0], scene[1], checkpoint, trajectories=unheard)
    generate(edit, scene[0], scene[1], checkpoint, trajectories=heard, on_step=lambda step: None)
    with pytest.raises(CancelledError):
        generate(edit, scene[0], scene[1], checkpoint, trajectories=stopped, on_step=stopping(3, CancelledError()))
    generate(edit, scene[0], scene[1], checkpoint, trajectories=stopped, on_step=lambda step: None)
    expected = trajectory_in(unheard)
    for actual in (trajectory_in(heard), trajectory_in(stopped)):
        for one, other in zip(expected.states, actual.states, strict=True):
            assert one.scheduler_state.keys() == other.scheduler_state.keys()
            assert not any(map(callable, other.scheduler_state.values()))
            assert all(torch.equal(*pair) for pair in zip(tensors_of(one), tensors_of(other), strict=True))


def test_what_is_no_number_is_not_remembered(random_pair, scene, monkeypatch):
    """
    A run that a listener stops is kept only as far as it is finite, also where the steps are not looked through one by one.
    """
    checkpoint, cache = cpu(random_pair), TrajectoryCache()
    weight = checkpoint.base.unet.conv_out.bias.data
    before, weight[0] = float(weight[0]), float("nan")
    monkeypatch.setattr("sdxl_lab.generation.stages._stage.require_finite", lambda *_, **__: None)
    with pytest.raises(CancelledError):
        generate(edit_of("inpaint"), scene[0], scene[1], checkpoint, trajectories=cache, on_step=stopping(2, CancelledError()))
    weight[0] = before
    assert all(bool(torch.isfinite(tensor).all()) for value, _ in cache._values.values() for tensor in tensors_of(value))


@pytest.mark.parametrize("offload", ["none", "model", "sequential", "group"])
def test_models_are_as_they_were_once_a_picture_is_stopped(random_pair, scene, offload):
    """
    Weights, hooks and switches of base and refiner are those of before, and the next picture has its own bits, wherever models wait.
    """
    resident, edit = cpu(random_pair), edit_of("inpaint", high_noise_frac=0.6)
    base, residence = PipelineFolder(random_pair / "base").load(torch.float32, {}), Residence(torch.device("cpu"), offload)
    residence.admit(base, MODELS)
    refiner = PipelineFolder(random_pair / "refiner", is_refiner=True).load(torch.float32, {name: getattr(base, name) for name in SHARED})
    residence.admit(refiner, ("unet",))
    checkpoint = replace(resident, base=base, _load_refiner=lambda: refiner)
    whole = generate(edit, scene[0], scene[1], checkpoint)
    before = state_of(base), state_of(refiner)
    for at in (1, 3, 4, 5, 6):
        with pytest.raises(CancelledError):
            generate(edit, scene[0], scene[1], checkpoint, on_step=stopping(at, CancelledError()))
    assert (state_of(base), state_of(refiner)) == before
    assert same(whole.raw, generate(edit, scene[0], scene[1], checkpoint).raw)


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_stopped_pictures_leave_nothing(random_pair, scene, count):
    """
    No tensor, thread or open file of many pictures is left that the first few did not leave.
    """
    checkpoint = cpu(random_pair)

    def left(pictures: int) -> tuple[list[torch.Tensor], set[threading.Thread], Counter[str]]:
        cache = TrajectoryCache()
        for seed in range(pictures):
            edit = make_edit("inpaint", seed=seed, num_inference_steps=3, strength=1.0, high_noise_frac=0.6)
            with pytest.raises(CancelledError):
                generate(edit, scene[0], scene[1], checkpoint, trajectories=cache, on_step=stopping(1 + seed % 3, CancelledError()))
        del cache
        gc.collect()
        tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
        files = Counter(str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.is_symlink())
        return tensors, set(threading.enumerate()), files

    first, threads, files = left(4)
    known = {id(tensor) for tensor in first}
    tensors, threads_now, files_now = left(count)
    assert [tensor.shape for tensor in tensors if id(tensor) not in known] == []
    assert threads_now - threads == set()
    assert files_now - files == Counter()
