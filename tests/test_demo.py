"""The demo: three runs, a contact sheet, details."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdxl_lab import demo
from sdxl_lab.images.masks import dilate, invert
from sdxl_lab.kernels import notebooks
from sdxl_lab.kernels.notebooks import NotebookError
from sdxl_lab.runs.experiment import run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.settings.hyperparams import merge
from sdxl_lab.spec.run_spec import RunSpec
from tests.support.datasets import write_dataset
from tests.support.sheets import holds


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Two scenes, both tasks."""
    return write_dataset(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture(scope="module")
def runs(dataset, random_pair, tmp_path_factory) -> dict[str, Resolved]:
    """The demo's three runs with few steps, without papermill."""
    folder = tmp_path_factory.mktemp("runs")
    few = {"denoising": {"num_inference_steps": 6}, "compute": {"threads": 1}}
    resolved = {}
    for name, hyperparameters in demo.RUNS.items():
        parameters = {"name": name, "dataset": str(dataset), "checkpoint": str(random_pair), "runs_folder": str(folder), "tracking": "off"}
        resolved[name] = resolve(RunSpec.from_parameters(**parameters, hyperparameters=merge(few, hyperparameters)))
        run(resolved[name])
    return resolved


def test_the_three_runs_differ_as_they_are_called(runs):
    """
    The first run has no refiner and the masks as given, the second a refiner, the third both a refiner and wider masks, in both tasks.
    """
    for base, refined, dilated in zip(*(resolved.spec.edits for resolved in runs.values()), strict=True):
        assert (base.settings.denoising.high_noise_frac, base.settings.mask.kernel_size) == (None, 1)
        assert (refined.settings.denoising.high_noise_frac, refined.settings.mask.kernel_size) == (0.8, 1)
        assert dilated.settings.denoising.high_noise_frac == 0.8
        assert dilated.settings.mask.kernel_size > 1
        assert base.seed == refined.seed == dilated.seed


def test_the_sheet_shows_every_picture(runs):
    """
    The contact sheet holds each input, both of its masks and each result, none of them scaled or cropped.
    """
    sheet = demo.sheet(runs)
    for resolved in runs.values():
        for picture in resolved.folder.pictures():
            assert all(holds(sheet, Image.open(path)) for path in (picture.input_image, picture.mask_image, picture.image))


def test_the_dilated_mask_grows_what_is_repainted(runs):
    """
    The masks of the third run are those of the first, dilated: for the object in one task, for its surroundings in the other.
    """
    pairs = zip(*(runs[name].folder.pictures() for name in ("base", "refined-dilated")), runs["refined-dilated"].spec.edits, strict=True)
    for base, dilated, edit in pairs:
        object_mask = runs["base"].dataset.sample(base.sample).mask()
        assert object_mask is not None
        expected = object_mask if base.task == "inpaint" else invert(object_mask)
        assert np.array_equal(np.asarray(Image.open(base.mask_image)), np.asarray(expected))
        wider = dilate(expected, edit.settings.mask.kernel_size)
        assert np.array_equal(np.asarray(Image.open(dilated.mask_image)), np.asarray(wider))
        assert np.asarray(wider).sum() > np.asarray(expected).sum()


def test_details_show_the_object_and_scale_nothing_down(runs):
    """
    Details hold the object's box with 15% around it, of each result, each pixel as a square of whole pixels.
    """
    sheet = demo.details(runs)
    sample = runs["base"].samples[0]
    mask = sample.mask()
    assert mask is not None
    rows, columns = np.nonzero(np.asarray(mask))
    middle = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    for resolved in runs.values():
        crop = Image.open(resolved.folder.pictures()[0].image).crop(middle)
        assert any(holds(sheet, crop.resize((crop.width * scale, crop.height * scale), Image.Resampling.NEAREST)) for scale in (1, 2, 3, 4, 5))


FEW = {"denoising": {"num_inference_steps": 6}}


@pytest.fixture(scope="module")
def one_scene(tmp_path_factory) -> str:
    """A dataset of one."""
    return str(write_dataset(tmp_path_factory.mktemp("data") / "scene", count=1))


@pytest.fixture(scope="module")
def quick(one_scene, random_pair, tmp_path_factory) -> tuple[Path, dict[str, Resolved]]:
    """The demo's three runs of one scene, through papermill: their folder, and what they are."""
    folder = tmp_path_factory.mktemp("quick") / "demo"
    return folder, demo.make_runs(folder, one_scene, str(random_pair), FEW)


@pytest.mark.timeout(900)
def test_the_demo_runs_through_papermill_once(quick, one_scene, random_pair):
    """
    Three notebooks are executed and archived for Comet, whole; a second call starts nothing and changes no file of a run.
    """
    folder, made = quick
    assert sorted(path.name.rpartition("-")[0] for path in folder.iterdir()) == sorted(demo.RUNS)
    for resolved in made.values():
        notebook = json.loads(resolved.folder.executed_notebook.read_text())
        shown = json.dumps([output for cell in notebook["cells"] for output in cell.get("outputs", [])])
        assert "image/webp" in shown
        assert not any(kind in shown for kind in ("image/png", "image/jpeg"))
        assert [shown.count(f'<figcaption style=\\"font-size:smaller\\">scene-0 {task}<') for task in ("inpaint", "outpaint")] == [2, 2]
        assert "2 of 2 pictures, 2 made now in 0:" in shown
        [archive] = resolved.folder.comet_folder.glob("*.zip")
        with zipfile.ZipFile(archive) as opened:
            assert "executed.ipynb" in opened.read("messages.json").decode()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    demo.make_runs(folder, one_scene, str(random_pair), FEW)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_what_was_cut_off_at_its_end_is_mended(quick, one_scene, random_pair):
    """
    A run with a torn notebook is run again and finds every picture there; an archive older than the notebook is built again.
    """
    folder, made = quick
    torn, stale = made["base"].folder, made["refined"].folder
    torn.executed_notebook.write_text(torn.executed_notebook.read_text()[:1000])
    [archive] = stale.comet_folder.glob("*.zip")
    archive.unlink()
    os.utime(archive.with_name("archive.json"), (0, 0))
    pictures = {path: path.stat().st_mtime_ns for path in folder.rglob("images/*/*.png")}
    demo.make_runs(folder, one_scene, str(random_pair), FEW)
    assert notebooks.is_whole(torn.executed_notebook)
    assert {path: path.stat().st_mtime_ns for path in pictures} == pictures
    with zipfile.ZipFile(archive) as opened:
        assert "executed.ipynb" in opened.read("messages.json").decode()


def test_an_error_in_a_cell_is_its_own_message(one_scene, random_pair, tmp_path):
    """
    An error that only shows while pictures are made arrives from the notebook as its own text.
    """
    with pytest.raises(NotebookError, match="guidance_scale") as caught:
        demo.make_runs(tmp_path, one_scene, str(random_pair), FEW | {"outpaint": {"denoising": {"guidance_scale": 1e40}}})
    assert "\n" not in str(caught.value)
    assert "Error" not in str(caught.value)


def run_of(demo_folder: Path, name: str) -> Path:
    """The folder of one of the demo's runs, there or not."""
    found = [path for path in demo_folder.glob(f"{name}-*") if path.name.rpartition("-")[0] == name]
    return found[0] if found else demo_folder / name


def lines_of(demo_folder: Path, name: str) -> int:
    """How many pictures of a run are recorded."""
    file = run_of(demo_folder, name) / "images.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


DEMO = Path("artifacts", "runs", "demo")
MOMENTS: dict[str, Callable[[Path], bool]] = {
    "before the first picture": lambda folder: (run_of(folder, "base") / "spec.json").is_file(),
    "while a picture is written": lambda folder: any(run_of(folder, "base").glob("images/*/inpaint-mask.png")),
    "in the middle of the first run": lambda folder: lines_of(folder, "base") >= 5,
    "while the first run is finished": lambda folder: (run_of(folder, "base") / "record.json").is_file(),
    "between two runs": lambda folder: (run_of(folder, "base") / "executed.ipynb").is_file(),
    "in the middle of the second run": lambda folder: lines_of(folder, "refined") >= 4,
    "at the end of the last run": lambda folder: lines_of(folder, "refined-dilated") >= 10,
    "before the sheet": lambda folder: (run_of(folder, "refined-dilated") / "executed.ipynb").is_file(),
    "between the sheet and the details": lambda folder: (folder / "contact-sheet.png").is_file(),
}
"""When the demo is killed, in the order in which it gets there: whether its folder shows that it has."""


def run_demo(folder: Path, until: Callable[[Path], bool]) -> bool:
    """Run the demo in a folder up to a moment and kill its whole process group there; False if it ended by itself, as it should."""
    folder.mkdir(exist_ok=True)
    command = [str(Path(sys.executable).with_name("sdxl-lab")), "demo"]
    # Not a pipe: its end would wait for the kernel, which outlives a killed demo by a second or two, as it does on a user's machine.
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, start_new_session=True)
    try:
        while process.poll() is None and not until(folder / DEMO):
            time.sleep(0.005)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() in (0, -signal.SIGKILL), (folder / "said").read_text()[-3000:]
    return process.returncode != 0


