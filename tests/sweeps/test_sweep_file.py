"""Sweep files: what a base, a grid and single points become."""

from __future__ import annotations

import itertools
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdxl_lab.cli.usage import settings_given
from sdxl_lab.kernels import notebooks
from sdxl_lab.settings.ranges import random_seeds
from sdxl_lab.sweeps.labels import told_apart
from sdxl_lab.sweeps.sweep_file import SweepFile, SweepFileError

SEED, STEPS = "hyperparameters.seed", "hyperparameters.denoising.num_inference_steps"
FRAC, GUIDANCE = "hyperparameters.denoising.high_noise_frac", "hyperparameters.denoising.guidance_scale"

FILE = """
name: fractions
parameters:
  samples: [red-circle]
  tracking: off
  hyperparameters: {denoising: {num_inference_steps: 10}}
grid:
  hyperparameters.seed: random(2)
  hyperparameters.denoising:
    high_noise_frac: [null, 0.5-0.9 (0.1)]   # nested and dotted mean the same
"""


def sweep(**content: Any) -> SweepFile:
    """
    A sweep from a dictionary.
    """
    return SweepFile.from_dict({"name": "test", **content})


def problems(**content: Any) -> str:
    """
    What is wrong with it, one problem a line.
    """
    with pytest.raises(SweepFileError) as caught:
        sweep(**content)
    return "\n".join(caught.value.problems)


def values(found: SweepFile, *paths: str) -> list[tuple[Any, ...]]:
    """
    For each point its overrides at some paths.
    """
    return [tuple(point.overrides.get(path) for path in paths) for point in found.points]


def test_a_file_becomes_its_points_in_order(tmp_path):
    """
    The grid's points come in the order of its axes, the first changing slowest, over the base and the notebook's own parameters.
    """
    path = tmp_path / "sweep.yaml"
    path.write_text(FILE)
    found = SweepFile.read(path)
    assert values(found, SEED, FRAC) == list(itertools.product(random_seeds("random(2)"), [None, 0.5, 0.6, 0.7, 0.8, 0.9]))
    own = notebooks.parameters_of(found.notebook)
    for point in found.points:
        assert list(point.parameters) == list(own)
        assert point.spec.hyperparameters["denoising"]["num_inference_steps"] == 10
        assert (point.spec.samples, point.spec.tracking, point.spec.checkpoint) == (("red-circle",), "off", own["checkpoint"])


def test_runs_lie_in_the_sweeps_own_folder():
    """
    The last part of the runs' folder is the sweep's name, which is Comet's tag; a folder in the parameters wins.
    """
    assert sweep().points[0].spec.runs_folder == "artifacts/runs/test"
    assert sweep(parameters={"runs_folder": "elsewhere"}).points[0].spec.runs_folder == "elsewhere"


def test_a_sweep_without_grid_and_points_is_its_base():
    """
    Neither grid nor points is one run: the base.
    """
    [point] = sweep(parameters={"hyperparameters.seed": 3}).points
    assert (point.label, point.spec.hyperparameters) == ("test", {"seed": 3})


def test_points_stand_beside_the_grid():
    """
    Single points follow the grid's, over the same base, and without a grid they are all there is.
    """
    single = {"hyperparameters": {"denoising.guidance_scale": 12}, "tasks": ["outpaint"]}
    both = sweep(grid={SEED: [1, 2]}, points=[single])
    assert values(both, SEED, GUIDANCE) == [(1, None), (2, None), (None, 12)]
    assert both.points[2].spec.tasks == ("outpaint",)
    assert values(sweep(points=[single]), GUIDANCE) == [(12,)]


def test_excluded_points_are_left_out_of_the_grid_alone():
    """
    Each entry of `exclude` takes out the points that have all of its values, ranges and base values included, but no single point.
    """
    grid = {SEED: [1, 2], STEPS: "10-30 (10)"}
    left = sweep(grid=grid, exclude=[{SEED: 1, STEPS: "10-20 (10)"}, {STEPS: 30, "checkpoint": "pocket", SEED: 2}], points=[{SEED: 1, STEPS: 10}])
    assert values(left, SEED, STEPS) == [(1, 30), (2, 10), (2, 20), (1, 10)]
    assert values(sweep(grid={FRAC: [None, 0.8]}, exclude=[{FRAC: None}]), FRAC) == [(0.8,)]


