"""Several pictures of a sample and task in one run, by the pocket checkpoint: each is the one its seed makes alone."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.picture import Picture
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.viewing.compare import compare
from sdxl_lab.viewing.onward import parameters_of
from sdxl_lab.viewing.report import Missing
from sdxl_lab.viewing.report.content import content_of, entries_of
from sdxl_lab.viewing.report.files import Gallery
from sdxl_lab.viewing.show import print_path
from tests.support.datasets import write_dataset
from tests.support.run_folders import environment, pixels

SEEDS = [7, -3, 2**64 - 1]
HYPERPARAMETERS: dict[str, Any] = {"denoising": {"num_inference_steps": 4, "high_noise_frac": 0.6}, "compute": {"threads": 1}}
CANVAS = {"mode": "canvas", "canvas": {"left_px": 8, "fill": "noise"}}

Plans = Callable[..., Resolved]


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> Plans:
    """Resolves a run over two scenes: inpainting, and outpainting into a canvas of noise."""
    folder = tmp_path_factory.mktemp("seeds")
    dataset = write_dataset(folder / "scenes")

    def make(name: str, **hyperparameters: Any) -> Resolved:
        given = HYPERPARAMETERS | {"outpaint": CANVAS} | hyperparameters
        parameters = {"name": name, "dataset": str(dataset), "checkpoint": "pocket", "runs_folder": str(folder / "runs"), "tracking": "off"}
        return resolve(RunSpec.from_parameters(**parameters, hyperparameters=given))

    return make


@pytest.fixture(scope="module")
def several(planned) -> Resolved:
    """A run of three seeds, done: twelve pictures."""
    resolved = planned("several", seeds=SEEDS)
    run(resolved)
    finish(resolved)
    return resolved


def bare(picture: Picture) -> dict[str, Any]:
    """What is recorded of a picture, but for what it cost and what its files are called."""
    spent = ("peak_memory_bytes", "gpu_peak_memory_bytes")
    metrics = {name: number for name, number in picture.metrics.items() if name not in spent}
    return vars(picture) | {"files": {role: pixels(path) for role, path in picture.files.items()}, "metrics": metrics, "seconds": 0, "ordinal": 0}


def test_each_picture_is_the_one_its_seed_makes_alone(several, planned):
    """
    Pixels, input, mask, metrics and picture_id of each of several pictures are those of a run of that seed alone.
    """
    made = {picture.key: bare(picture) for picture in several.folder.pictures()}
    alone: dict[Any, Any] = {}
    for seed in SEEDS:
        alone |= {picture.key: bare(picture) for picture in run(planned(f"alone{seed}", seed=seed))}
    assert made == alone
    assert len(made) == len({picture["picture_id"] for picture in made.values()}) == 12


def test_the_first_picture_has_the_plain_files_and_the_others_name_their_seeds(several):
    """
    Beside the sample's one input, each picture has files of its own; the line of the first says nothing of its place.
    """
    folder = several.folder.images_folder / "scene-0"
    stems = ["inpaint", "inpaint-s-3", f"inpaint-s{2**64 - 1}", "outpaint", "outpaint-s-3", f"outpaint-s{2**64 - 1}"]
    expected = {"input.png"} | {f"{stem}{end}" for stem in stems for end in (".png", "-mask.png")}
    expected |= {f"{stem}-input.png" for stem in stems[3:]}
    assert {path.name for path in folder.iterdir()} == expected
    lines = [json.loads(line) for line in several.folder.lines_file.read_text().splitlines()]
    assert [line.get("ordinal") for line in lines] == [None, 1, 2] * 4
    assert [Path(line["image"]).stem for line in lines[:6]] == stems


def test_each_picture_is_called_by_one_name(several):
    """
    Each picture has a title and a row in the table of prompts; of the region, which no seed changes, there is one for all seeds.
    """
    titles = [picture.title for picture in several.folder.pictures()]
    assert titles == [several.spec.title(edit) for edit in several.spec.edits]
    assert titles[:2] == ["scene-0 inpaint", "scene-0 inpaint s-3"]
    assert list(several.masks()) == titles[::3]
    rows = list(csv.DictReader(StringIO(several.folder.prompts_file.read_text())))
    assert [int(row["seed"]) for row in rows] == [edit.seed for edit in several.spec.edits] == SEEDS * 4
    assert [int(row["step"]) for row in rows] == [0] * 6 + [1] * 6


def test_the_contact_sheet_shows_all(several, planned):
    """
    The sheet of three seeds is as high as three times the rows of one.
    """
    alone = planned("sheet", seed=7)
    run(alone)
    finish(alone)
    with Image.open(alone.folder.contact_sheet) as one, Image.open(several.folder.contact_sheet) as three:
        assert 2.5 < three.height / one.height <= 3


def test_a_picture_is_made_again_and_continued_from_itself(several, planned):
    """
    A further picture's PNG makes it again, and its parameters plan the run of its seed alone; a run's parameters plan the same run.
    """
    picture = several.folder.pictures()[1]
    again = reproduce(picture.image, dataset=several.spec.spec.dataset)
    assert again.is_identical
    assert again.picture_id == picture.picture_id
    one = resolve(RunSpec.from_parameters(**parameters_of(picture.image)))
    assert one.spec.edits == several.spec.edits[1:2]
    assert "seeds" not in one.spec.spec.hyperparameters
    whole = parameters_of(several.folder.path)
    assert whole["hyperparameters"]["seeds"] == SEEDS
    assert resolve(RunSpec.from_parameters(**whole)).spec.run_id == several.spec.run_id
    console = Console(file=StringIO(), width=200)
    print_path(several.folder.path, console)
    assert all(console.file.getvalue().count(str(seed)) >= 4 for seed in SEEDS)  # pyright: ignore[reportAttributeAccessIssue]


KILLED_IN_ITS_SECOND = """
import os, signal, sys
from sdxl_lab.runs.experiment import run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.viewing.onward import parameters_of
from pathlib import Path
import sdxl_lab.metrics as metrics
measure, calls = metrics.measure, []
def measured(*arguments, **others):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return measure(*arguments, **others)
metrics.measure = measured
run(resolve(RunSpec.from_parameters(**eval(sys.argv[1]))))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_missing_seeds(several, planned):
    """
    Killed with SIGKILL within its second picture, a run keeps the first one and makes only the others, all of them as they would have been.
    """
    resolved = planned("killed", seeds=SEEDS)
    parameters = resolved.spec.spec.model_dump()
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_ITS_SECOND, repr(parameters)], env=environment(), capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    [kept] = resolved.folder.pictures()
    assert [edit.key for edit in resolved.folder.pending()] == [edit.key for edit in resolved.spec.edits[1:]]
    line, file = resolved.folder.lines_file.read_bytes(), kept.image.stat()
    run(resolved)
    assert resolved.folder.lines_file.read_bytes().startswith(line)
    assert (kept.image.stat().st_ino, kept.image.stat().st_mtime_ns) == (file.st_ino, file.st_mtime_ns)
    assert [picture.sha256 for picture in resolved.folder.pictures()] == [picture.sha256 for picture in several.folder.pictures()]


