"""Schedulers: one table, from which everything that knows them follows."""

from __future__ import annotations

import inspect
import subprocess
import sys
from itertools import product
from typing import Any

import pytest

from sdxl_lab.checkpoints.locating import identify
from sdxl_lab.checkpoints.noise_schedules import EvenlySpaced, is_common, spends
from sdxl_lab.families.pocket import WEIGHTS
from sdxl_lab.generation.inputs import Pixels, trajectory_key, words_of
from sdxl_lab.records import infotext
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.schedulers import SCHEDULERS, Scheduler
from sdxl_lab.settings.sections import Denoising
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support.datasets import write_dataset
from tests.support.edits import NEGATIVE, PROMPT, SEED, cpu, make_edit, same
from tests.support.published_schedulers import SDXL

ALL = [pytest.param(name, marks=pytest.mark.slow) if name.startswith("kdpm2") else name for name in SCHEDULERS]
"""Two of them take diffusers seconds to set up."""


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global build_scheduler, EulerDiscreteScheduler, generate, StableDiffusionXLInpaintPipeline, steps_run, torch, TrajectoryError, window
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLInpaintPipeline

    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryError, build_scheduler, steps_run, window


@pytest.fixture
def trailing(monkeypatch) -> str:
    """A scheduler that somebody registered."""
    row = Scheduler(class_name="EulerDiscreteScheduler", label="Euler Trailing", overrides={"timestep_spacing": "trailing"})
    monkeypatch.setitem(SCHEDULERS, "euler_trailing", row)
    return "euler_trailing"


def asked(scheduler: str, **parameters: Any) -> RunSpec:
    """A run of a few steps with a scheduler."""
    denoising = {"scheduler": scheduler, "num_inference_steps": 4}
    return RunSpec.from_parameters(name="x", tracking="off", tasks=["inpaint"], hyperparameters={"denoising": denoising}, **parameters)


