"""What a plan can know of a run is said when it is planned: steps, words, sizes and room on the disk."""

from __future__ import annotations

import io
import json
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from sdxl_lab.datasets.sources import fetch
from sdxl_lab.files import room
from sdxl_lab.files.disk import DiskError
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.spec.cautions import MINUS_ONE
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.viewing.show import print_dataset
from tests.support.datasets import write_dataset
from tests.support.smallest_dataset import SMALLEST, lay_out


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global plan
    from sdxl_lab.sweeps.planner import plan


Usage = namedtuple("Usage", "total used free")


def resolved(dataset: Path, **given: Any) -> Resolved:
    """
    Resolve a run over a dataset, by default settings but where told.
    """
    own = {"name": "early", "dataset": str(dataset), "checkpoint": "pocket", "tracking": "off", "runs_folder": str(dataset.parent / "runs")}
    return resolve(RunSpec.from_parameters(**own | given))


def printed(dataset: Path) -> str:
    """
    What `sdxl-lab fetch` prints.
    """
    out = io.StringIO()
    print_dataset(fetch(dataset), Console(file=out, width=150))
    return out.getvalue()


def test_the_smallest_metadata_runs_as_it_is_printed(tmp_path):
    """
    The metadata.json of the error messages is fetched, planned and run with default settings; what it leaves out is said, and its seed is 0.
    """
    folder = lay_out(tmp_path / "d")
    left_out = "octopus: no prompt for outpaint, so that is left out"
    planned = plan(SweepFile.from_dict({"name": "small", "parameters": {"dataset": str(folder), "runs_folder": str(tmp_path / "sweep")}}))
    it = resolved(folder)
    assert left_out in printed(folder)
    assert sum(left_out in line for line in planned.notes) == sum(left_out in line for line in it.said) == 1
    assert [(edit.task, edit.seed) for edit in it.spec.edits] == [("inpaint", 0)]
    assert [picture.prompt for picture in run(it)] == ["a red octopus on a beach"]
    finish(it)
    assert it.is_done


def test_a_dataset_without_words_is_one_error(tmp_path):
    """
    Where nothing has a prompt, one line says so and how to give one; given as a parameter, it is enough.
    """
    folder = lay_out(tmp_path / "d", {"samples": [{key: SMALLEST["samples"][0][key] for key in ("name", "image", "mask")}]})
    with pytest.raises(SpecError, match=r"1 problem.*\n.*none of the samples asked for has a prompt of its own for inpaint or outpaint; give one"):
        resolved(folder)
    assert len(resolved(folder, hyperparameters={"outpaint": {"prompt": "sand"}}).spec.edits) == 1


def test_fetch_shows_seeds(tmp_path):
    """
    Each prompt stands with its seed, the default one too.
    """
    samples = [SMALLEST["samples"][0] | {"outpaint": {"prompt": "sand", "seed": -732}}]
    shown = printed(lay_out(tmp_path / "d", {"samples": samples}))
    assert "a red octopus on a beach (seed 0)" in shown
    assert "sand (seed -732)" in shown


@pytest.mark.parametrize(
    ("denoising", "message"),
    [
        ({"num_inference_steps": 10, "strength": 0.05}, "strength 0.05 of num_inference_steps 10 leaves no step"),
        ({"high_noise_frac": 0.001}, "high_noise_frac 0.001 leaves the base no step"),
        ({"high_noise_frac": 0.999}, "high_noise_frac 0.999 leaves the refiner no step"),
    ],
)
def test_a_stage_without_a_step_is_refused_before_the_run(tmp_path, denoising, message):
    """
    Where base or refiner would run no step, that is one line when the run is resolved.
    """
    with pytest.raises(SpecError, match=rf"1 problem.*\n.*hyperparameters\.denoising: {message}"):
        resolved(lay_out(tmp_path / "d"), hyperparameters={"denoising": denoising})


def test_a_seed_of_minus_one_is_told_where_it_was_given(tmp_path):
    """
    Other tools take -1 for any seed: run and plan say once that it is one like any other, in no record, and not where the dataset has it.
    """
    samples = [SMALLEST["samples"][0] | {"outpaint": {"prompt": "sand", "seed": -1}}]
    folder = lay_out(tmp_path / "d", {"samples": samples})
    for given in ({"seed": -1}, {"seeds": [3, -1]}, {"inpaint": {"seed": -1}}):
        it = resolved(folder, hyperparameters=given)
        assert it.said.count(MINUS_ONE) == 1
        assert MINUS_ONE not in str(it.notes)
    parameters = {"dataset": str(folder), "runs_folder": str(tmp_path / "sweep")}
    sweep = {"name": "any", "parameters": parameters, "grid": {"hyperparameters.seed": [-1, 1]}}
    assert plan(SweepFile.from_dict(sweep)).notes.count(MINUS_ONE) == 1
    for given in ({}, {"seed": 1}, {"seeds": [1, 2]}):
        assert MINUS_ONE not in resolved(folder, hyperparameters=given).said


