"""Runs of tasks that make a picture as a whole, beside one that repaints, through all that the lab does with runs."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from io import StringIO
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.tasks import TASKS
from sdxl_lab.tracking import sender
from sdxl_lab.tracking.projection import project
from sdxl_lab.viewing.compare import compare
from sdxl_lab.viewing.onward import parameters_of
from sdxl_lab.viewing.report import write_report
from sdxl_lab.viewing.report.content import content_of, entries_of
from sdxl_lab.viewing.report.files import Gallery
from sdxl_lab.viewing.show import print_path
from tests.support.comet_runs import only
from tests.support.comet_server import backend as backend
from tests.support.datasets import write_dataset

TASKS_MADE = ["inpaint", "text_to_image", "image_to_image"]
SEEDS = [7, -3]
HYPERPARAMETERS: dict[str, Any] = {"denoising": {"num_inference_steps": 6}, "compute": {"threads": 1}}

Plans = Callable[..., Resolved]


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> Plans:
    """Resolves a run over two scenes, the first with words for all tasks, the second with words for repainting alone."""
    folder = tmp_path_factory.mktemp("whole")
    words = {task: {"prompt": f"a red star, by {task}", "seed": 5} for task in TASKS}
    dataset = write_dataset(folder / "scenes", **words)

    def make(name: str, tasks: list[str] | None = None, **hyperparameters: Any) -> Resolved:
        parameters = {"name": name, "dataset": str(dataset), "checkpoint": "pocket", "runs_folder": str(folder / "runs"), "tracking": "off"}
        given = HYPERPARAMETERS | {"seeds": SEEDS} | hyperparameters
        return resolve(RunSpec.from_parameters(**parameters, tasks=tasks or TASKS_MADE, hyperparameters=given))

    return make


def made_of(resolved: Resolved) -> Resolved:
    """The run, done."""
    run(resolved)
    finish(resolved)
    return resolved


@pytest.fixture(scope="module")
def made(planned) -> Resolved:
    """A run of three tasks and two seeds, done: six pictures of the first scene, two of the second."""
    return made_of(planned("whole"))


@pytest.fixture(scope="module")
def refined(planned) -> Resolved:
    """The same, refined."""
    return made_of(planned("refined", denoising=HYPERPARAMETERS["denoising"] | {"high_noise_frac": 0.8}))


def untaken(task: str) -> set[str]:
    """Dotted paths of settings that a task of a later release does not take."""
    return set() if TASKS[task].is_first else set(TASKS[task].untaken)


def test_each_task_has_the_files_of_its_roles(made):
    """
    Beside the sample's one input, a picture from words is one file, a picture made anew too, and a repainted one has its mask.
    """
    files = {folder.name: {file.name for file in folder.iterdir()} for folder in made.folder.images_folder.iterdir()}
    stems = {task: [task, f"{task}-s-3"] for task in TASKS_MADE}
    masked = {f"{stem}{end}" for stem in stems["inpaint"] for end in (".png", "-mask.png")}
    whole = {f"{stem}.png" for task in TASKS_MADE[1:] for stem in stems[task]}
    assert files == {"scene-0": {"input.png"} | masked | whole, "scene-1": {"input.png"} | masked}
    lines = [json.loads(line) for line in made.folder.lines_file.read_text().splitlines()]
    roles = {line["task"]: {key for key in ("image", "input_image", "mask_image") if key in line} for line in lines}
    assert roles == {
        "inpaint": {"image", "input_image", "mask_image"},
        "text_to_image": {"image"},
        "image_to_image": {"image", "input_image"},
    }
    assert made.folder.contact_sheet.is_file()
    assert [line for line in made.said if "no prompt for text_to_image" in line]


def test_the_table_of_prompts_has_a_row_for_each(made):
    """
    Every picture's words and seed stand in prompts.csv, in the order of the plan.
    """
    rows = list(csv.DictReader(StringIO(made.folder.prompts_file.read_text())))
    found = [(row["sample"], row["task"], int(row["seed"]), row["prompt"]) for row in rows]
    assert found == [(*edit.key, edit.prompt) for edit in made.spec.edits]
    assert len(found) == 8


def test_a_run_is_shown_and_planned_again(made):
    """
    `show` names each task, of a picture what its task takes and what computed it; what `--as-parameters` writes of run and pictures plans the same.
    """
    console = Console(file=StringIO(), width=220)
    print_path(made.folder.path, console)
    assert isinstance(console.file, StringIO)
    assert all(console.file.getvalue().count(task) >= 2 for task in TASKS_MADE)
    assert resolve(RunSpec.from_parameters(**parameters_of(made.folder.path))).spec.run_id == made.spec.run_id
    for picture, edit in zip(made.folder.pictures(), made.spec.edits, strict=True):
        console = Console(file=StringIO(), width=220)
        print_path(picture.image, console)
        assert isinstance(console.file, StringIO)
        spoken = console.file.getvalue()
        assert ("denoising.strength" in spoken) == (picture.task != "text_to_image")
        assert ("kernel_size" in spoken) == (picture.task == "inpaint")
        assert re.search(rf"(?m)^computed by +{made.spec.dtype} on cpu, {made.spec.threads} thread", spoken)
        assert f"torch {version('torch')}" in " ".join(spoken.split())
        assert resolve(RunSpec.from_parameters(**parameters_of(picture.image))).spec.edits == (edit,)


def test_the_report_has_a_place_for_each(made, tmp_path):
    """
    Each picture has its own place among the axes, with an input where there is one, and its digest is on the page.
    """
    content = content_of(entries_of([made.folder], []), Gallery(), "whole")
    done = [picture for picture in content["pictures"] if picture["state"] == "done"]
    assert len({tuple(picture["at"]) for picture in done}) == len(done) == 8
    axes = {axis["path"]: axis["values"] for axis in content["axes"]}
    assert set(axes["task"]) == set(TASKS_MADE)
    at = [axis["path"] for axis in content["axes"]].index("task")
    has = {axes["task"][picture["at"][at]]: {role for role in ("input", "mask") if role in picture} for picture in done}
    assert has == {"inpaint": {"input", "mask"}, "image_to_image": {"input"}, "text_to_image": set()}
    page = write_report([made.folder], tmp_path / "report.html").read_text()
    assert all(picture.sha256 in page for picture in made.folder.pictures())


def test_a_refined_run_differs_from_its_base_in_one_setting(made, refined):
    """
    Compared, the two differ in the hand-over alone, over all of their pictures, and so does each task alone.
    """
    for task in (None, *TASKS_MADE):
        compared = compare([made.folder, refined.folder], task=task)
        assert compared.differing == {"denoising.high_noise_frac": [None, 0.8]}
        assert [len(row.pictures) for row in compared.rows] == [8 if task is None else 4 if task == "inpaint" else 2] * 2


def test_comet_is_told_what_each_task_takes(made, tmp_path):
    """
    Under a task stands no setting that it does not take; steps are the samples' own, and no two images or points share a name and step.
    """
    projected = project(RunFolder(made.folder.path), tmp_path)
    assert projected.tags[:3] == tuple(TASKS_MADE)
    for task in TASKS_MADE:
        told = {key.removeprefix(f"{task}|").replace("|", ".") for key in projected.parameters if key.startswith(f"{task}|")}
        assert not told & untaken(task)
    assert {"prompt", "seed", "denoising|num_inference_steps"} <= projected.parameters.keys()
    assert projected.parameters["seed"] == "7, -3"
    places = [(image.name, image.step) for image in projected.images]
    assert len(places) == len(set(places))
    of_each_seed = {
        f"{name}{seed}{role}" for seed in ("", "-s-3") for name, role in (("inpaint", ""), ("inpaint", "-mask"), ("before-after-inpaint", ""))
    }
    assert {name for name, step in places if step == 1} == {"input"} | of_each_seed
    assert {name for name, step in places if step == 0} > {"text_to_image", "text_to_image-s-3", "image_to_image", "image_to_image-s-3", "input"}
    measured = {task: {name.partition("/")[2] for name, step in projected.metrics if name.startswith(f"{task}/")} for task in TASKS_MADE}
    assert all("seconds" in names for names in measured.values())
    assert "change_outside_max" in measured["inpaint"] - measured["text_to_image"] - measured["image_to_image"]


def test_comet_gets_all_of_it_once(backend, made, tmp_path):
    """
    Pushed through the real SDK, the experiment holds the run's images, metrics and parameters, and pushed again nothing more.
    """
    projected = project(RunFolder(made.folder.path), tmp_path)
    for _ in range(2):
        sender.push(made.folder)
        experiment = only(backend)
        assert Counter((file.name, file.step) for file in experiment.images) == Counter((file.name, file.step) for file in projected.images)
        assert Counter((point[0], point[2]) for point in experiment.metrics) == Counter(projected.metrics.keys())
        assert experiment.parameters.keys() == projected.parameters.keys()
    assert backend.unknown == []


@pytest.mark.parametrize("index", range(6))
def test_each_is_made_again(made, index):
    """
    From its PNG alone, identical and under the same name, and no dataset is named where words were enough.
    """
    picture = made.folder.pictures()[index]
    again = reproduce(picture.image, dataset=made.spec.spec.dataset)
    assert again.is_identical
    assert again.picture_id == picture.picture_id
    assert ("made again from its words with" in str(again)) == (picture.task == "text_to_image")
    with Image.open(picture.image) as image:
        assert image.size == again.image.size