def test_ranges_mean_numbers_on_numeric_settings_alone():
    """
    A range is expanded where a setting takes numbers, whole ones where it takes whole ones; anywhere else it is a text.
    """
    assert values(sweep(grid={STEPS: "1-10 [5]"}), STEPS) == [(1,), (3,), (5,), (7,), (10,)]
    assert values(sweep(grid={GUIDANCE: "1-10 [5]"}), GUIDANCE) == [(1.0,), (3.25,), (5.5,), (7.75,), (10.0,)]
    assert values(sweep(grid={SEED: ["-3--1", 7]}), SEED) == [(-3,), (-2,), (-1,), (7,)]
    prompts = ["1-10 (3)", "random(8)"]
    assert values(sweep(grid={"hyperparameters.prompt": prompts}), "hyperparameters.prompt") == [(prompt,) for prompt in prompts]


def test_an_axis_over_seeds_is_one_of_whole_lists():
    """
    A list, a range and random seeds are each one value of `seeds`, for the pictures of one run, while those of `seed` are a run each.
    """
    asked = [[1, 2, 3], "1-4", "random(4)", None]
    seeds = "hyperparameters.seeds"
    assert values(sweep(grid={seeds: asked}), seeds) == [(value,) for value in asked]
    assert [point.label for point in sweep(grid={seeds: asked}).points] == ["seeds=1+2+3", "seeds=1-4", "seeds=random(4)", "seeds=none"]
    assert values(sweep(grid={seeds: "1-4"}, points=[{seeds: "random(2)"}]), seeds) == [("1-4",), ("random(2)",)]
    assert values(sweep(grid={SEED: "1-4"}), SEED) == [(1,), (2,), (3,), (4,)]
    assert len(sweep(parameters={seeds: "1-4"}, grid={FRAC: [None, 0.8]}).points) == 2


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"grid": {"hyperparameters.seeds": [1, 2, 3]}}, r"grid\.hyperparameters\.seeds: got 1 as one of the values, .* write \[\[1, 2\]\] or 1-2"),
        (
            {"grid": {"hyperparameters.inpaint.seeds": 4}},
            r"grid\.hyperparameters\.inpaint\.seeds: got 4 .* or grid\.hyperparameters\.inpaint\.seed for",
        ),
        (
            {"grid": {"hyperparameters.seeds": ["1-4", "1-4 (0)"]}},
            r"hyperparameters\.seeds: got '1-4 \(0\)'; allowed is a list .* \(in 1 of 2 points",
        ),
        ({"grid": {SEED: [1, 2]}, "parameters": {"hyperparameters.seeds": "1-4"}}, r"hyperparameters\.seeds: got seeds beside hyperparameters\.seed"),
        ({"points": [{"hyperparameters.seeds": "4"}]}, r"hyperparameters\.seeds: got '4'; allowed is a list"),
    ],
)
def test_seeds_that_are_no_lists_are_one_clear_error(content, line):
    """
    Numbers where each value should be all seeds of a run, a bad range, and a run with both seed and seeds are refused in one line.
    """
    with pytest.raises(SweepFileError, match=f"1 problem .*\n.*{line}"):
        sweep(**content)


def test_a_dictionary_is_an_axis_of_bundles():
    """
    A list of dictionaries sweeps settings that belong together, each laid over the base.
    """
    bundles = [{"guidance_scale": 5.0, "strength": 0.5}, {"guidance_scale": 9.0}]
    found = sweep(parameters={STEPS: 4}, grid={"hyperparameters.denoising": bundles})
    assert [point.spec.hyperparameters["denoising"] for point in found.points] == [{"num_inference_steps": 4} | bundle for bundle in bundles]


def test_from_python_arrays_and_paths_will_do(tmp_path):
    """
    A dictionary from Python may hold arrays, ranges, tuples and paths, and is left as it was.
    """
    content = {"grid": {FRAC: np.array([0.5, 0.75]), SEED: range(2), "dataset": (tmp_path,)}}
    assert values(sweep(**content), FRAC, SEED, "dataset") == [(frac, seed, str(tmp_path)) for frac in (0.5, 0.75) for seed in (0, 1)]
    assert isinstance(content["grid"][SEED], range)


def test_a_value_given_twice_is_one_point():
    """
    Values that a range and a list both give are swept once.
    """
    assert values(sweep(grid={FRAC: [0.5, "0.5-0.7 (0.1)", 0.7]}), FRAC) == [(0.5,), (0.6,), (0.7,)]


def test_labels_are_short_and_tell_points_apart():
    """
    A label names each axis by as few keys as set it apart, and becomes a name that a folder can have.
    """
    axes = {
        GUIDANCE: [5],
        "hyperparameters.refiner.guidance_scale": [None],
        SEED: [-3],
        "samples": [["a b", "c"]],
        "hyperparameters.prompt": ["x" * 99],
    }
    [point] = sweep(grid=axes, parameters={"name": "mine"}).points
    assert point.label == f"denoising.guidance_scale=5 refiner.guidance_scale=none seed=-3 samples=a b+c prompt={'x' * 21}..."
    assert point.spec.name == "mine-denoising.guidance_scale_5-refiner.guidance_scale_none-seed_-3-samples_a_b"
    [named] = sweep(points=[{"name": "chosen", SEED: 1}]).points
    assert (named.label, named.spec.name, named.overrides) == ("chosen", "chosen", {SEED: 1})


