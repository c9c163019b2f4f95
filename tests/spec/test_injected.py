"""What papermill puts into a notebook: what the notebook cannot take of it is told before it is assigned."""

from __future__ import annotations

import re

import pytest
from IPython.core.getipython import get_ipython
from papermill.translators import PythonTranslator

from sdxl_lab.spec.injected import check_parameters, problems_of
from sdxl_lab.spec.run_spec import RunSpec

OF_A_RUN = list(RunSpec.model_fields)
OF_ANOTHER = ["runs", "metrics"]


def problems(declared: list[str], given: dict[str, object]) -> list[str]:
    """What is said of parameters, written into a cell by papermill itself."""
    return problems_of(PythonTranslator.codify(given), declared)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"hyperparameters.seed": 3}, r"hyperparameters.seed: got a dotted name, .* write -y '{hyperparameters: {seed: 3}}', or use sdxl-lab run"),
        ({"denoising.guidance_scale": 5}, r"write -y '{hyperparameters: {denoising: {guidance_scale: 5}}}'"),
        (
            {"hyperparameters": {"mask": {"feather_px": 2}}, "hyperparameters.mask.kernel_size": 9, "hyperparameters.seed": 1},
            r"kernel_size, hyperparameters.seed: got dotted names, .* -y '{hyperparameters: {mask: {feather_px: 2, kernel_size: 9}, seed: 1}}'",
        ),
        ({"hyperparameters.seeds": "[1, 2]"}, r"write -y '{hyperparameters: {seeds: \[1, 2\]}}'"),
        ({"hyperparameters.prompt": "[a cat]"}, r"prompt: '.*\[a cat\]'"),
        ({"sedd": 3}, r"sedd: unknown key; .* Did you mean hyperparameters.seed\? Write -y '{hyperparameters: {seed: 3}}'"),
        ({"steps": 3}, r"Write -y '{hyperparameters: {denoising: {num_inference_steps: 3}}}'"),
        ({"datset": "x"}, r"datset: unknown key; .* Did you mean dataset\?$"),
        ({"num-steps": 3}, r"num-steps: a parameter's name holds letters, digits and underscores alone"),
        ({"name": "x", "grid": {}, "points": []}, r"grid: got a sweep, .* write sdxl-lab sweep FILE"),
    ],
)
def test_what_a_run_cannot_take_is_one_line_that_says_what_to_write(given, said):
    """
    A dotted name, a name that nobody reads, one that is no name and a sweep are each answered in one line, with what to write instead.
    """
    [line] = problems(OF_A_RUN, given)
    assert re.search(said, line)


def test_a_notebook_of_another_kind_is_told_its_own_names():
    """
    What a notebook without hyperparameters does not read is answered with the names that it has, and no setting is proposed.
    """
    assert problems(OF_ANOTHER, {"seed": 3}) == ["seed: unknown key; valid here are runs, metrics"]
    assert problems(OF_ANOTHER, {"metric": "x"}) == ["metric: unknown key; valid here are runs, metrics. Did you mean metrics?"]


def test_what_a_notebook_reads_passes():
    """
    Whatever papermill can write to the names of the parameters cell is left alone.
    """
    values = [None, True, -1, 0.5, float("inf"), "# Parameters\n", ["a"], {"a": {"b": [None]}}]
    for value in values:
        assert problems(OF_ANOTHER, {"runs": value, "metrics": value}) == []


@pytest.mark.parametrize("name", ["hyperparameters.api_key", "comet_api_key", "hyperparameters.prompt"])
def test_a_key_is_refused_and_not_repeated(name):
    """
    What looks like an API key is answered as one, whatever it was given as, and stands in no line.
    """
    key = "sk-" + "0a" * 12
    [line] = problems(OF_A_RUN, {name: key})
    assert "looks like an API key or a password" in line
    assert key not in line
    [line] = problems(OF_A_RUN, {key: name})
    assert key not in line


def test_outside_a_notebook_nothing_is_checked():
    """
    A script that a notebook was saved as runs as the notebook does: no shell comes to be.
    """
    check_parameters()
    assert get_ipython() is None
