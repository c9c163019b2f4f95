from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sdxl_lab.settings.hyperparams import get, merge, replace
from sdxl_lab.settings.sections import Denoising, EditSettings
from sdxl_lab.spec.run_spec import SpecError
from tests.support.specs import OTHER_VALUES, SIZES, WORDS, make_spec, plan, with_other

PATHS = (
    "denoising.num_inference_steps",
    "denoising.guidance_scale",
    "denoising.strength",
    "denoising.scheduler",
    "denoising.high_noise_frac",
    "refiner.guidance_scale",
    "refiner.aesthetic_score",
    "mask.kernel_size",
    "mask.latent_mask",
    "conditioning.target_size",
)
"""Settings that both tasks have."""

ONE = ("star",)
SIZE = (64, 64)


@pytest.mark.parametrize(
    "empty", [{"denoising": None}, {"outpaint": None}, {"denoising": {"num_inference_steps": None, "strength": None}}, {"seed": None}]
)
def test_none_says_nothing_where_it_is_no_value(empty):
    """
    An empty key of YAML leaves the default, the checkpoint's included, in force.
    """
    assert plan(make_spec(empty), ONE) == plan(make_spec(), ONE)


LAYERS = ["checkpoint", "common", "task"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("present", [set(), {"checkpoint"}, {"common"}, {"checkpoint", "common"}, {"task"}, {"common", "task"}, set(LAYERS)])
def test_the_closer_layer_wins(path, present):
    """
    The library's default yields to the checkpoint's, that to the common parameter, that to the task's own; the other task is untouched.
    """
    default = get(EditSettings().model_dump(mode="json"), path)
    value = OTHER_VALUES[path]
    layers: dict[str, Any] = {layer: {} for layer in LAYERS}
    expected = default
    # Every layer but the closest one present repeats the default, so that only precedence can bring the value through.
    for layer in LAYERS:
        if layer in present:
            closest_layer = layer == [name for name in LAYERS if name in present][-1]
            layers[layer] = with_other({}, path, value) if closest_layer else replace({}, path, default)
            expected = value if closest_layer else expected
    run = make_spec(merge(layers["common"], {"outpaint": layers["task"]}))
    assert get(run.settings("outpaint", layers["checkpoint"], SIZE, SIZES).model_dump(mode="json"), path) == expected
    for_inpaint = value if present and "task" not in present else default
    assert get(run.settings("inpaint", layers["checkpoint"], SIZE, SIZES).model_dump(mode="json"), path) == for_inpaint


def test_a_task_can_go_back_to_no_refiner():
    """
    None given for a task overrides a common hand-over.
    """
    run = make_spec({"denoising": {"high_noise_frac": 0.8}, "outpaint": {"denoising": {"high_noise_frac": None}}})
    assert run.settings("inpaint", {}, SIZE, SIZES).denoising.high_noise_frac == 0.8
    assert run.settings("outpaint", {}, SIZE, SIZES).denoising.high_noise_frac is None


@pytest.mark.parametrize("key", ["prompt", "negative_prompt", "seed"])
def test_the_parameters_words_win_over_the_datasets(key):
    """
    Prompt, negative prompt and seed come from the task's parameters, else the common ones, else the dataset.
    """
    common, own = (1, 2) if key == "seed" else ("", "own")
    run = make_spec({key: common, "inpaint": {key: own}})
    inpaint, outpaint = plan(run, ONE)
    assert (getattr(inpaint, key), getattr(outpaint, key)) == (own, common)
    assert getattr(plan(make_spec(), ONE)[0], key) == WORDS[key]


def test_a_picture_needs_words_but_no_seed():
    """
    A prompt that neither dataset nor parameters give is asked for; the seed is 0 then, and stands in the edit.
    """
    with pytest.raises(SpecError, match=r"hyperparameters\.inpaint\.prompt: sample star has no prompt"):
        make_spec().edits("star", "inpaint", prompt=None, negative_prompt=None, seed=None, defaults={}, size=SIZE, sizes=SIZES)
    [edit] = make_spec().edits("star", "inpaint", prompt="", negative_prompt=None, seed=None, defaults={}, size=SIZE, sizes=SIZES)
    assert edit.seed == 0


def test_a_checkpoints_bad_defaults_are_not_blamed_on_the_parameters():
    """
    An error in a checkpoint's defaults says whose it is, and its compute is passed over.
    """
    with pytest.raises(SpecError, match=r"1 problem in the checkpoint's defaults:\n  - denoising\.strength: got 2"):
        make_spec().settings("inpaint", {"denoising": {"strength": 2}}, SIZE, SIZES)
    assert make_spec().settings("inpaint", {"compute": {"threads": 1}}, SIZE, SIZES) == EditSettings()


def test_canvas_is_only_kept_where_it_is_used():
    """
    A common canvas reaches outpainting in mode canvas alone, so that it cannot change what inpainting is.
    """
    run = make_spec({"canvas": {"left_px": 8, "fill": "noise"}, "outpaint": {"mode": "canvas"}})
    assert run.settings("inpaint", {}, SIZE, SIZES) == EditSettings()
    assert run.settings("outpaint", {}, SIZE, SIZES).canvas.left_px == 8
    assert run.settings("outpaint", {}, SIZE, SIZES).mode == "canvas"


def test_settings_are_frozen_and_closed():
    """
    Settings made in Python are held to the same ranges, cannot be changed and take no unknown key.
    """
    settings = Denoising()
    with pytest.raises(ValidationError):
        settings.strength = 0.5  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValidationError):
        Denoising(strength=0)
    with pytest.raises(ValidationError):
        Denoising.model_validate({"steps": 3})


def test_what_no_task_takes_is_passed_over_by_name():
    """
    Of what is given for all tasks, the paths that none of them takes are known; under a task's own name they are refused.
    """
    given = {"mask": {"kernel_size": 3}, "denoising": {"strength": 0.5, "guidance_scale": 2.0}, "seed": 3, "compute": {"threads": 1}}
    expected = {"hyperparameters.mask.kernel_size", "hyperparameters.denoising.strength"}
    assert set(make_spec(given, tasks=["text_to_image"]).passed_over()) == expected
    assert make_spec(given, tasks=["text_to_image", "image_to_image"]).passed_over() == ["hyperparameters.mask.kernel_size"]
    assert make_spec(given, tasks=["text_to_image", "inpaint"]).passed_over() == []
    with pytest.raises(SpecError, match=r"hyperparameters\.text_to_image\.denoising\.strength: unknown key"):
        make_spec({"text_to_image": {"denoising": {"strength": 0.5}}})
