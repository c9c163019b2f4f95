"""Resolving a spec, and running it over its dataset."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.comet import CometError
from sdxl_lab.files import locks
from sdxl_lab.records.folder import RecordError, RunFolder
from sdxl_lab.runs import experiment
from sdxl_lab.runs.experiment import finish, load, run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support.datasets import write_dataset


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global NotFiniteError, TrajectoryCache
    from sdxl_lab.generation.finite import NotFiniteError
    from sdxl_lab.generation.trajectory import TrajectoryCache


QUICK: dict[str, Any] = {"denoising": {"num_inference_steps": 3}}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Two scenes, both tasks."""
    return write_dataset(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture
def parameters(dataset, random_pair, tmp_path) -> dict[str, Any]:
    """All that a quick run of four pictures needs."""
    return {
        "name": "quick",
        "dataset": str(dataset),
        "checkpoint": str(random_pair),
        "hyperparameters": QUICK,
        "tracking": "off",
        "runs_folder": str(tmp_path / "runs"),
    }


def resolved_from(parameters: dict[str, Any], **changes: Any) -> Resolved:
    """Resolve the parameters with some of them replaced."""
    return resolve(RunSpec.from_parameters(**(parameters | changes)))


def pixels_of(resolved: Resolved) -> dict[str, np.ndarray]:
    """Every result of a run, read from the disk by Pillow alone."""
    paths = sorted((resolved.folder.path / "images").glob("*/*paint.png"))
    return {f"{path.parent.name}/{path.name}": np.asarray(Image.open(path)) for path in paths}


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    """Whether two runs hold the same pictures, bit for bit."""
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def test_every_sample_and_task_becomes_one_edit(parameters):
    """
    A run plans one picture for each sample and task, in the dataset's order, with the dataset's prompt and seed.
    """
    edits = resolved_from(parameters).spec.edits
    metadata = json.loads((Path(parameters["dataset"]) / "metadata.json").read_text())["samples"]
    expected = [(sample["name"], task, *sample[task].values()) for sample in metadata for task in ("inpaint", "outpaint")]
    assert [(edit.sample, edit.task, edit.prompt, edit.negative_prompt, edit.seed) for edit in edits] == expected


def test_the_content_of_the_dataset_names_the_run(parameters, tmp_path):
    """
    A dataset copied elsewhere gives the same run_id; one changed pixel gives another.
    """
    copy = tmp_path / "elsewhere"
    shutil.copytree(parameters["dataset"], copy)
    original = resolved_from(parameters).spec.run_id
    assert resolved_from(parameters, dataset=str(copy)).spec.run_id == original
    image = Image.open(copy / "0.png")
    image.putpixel((0, 0), (1, 2, 3))
    image.save(copy / "0.png")
    assert resolved_from(parameters, dataset=str(copy)).spec.run_id != original


def test_name_tracking_and_folder_do_not_name_the_run(parameters, tmp_path):
    """
    Two runs that make the same pictures share their run_id, whatever they are called, wherever they lie and whoever hears of them.
    """
    other = {"name": "other", "tracking": "offline", "runs_folder": str(tmp_path / "others")}
    assert resolved_from(parameters, **other).spec.run_id == resolved_from(parameters).spec.run_id


def test_what_is_missing_is_listed_in_one_error(parameters, tmp_path):
    """
    Samples without a mask and stages without a step are named together, before anything runs.
    """
    bare = write_dataset(tmp_path / "bare", mask=None)
    parameters["hyperparameters"] = {"inpaint": {"denoising": {"strength": 0.01, "num_inference_steps": 4}}}
    with pytest.raises(SpecError) as caught:
        resolved_from(parameters, dataset=str(bare))
    message = str(caught.value)
    assert "tasks: sample scene-0 has no mask, and inpaint needs one" in message
    assert "tasks: sample scene-0 has no mask, and outpaint needs one" in message
    assert "hyperparameters.denoising: strength 0.01 of num_inference_steps 4 leaves no step to run" in message
    assert not (tmp_path / "runs").exists()


def test_a_missing_mask_is_refused_unless_the_canvas_grows(parameters, tmp_path):
    """
    Only outpainting beyond the borders does without a mask.
    """
    bare = write_dataset(tmp_path / "bare", mask=None)
    with pytest.raises(SpecError, match="sample scene-0 has no mask, and inpaint needs one"):
        resolved_from(parameters, dataset=str(bare))
    canvas = {"tasks": ["outpaint"], "hyperparameters": QUICK | {"canvas": {"left_px": 16}, "outpaint": {"mode": "canvas"}}}
    assert len(resolved_from(parameters, dataset=str(bare), **canvas).spec.edits) == 2


def test_an_unknown_sample_is_answered_with_the_known_ones(parameters):
    """
    A sample that the dataset lacks is refused with the names it has.
    """
    with pytest.raises(SpecError, match="samples: got 'octopus'; dataset scenes has scene-0, scene-1"):
        resolved_from(parameters, samples=["octopus"])


def test_live_tracking_is_refused_before_anything_else(parameters):
    """
    Tracking that this version lacks is refused even when the dataset is missing too.
    """
    with pytest.raises(CometError, match="tracking: got online"):
        resolved_from(parameters, tracking="online", dataset="nowhere")


def test_resolving_loads_no_weights(parameters, monkeypatch):
    """
    A run is resolved without reading a single tensor.
    """
    import safetensors.torch

    monkeypatch.setattr(safetensors.torch, "load_file", None)
    monkeypatch.setattr("diffusers.StableDiffusionXLInpaintPipeline.from_pretrained", None)
    assert resolved_from(parameters).spec.checkpoint.digest


def test_every_picture_of_a_run_is_made_and_kept(parameters):
    """
    A run makes each planned picture at the input's size, repaints inside the mask, and leaves the pixels outside as they were.
    """
    resolved = resolved_from(parameters)
    pictures = run(resolved)
    finish(resolved)
    assert resolved.is_done
    assert [(picture.sample, picture.task) for picture in pictures] == [(edit.sample, edit.task) for edit in resolved.spec.edits]
    for picture in pictures:
        before, after = (np.asarray(Image.open(path)) for path in (picture.input_image, picture.image))
        mask = np.asarray(Image.open(picture.mask_image)) > 0
        assert np.array_equal(before[~mask], after[~mask])
        assert (before[mask] != after[mask]).any()


def test_a_run_goes_on_where_it_stopped(parameters, monkeypatch, tmp_path):
    """
    A run that was interrupted makes only what is missing, shows all of them in order, and ends with the pictures of an undisturbed one, bit for bit.
    """
    undisturbed = resolved_from(parameters, runs_folder=str(tmp_path / "undisturbed"))
    run(undisturbed)
    resolved, made = resolved_from(parameters), []

    def make(edit, *args):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(edit)
        return original(edit, *args)

    original = experiment._make
    monkeypatch.setattr(experiment, "_make", make)
    with pytest.raises(KeyboardInterrupt):
        run(resolved)
    assert len(resolved.folder.pictures()) == 2
    monkeypatch.setattr(experiment, "_make", lambda edit, *args: (made.append(edit), original(edit, *args))[1])
    shown: list[tuple[str, bool]] = []
    run(resolved, show=lambda words, image: shown.append((words, image.is_file())))
    assert shown == [(resolved.spec.title(edit), True) for edit in resolved.spec.edits]
    assert made == list(resolved.spec.edits)
    assert same(pixels_of(resolved), pixels_of(undisturbed))


def test_a_lost_picture_is_made_again(parameters):
    """
    A picture that is deleted or damaged after the run was done is made again, with the same pixels.
    """
    resolved = resolved_from(parameters)
    run(resolved)
    finish(resolved)
    before = pixels_of(resolved)
    first, second, *_ = resolved.folder.pictures()
    first.image.unlink()
    second.image.write_bytes(second.image.read_bytes()[:100])
    assert not resolved.is_done
    run(resolved)
    finish(resolved)
    assert resolved.is_done
    assert same(pixels_of(resolved), before)


def test_a_finished_run_needs_no_checkpoint(parameters, monkeypatch):
    """
    Running again what is all there loads nothing.
    """
    resolved = resolved_from(parameters, samples=["scene-0"])
    expected = run(resolved)
    monkeypatch.setattr(experiment, "load", None)
    assert run(resolved) == expected


def test_an_unfinished_run_cannot_be_finished(parameters):
    """
    A record says that a run is done, so it is not written while pictures are missing.
    """
    resolved = resolved_from(parameters)
    with pytest.raises(RecordError, match="lacks 4 of 4 pictures"):
        finish(resolved)
    assert not resolved.is_done


def test_shared_trajectories_change_no_bit(parameters, tmp_path):
    """
    Runs in one process that share the base's work equal runs that share nothing.
    """

    def make(frac: float | None, folder: str, cache: TrajectoryCache) -> dict[str, np.ndarray]:
        changes = {"hyperparameters": {"denoising": {"num_inference_steps": 5, "high_noise_frac": frac}}, "runs_folder": str(tmp_path / folder)}
        resolved = resolved_from(parameters, samples=["scene-1"], **changes)
        run(resolved, trajectories=cache)
        return pixels_of(resolved)

    shared = TrajectoryCache()
    together = [make(frac, "shared", shared) for frac in (None, 0.8, 0.5)]
    apart = [make(frac, "apart", TrajectoryCache()) for frac in (None, 0.8, 0.5)]
    assert all(same(left, right) for left, right in zip(together, apart, strict=True))
    assert not same(together[0], together[1])


def test_the_masks_shown_are_the_masks_used(parameters):
    """
    What a notebook shows as masks before a run is what the run records as really used.
    """
    dilated = QUICK | {"mask": {"kernel_size": 5}}
    resolved = resolved_from(parameters, hyperparameters=dilated)
    shown = resolved.masks()
    for picture in run(resolved):
        assert np.array_equal(np.asarray(shown[f"{picture.sample} {picture.task}"]), np.asarray(Image.open(picture.mask_image)))


def test_a_picture_that_cannot_be_made_stops_the_run(parameters):
    """
    A run that cannot make a picture says why, and keeps those before it.
    """
    resolved = resolved_from(parameters, hyperparameters=QUICK | {"outpaint": {"denoising": {"guidance_scale": 1e40}}})
    with pytest.raises(NotFiniteError, match="guidance_scale"):
        run(resolved)
    assert [picture.task for picture in resolved.folder.pictures()] == ["inpaint"]


def test_runs_under_artifacts_belong_to_the_repository(parameters, tmp_path, monkeypatch):
    """
    A runs_folder under `artifacts` is the repository's own, from whichever folder of it a notebook is opened; elsewhere the working folder's.
    """
    notebooks = tmp_path / "repository" / "notebooks"
    notebooks.mkdir(parents=True)
    monkeypatch.chdir(notebooks)
    default = {"runs_folder": "artifacts/runs/single"}
    assert resolved_from(parameters, **default).folder.path.parent == notebooks / "artifacts" / "runs" / "single"
    (tmp_path / "repository" / "artifacts").mkdir()
    (tmp_path / "repository" / "artifacts" / "README.md").touch()
    assert resolved_from(parameters, **default).folder.path.parent == tmp_path / "repository" / "artifacts" / "runs" / "single"


def test_another_process_on_the_same_run_is_refused(parameters, monkeypatch):
    """
    While one process works on a run, a second one is told which, after waiting a while for it.
    """
    monkeypatch.setattr(experiment, "LOCK_WAIT_S", 0.5)
    resolved = resolved_from(parameters)
    RunFolder(resolved.folder.path).path.mkdir(parents=True)
    holder = (
        "import sys, time; from pathlib import Path; from sdxl_lab.files.locks import locked\n"
        "with locked(Path(sys.argv[1])): print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", holder, str(resolved.folder.path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(locks.LockError, match=f"process {process.pid}"):
            run(resolved)
        said, shown = [], []
        with pytest.raises(locks.LockError, match=f"process {process.pid} of this machine; .* wait until it is done, or end that process"):
            experiment.execute(Path("no kernel is started for this.ipynb"), parameters, lambda *told: shown.append(told), say=said.append)  # type: ignore
        assert shown == []
        assert f"process {process.pid}" in said[-1]
        process.kill()
    assert len(run(resolved, load(resolved))) == 4


@pytest.mark.parametrize("denoising", [{"high_noise_frac": 0.05, "num_inference_steps": 4}, {"strength": 0.01, "num_inference_steps": 4}])
def test_a_schedule_without_a_step_is_refused_when_a_run_is_resolved(parameters, denoising):
    """
    The error with what to choose instead comes before any weights are loaded.
    """
    with pytest.raises(SpecError, match=r"hyperparameters\.denoising: .*(Choose it between|raise strength to at least)"):
        resolved_from(parameters, hyperparameters={"denoising": denoising})
