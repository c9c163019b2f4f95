"""Settings that are given by their names alone."""

from __future__ import annotations

import pytest

from sdxl_lab.settings.hyperparams import replace
from sdxl_lab.spec.homes import laid_out
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
