"""Which settings suit a checkpoint: those distilled to few steps are known by name and configuration, and code gets what parameters get."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.checkpoints.locating import identify
from sdxl_lab.checkpoints.moved_defaults import noticed, pinned
from sdxl_lab.checkpoints.own_defaults import defaults, few_steps, suited
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.tasks import TASKS
from tests.support.datasets import write_dataset
from tests.support.edits import cpu, same
from tests.support.published_schedulers import TURBO
from tests.support.specs import SIZES


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global build_scheduler, generate, Outline, outline, settle
    from sdxl_lab.checkpoints.outlines import Outline, outline
    from sdxl_lab.checkpoints.settling import settle
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import build_scheduler


OF_0_1_0: dict[str, dict[str, Any]] = {
    family: {
        "denoising": {"num_inference_steps": steps, "strength": 0.99, "guidance_scale": 7.5, "scheduler": "euler", "timestep_spacing": None},
        "mask": {"kernel_size": 1},
    }
    for family, steps in {"pocket": 30, "sdxl": 70, "custom": 70}.items()
}
"""The defaults of 0.1.0, by family."""

SIZE = (128, 96)

NAMES: dict[str, tuple[str, int] | None] = {
    "stabilityai/sdxl-turbo": ("turbo", 4),
    "stabilityai/sdxl-turbo@fp16": ("turbo", 4),
    "somebody/SDXLTurbo@refs/pr/3": ("turbo", 4),
    "ByteDance/SDXL-Lightning": ("lightning", 8),
    "models/sdxl_lightning_4step.safetensors": ("lightning", 4),
    "/models/sdxl_lightning_30000steps.safetensors": ("lightning", 8),
    "dreamshaperXL_v21TurboDPMSDE.safetensors": ("turbo", 4),
    "juggernautXL_v9Rdphoto2Lightning.safetensors": ("lightning", 8),
    "somebody/Hyper-SDXL-1step": ("hyper", 1),
    "somebody/lcm-merged": ("lcm", 8),
    "tianweiy/DMD2": ("dmd", 4),
    "~/hub/models--stabilityai--sdxl-turbo/snapshots/" + "a" * 40: ("turbo", 4),
    "/models/sdxl-turbo/base": ("turbo", 4),
    "/home/turbo/sdxl-base": None,
    "somebody/HyperRealisticXL": None,
    "somebody/hyperrealism-xl": None,
    "somebody/juggernaut-non-lightning": None,
    "stabilityai/stable-diffusion-xl-base-1.0": None,
}


PUBLISHED: dict[str, tuple[str, str | None, float]] = {
    "turbo": ("euler_a", "trailing", 0.0),
    "lightning": ("euler", "trailing", 0.0),
    "hyper": ("ddim", "trailing", 0.0),
    "lcm": ("lcm", None, 1.0),
    "dmd": ("lcm", None, 0.0),
}
"""Scheduler, spacing and guidance of each kind, as its model card has them."""


def named(name: str, family: Any = "custom") -> CheckpointIdentity:
    """
    A checkpoint of which only the name is known.
    """
    return CheckpointIdentity(name=name, digest="0" * 64, family=family)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_tells_what_was_distilled_to_few_steps(name):
    """
    Whole words of the name count, and steps that it states; words of the folders around it, and parts of words, do not.
    """
    few, expected = few_steps(named(name)), NAMES[name]
    assert (few and (few.kind, few.num_inference_steps)) == expected
    denoising = defaults(named(name))["denoising"]
    if expected:
        scheduler, spacing, guidance = PUBLISHED[expected[0]]
        made = {"num_inference_steps": expected[1], "strength": 1.0, "guidance_scale": guidance}
        assert denoising == made | {"scheduler": scheduler, "timestep_spacing": spacing}
        assert int(denoising["num_inference_steps"] * denoising["strength"]) >= 1
    else:
        assert denoising == OF_0_1_0["custom"]["denoising"]


@pytest.mark.parametrize("family", OF_0_1_0)
@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_of_a_release_are_kept(name, family):
    """
    What 0.1.0 took for its default can be asked for, whatever has moved since; what a release names, every other one does too.
    """
    identity = named(name, family)
    assert defaults(identity, "0.1.0") == OF_0_1_0[family]
    assert defaults(identity)["denoising"].keys() == OF_0_1_0[family]["denoising"].keys()


@pytest.fixture
def turbo(random_pair, tmp_path) -> Path:
    """
    The random pair's base, named and scheduled like SDXL Turbo.
    """
    shutil.copytree(random_pair / "base", tmp_path / "sdxl-turbo")
    write(tmp_path / "sdxl-turbo" / "scheduler" / "scheduler_config.json", TURBO)
    return tmp_path / "sdxl-turbo"


def write(path: Path, values: dict[str, Any]) -> None:
    """
    Replace a JSON file.
    """
    path.write_text(json.dumps(values))


def changed(path: Path, **values: Any) -> None:
    """
    Change keys of a JSON file.
    """
    write(path, json.loads(path.read_text()) | values)


def test_a_folder_is_known_by_what_its_files_say(random_pair, turbo, tmp_path):
    """
    Under any name, Turbo's scheduler at Turbo's size, a consistency model's scheduler, or a remembered name tell; spacing alone does not.
    """
    plain = shutil.copytree(random_pair / "base", tmp_path / "mine")
    scheduler, unet, index = plain / "scheduler" / "scheduler_config.json", plain / "unet" / "config.json", plain / "model_index.json"
    assert few_steps(identify(str(plain))) is None
    changed(scheduler, timestep_spacing="trailing")
    assert few_steps(identify(str(plain))) is None
    write(scheduler, TURBO)
    assert few_steps(identify(str(plain))) is None
    changed(unet, sample_size=64)
    assert getattr(few_steps(identify(str(plain))), "kind", None) == "turbo"
    changed(scheduler, _class_name="LCMScheduler")
    assert getattr(few_steps(identify(str(plain))), "guidance_scale", None) == 1.0
    changed(unet, time_cond_proj_dim=256)
    assert getattr(few_steps(identify(str(plain))), "guidance_scale", None) == 7.5
    shutil.copy(random_pair / "base" / "scheduler" / "scheduler_config.json", scheduler)
    changed(index, _name_or_path="somebody/sdxl-lightning-4step")
    assert getattr(few_steps(identify(str(plain))), "num_inference_steps", None) == 4


@pytest.mark.parametrize("name", [name for name, row in SCHEDULERS.items() if row.is_spaced])
def test_trailing_spacing_comes_with_the_checkpoint(turbo, name):
    """
    Each sampler of a checkpoint published with trailing steps begins at the last timestep, where there is nothing but noise; leading ones do not.
    """
    identity = identify(str(turbo))
    outlined: Outline = outline(identity, settle(Compute(device="cpu"), identity))
    first = {}
    for spacing, config in {"own": outlined.base_scheduler, "leading": dict(outlined.base_scheduler) | {"timestep_spacing": "leading"}}.items():
        scheduler = build_scheduler(name, config)
        scheduler.set_timesteps(4)
        first[spacing] = float(scheduler.timesteps[0])
    assert first["own"] == 999
    assert first["leading"] < 999


WORDS: dict[str, Any] = dict(sample="scene-0", prompt="a red star", seed=3)


@pytest.mark.parametrize("task", ["inpaint", "outpaint"])
def test_code_takes_a_checkpoints_defaults_as_parameters_do(turbo, tmp_path, task):
    """
    An edit that names no steps, made by code, is the edit and the picture that parameters without steps make: of Turbo four steps, no guidance.

    Code gives the mask that it means, which is not dilated.
    """
    dataset = write_dataset(tmp_path / "scenes", count=1)
    values = dict(name="turbo", dataset=str(dataset), checkpoint=str(turbo), tracking="off", tasks=[task])
    words = {key: WORDS[key] for key in ("prompt", "seed")}
    resolved = resolve(RunSpec.from_parameters(**values, hyperparameters=words | {"mask": {"kernel_size": 1}}))
    (planned,) = resolved.spec.edits
    sample = resolved.dataset.sample("scene-0")
    checkpoint = cpu(turbo)
    by_code = generate(Edit(task=task, settings=EditSettings(), **WORDS), sample.image(), sample.mask(), checkpoint)
    by_parameters = generate(planned, sample.image(), sample.mask(), checkpoint)
    assert by_code.edit == by_parameters.edit == planned
    assert by_code.base_steps == 4
    assert same(by_code.image, by_parameters.image)


@pytest.mark.parametrize("name", ["pocket", "stabilityai/sdxl-turbo", "somebody/sdxl"])
@pytest.mark.parametrize("release", [None, "0.1.0"])
def test_an_edit_with_nothing_left_open_stays_as_it_is(name, release):
    """
    What parameters planned, with the defaults of any release, is made as it was planned, whatever the checkpoint's defaults are today.
    """
    identity = named(name, "pocket" if name == "pocket" else "custom")
    spec = RunSpec.from_parameters(name="a", dataset="b", checkpoint=name, hyperparameters={"denoising": {"high_noise_frac": 0.8}})
    for task in spec.tasks:
        [edit] = spec.edits("star", task, prompt="a", negative_prompt=None, seed=1, defaults=defaults(identity, release), size=SIZE, sizes=SIZES)
        assert suited(edit, identity) == edit
        assert suited(Edit.model_validate_json(edit.model_dump_json()), identity) == edit


def test_what_code_names_is_kept():
    """
    Of steps, strength and guidance only those that code left open are the checkpoint's.
    """
    turbo = named("stabilityai/sdxl-turbo")
    edit = Edit(task="inpaint", settings=EditSettings(denoising=Denoising(num_inference_steps=2, scheduler="lcm")), **WORDS)
    denoising = suited(edit, turbo).settings.denoising
    assert (denoising.num_inference_steps, denoising.strength, denoising.guidance_scale, denoising.scheduler) == (2, 1.0, 0.0, "lcm")
    same_as_default = Edit(task="inpaint", settings=EditSettings(denoising=Denoising(num_inference_steps=50, guidance_scale=7.5)), **WORDS)
    assert suited(same_as_default, turbo).settings.denoising.num_inference_steps == 50
    assert suited(Edit(task="inpaint", settings=EditSettings(), **WORDS), named("pocket", "pocket")).settings.denoising.num_inference_steps == 30


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "background"}, "the edit of sample 'scene-0'.*got mode background for task inpaint"),
        ({"denoising": Denoising.model_construct(num_inference_steps=0)}, "num_inference_steps: got 0; allowed is a whole number"),
    ],
)
def test_a_copy_with_changes_is_checked_too(turbo, scene, changes, message):
    """
    Copies with changes are not validated by pydantic; before a picture is made, they are.
    """
    edit = Edit(task="inpaint", settings=EditSettings(), **WORDS)
    copy = edit.model_copy(update={"settings": edit.settings.model_copy(update=changes)})
    with pytest.raises(SpecError, match=f"(?s){message}"):
        generate(copy, scene[0], scene[1], cpu(turbo))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", [*NAMES, "somebody/sdxl-lightning-1step"])
def test_defaults_leave_each_task_a_step(name, task):
    """
    However few steps a checkpoint was made for, what a task brings leaves one of them, and names no setting that the task does not take.
    """
    own = defaults(named(name), task=task)
    assert int(own["denoising"]["num_inference_steps"] * own["denoising"].get("strength", 1.0)) >= 1
    assert not set(flatten(own)) & set(TASKS[task].untaken)


def test_no_default_has_moved_of_tasks_that_came_later():
    """
    Of pictures that no earlier release could make nothing is said, and a sweep that pins its defaults writes none into them.
    """
    identity = named("stabilityai/sdxl-turbo")
    spec = RunSpec.from_parameters(name="a", dataset="b", checkpoint="c", tasks=["text_to_image", "image_to_image"])
    words: dict[str, Any] = {"prompt": "a", "negative_prompt": None, "seed": 1}
    edits = [
        edit for task in spec.tasks for edit in spec.edits("star", task, **words, defaults=defaults(identity, task=task), size=SIZE, sizes=SIZES)
    ]
    assert noticed(spec, edits, identity) == {}
    parameters = {"tasks": ["text_to_image"], "hyperparameters": {}}
    assert pinned(parameters, "0.1.0", identity) == parameters
    assert pinned(parameters | {"tasks": ["inpaint"]}, "0.1.0", identity) != parameters
