"""Words of a prompt as an axis of a sweep: how it is written, what its points are called, and what is planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sdxl_lab.sweeps.sweep_file import SweepFile, SweepFileError
from tests.support.words_alone import write_words

REPLACED = "hyperparameters.prompt_replace"


def file(grid: Any, **content: Any) -> SweepFile:
    """
    A sweep over what a grid says.
    """
    parameters = {"tasks": ["text_to_image"], "dataset": "words", "tracking": "off"} | content.pop("parameters", {})
    return SweepFile.from_dict({"name": "words", "parameters": parameters, "grid": grid} | content)


def test_a_word_is_an_axis_and_its_values_are_the_points():
    """
    The word with its values in a list, and a list of dictionaries, ask for the same; points are called by word and value.
    """
    short = file(yaml.safe_load(f"{REPLACED}: {{red: [red, blue, dark green]}}"))
    assert [point.label for point in short.points] == ["red=red", "red=blue", "red=dark green"]
    assert [point.spec.name for point in short.points] == ["red_red", "red_blue", "red_dark_green"]
    listed = file({REPLACED: [{"red": "red"}, {"red": "blue"}, {"red": "dark green"}]})
    assert [point.spec.hyperparameters for point in listed.points] == [point.spec.hyperparameters for point in short.points]
    assert short.points[1].spec.hyperparameters["prompt_replace"] == {"red": "blue"}


def test_words_go_with_other_axes_and_with_each_other():
    """
    Two words are two axes, over what all points replace; None leaves a word as it is, and exclude and single points know words.
    """
    grid = {f"{REPLACED}.red": [None, "blue"], REPLACED: {"star": ["star", "ring"]}, "hyperparameters.seed": [1, 2]}
    common = {"parameters": {REPLACED: {"grass": "sand"}}}
    found = file(grid, exclude=[{f"{REPLACED}.red": "blue", f"{REPLACED}.star": "ring"}], points=[{f"{REPLACED}.red": "pink"}], **common)
    assert [point.label for point in found.points][:2] == ["red=none star=star seed=1", "red=none star=star seed=2"]
    assert len(found.points) == 7
    assert found.points[-1].spec.hyperparameters["prompt_replace"] == {"grass": "sand", "red": "pink"}
    assert found.points[0].spec.variation("text_to_image").words == {"prompt": {"grass": "sand", "star": "star"}}


def test_a_word_may_hold_dots_and_is_called_whole():
    """
    A word with a dot, such as a weight, is one word among the settings and in labels, also beside a setting of its name.
    """
    found = file({f"{REPLACED}.blue:1.0": ["blue:1.0", "blue:1.4"], f"{REPLACED}.seed": ["a"], "hyperparameters.seed": [7]})
    assert [point.label for point in found.points] == [
        f"blue:1.0={value} prompt_replace.seed=a hyperparameters.seed=7" for value in ("blue:1.0", "blue:1.4")
    ]
    assert found.points[1].spec.variation("text_to_image").words["prompt"] == {"blue:1.0": "blue:1.4", "seed": "a"}


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({REPLACED: {"W": [1.0, 1.2]}}, "'W' has 1.0 in its place: put quotes around a text"),
        ({REPLACED: ["red"]}, "got 'red'; allowed is a dictionary of words and what stands in their place"),
        ({f"{REPLACED}.": ["red"]}, "allowed are keys joined with single dots"),
        ({f"{REPLACED}. ": ["red"]}, "An empty word stands nowhere"),
        (
            {"hyperparameters.prompt": ["a star", "a ring"], f"{REPLACED}.star": ["moon"]},
            r"'star', which is no word of the prompt, “a ring”; .* \(in 1 of 2",
        ),
        (
            {"hyperparameters.prompt": ["a {red star"], "hyperparameters.wildcards": ["text", "draw"]},
            r"whose brace is never closed.* \(in 1 of 2 points",
        ),
    ],
)
def test_what_is_no_word_is_refused_with_the_file(grid, said):
    """
    Values that are no texts, words that are none, and words that a prompt of the file lacks are told without resolving anything.
    """
    with pytest.raises(SweepFileError, match=said):
        file(grid)


def test_a_plan_makes_each_prompt_once(random_pair, tmp_path, monkeypatch):
    """
    The control is the run without replacing, words that come to the same prompt are one run, and a sample without the word is told with its prompt.
    """
    from sdxl_lab.sweeps.planner import PlanError, plan

    monkeypatch.chdir(tmp_path)
    write_words(Path("words"), *({"name": name, "text_to_image": {"prompt": f"a red {name}"}} for name in ("star", "ring")))
    parameters = {"checkpoint": str(random_pair), "hyperparameters.denoising.num_inference_steps": 2}
    made = plan(
        file({REPLACED: {"red": ["red", "blue"], "a": [None, "a"]}}, points=[{"name": "plain", "hyperparameters": {}}], parameters=parameters)
    )
    assert (made.points, len(made.runs)) == (5, 2)
    assert [run.label for run in made.runs] == ["red=red a=none", "red=blue a=none"]
    with pytest.raises(PlanError, match=r"got 'star', which is no word of the prompt of ring text_to_image, “a red ring”") as caught:
        plan(file({REPLACED: {"star": ["star", "moon"]}}, parameters=parameters))
    assert len(caught.value.problems) == 1
