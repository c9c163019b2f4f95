"""Settings that are given by their names alone."""

from __future__ import annotations

import pytest

from sdxl_lab.settings.hyperparams import replace
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.spec.elsewhere import ELSEWHERE, NOT_HERE, as_listed
from sdxl_lab.spec.homes import home_of, laid_out, named_among, not_here, paths_of, unknown
from sdxl_lab.spec.injected import problems_of
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support.specs import OTHER_VALUES, PARAMETERS, make_spec


@pytest.mark.parametrize("path", OTHER_VALUES)
def test_each_setting_is_known_by_its_last_word(path):
    """
    A setting by its own name is the one at its dotted path, for each setting there is; of a name that two sections have, the first one's.
    """
    key = path.rpartition(".")[2]
    path = next(other for other in OTHER_VALUES if other.rpartition(".")[2] == key)
    laid, twice = laid_out("outpaint", {key: OTHER_VALUES[path]})
    assert laid == replace({"outpaint": {}}, path if path.startswith("image.") else f"outpaint.{path}", OTHER_VALUES[path])
    assert twice == []


def test_what_cannot_differ_by_task_is_laid_beside_it():
    """
    What a run has but once, compute and the reading of its images, stands under the common keys, where the gate takes it.
    """
    laid, _ = laid_out("inpaint", {"dtype": "float32", "compute": {"threads": 2}, "background": "gray", "strength": 0.5})
    assert laid == {"compute": {"threads": 2, "dtype": "float32"}, "image": {"background": "gray"}, "inpaint": {"denoising": {"strength": 0.5}}}
    assert make_spec(laid).hyperparameters == laid


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": 3}, "inpaint.steps: unknown key.* Did you mean hyperparameters.denoising.num_inference_steps"),
        ({"kernel_sise": 3}, "inpaint.kernel_sise: unknown key"),
        ({"kernel_size": 4}, r"inpaint.mask.kernel_size: got 4; .* take 3 or 5"),
        ({"mode": "canvas"}, "inpainting never leaves the picture"),
        ({"denoising": 5}, "inpaint.denoising: got 5; allowed is a dictionary"),
        ({"denoising": 5, "strength": 0.5}, "inpaint.denoising: got 5; allowed is a dictionary"),
        ({"mask": {"kernal_size": 5}}, "inpaint.mask.kernal_size: unknown key.* Did you mean kernel_size"),
    ],
)
def test_the_gate_answers_for_what_is_no_setting(settings, said):
    """
    A name that is none, another tool's name and a value that is not allowed have the gate's own answers.
    """
    with pytest.raises(SpecError, match=said):
        RunSpec.from_parameters(**PARAMETERS, hyperparameters=laid_out("inpaint", settings)[0])


def test_a_setting_given_twice_is_named_unless_it_is_the_same():
    """
    By name and in its section: once where they agree, a fault that names both places and no value where they do not.
    """
    assert laid_out("inpaint", {"strength": 0.5, "denoising": {"strength": 0.5}}) == ({"inpaint": {"denoising": {"strength": 0.5}}}, [])
    [line] = laid_out("inpaint", {"strength": 0.5, "denoising": {"strength": 0.25}})[1]
    assert line.startswith("denoising.strength: given twice")
    assert "0.5" not in line


def test_each_name_of_another_tool_has_one_answer():
    """
    It leads to a setting that there is, or is said to have none, and not both; it is none of our own names; and it is listed as it is looked up.
    """
    paths = paths_of(RunSpec)
    own = {path.rpartition(".")[2] for path in paths}
    assert {home_of(name, RunSpec) for name in ELSEWHERE} <= set(paths)
    assert [name for name in NOT_HERE if home_of(name, RunSpec)] == [name for name in ELSEWHERE if name in own] == []
    assert [name for name in (*ELSEWHERE, *NOT_HERE) if as_listed(name) != name] == []


@pytest.mark.parametrize(
    ("written", "ours"),
    [
        ("sampler_name", "denoising.scheduler"),
        ("switch_at", "denoising.high_noise_frac"),
        ("CFG Scale", "denoising.guidance_scale"),
        ("negative-prompt", "negative_prompt"),
        ("noise_seed", "seed"),
    ],
)
def test_another_tools_name_is_answered_with_ours(written, ours):
    """
    Capitals, dashes and spaces aside: for single pictures by its own name, for runs by its path.
    """
    assert unknown("text_to_image", {written: 1}) == [f"{written}: here it is called {ours.rpartition('.')[2]}"]
    with pytest.raises(SpecError, match=rf"Did you mean hyperparameters\.{ours}\?"):
        RunSpec.from_parameters(**PARAMETERS, hyperparameters={written: 1})


