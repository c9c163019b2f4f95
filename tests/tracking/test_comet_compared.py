"""Runs beside each other in Comet: samples line up, numbers stand for runs, a setting is a parameter, names and commands tell runs apart."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.arguments import laid_over, pairs
from sdxl_lab.settings.hyperparams import merge, replace
from sdxl_lab.spec.parameters import takes_text
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.tracking.experiment import NAME_LIMIT, Projection
from sdxl_lab.tracking.naming import command_of, public_parameters, title_of
from sdxl_lab.tracking.parameters import earlier_keys, parameters_of
from sdxl_lab.tracking.projection import project
from sdxl_lab.viewing.compare import compare
from tests.records.test_releases import RUNS
from tests.support.run_folders import complete
from tests.support.runs import made_for
from tests.support.specs import OTHER_VALUES, make_spec, plan, resolved_of, with_other

SCENES = ("red-circle", "yellow-star", "blue-heart", "green-diamond", "white-cross")
SUBSET = ("green-diamond", "yellow-star")


def resolved(folder: Path, **parameters: Any) -> ResolvedSpec:
    """A run over the built-in scenes, tied to their content."""
    given = {"name": "scenes", "dataset": "pocket-scenes", "checkpoint": "pocket", "tracking": "off", "runs_folder": str(folder)}
    return resolve(RunSpec.from_parameters(**given | parameters)).spec


def measured(spec: ResolvedSpec) -> RunFolder:
    """The run, done, without a model; its numbers differ from picture to picture."""
    run = RunFolder.of(spec)
    with run.open(spec):
        for number, edit in enumerate(run.pending()):
            run.add_picture(edit, made_for(edit), {"change_outside_max": (number * 7 % 11) / 4, "seam_delta_e": 1.5 + number})
        run.finish()
    return run


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """All five scenes, both tasks."""
    return measured(resolved(tmp_path_factory.mktemp("full")))


@pytest.fixture
def shown(full, tmp_path) -> Projection:
    """What Comet is to show of it."""
    return project(full, tmp_path)


def by_sample(projection: Projection) -> dict[tuple[str, str], int | None]:
    """Name and sample of each image of a sample to its step."""
    return {(image.name, image.metadata["sample"]): image.step for image in projection.images if "sample" in image.metadata}


def test_a_subset_lines_up_with_the_whole(full, shown, tmp_path):
    """
    In lines, prompts.csv, images and metrics a sample has the step of its place in the dataset, whichever samples a run has, in whatever order.
    """
    run = measured(resolved(tmp_path / "subset", samples=list(SUBSET)))
    part = project(run, tmp_path)
    assert by_sample(part).items() <= by_sample(shown).items()
    assert {(sample, step) for (_, sample), step in by_sample(part).items()} == {("green-diamond", 3), ("yellow-star", 1)}
    assert {step for _, step in part.metrics if step is not None} == {1, 3}
    assert [json.loads(line)["step"] for line in run.lines_file.read_bytes().splitlines()] == [3, 3, 1, 1]
    with run.prompts_file.open(newline="") as file:
        assert [(row["sample"], row["step"]) for row in csv.DictReader(file)] == [
            (sample, str(SCENES.index(sample))) for sample in SUBSET for _ in "ab"
        ]
    assert json.loads(full.spec_file.read_text()).keys() == json.loads(RUNS[0].joinpath("spec.json").read_text()).keys()
    assert run.resolved.run_id == resolved(tmp_path / "other", samples=list(reversed(SUBSET))).run_id


def test_a_run_that_was_begun_goes_on_by_the_steps_it_has(tmp_path):
    """
    A record without places in the dataset, as earlier versions wrote it, numbers samples as the run has them, also what is added to it now.
    """
    spec = resolved(tmp_path, samples=list(SUBSET))
    run, edits = RunFolder.of(spec), spec.edits
    with run.open(spec.model_copy(update={"steps": None})):
        run.add_picture(edits[0], made_for(edits[0]))
    complete(spec)
    assert run.resolved.steps is None
    assert [picture.step for picture in run.pictures()] == [0, 0, 1, 1]
    with run.prompts_file.open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "0", "1", "1"]


def test_each_metric_is_one_number_of_the_run(full, shown):
    """
    Once a run is done, each metric of each task has its mean and the ends of its interval, without a step: those of the record and of `compare`.
    """
    whole = {name: number for (name, step), number in shown.metrics.items() if step is None}
    for task in ("inpaint", "outpaint"):
        row = compare([full.path], task=task)
        for metric in ("change_outside_max", "seam_delta_e"):
            numbers = [picture.metrics[metric] for picture in full.pictures() if picture.task == task]
            interval = row.mean(row.rows[0], metric)
            assert interval
            assert whole[f"mean/{task}/{metric}"] == pytest.approx(fmean(numbers))
            assert [whole[f"mean/{task}/{metric}{end}"] for end in ("", ".low", ".high")] == [interval.mean, interval.low, interval.high]
            assert interval.low is not None
            assert interval.low < interval.mean
        assert whole[f"mean/{task}/seconds"] == 0.25
        assert f"mean/{task}/base_steps.low" not in whole
    points = {(name, step) for name, step in shown.metrics if step is not None}
    assert {(f"{task}/{metric}", step) for task in ("inpaint", "outpaint") for metric in ("seam_delta_e", "seconds") for step in range(5)} <= points


@pytest.mark.parametrize("lost", ["record.json", "images/yellow-star/inpaint.png"])
def test_a_run_that_lacks_something_has_no_means(lost, full, tmp_path):
    """
    As long as a run is not done, and where one of its pictures was lost, there are the points of its samples alone.
    """
    run = RunFolder(shutil.copytree(full.path, tmp_path / "copy"))
    (run.path / lost).unlink()
    steps = {step for _, step in project(run, tmp_path).metrics}
    assert steps == {0, 1, 2, 3, 4}


def planned(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a run of both tasks over two samples."""
    spec = make_spec(hyperparameters, tasks=["inpaint", "outpaint"])
    return parameters_of(resolved_of(spec, plan(spec)))


def differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """The keys that Comet's Diff shows."""
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


SHARED = [path for path in OTHER_VALUES if path.partition(".")[0] in ("denoising", "refiner", "mask", "conditioning")]


@pytest.mark.parametrize("path", [*SHARED, "image.background"])
def test_one_setting_is_one_parameter(path):
    """
    Two runs that differ in one setting differ in exactly one parameter: given for all tasks, or for one of them beside what all have.
    """
    base = {"denoising": {"high_noise_frac": 0.6}}
    changed = planned(with_other(base, path, OTHER_VALUES[path]))
    assert differing(planned(base), changed) == {path.replace(".", "|")}
    if not path.startswith("image"):
        for task in ("inpaint", "outpaint"):
            own = planned(merge(base, {task: replace({}, path, OTHER_VALUES[path])}))
            assert differing(planned(base), own) == {f"{task}|{path.replace('.', '|')}"}
            assert own[f"{task}|{path.replace('.', '|')}"] == changed[path.replace(".", "|")]


def test_words_and_what_one_task_takes_are_one_parameter_too():
    """
    A prompt, a seed, several seeds, and a canvas that only outpaint has are one parameter each; None is none, and no key is an earlier one's.
    """
    base = planned({})
    assert differing(base, planned({"prompt": "a ring"})) == {"prompt"}
    assert differing(base, planned({"outpaint": {"prompt": "a ring"}})) == {"outpaint|prompt"}
    assert differing(base, planned({"seed": 9})) == differing(base, planned({"seeds": [9, 10]})) == {"seed"}
    assert differing(base, planned({"inpaint": {"seeds": [9, 10]}})) == {"inpaint|seed"}
    narrow, wide = (planned({"outpaint": {"mode": "canvas", "canvas": {"left_px": left_px}}}) for left_px in (8, 16))
    assert differing(narrow, wide) == {"outpaint|canvas|left_px"}
    assert None not in base.values()
    spec = make_spec({}, tasks=["inpaint", "outpaint"])
    assert len(earlier_keys(resolved_of(spec, plan(spec))) & base.keys()) == len([key for key in base if key.startswith("outpaint|")])