def test_the_same_seeds_in_another_order_go_on_in_the_same_files(several, planned):
    """
    A half-made run that is asked for with its seeds turned around keeps its files and their names, and ends with the same pictures.
    """
    resolved = planned("turned", seeds=SEEDS)
    run(resolved)
    lost = next(picture for picture in resolved.folder.pictures() if picture.ordinal == 1)
    lost.image.unlink()
    turned = planned("turned", seeds=SEEDS[::-1])
    assert turned.folder.path == resolved.folder.path
    run(turned)
    finish(turned)
    folder = RunFolder(resolved.folder.path)
    expected = [(picture.title, picture.sha256, picture.image.name) for picture in several.folder.pictures()]
    assert [(picture.title, picture.sha256, picture.image.name) for picture in folder.pictures()] == expected


def test_the_report_shows_every_seed(several):
    """
    Each picture has a place of its own among the axes, and the seeds of a run are its columns.
    """
    content = content_of(entries_of([several.folder], []), Gallery(), "seeds")
    assert len({tuple(picture["at"]) for picture in content["pictures"]}) == len({picture["sha256"] for picture in content["pictures"]}) == 12
    axes = {axis["path"]: axis["values"] for axis in content["axes"]}
    assert sorted(map(str, axes["seed"])) == sorted(map(str, SEEDS))
    assert (content["x"], content["y"]) == ("seed", "sample")


def test_seeds_stand_behind_what_differs_between_runs(several, planned):
    """
    Runs of several seeds that differ in a setting are shown by that setting, and those that differ in seeds alone by the seeds.
    """
    guided = planned("columns", seeds=SEEDS, denoising=HYPERPARAMETERS["denoising"] | {"guidance_scale": 2.0})
    others = planned("others", seeds=[1, 2])
    for resolved, axis in ((guided, "denoising.guidance_scale"), (others, "seed")):
        missing = [Missing(resolved=resolved.spec)]
        content = content_of(entries_of([several.folder], missing), Gallery(), "seeds")
        assert (content["x"], content["y"]) == (axis, "sample")
        assert len({tuple(picture["at"]) for picture in content["pictures"]}) == len(several.spec.edits) + len(resolved.spec.edits)


def test_every_seed_is_a_pair(several, planned):
    """
    Two runs over the same seeds are compared picture by picture, and a run of one of these seeds with that one alone.
    """
    other = planned("guided", seeds=SEEDS[::-1], denoising=HYPERPARAMETERS["denoising"] | {"guidance_scale": 2.0})
    single = planned("single", seed=-3, denoising=HYPERPARAMETERS["denoising"] | {"guidance_scale": 4.0})
    for resolved in (other, single):
        run(resolved)
    compared = compare([several.folder, other.folder, single.folder], metrics=["steps", "change_inside_mean"])
    assert list(compared.differing) == ["denoising.guidance_scale", "seed"]
    found = [(mean.n, difference.n if difference else 0) for row in compared.rows for mean, difference in [measured(compared, row)]]
    assert found == [(12, 0), (12, 12), (4, 4)]
    theirs = {picture.key: picture for picture in several.folder.pictures()}
    differences = [picture.metrics["change_inside_mean"] - theirs[picture.key].metrics["change_inside_mean"] for picture in other.folder.pictures()]
    assert compared.difference(compared.rows[1], "change_inside_mean").mean == pytest.approx(sum(differences) / 12)  # pyright: ignore[reportOptionalMemberAccess]


def measured(compared: Any, row: Any) -> tuple[Any, Any]:
    """A row's mean of a metric, and its difference to the reference."""
    return compared.mean(row, "change_inside_mean"), compared.difference(row, "change_inside_mean")


def test_runs_whose_seeds_overlap_count_a_picture_once(several, planned):
    """
    A run of seeds that another one has too is one row with it, in which no picture counts twice.
    """
    more = planned("more", seeds=[7, 8])
    run(more)
    [row] = compare([several.folder, more.folder]).rows
    assert len(row.pictures) == row.planned == len({picture.picture_id for picture in row.pictures}) == 16
