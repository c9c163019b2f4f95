from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.checkpoints import locating
from sdxl_lab.checkpoints.moved_defaults import moved_since, pinned, version_of
from sdxl_lab.checkpoints.own_defaults import defaults
from sdxl_lab.kernels import notebooks
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs.experiment import run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.documents import RELEASES as NAMED
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.sweep_file import SweepFile, SweepFileError
from sdxl_lab.viewing.onward import parameters_of
from tests.records.test_releases import RELEASES, RUNS
from tests.support.specs import SIZES


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global plan
    from sdxl_lab.sweeps.planner import plan


PHOTOGRAPHS = str(RELEASES / "0.1.0" / "photographs")
POCKET = locating.identify("pocket")


def photo_sweep(folder: Path, dataset: str = PHOTOGRAPHS, **more: Any) -> SweepFile:
    """
    Two points over a dataset; by default one whose pictures 0.1.0 read in another way.
    """
    parameters = {"dataset": dataset, "tasks": ["inpaint"], "tracking": "off", "runs_folder": str(folder / "runs")}
    return SweepFile.from_dict({"name": "photos", "parameters": parameters, "grid": {"hyperparameters.seed": [1, 2]}} | more)


def test_every_default_is_the_first_release_s_or_is_known_to_have_moved():
    """
    What 0.1.0's record holds of settings that were not given is today's default, or what `moved_since` calls the old one.
    """
    resolved = RunFolder(RUNS[0]).resolved
    moved = moved_since("0.1.0", POCKET)
    asked = RunSpec.from_parameters(name="plain", dataset="pocket-scenes", checkpoint="pocket")
    today = {edit.task: flatten(edit.settings.model_dump(mode="json")) for edit in resolve(asked).spec.edits}
    for edit in resolved.edits:
        given = flatten(resolved.spec.given(edit.task))
        then = flatten(edit.settings.model_dump(mode="json"))
        assert {path: value for path, value in then.items() if path not in given} == {
            path: moved.get(path, value) for path, value in today[edit.task].items() if path not in given
        }


def test_a_plan_says_which_defaults_moved_where_that_tells(tmp_path):
    """
    A sweep whose pictures would be others than 0.1.0's is told so once, with the line that pins them; others are not.
    """
    [line] = [note for note in plan(photo_sweep(tmp_path)).notes if "defaults since" in note]
    assert line == (
        "defaults since 0.1.0: image.color_profile is srgb, was ignore; mask.kernel_size is auto, was 1; "
        "a file from then makes its own pictures with the line `defaults: 0.1.0`"
    )
    exact = {"hyperparameters.seed": [1], "hyperparameters.mask.kernel_size": [1]}
    given = exact | {"hyperparameters.image.color_profile": ["srgb"]}
    for other in (photo_sweep(tmp_path, grid=given), photo_sweep(tmp_path, "pocket-scenes", grid=exact), photo_sweep(tmp_path, defaults="0.2.0")):
        assert not [note for note in plan(other).notes if "defaults since" in note]


def test_pinned_defaults_make_the_runs_of_that_release(tmp_path):
    """
    With `defaults: 0.1.0` the documents are those that 0.1.0 wrote, and every parameter that a worker needs for them is written out.
    """
    pinned_plan, today = plan(photo_sweep(tmp_path, defaults="0.1.0")), plan(photo_sweep(tmp_path))
    assert not {run.run_id for run in pinned_plan.runs} & {run.run_id for run in today.runs}
    for planned in pinned_plan.runs:
        assert planned.parameters["hyperparameters"]["image"] == {"color_profile": "ignore"}
        again = resolve(RunSpec.from_parameters(**planned.parameters)).spec
        assert again.run_id == planned.run_id
        assert '"color_profile": ' not in again.to_json().partition('"edits"')[2]