def images_of(demo_folder: Path) -> dict[str, bytes]:
    """Every PNG of the demo's runs, inputs and masks included."""
    return {path.relative_to(demo_folder).as_posix(): path.read_bytes() for path in sorted(demo_folder.glob("*/images/*/*.png"))}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_demo_killed_again_and_again_makes_the_same_pictures(tmp_path):
    """
    Killed with its whole process group at every stage, and started again each time, the demo ends with the files of an undisturbed one.
    """
    expected, actual = tmp_path / "undisturbed" / DEMO, tmp_path / "killed" / DEMO
    assert not run_demo(tmp_path / "undisturbed", lambda _: False)
    killed = {moment: run_demo(tmp_path / "killed", reached) for moment, reached in MOMENTS.items()}
    assert all(killed.values()), killed
    assert not run_demo(tmp_path / "killed", lambda _: False)
    assert len(images_of(expected)) == 75
    assert images_of(actual) == images_of(expected)
    for sheet in ("contact-sheet.png", "details.png"):
        assert (actual / sheet).read_bytes() == (expected / sheet).read_bytes()
    names = [
        sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.parent.name != "comet") for folder in (expected, actual)
    ]
    assert names[0] == names[1]
    assert not [path for path in actual.rglob(".*") if path.name != ".lock"]
    for name in demo.RUNS:
        assert (run_of(actual, name) / "record.json").is_file()
        assert lines_of(actual, name) == 10
