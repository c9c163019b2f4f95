"""Families of checkpoints: one table, from which everything that knows them follows."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sdxl_lab.checkpoints.locating import identify
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.families import FAMILIES, FamilyError, family_of, for_all_tasks, named
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.viewing.show import print_path
from tests.support.datasets import write_dataset


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global plan
    from sdxl_lab.sweeps.planner import plan


@pytest.fixture
def toy(monkeypatch, random_pair) -> str:
    """The name of a checkpoint whose family somebody registered."""
    own: dict[str, Any] = dict(num_inference_steps=4, guidance_scale=2.0, strength=1.0, distilled={}, threads=1, refiner_from=0.5)
    monkeypatch.setitem(FAMILIES, "toy", replace(FAMILIES["custom"], names={"toy-models": random_pair}, **own))
    return "toy-models"


@pytest.fixture
def parameters(toy, tmp_path) -> dict[str, Any]:
    """A run of one picture with it."""
    dataset = str(write_dataset(tmp_path / "data", 1))
    return dict(name="x", dataset=dataset, checkpoint=toy, tasks=["inpaint"], tracking="off", runs_folder=str(tmp_path / "runs"))


def printed(path: Path) -> str:
    """
    What `show` prints.
    """
    console = Console(file=StringIO(), width=200)
    print_path(path, console)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_registered_family_is_known_everywhere(toy, parameters, monkeypatch, random_pair):
    """
    Registered from outside, its name is offered and found, its defaults make the picture, which is recorded, shown, planned and made again.
    """
    with pytest.raises(SpecError, match=r"pocket, pocket-neon, .*, sdxl-turbo, sdxl-0\.9, sd15, .*, sd-turbo, toy-models, a folder, a hub id"):
        RunSpec.from_parameters(**parameters | {"checkpoint": 3})
    with pytest.raises(CheckpointError, match=r"pocket, pocket-neon, .*, sdxl-turbo, sdxl-0\.9, sd15, .*, sd-turbo, toy-models, a folder"):
        identify("no such model")

    [planned] = plan(SweepFile.from_dict({"name": "x", "parameters": {key: value for key, value in parameters.items() if key != "name"}})).runs
    assert planned.parameters["checkpoint"] == toy
    resolved = resolve(RunSpec.from_parameters(**parameters))
    denoising = resolved.spec.edits[0].settings.denoising
    assert (denoising.num_inference_steps, denoising.guidance_scale, denoising.strength) == (4, 2.0, 1.0)
    assert resolved.spec.checkpoint.digest == identify(str(random_pair)).digest
    assert resolved.spec.run_id == planned.run_id

    [picture] = run(resolved)
    finish(resolved)
    assert '"family": "toy"' in resolved.folder.spec_file.read_text()
    assert picture.base_steps == planned.works[picture.key].base_forwards == 4
    assert toy in printed(picture.image)
    assert reproduce(picture.image, dataset=parameters["dataset"]).is_identical

    monkeypatch.delitem(FAMILIES, "toy")
    folder = RunFolder(resolved.folder.path)
    assert folder.resolved.checkpoint.family == "toy"
    assert toy in printed(picture.image)
    with pytest.raises(FamilyError, match="'toy'; known here are pocket, pocket-sd2, sdxl, sd, custom"):
        family_of(folder.resolved.checkpoint.family)


def test_a_family_recognizes_its_folders(toy, monkeypatch, random_pair):
    """
    A folder that somebody gives by its path is of the family that recognizes it, else a custom one.
    """
    assert identify(str(random_pair)).family == "custom"
    monkeypatch.setitem(FAMILIES, "toy", replace(FAMILIES["toy"], recognizes=lambda path: path == random_pair))
    assert identify(str(random_pair)).family == "toy"


def test_a_checkpoint_that_only_inpaints_has_one_like_it_for_every_task():
    """
    It is of the same generation and built into the lab or on the hub as that is; of a folder of nobody's family it is SDXL.
    """
    meant = {"sdxl-inpaint": "sdxl", "sd15-inpaint": "sd15", "sd2-inpaint": "sd21", "pocket-sd2-inpaint": "pocket-sd2"}
    inpainting = [(name, word) for word, family in FAMILIES.items() for name in family.names if "inpaint" in name]
    assert {name: for_all_tasks(name, word) for name, word in inpainting} == meant
    assert all(named(instead) for instead in meant.values())
    assert for_all_tasks("somebody/inpainting", "sd") == "sd15"
    assert for_all_tasks("folder", "custom") == "sdxl"
