from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab import demo
from sdxl_lab.checkpoints import locating
from sdxl_lab.checkpoints.moved_defaults import pinned
from sdxl_lab.datasets.sources import FIRST_DATASET
from sdxl_lab.kernels import notebooks
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.hyperparams import merge
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.attempts import is_done
from sdxl_lab.viewing import compare
from sdxl_lab.viewing.onward import parameters_of
from sdxl_lab.viewing.report import write_report
from sdxl_lab.viewing.show import print_path

RELEASES = Path(__file__).parents[1] / "releases"
RUNS = sorted(spec.parent for spec in RELEASES.glob("*/*/spec.json"))
LONE = sorted(RELEASES.glob("*/*.png"))
PICTURES = [*LONE, *sorted(path for run in RUNS for path in run.glob("images/*/*paint.png"))]
DEMO = {"base": "f715ec49f9", "refined": "ee1da513e4", "refined-dilated": "579a72f651"}
"""The first digits of the `run_id`s that 0.1.0 gave the demo's runs."""


def name(path: Path) -> str:
    """
    Of a kept run or picture, for people.
    """
    return path.relative_to(RELEASES).as_posix()


def first_demo(way: str, folder: Path) -> dict[str, Any]:
    """
    The parameters of a run of 0.1.0's demo: other words for outpainting, and the defaults of then.
    """
    common = notebooks.parameters_of(notebooks.find(notebooks.BUILT_IN))
    given = common | {"name": way, "dataset": FIRST_DATASET, "runs_folder": str(folder), "hyperparameters": merge({}, demo.RUNS[way])}
    return pinned(given, "0.1.0", locating.identify("pocket"))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A copy of 0.1.0's run that may be written to."""
    return shutil.copytree(RUNS[0], tmp_path / "runs" / RUNS[0].name)


@pytest.mark.parametrize("run", RUNS, ids=name)
def test_a_run_of_an_earlier_release_is_whole(run):
    """
    Its document is what its run_id names, byte for byte what this version writes; its pictures are whole, and it counts as done.
    """
    folder = RunFolder(run)
    assert folder.resolved.run_id == json.loads((run / "spec.json").read_text())["run_id"]
    assert folder.resolved.to_json() == (run / "spec.json").read_text()
    assert len(folder.pictures()) == len(folder.resolved.edits)
    assert is_done(folder)


@pytest.mark.parametrize("picture", PICTURES, ids=name)
def test_a_picture_of_an_earlier_release_says_how_it_was_made(picture):
    """
    Nobody changed its description, and its pixels are those that it names.
    """
    stamp = read_stamp(picture)
    with Image.open(picture) as image:
        written = json.loads(image.info["sdxl_lab"])
    assert json.loads(stamp.resolved.to_json()) == written["resolved"]
    assert stamp.versions["sdxl_lab"] == "0.1.0"


@pytest.mark.parametrize("run", RUNS, ids=name)
def test_a_run_of_an_earlier_release_is_shown_compared_and_reported(run, tmp_path, capsys):
    """
    What reads records reads it, beside a run of this version too.
    """
    print_path(run)
    assert "10 of 10 pictures, done" in capsys.readouterr().out
    assert len(compare.compare([run]).rows[0].pictures) == 10
    report = write_report([RunFolder(run)], tmp_path / "report.html").read_text()
    assert all(picture.sha256 in report for picture in RunFolder(run).pictures())


@pytest.mark.parametrize("picture", LONE, ids=name)
def test_a_picture_of_an_earlier_release_is_made_again(picture):
    """
    Identical where hardware, threads and instruction set are those it was made with, else nearly so.
    """
    made = reproduce(picture, dataset=str(picture.parent / "photographs") if "photographs" in read_stamp(picture).resolved.dataset.name else None)
    assert made.stamp.is_unchanged
    if made.changed.keys() & {"hardware", "instruction set", "threads", "torch", "diffusers", "opencv", "pillow"}:
        assert made.difference.psnr > 30
    else:
        assert made.is_identical


