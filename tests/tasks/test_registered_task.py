from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from sdxl_lab.datasets.sources import fetch
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.settings.sections import Denoising, EditSettings, PromptAndSeed, Refiner
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.tasks import INPUT, RESULT, TASKS, Area, Task
from sdxl_lab.tracking.projection import project
from sdxl_lab.viewing.compare import compare
from sdxl_lab.viewing.onward import parameters_of
from sdxl_lab.viewing.report.content import content_of, entries_of
from sdxl_lab.viewing.report.files import Gallery
from sdxl_lab.viewing.show import print_dataset, print_path
from tests.support.datasets import write_dataset


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global plan
    from sdxl_lab.sweeps.planner import plan


BORDER_PX = 16


class RetouchHyperparameters(PromptAndSeed):
    """What retouching takes: no mask."""

    denoising: Denoising = Denoising()
    refiner: Refiner = Refiner()


def border(settings: EditSettings, size: tuple[int, int], mask: Image.Image | None, cell_px: float) -> Area:
    """The picture's border."""
    white = Image.new("L", size, 255)
    white.paste(0, (BORDER_PX, BORDER_PX, size[0] - BORDER_PX, size[1] - BORDER_PX))
    return Area(repainted=white, composited=white)


RETOUCH = Task(name="retouch", takes=RetouchHyperparameters, needs=lambda _: ("image",), area=border, roles=(INPUT, RESULT))
"""Repaints a fixed border of the picture, whatever its mask."""