def test_a_file_of_an_address_is_called_by_its_name():
    """
    Of a checkpoint's address the label has the file's name, and all of the address where another has a file of that name.
    """
    texts = ["pocket", "https://example.org/of/models/neon%20night.safetensors?download=true", "https://example.org/paper/model.safetensors"]
    assert [*told_apart(texts).values()] == ["pocket", "neon night", "model"]
    alike = [f"https://example.org/{name}/model.safetensors" for name in ("neon", "paper")]
    assert len(set(told_apart(alike).values())) == 2


def test_a_file_is_called_by_its_stem():
    """
    Folder and ending are left out as long as no two files are called the same for that.
    """
    files = ["models/Stable-diffusion/juggernautXL_v9.safetensors", "models/Stable-diffusion/juggernautXL_v8.safetensors", "pocket"]
    assert [*told_apart(files).values()] == ["juggernautXL_v9", "juggernautXL_v8", "pocket"]
    assert sweep(grid={"checkpoint": files}).points[0].spec.name.endswith("juggernautXL_v9")
    alike = ["one/model.safetensors", "two/model.safetensors"]
    assert [*told_apart(alike).values()] == alike


def test_an_embedding_is_called_by_its_name():
    """
    Of a file, the label says what it is for; two embeddings are told apart, and a point without one says that it has none.
    """
    files = {f"hyperparameters.embeddings.{name}.file": [None, f"{name}.safetensors"] for name in ("moon", "star")}
    labels = [point.label for point in sweep(grid=files).points]
    assert labels == [f"moon={moon} star={star}" for moon in ("none", "moon") for star in ("none", "star")]


def test_a_lora_s_weight_is_called_by_its_name():
    """
    Of a LoRA, the label says whose weight it is, also where no other is swept; a range is its values.
    """
    parameters = {"hyperparameters.loras.moon.file": "moon.safetensors"}
    points = sweep(parameters=parameters, grid={"hyperparameters.loras.moon.weight": "0-1 (+0.5)"}).points
    assert [point.label for point in points] == ["moon.weight=0.0", "moon.weight=0.5", "moon.weight=1.0"]
    assert [point.spec.hyperparameters["loras"]["moon"] for point in points] == [{"file": "moon.safetensors", "weight": w} for w in (0.0, 0.5, 1.0)]


def test_a_text_for_a_lora_is_its_file_beside_a_weight():
    """
    What a text in place of a section says stays where more is asked below it, in a sweep as on a command line, in either order.
    """
    points = sweep(parameters={"hyperparameters.loras.moon": "moon.safetensors"}, grid={"hyperparameters.loras.moon.weight": [0, 0.5]}).points
    assert [point.spec.hyperparameters["loras"]["moon"] for point in points] == [{"file": "moon.safetensors", "weight": w} for w in (0, 0.5)]
    given = [["-p", "loras.moon", "-p", "moon.safetensors"], ["-p", "loras.moon.weight", "-p", "0.5"]]
    for order in (given, given[::-1]):
        words = [word for pair in order for word in pair if word != "-p"]
        assert settings_given(words) == {"loras": {"moon": {"file": "moon.safetensors", "weight": 0.5}}}