def test_a_file_that_names_no_dataset_means_the_notebook_s_of_that_release(tmp_path):
    """
    The built-in notebook edits other words today: pinned to 0.1.0 a file has the dataset of then, unless it, or its own notebook, names one.
    """
    content = {"name": "plain", "grid": {"hyperparameters.seed": [1]}}
    own = tmp_path / "own.ipynb"
    own.write_text(notebooks.find("inpaint_outpaint").read_text())

    def dataset(**more: Any) -> str:
        [point] = SweepFile.from_dict(content | more).points
        return point.spec.dataset

    assert dataset() == dataset(notebook=str(own), defaults="0.1.0") == "pocket-scenes-2"
    assert dataset(defaults="0.1.0") == "pocket-scenes"
    assert dataset(defaults="0.2.0") == "pocket-scenes-2"
    assert dataset(defaults="0.1.0", parameters={"dataset": "pocket-forty"}) == "pocket-forty"


def test_what_a_sweep_gives_itself_wins_over_pinned_defaults():
    """
    Pinning fills in what is not given, and nothing else.
    """
    given = {"name": "x", "hyperparameters": {"image": {"color_profile": "srgb"}, "mask": {"kernel_size": 9, "specks": "ignore"}, "seed": 3}}
    assert pinned(given, "0.1.0", POCKET) == given
    assert pinned({"name": "x"}, "0.1.0", POCKET)["hyperparameters"] == {
        "image": {"color_profile": "ignore"},
        "mask": {"kernel_size": 1, "specks": "keep"},
    }
    assert pinned({"name": "x"}, NAMED[-1], POCKET) == {"name": "x"}


def test_a_checkpoint_s_own_defaults_are_pinned_too():
    """
    What 0.1.0 filled in for SDXL Turbo, which it did not know, is written out under `defaults: 0.1.0`.
    """
    turbo = CheckpointIdentity(name="stabilityai/sdxl-turbo", digest="c" * 64, revision="e" * 40, family="custom")
    old = pinned({"name": "x"}, "0.1.0", turbo)["hyperparameters"]["denoising"]
    assert old == {"num_inference_steps": 70, "guidance_scale": 7.5, "strength": 0.99, "scheduler": "euler", "timestep_spacing": None}
    spec = RunSpec.from_parameters(**pinned({"name": "x", "dataset": "a", "checkpoint": turbo.name}, "0.1.0", turbo))
    words: dict[str, Any] = dict(prompt="a star", negative_prompt=None, seed=1, size=(64, 64), sizes=SIZES)
    [edit] = spec.edits("star", "inpaint", **words, defaults=defaults(turbo, task="inpaint"))
    assert {key: getattr(edit.settings.denoising, key) for key in old} == old
    assert pinned({"name": "x"}, NAMED[-1], turbo) == {"name": "x"}


@pytest.mark.parametrize("release", ["0.0.9", 0.1, "latest", ["0.1.0"]])
def test_an_unknown_release_is_answered_with_the_known_ones(release, tmp_path):
    """
    Defaults of a release that never was are refused before anything is planned.
    """
    with pytest.raises(SweepFileError, match=r"defaults: got .*; allowed is a release .*, one of 0\.1\.0, 0\.2\.0"):
        photo_sweep(tmp_path, defaults=release)


def test_a_record_of_this_version_needs_no_defaults_written_out(tmp_path):
    """
    The parameters of a run of today hold what was given, and plan that run again.
    """
    given = {"name": "now", "dataset": PHOTOGRAPHS, "checkpoint": "pocket", "tracking": "off", "runs_folder": str(tmp_path)}
    hyperparameters = {"denoising": {"num_inference_steps": 2}, "compute": {"threads": 1, "device": "cpu"}}
    resolved = resolve(RunSpec.from_parameters(**given, tasks=["inpaint"], samples=["profiled"], hyperparameters=hyperparameters))
    [picture] = run(resolved)
    assert parameters_of(resolved.folder.path)["hyperparameters"] == hyperparameters
    assert "image" not in parameters_of(picture.image)["hyperparameters"]
    assert resolve(RunSpec.from_parameters(**parameters_of(resolved.folder.path) | given)).spec.run_id == resolved.spec.run_id


@pytest.mark.parametrize(("version", "release"), [("0.1.0", "0.1.0"), ("0.2.0.dev0", "0.2.0"), ("0.2.0", "0.2.0"), (None, "0.1.0"), ("?", "0.1.0")])
def test_a_version_belongs_to_a_release(version, release):
    """
    What was made on the way to a release has its defaults; what does not say is taken for the first.
    """
    assert version_of(version) == release