PARAMETERS = {"name": "border", "checkpoint": "pocket", "tasks": ["retouch", "inpaint"], "tracking": "off"}
HYPERPARAMETERS = {"denoising": {"num_inference_steps": 4}, "mask": {"kernel_size": 5}, "compute": {"threads": 1}}


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "retouch", RETOUCH)
        yield


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Two scenes, one to be retouched without having a mask, one to be inpainted."""
    words = {"prompt": "a frame", "seed": 7}
    return write_dataset(tmp_path_factory.mktemp("data") / "d", mask=None, inpaint=None, outpaint=None, retouch=words)


@pytest.fixture(scope="module")
def made(dataset) -> Resolved:
    """A run of both tasks, done."""
    spec = RunSpec.from_parameters(**PARAMETERS, dataset=str(dataset), runs_folder=str(dataset.parent / "runs"), hyperparameters=HYPERPARAMETERS)
    resolved = resolve(spec)
    run(resolved)
    finish(resolved)
    return resolved


def test_its_settings_are_its_own(dataset):
    """
    Keys that it does not take are refused by name, those it takes are checked, and a misspelt task is told what is allowed.
    """
    given = {"retouch": {"mask": {"kernel_size": 3}, "denoising": {"strength": 2}}}
    with pytest.raises(SpecError) as caught:
        RunSpec.from_parameters(**PARAMETERS | {"tasks": ["retuch"]}, dataset=str(dataset), hyperparameters=given)
    assert set(caught.value.problems) == {
        "tasks[0]: got 'retuch'; allowed is a list of one or more of inpaint, outpaint, image_to_image, text_to_image, retouch. "
        "Did you mean retouch?",
        "hyperparameters.retouch.mask: unknown key; valid here are denoising, refiner, prompt, negative_prompt, "
        "prompt_syntax, long_prompt, prompt_replace, negative_prompt_replace, wildcards, seed, seeds. "
        "Did you mean hyperparameters.mask?",
        "hyperparameters.retouch.denoising.strength: got 2; allowed is a number above 0, at most 1",
    }


def test_what_it_does_not_take_stays_out_of_its_plan(made):
    """
    A common setting reaches the tasks that take it, and only inpainting stops at a sample without a mask.
    """
    settings = {edit.task: edit.settings for edit in made.spec.edits}
    assert {task: found.mask.kernel_size for task, found in settings.items()} == {"retouch": 1, "inpaint": 5}
    with pytest.raises(SpecError, match="sample scene-0 has no mask, and inpaint needs one"):
        resolve(made.spec.spec.model_copy(update={"hyperparameters": HYPERPARAMETERS | {"prompt": "a frame"}}))


def test_its_border_is_painted_and_nothing_else(made):
    """
    What is repainted, and all that differs from the input, is the border.
    """
    picture = next(picture for picture in made.folder.pictures() if picture.task == "retouch")
    before, after = (np.asarray(Image.open(path)) for path in (picture.input_image, picture.image))
    differs = (before != after).any(axis=2)
    inner = np.s_[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    assert differs.any()
    assert not differs[inner].any()
    assert np.array_equal(np.asarray(made.masks()["scene-0 retouch"])[inner] > 0, differs[inner])


def test_its_pictures_have_the_files_of_its_roles(made):
    """
    The run folder holds input and result of the one task, input, mask and result of the other; a lost file is made again.
    """
    files = {folder.name: sorted(file.name for file in folder.iterdir()) for folder in made.folder.images_folder.iterdir()}
    assert files == {"scene-0": ["input.png", "retouch.png"], "scene-1": ["inpaint-mask.png", "inpaint.png", "input.png"]}
    first, second = map(json.loads, made.folder.lines_file.read_text().splitlines())
    assert (first["task"], first["image"], first["input_image"]) == ("retouch", "images/scene-0/retouch.png", "images/scene-0/input.png")
    assert second.keys() - first.keys() == {"mask_image"}
    [whole] = [picture for picture in made.folder.pictures() if picture.task == "retouch"]
    kept = whole.input_image.read_bytes()
    whole.input_image.unlink()
    assert [edit.task for edit in made.folder.pending()] == ["retouch"]
    whole.input_image.write_bytes(kept)
    assert not made.folder.pending()
    assert "Mask blur" in read_stamp(made.folder.images_folder / "scene-1/inpaint.png").parameters((64, 64))
    assert "Mask blur" not in read_stamp(whole.image).parameters((64, 64))


def test_all_that_looks_at_runs_shows_it(made, dataset, tmp_path):
    """
    Report, comparison, Comet, show and plan have the task, its settings and its files, without a word of it in any of them.
    """
    content = content_of(entries_of([made.folder], []), Gallery(), "both")
    [retouched] = [picture for picture in content["pictures"] if "mask" not in picture]
    assert retouched["state"] == "done"
    assert retouched["input"]
    assert content["roles"] == ["input", "mask"]
    assert "retouch" in next(axis["values"] for axis in content["axes"] if axis["path"] == "task")
    assert made.folder.contact_sheet.is_file()

    compared = compare([made.folder.path], task="retouch")
    assert [row.planned for row in compared.rows] == [1]

    projected = project(RunFolder(made.folder.path), tmp_path)
    assert sorted(image.name for image in projected.images if image.step == 0) == ["before-after-retouch", "input", "retouch"]
    assert projected.tags[:2] == ("retouch", "inpaint")
    assert "retouch a frame" in projected.parameters["prompt"]
    assert ("retouch/seconds", 0) in projected.metrics

    console = Console(file=StringIO(), width=200)
    print_dataset(fetch(str(dataset)), console)
    print_path(made.folder.path, console)
    shown = console.file.getvalue()
    assert "a frame (seed 7)" in shown
    assert "retouch" in shown

    image = made.folder.images_folder / "scene-0/retouch.png"
    assert resolve(RunSpec.from_parameters(**parameters_of(image))).spec.edits == made.spec.edits[:1]
    base = dict(PARAMETERS, dataset=str(dataset), runs_folder=str(tmp_path), hyperparameters=HYPERPARAMETERS)
    grid = {"hyperparameters.retouch.denoising.guidance_scale": [2.0, 5.0], "hyperparameters.retouch.seed": "random(2)"}
    sweep = plan(SweepFile.from_dict({"name": "frames", "parameters": base, "grid": grid}))
    assert len(sweep.runs) == 4
    assert all(("scene-0", "retouch") in {key[:2] for key in planned.works} for planned in sweep.runs)


def test_its_picture_is_made_again(made, dataset):
    """
    From its PNG alone, and with the same name.
    """
    [picture] = [picture for picture in made.folder.pictures() if picture.task == "retouch"]
    again = reproduce(picture.image, dataset=str(dataset))
    assert again.is_as_recorded
    assert again.picture_id == picture.picture_id


def test_a_run_without_tasks_stays_what_it_was(dataset):
    """
    What is registered later is not made unless it is asked for.
    """
    spec = RunSpec.from_parameters(name="plain", dataset=str(dataset), checkpoint="pocket")
    assert spec.tasks == ("inpaint", "outpaint")