def test_every_problem_is_listed_at_once(tmp_path):
    """
    One error names each thing that is wrong by its dotted path, whichever part of the file it stands in, and the file.
    """
    path = tmp_path / "bad.yaml"
    path.write_text(
        """
        name: two words
        nmae: x
        notebook: absent.ipynb
        parameters: {sampels: [a], hyperparameters: {denoising: {num_inference_step: 1}}}
        grid: {guidance_scale: [1], hyperparameters.seed: random(0), hyperparameters.denoising.strength: [], tracking: [off]}
        exclude: {hyperparameters.seed: 1}
        points: [{hyperparameters.denoising.guidance_scale: 1-3}, {}, 5]
        """
    )
    with pytest.raises(SweepFileError, match=f"problems in {path}") as caught:
        SweepFile.read(path)
    starts = [
        "nmae: unknown key; .* Did you mean name",
        "name: got 'two words'",
        "notebook: got the notebook 'absent.ipynb'",
        "sampels: unknown key; .* Did you mean samples",
        "hyperparameters.denoising.num_inference_step: unknown key",
        r"guidance_scale: unknown key; .* Did you mean hyperparameters.denoising.guidance_scale\? \(in 1 of 4 points, the first is",
        r"grid.hyperparameters.seed: got 'random\(0\)'",
        "grid.hyperparameters.denoising.strength: got an empty list",
        "grid.tracking: is the same for the whole sweep",
        "exclude: got .*; allowed is a list",
        r"points\[0\].hyperparameters.denoising.guidance_scale: got '1-3', but a single point has one value",
        r"points\[1\]: is empty",
        r"points\[2\]: got 5; allowed is a dictionary",
    ]
    unsaid = [start for start in starts if not any(re.match(start, line) for line in caught.value.problems)]
    assert unsaid == []
    assert len(caught.value.problems) == len(starts)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"grid": {GUIDANCE: ["high"]}}, f"{GUIDANCE}: got 'high'; allowed is a finite number"),
        ({"grid": {STEPS: "random(3)"}}, "random draws seeds alone"),
        ({"grid": {STEPS: "0.5-3"}}, "takes whole numbers"),
        ({"grid": {GUIDANCE: [1], "hyperparameters": {"denoising": {"guidance_scale": [2]}}}}, f"grid.{GUIDANCE}: given twice"),
        ({"grid": {"hyperparameters.denoising": [{"strength": 1}], GUIDANCE: [1]}}, f"grid.{GUIDANCE}: given twice"),
        ({"grid": {"hyperparameters..seed": [1]}}, "keys joined with single dots"),
        ({"grid": {SEED: "random(1000)", STEPS: "1-1000"}}, "got 1000000 points; allowed are 10000"),
        ({"grid": {SEED: [1, 2]}, "exclude": [{SEED: 3}]}, r"exclude[0]: matches none of the 2 points"),
        ({"grid": {SEED: [1, 2]}, "exclude": [{SEED: "1-2"}]}, "exclude: leaves no point to run"),
        ({"points": [{"runs_folder": "x"}]}, "points[0].runs_folder: is the same for the whole sweep"),
        ({"parameters": [1]}, "parameters: got 1; allowed is a dictionary"),
        ({"name": None}, "name: missing; allowed is letters"),
        ({"name": "../up"}, "name: got '../up'"),
    ],
)
def test_what_is_not_allowed_is_answered_with_what_is(content, message):
    """
    Wrong values, ranges on the wrong settings, clashing axes and grids beyond measure are refused, each by its path.
    """
    assert message in problems(**content)


def test_a_file_that_holds_no_dictionary_is_refused():
    """
    Anything but a dictionary is answered with an example.
    """
    content: Any = ["name"]
    with pytest.raises(SweepFileError, match="allowed is a dictionary such as"):
        SweepFile.from_dict(content)


@pytest.mark.parametrize(
    "content",
    [
        {"parameters": {"COMET_API_KEY": "{key}"}},
        {"parameters": {"hyperparameters": {"prompt": "{key}"}}},
        {"grid": {"hyperparameters.prompt": ["a fish", "{key}"]}},
        {"grid": {"hyperparameters.hf_token": ["x"]}},
        {"exclude": [{"hyperparameters.prompt": "{key}"}]},
        {"points": [{"name": "{key}"}]},
        {"points": [{"hyperparameters": {"api_key": "{key}"}}]},
        {"{key}": 1},
        {"name": "{key}"},
        {"notebook": "{key}"},
    ],
)
def test_a_key_is_refused_and_not_repeated(content, monkeypatch):
    """
    Whatever looks like an API key is refused wherever it stands, by its place and never by its value.
    """
    key = "k7Qz31mX" * 3
    monkeypatch.setenv("COMET_API_KEY", key)

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {filled(name): filled(below) for name, below in value.items()}
        return [filled(item) for item in value] if isinstance(value, list) else value.format(key=key) if isinstance(value, str) else value

    with pytest.raises(SweepFileError) as caught:
        SweepFile.from_dict({"name": "test"} | filled(content))
    assert "looks like an API key" in str(caught.value)
    assert key not in str(caught.value)


def test_a_notebook_of_ones_own_brings_its_own_defaults(tmp_path):
    """
    Parameters are laid over those of the sweep's own notebook.
    """
    built_in = notebooks.find(notebooks.BUILT_IN).read_text("utf-8")
    mine = tmp_path / "mine.ipynb"
    mine.write_text(built_in.replace('tasks = [\\"inpaint\\", \\"outpaint\\"]', 'tasks = [\\"outpaint\\"]'))
    [point] = sweep(notebook=str(mine)).points
    assert point.spec.tasks == ("outpaint",)
    assert sweep(notebook=str(mine)).notebook == Path(mine)