def test_samples_of_words_that_get_one_picture_are_told(tmp_path):
    """
    A prompt given for all samples of words alone makes one picture many times: run and plan say so once, and nothing where seeds or words differ.
    """
    file = tmp_path / "prompts.txt"
    file.write_text("a red star\na blue star\na red ring\na red star\n")

    def said(**hyperparameters: Any) -> list[str]:
        found = resolved(file, tasks=["text_to_image"], hyperparameters=hyperparameters).said
        return [line for line in found if "the same picture" in line]

    all_same = "4 samples get the same prompt and seed, so the same picture: give samples: [1-a-red-star]"
    assert said(prompt="a star", seeds=[1, 2]) == [all_same]
    [some] = said()
    assert some.startswith("2 samples get the same prompt and seed, so the same picture: of those like 1-a-red-star name one in samples")
    parameters = {"dataset": str(file), "checkpoint": "pocket", "tracking": "off", "tasks": ["text_to_image"], "runs_folder": str(tmp_path / "sweep")}
    sweep = {"name": "same", "parameters": parameters, "grid": {"hyperparameters.prompt": ["a star", "a ring"]}}
    assert plan(SweepFile.from_dict(sweep)).notes.count(all_same) == 1
    file.write_text("a red star\na blue star\n")
    assert said() == []
    assert resolved(write_dataset(tmp_path / "scenes"), hyperparameters={"prompt": "a star", "seed": 1}).said == ()


def of_sizes(folder: Path, **parameters: Any) -> list[str]:
    """
    What is said of a run's sizes.
    """
    return [line for line in resolved(folder, **parameters).said if line.startswith("pictures of up to")]


def test_a_picture_much_larger_than_the_working_size_is_told(tmp_path):
    """
    More than twice as wide as the models see it, a picture's size, theirs and the remedy are said once; at twice, or made at its size, they are not.
    """
    folder = write_dataset(tmp_path / "scenes")
    for name in ("0.png", "0-mask.png"):
        with Image.open(folder / name) as image:
            image.resize((512, 512), Image.Resampling.NEAREST).save(folder / name)
    lines = of_sizes(folder)
    edited = "pictures of up to 512x512 are edited at 128x128, and what is painted is scaled up 4.0 times"
    assert [line.startswith(edited) for line in lines] == [True, True]
    assert ["crop.padding_mask_crop" in line for line in lines] == [True, False]  # of inpaint; a background is mostly all of a picture
    assert "crop the pictures" in lines[1]
    cropped = of_sizes(folder, tasks=["inpaint"], hyperparameters={"crop": {"padding_mask_crop": 32, "min_upscale": 9.0}})
    assert ["crop.padding_mask_crop" in line for line in cropped] == [False]
    assert of_sizes(folder, hyperparameters={"size": {"width": 128, "height": 160}})[0].startswith("pictures of up to 512x512 are edited at 128x160")
    assert of_sizes(folder, samples=["scene-1"]) == []
    known = "pocket knows colored shapes alone; for photographs take another checkpoint, such as sdxl"
    assert [resolved(folder, **given).said.count(known) for given in ({}, {"samples": ["scene-1"]})] == [1, 0]
    words, sized = {"prompt": "a star"}, {"prompt": "a star", "size": {"aspect": "1:1"}}
    [anew] = of_sizes(folder, tasks=["image_to_image"], hyperparameters=words)
    assert anew.startswith("pictures of up to 512x512 are made anew at 128x128, and scaled up 4.0 times")
    assert "ask for a size" in anew
    assert of_sizes(folder, tasks=["image_to_image"], hyperparameters=sized) == []
    assert of_sizes(folder, tasks=["text_to_image"], hyperparameters=words) == []


def test_a_full_disk_is_told_before_the_run(tmp_path, monkeypatch):
    """
    Less room than the pictures will take is said by run and plan; less than their least is refused; none is needed for what is made.
    """
    folder = write_dataset(tmp_path / "scenes")
    sweep = SweepFile.from_dict({"name": "full", "parameters": {"dataset": str(folder), "runs_folder": str(tmp_path / "sweep")}})
    free = {"bytes": 500_000}
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: Usage(10**9, 0, free["bytes"]))
    said = "4 pictures and what is written about them will take about 862 kB"
    assert [said in line for line in resolved(folder).said] == [True]
    assert [line for line in plan(sweep).notes if said in line and "500 kB free" in line]
    free["bytes"] = 20_000
    with pytest.raises(DiskError, match="20 kB free; free some space, or choose another runs_folder"):
        resolved(folder)
    it = resolved(folder, samples=["scene-0"], tasks=["inpaint"])
    it.folder.path.mkdir(parents=True)
    it.folder.lines_file.write_text(json.dumps({}) + "\n")
    free["bytes"] = 0
    assert resolved(folder, samples=["scene-0"], tasks=["inpaint"]).room == ()