@pytest.mark.parametrize(
    "written",
    [
        "tiling",
        "subseed",
        "CLIP_stop_at_last_layers",
        "hr_scale",
        "restore_faces",
        "inpaint_full_res",
        "medvram",
        "Schedule_Type",
        "use_beta_sigmas",
        "guidance_rescale",
    ],
)
def test_what_is_not_there_is_said_to_be_so(written):
    """
    A call, the gate and a notebook's parameters cell say why another tool's name has no setting, and propose none that resembles it.
    """
    said = NOT_HERE[as_listed(written)]
    assert not_here(written, RunSpec) == said
    assert unknown("inpaint", {written: 1}) == [f"{written}: {said}"]
    with pytest.raises(SpecError) as caught:
        RunSpec.from_parameters(**PARAMETERS, hyperparameters={written: 1})
    assert list(caught.value.problems) == [f"hyperparameters.{written}: unknown key; {said}"]
    assert problems_of(f"{written} = 1", ["name", "dataset", "checkpoint", "hyperparameters"]) == [f"{written}: unknown key; {said}"]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_sampler_by_its_label_is_answered_with_ours(name):
    """
    What the tools around AUTOMATIC1111 call a sampler leads to ours, unless it is ours but for capitals.
    """
    label = SCHEDULERS[name].label
    with pytest.raises(SpecError, match=rf"(Write|Did you mean) {name}[.?]?$"):
        RunSpec.from_parameters(**PARAMETERS, hyperparameters={"denoising": {"scheduler": label}})


ANSWERS = {
    "Karras": "karras is a setting: karras: true beside",
    "SGM Uniform": "timestep_spacing: trailing beside",
    "sgm_uniform": "timestep_spacing: trailing beside",
    "DPM++ SDE Karras": "global generator",
    "dpmpp_sde_karras": "global generator",
    "DPM++ 2S a Karras": "ancestral DPM++ 2S is not in diffusers",
    "DPM++ 2M SDE Karras": "write dpmpp_2m_sde, and karras: true beside it",
    "DPM++ 2M Exponential": "Exponential is not there",
    "PNDM": "dpmpp_2m can",
    "ipndm": "is not there",
    "res_multistep": "is not there",
    "DPM fast": "is not there",
    "LMS": "did you mean lms?",
    "UniPC": "did you mean unipc?",
}


@pytest.mark.parametrize("written", ANSWERS)
def test_a_sampler_of_another_tool_is_answered_by_what_there_is(written):
    """
    Its schedule by the setting that it is, one that is not offered by its reason, and ours in other letters by ours.
    """
    with pytest.raises(SpecError) as caught:
        RunSpec.from_parameters(**PARAMETERS, hyperparameters={"denoising": {"scheduler": written}})
    [line] = caught.value.problems
    assert ANSWERS[written].casefold() in line.partition(". ")[2].casefold()


@pytest.mark.parametrize(
    ("written", "answer"), [("Trailing", "Did you mean trailing?"), ("sgm_uniform", "Write trailing"), ("karras", "write karras: true")]
)
def test_a_spacing_of_another_tool_is_answered_by_ours(written, answer):
    """
    In other letters, under another name, or where it is another setting.
    """
    with pytest.raises(SpecError, match=answer.replace("?", "[?]")):
        RunSpec.from_parameters(**PARAMETERS, hyperparameters={"denoising": {"timestep_spacing": written}})


def test_what_is_asked_of_an_adapter_is_named_with_it():
    """
    A weight alone does not say whose it is; any other setting is named by as little as tells it from the others.
    """
    paths = ["hyperparameters.loras.moon.weight", "hyperparameters.denoising.guidance_scale", "hyperparameters.refiner.guidance_scale"]
    assert [named_among(path, paths) for path in paths] == ["moon.weight", "denoising.guidance_scale", "refiner.guidance_scale"]
    assert [named_among(path, paths[:2]) for path in paths[:2]] == ["moon.weight", "guidance_scale"]
    assert named_among("loras.moon.weight", ["loras.moon.weight", "loras.sun.weight"]) == "moon.weight"