def test_a_registered_scheduler_is_known_everywhere(trailing, scene, tmp_path):
    """
    Registered from outside, it is offered in the settings' error, planned, makes the picture that diffusers makes with it, and has its label.
    """
    parameters = {"dataset": str(write_dataset(tmp_path / "data", 1)), "checkpoint": "pocket", "runs_folder": str(tmp_path)}
    with pytest.raises(SpecError, match=r"tcd, euler_trailing\. Did you mean euler_trailing\?"):
        asked("euler_trailin", **parameters)
    [edit] = resolve(asked(trailing, **parameters)).spec.edits
    assert edit.settings.denoising.scheduler == trailing

    image, mask = scene
    pipeline: Any = StableDiffusionXLInpaintPipeline.from_pretrained(WEIGHTS / "base", dtype=torch.float32, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = EulerDiscreteScheduler.from_config(pipeline.scheduler.config, timestep_spacing="trailing")
    words: dict[str, Any] = dict(prompt=PROMPT, negative_prompt=NEGATIVE, generator=torch.Generator().manual_seed(SEED))
    size: dict[str, Any] = dict(width=128, height=128)
    expected = pipeline(image=image, mask_image=mask, strength=1.0, num_inference_steps=3, **size, **words).images[0]
    edit = make_edit(scheduler=trailing, num_inference_steps=3, strength=1.0)
    made = generate(edit, image, mask, cpu(WEIGHTS))
    assert made.working_size == (128, 128)
    assert same(expected, made.raw)
    assert "Sampler: Euler Trailing," in infotext.write(edit, identify("pocket"), size=(64, 64), version="0")


def test_what_is_not_registered_is_refused(trailing, monkeypatch):
    """
    Taken out of the table again, the name is no scheduler any more.
    """
    assert Denoising(scheduler=trailing).scheduler == trailing
    monkeypatch.delitem(SCHEDULERS, trailing)
    with pytest.raises(ValueError, match="scheduler"):
        Denoising(scheduler=trailing)


@pytest.mark.parametrize("name", [name for name, scheduler in SCHEDULERS.items() if scheduler.is_plain])
def test_plain_schedulers_make_as_many_steps_as_asked(name):
    """
    Of common noise schedules, those that say so run exactly the steps that are counted without them, and refuse exactly the same.
    """
    schedules = (("leading", 1000, "scaled_linear"), ("linspace", 50, "linear"), ("leading", 7, "scaled_linear"), ("trailing", 1000, "scaled_linear"))
    for (spacing, timesteps, beta_schedule), karras in product(schedules, {False, SCHEDULERS[name].takes_karras}):
        config = SDXL | {"timestep_spacing": spacing, "num_train_timesteps": timesteps, "beta_schedule": beta_schedule}
        assert is_common(config)
        for count in {count for count in (1, 2, 7, 30, 50, 61, 1000) if spends(config, count)}:
            for strength in (0.3, 0.99, 1.0):
                expected = base_steps(build_scheduler(name, config, karras=karras), count, strength)
                try:
                    actual: Any = steps_run(count, strength)
                except TrajectoryError as error:
                    actual = str(error)
                assert expected == actual


@pytest.mark.parametrize("name", [name for name, scheduler in SCHEDULERS.items() if scheduler.is_evenly_spaced])
@pytest.mark.parametrize("timesteps", [7, 50, 1000])
@pytest.mark.parametrize(("spacing", "offset"), [("leading", 0), ("leading", 1), ("trailing", 1)])
def test_evenly_spaced_schedulers_have_the_timesteps_that_are_known_without_them(name, timesteps, spacing, offset):
    """
    Of common noise schedules spaced `leading` or `trailing`, those that say so have the timesteps that planning takes for theirs, at every count.
    """
    config = SDXL | {"timestep_spacing": spacing, "num_train_timesteps": timesteps, "steps_offset": offset}
    assert is_common(config)
    built, known = build_scheduler(name, config), EvenlySpaced.of(config)
    assert known
    assert (known.order, known.config.num_train_timesteps) == (built.order, built.config.num_train_timesteps)
    for count in range(1, timesteps + 1, 1 + timesteps // 300):
        built.set_timesteps(count)
        known.set_timesteps(count)
        assert known.timesteps.tolist() == built.timesteps.tolist()


@pytest.mark.parametrize("changed", [{"timestep_spacing": "linspace"}, {"steps_offset": None}])
def test_other_schedules_are_not_spaced_evenly(changed):
    """
    A schedule that is spaced otherwise, or leaves its offset to the scheduler's class, is known to its scheduler alone.
    """
    assert EvenlySpaced.of({name: value for name, value in (SDXL | changed).items() if value is not None}) is None


def base_steps(scheduler: Any, count: int, strength: float) -> Any:
    """
    What a built scheduler says: the base's steps, or why there are none.
    """
    try:
        return window(scheduler, num_inference_steps=count, strength=strength, high_noise_frac=None, handover="consistent").base
    except TrajectoryError as error:
        return str(error)


@pytest.mark.parametrize(
    "change",
    [
        {"timestep_spacing": "odd"},
        {"beta_schedule": "odd"},
        {"use_beta_sigmas": True},
        {"beta_start": -1.0},
        {"_class_name": "LCMScheduler"},
        {"_class_name": "NoScheduler"},
        {"something": "new"},
    ],
)
def test_any_other_noise_schedule_is_built(change):
    """
    Nothing is concluded of a configuration that is not the common one.
    """
    assert is_common(SDXL)
    assert not is_common(SDXL | change)
    assert not is_common({key: value for key, value in SDXL.items() if key != "timestep_spacing"})


def test_a_scheduler_that_is_another_under_its_name_shares_no_trajectory(monkeypatch):
    """
    The key of a trajectory is over what a scheduler is, not over its name alone.
    """
    keys = []
    for spacing in ("trailing", "linspace"):
        monkeypatch.setitem(SCHEDULERS, "mine", Scheduler(class_name="EulerDiscreteScheduler", label="", overrides={"timestep_spacing": spacing}))
        edit, pixels = make_edit(scheduler="mine"), Pixels(size=(64, 64), image_sha256="a", mask_sha256="b")
        keys.append(trajectory_key(edit, words_of(edit, lambda _: True), pixels, "models"))
    assert keys[0] != keys[1]


def spread(name: str, **told: Any) -> tuple[list[float], list[float]]:
    """
    Timesteps and noise of eight steps of diffusers' own scheduler, told as the table says and something more.
    """
    import diffusers

    row = SCHEDULERS[name]
    scheduler = getattr(diffusers, row.class_name).from_config(SDXL, **{**row.overrides, **told})
    scheduler.set_timesteps(8)
    return scheduler.timesteps.tolist(), getattr(scheduler, "sigmas", torch.zeros(0)).tolist()


@pytest.mark.parametrize("name", ALL)
def test_what_a_row_says_of_spacing_and_karras_is_so(name):
    """
    Diffusers' own class takes Karras' sigmas where a row says so, and its steps lie elsewhere by another spacing exactly where it says so.
    """
    import diffusers

    row = SCHEDULERS[name]
    assert row.takes_karras == ("use_karras_sigmas" in inspect.signature(getattr(diffusers, row.class_name).__init__).parameters)
    for karras in {False, row.takes_karras}:
        told = {"use_karras_sigmas": True} if karras else {}
        ways = [spread(name, timestep_spacing=spacing, **told) for spacing in ("leading", "linspace", "trailing")]
        is_spaced = row.is_spaced and (row.is_spaced_with_karras or not karras)
        assert [ways[0] != way for way in ways[1:]] == [is_spaced] * 2


@pytest.mark.parametrize("name", ALL)
def test_spacing_and_karras_are_what_diffusers_makes_of_them(name):
    """
    Each is told to diffusers' class in its own words; what a scheduler has no use for, it is not told.
    """
    row = SCHEDULERS[name]
    for spacing, karras in product((None, "leading", "linspace", "trailing"), {False, row.takes_karras}):
        built = build_scheduler(name, SDXL, karras=karras, timestep_spacing=spacing)
        built.set_timesteps(8)
        words = ({"timestep_spacing": spacing} if spacing else {}) | ({"use_karras_sigmas": True} if karras else {})
        assert (built.timesteps.tolist(), getattr(built, "sigmas", torch.zeros(0)).tolist()) == spread(name, **words)


@pytest.mark.parametrize("name", [name for name, row in SCHEDULERS.items() if not row.takes_karras])
@pytest.mark.parametrize("task", [None, "inpaint", "text_to_image"])
def test_karras_is_refused_where_a_scheduler_does_not_take_it(name, task):
    """
    The gate says which scheduler was meant and which take it, for all tasks or for one, also for one whose section is shorter.
    """
    asked: dict[str, Any] = {"denoising": {"scheduler": name, "karras": True}}
    where = rf"hyperparameters\.{task}\.denoising" if task else r"hyperparameters\.denoising"
    with pytest.raises(SpecError, match=rf"{where}: got karras true with scheduler {name}, .* or take one of euler, dpmpp_2m,"):
        RunSpec.from_parameters(name="x", dataset="a", checkpoint="pocket", hyperparameters={task: asked} if task else asked)


def test_two_names_of_one_scheduler_share_their_trajectory():
    """
    `dpmpp_2m` with Karras' schedule is `dpmpp_2m_karras`: one key; of the settings that change something each has its own.
    """

    def key(**denoising: Any) -> Any:
        edit, pixels = make_edit(**denoising), Pixels(size=(64, 64), image_sha256="a", mask_sha256="b")
        return trajectory_key(edit, words_of(edit, lambda _: True), pixels, "models")

    assert key(scheduler="dpmpp_2m", karras=True) == key(scheduler="dpmpp_2m_karras") == key(scheduler="dpmpp_2m_karras", karras=True)
    asked = [{}, {"karras": True}, *({"timestep_spacing": spacing} for spacing in ("leading", "linspace", "trailing"))]
    assert len({key(**one) for one in [*asked, {"scheduler": "dpmpp_2m"}]}) == len(asked) + 1


RESOLVED = """
import sys
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec
values = dict(name="x", dataset="pocket-scenes", checkpoint="pocket", tracking="off", runs_folder=sys.argv[1])
refined = {"scheduler": "euler_a", "timestep_spacing": "trailing", "num_inference_steps": 8, "high_noise_frac": 0.7}
for denoising in ({}, {"timestep_spacing": "trailing", "scheduler": "ddim"}, {"scheduler": "dpmpp_3m_sde", "karras": True}, refined):
    resolve(RunSpec.from_parameters(**values, hyperparameters={"denoising": denoising}))
print("diffusers" in sys.modules)
"""


@pytest.mark.slow
def test_plain_runs_are_resolved_without_diffusers(tmp_path):
    """
    What takes seconds to import is imported only once a model or a scheduler is built: not for the base alone, nor for Euler's steps to the refiner.
    """
    command = [sys.executable, "-c", RESOLVED, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