@pytest.mark.parametrize("way", DEMO)
def test_the_demo_of_an_earlier_release_is_done(way, tmp_path):
    """
    The demo's three runs over its dataset, with its defaults, are the same runs as 0.1.0's.
    """
    resolved = resolve(RunSpec.from_parameters(**first_demo(way, tmp_path)))
    assert resolved.spec.run_id.startswith(DEMO[way])


def test_the_demo_makes_no_run_again_that_is_there(kept):
    """
    A run folder of 0.1.0's demo is found done.
    """
    resolved = resolve(RunSpec.from_parameters(**first_demo("refined-dilated", kept.parent)))
    assert (resolved.folder.path, resolved.is_done) == (kept, True)


def test_pictures_of_an_earlier_release_have_a_picture_id(kept):
    """
    It is computed from the pixels of input and mask that lie beside them, and is the one that today's description of the same picture has.
    """
    pictures = RunFolder(kept).pictures()
    assert len({picture.picture_id for picture in pictures}) == len(pictures)
    [picture] = [picture for picture in pictures if picture.key[:2] == ("red-circle", "inpaint")]
    made = reproduce(picture.image)
    assert made.stamp.picture_id is None
    assert made.picture_id == picture.picture_id


@pytest.mark.parametrize("run", RUNS, ids=name)
def test_parameters_of_an_earlier_release_plan_the_same_run(run, tmp_path):
    """
    What `show --as-parameters` writes of a run plans that run; of a picture, a run of that one picture with its very settings.
    """
    folder = RunFolder(run)
    again = resolve(RunSpec.from_parameters(**parameters_of(run) | {"runs_folder": str(tmp_path)}))
    assert again.spec.run_id == folder.resolved.run_id
    picture = folder.pictures()[1]
    [edit] = resolve(RunSpec.from_parameters(**parameters_of(picture.image) | {"runs_folder": str(tmp_path)})).spec.edits
    assert edit == folder.resolved.edits[1]


@pytest.mark.parametrize("sample", ["profiled", "transparent"])
def test_an_old_reading_of_colors_is_written_out(sample):
    """
    Of a picture that 0.1.0 made without looking at its color profile, the parameters say so, and read it the same way again.
    """
    parameters = parameters_of(RELEASES / "0.1.0" / f"{sample}.png") | {"dataset": str(RELEASES / "0.1.0" / "photographs")}
    assert parameters["hyperparameters"]["image"] == {"color_profile": "ignore"}
    stamp = read_stamp(RELEASES / "0.1.0" / f"{sample}.png")
    assert resolve(RunSpec.from_parameters(**parameters)).spec.edits == stamp.resolved.edits


def test_weights_and_datasets_never_change():
    """
    What 0.1.0 brought has the digests that its records name.
    """
    from sdxl_lab.checkpoints import locating
    from sdxl_lab.datasets import sources

    resolved = RunFolder(RUNS[0]).resolved
    forty = read_stamp(RELEASES / "0.1.0" / "outpaint-background.png").resolved
    assert locating.identify("pocket").digest == resolved.checkpoint.digest
    assert sources.fetch("pocket-scenes").digest == resolved.dataset.digest
    assert sources.fetch("pocket-forty").digest == forty.dataset.digest


def test_an_old_picture_is_read_as_then_and_a_new_one_by_its_profile(tmp_path):
    """
    The same photograph in a run of today has other pixels than 0.1.0's, in the colors that its profile means.
    """
    then = RELEASES / "0.1.0" / "profiled.png"
    own = parameters_of(then)
    given = {key: value for key, value in own["hyperparameters"].items() if key != "image"}
    parameters = own | {"dataset": str(then.parent / "photographs"), "runs_folder": str(tmp_path), "hyperparameters": given}
    resolved = resolve(RunSpec.from_parameters(**parameters))
    [edit] = resolved.spec.edits
    assert edit.settings.image.color_profile == "srgb"
    old, new = (np.asarray(resolved.dataset.sample("profiled").image(color_profile=reading)) for reading in ("ignore", "srgb"))
    assert not np.array_equal(old, new)
    assert np.array_equal(np.asarray(resolved.inputs()["profiled"]), new)
