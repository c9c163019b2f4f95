"""A picture is one picture, whichever way it is made: by a call, by a run, by a notebook through papermill, in a sweep."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdxl_lab import image_to_image, inpaint, outpaint, reproduce, text_to_image
from sdxl_lab.kernels import notebooks
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.picture import Picture
from sdxl_lab.runs.experiment import execute, run
from sdxl_lab.runs.made_picture import MadePicture
from sdxl_lab.runs.reproduce import ReproduceError
from sdxl_lab.runs.resolution import fetch, resolve
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.planner import plan
from sdxl_lab.sweeps.sweep import Inline, sweep
from sdxl_lab.sweeps.sweep_file import SweepFile

WORDS: dict[str, Any] = {"prompt": "a blue star on grass", "negative_prompt": "blurry", "seed": -11}
REFINED: dict[str, Any] = {"num_inference_steps": 5, "high_noise_frac": 0.8}
SIZES: dict[str, dict[str, Any]] = {
    "inpaint": {"width": 96, "height": 96},
    "outpaint": {"width": 96, "height": 96},
    "image_to_image": {"aspect": "3:2"},
    "text_to_image": {"width": 128, "height": 96},
}
NOTEBOOKS = {"inpaint_outpaint": ["inpaint", "outpaint"], "image_to_image": ["image_to_image"], "text_to_image": ["text_to_image"]}
WAYS = ("call", "run", "papermill", "sweep")

Made = dict[tuple[str, str], tuple[str, str, tuple[int, int]]]
"""By way and task: the picture's name, the sha256 of its pixels, its size."""


def parameters(tasks: list[str], runs_folder: Path) -> dict[str, Any]:
    """Of one refined picture for each task."""
    scene = {"dataset": "pocket-scenes", "samples": ["red-circle"]}
    words = {"dataset": "pocket-prompts", "samples": [fetch("pocket-prompts").samples[0].name]}
    hyperparameters = {**WORDS, "denoising": REFINED, **{task: {"size": SIZES[task]} for task in tasks}}
    others = {"name": "one", "checkpoint": "pocket", "tracking": "off", "runs_folder": str(runs_folder)}
    return {**others, **(words if tasks == ["text_to_image"] else scene), "tasks": tasks, "hyperparameters": hyperparameters}


def called(task: str, **others: Any) -> MadePicture:
    """The picture of a task by one call, its settings by their names alone."""
    sample, settings = fetch("pocket-scenes").sample("red-circle"), {**WORDS, **REFINED, **SIZES[task], **others}
    if task == "text_to_image":
        return text_to_image(**settings)
    if task == "image_to_image":
        return image_to_image(sample.image_path, **settings)
    return (inpaint if task == "inpaint" else outpaint)(sample.image_path, sample.mask_path, **settings)


def seen(image: Image.Image) -> tuple[str, tuple[int, int]]:
    """The sha256 of a picture's pixels and its size, by Pillow and hashlib alone."""
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest(), image.size


def recorded(way: str, pictures: Iterable[Picture]) -> Made:
    """Pictures as their files and records have them."""
    return {(way, picture.task): (str(picture.picture_id), *seen(Image.open(picture.image))) for picture in pictures}


def in_a_sweep(notebook: str, given: Mapping[str, Any]) -> Made:
    """The same by a sweep, in which another point shares the base's work and comes first."""
    file = {"name": "one", "notebook": notebook, "parameters": {key: value for key, value in given.items() if key != "name"}}
    made = plan(SweepFile.from_dict(file | {"grid": {"hyperparameters.denoising.high_noise_frac": [None, 0.8]}}))
    assert sweep(made, Inline()).made == 2
    [refined] = [item for item in made.runs if item.parameters["hyperparameters"]["denoising"]["high_noise_frac"]]
    return recorded("sweep", RunFolder(refined.folder).pictures())


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    """Every task's picture in every way; one warm kernel serves them all."""
    folder = tmp_path_factory.mktemp("made")
    found: Made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for notebook, tasks in NOTEBOOKS.items():
            for task in tasks:
                picture = called(task)
                found["call", task] = (picture.picture_id, *seen(picture.image))
            given = {way: parameters(tasks, folder / way) for way in WAYS}
            found |= recorded("run", run(resolve(RunSpec.from_parameters(**given["run"]))))
            found |= recorded("papermill", execute(notebooks.find(notebook), given["papermill"], warm=True).folder.pictures())
            found |= in_a_sweep(notebook, given["sweep"])
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("task", SIZES)
def test_every_way_makes_one_picture(made, task):
    """
    With the same settings, refined and at a size that was asked for, each way makes one picture: one name, one sha256 of its pixels, one size.
    """
    pictures = {way: made[way, task] for way in WAYS}
    assert set(pictures.values()) == {pictures["call"]}, pictures
    _, _, size = pictures["call"]
    assert size == {"image_to_image": (152, 104), "text_to_image": (128, 96)}.get(task, (128, 128))


@pytest.mark.parametrize("task", SIZES)
def test_a_picture_of_a_call_is_made_again_from_its_file(home, task):
    """
    Of each task, refined, identically and by the same name; what was given is looked for beside it, and for words alone nothing is.
    """
    picture = called(task)
    again = reproduce(picture.save("made.png"))
    assert (again.is_identical, again.picture_id) == (True, picture.picture_id)
    kept = sorted(path.name for path in home.rglob("*") if path.is_file())
    assert len(kept) == {"text_to_image": 1, "image_to_image": 2}.get(task, 3)


def test_a_picture_whose_image_was_not_kept_says_which_file_is_missing(home):
    """
    With keep=False nothing is written but the picture, and making it again asks for the one file by its name.
    """
    picture = called("image_to_image", keep=False).save("made.png")
    assert [path.name for path in home.rglob("*")] == ["made.png"]
    with pytest.raises(ReproduceError, match=r"from files of its own, and its image .*inputs/[0-9a-f]{64}\.png is not here; .* were not kept"):
        reproduce(picture)