def test_a_sweep_of_twelve_points_has_twelve_telling_names():
    """
    Each experiment of a sweep is named by what sets its point apart, however long its values are.
    """
    dusk = [f"a red star on grass, with a very long shadow, at {time}" for time in ("dawn", "noon", "dusk")]
    for grid in (
        {"hyperparameters.denoising.guidance_scale": [3, 5, 7.5], "hyperparameters.seed": "1-4"},
        {"hyperparameters.prompt": dusk, "hyperparameters.seed": "1-4"},
    ):
        points = SweepFile.from_dict({"name": "twelve", "parameters": {"hyperparameters.denoising.num_inference_steps": 8}, "grid": grid}).points
        names = [title_of(resolved_of(point.spec, plan(point.spec))) for point in points]
        assert len(set(names)) == len(points) == 12
        for point, name in zip(points, names, strict=True):
            assert len(name) <= NAME_LIMIT
            assert str(point.overrides["hyperparameters.seed"]) in name
            if prompt := point.overrides.get("hyperparameters.prompt"):
                assert prompt[-4:] in name
            if guidance := point.overrides.get("hyperparameters.denoising.guidance_scale"):
                assert str(guidance) in name


@pytest.mark.parametrize(
    ("name", "hyperparameters", "expected"),
    [
        ("inpaint_outpaint", {}, "inpaint_outpaint"),
        ("inpaint_outpaint", {"denoising": {"guidance_scale": 3.0}, "compute": {"threads": 2}}, "inpaint_outpaint guidance_scale=3"),
        (
            "inpaint_outpaint",
            {"mask": {"kernel_size": 9}, "outpaint": {"mask": {"kernel_size": 5}}},
            "inpaint_outpaint kernel_size=9 outpaint.kernel_size=5",
        ),
        ("my-own", {"denoising": {"guidance_scale": 3.0}}, "my-own"),
    ],
)
def test_a_name_that_says_nothing_is_followed_by_what_was_set(name, hyperparameters, expected):
    """
    A run that is called by its tasks alone is told by what was set for it; a name that somebody chose stays as it is.
    """
    spec = make_spec(hyperparameters, name=name)
    assert title_of(resolved_of(spec, plan(spec))) == expected


def as_the_command_reads(line: str) -> RunSpec:
    """What `sdxl-lab run` makes of a line."""
    program, run, _, *words = shlex.split(line)
    assert (program, run) == ("sdxl-lab", "run")
    options: dict[str, list[str]] = {"-p": [], "-y": []}
    while words:
        option = words.pop(0)
        options[option] += [words.pop(0) for _ in range(2 if option == "-p" else 1)]
    own = {"name": "inpaint_outpaint", "dataset": "pocket-scenes", "checkpoint": "pocket", "tasks": ["inpaint", "outpaint"], "tracking": "off"}
    values = pairs(options["-p"])
    return RunSpec.from_parameters(**laid_over(own, values=values, texts=options["-y"], takes_text=lambda path: takes_text(path, RunSpec)))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"samples": list(SUBSET), "tasks": ["outpaint"], "hyperparameters": {"prompt": "a “red” 'star': #1, on $HOME", "seeds": [1, -2]}},
        {"hyperparameters": {"denoising": {"high_noise_frac": 0.8, "scheduler": "heun"}, "inpaint": {"prompt": "7", "seed": 3}}},
    ],
)
def test_the_command_makes_the_same_run(parameters, tmp_path):
    """
    Pasted into a shell, the command of a run plans that run, whatever its words hold, and names no path.
    """
    spec = resolved(tmp_path, **parameters)
    line = command_of(complete(spec))
    assert resolve(as_the_command_reads(line)).spec.run_id == spec.run_id
    assert "/" not in line


def test_the_command_of_an_earlier_release_makes_its_run():
    """
    What the first release left to its defaults is written out, since defaults have moved.
    """
    run = RunFolder(RUNS[0])
    spec = as_the_command_reads(command_of(run))
    compute = {"compute": {"threads": run.resolved.threads, "dtype": run.resolved.dtype}}
    threads = spec.model_copy(update={"hyperparameters": merge(spec.hyperparameters, compute)})
    assert resolve(threads).spec.run_id == run.resolved.run_id
    assert "tracking" not in public_parameters(run)


def test_each_image_names_its_sample_and_what_was_set(shown):
    """
    Inputs name their sample and run; masks, results and sheets also the words, the seed and what was given for their task.
    """
    for image in shown.images:
        said = image.metadata
        assert said["run"] == shown.name
        if image.step is not None:
            assert said["sample"] == SCENES[image.step]
        if image.name not in ("input", "contact-sheet"):
            assert {"task", "prompt", "negative_prompt", "seed", "set"} <= said.keys()
