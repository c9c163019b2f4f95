"""Pictures of soft masks: planned, recorded, told, and made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sdxl_lab import fetch, inpaint, reproduce
from sdxl_lab.images.mask_checks import CUT_AT_HALF
from sdxl_lab.images.soft_masks import has_grays
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.experiment import run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.sweeps.planner import plan
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.tracking.parameters import parameters_of
from sdxl_lab.viewing.compare import compare
from sdxl_lab.viewing.report import write_report

STEPS = {"denoising": {"num_inference_steps": 9}, "compute": {"device": "cpu", "threads": 1}}
BLURRED = {"soft": "threshold", "blur_px": 12, "kernel_size": 5}


@pytest.fixture
def dataset(tmp_path, monkeypatch) -> Path:
    """
    A scene with three masks: black and white, a soft one, and one whose white is a line.
    """
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "soft"
    folder.mkdir()
    sample = fetch("pocket-scenes").sample("red-circle")
    image, mask = sample.image(), sample.mask()
    assert image is not None
    assert mask is not None
    image.save(folder / "image.png")
    mask.save(folder / "hard.png")
    mask.filter(ImageFilter.GaussianBlur(10)).save(folder / "soft.png")
    line = Image.new("L", mask.size)
    line.paste(24, (40, 40, 90, 90))
    line.paste(140, (60, 40, 61, 90))
    line.save(folder / "line.png")
    names = ("hard", "soft", "line")
    (folder / "metadata.json").write_text(json.dumps({"samples": [{"name": name, "image": "image.png", "mask": f"{name}.png"} for name in names]}))
    return folder


def spec(dataset: Path, sample: str = "hard", **hyperparameters: Any) -> RunSpec:
    """
    One picture of it.
    """
    parameters: dict[str, Any] = {"name": "soft", "dataset": str(dataset), "checkpoint": "pocket", "tasks": ["inpaint"], "samples": [sample]}
    return RunSpec.from_parameters(**parameters, tracking="off", hyperparameters={"prompt": "a red star", **STEPS, **hyperparameters})


def test_a_soft_mask_is_recorded_told_and_made_again(dataset):
    """
    The grays lie beside the picture; record, PNG, report, `compare` and Comet have the settings; and the picture is made again bit for bit.
    """
    planned, hard = resolve(spec(dataset, mask=BLURRED)), resolve(spec(dataset, mask={"kernel_size": 5}))
    [picture], [other] = run(planned), run(hard)
    with Image.open(picture.mask_image) as mask, Image.open(other.mask_image) as cut:
        assert (has_grays(mask), has_grays(cut)) == (True, False)
        assert (np.asarray(mask) == 255).sum() == (np.asarray(cut) == 255).sum()
    with Image.open(picture.image) as image:
        assert "Mask blur: 12, Soft inpainting enabled: True, Soft mask: threshold" in image.info["parameters"]
    assert {path: value for path, value in parameters_of(planned.spec).items() if "soft" in path or "blur" in path} == {
        "mask|soft": "threshold",
        "mask|blur_px": 12,
    }
    assert parameters_of(hard.spec)["mask|soft"] == "off"
    page = write_report([planned.folder, hard.folder], dataset / "report.html").read_text()
    assert "mask.soft" in page
    assert {"mask.soft", "mask.blur_px"} <= {str(name) for name in compare([planned.folder, hard.folder]).settings().columns}
    again = reproduce(picture.image, dataset=str(dataset))
    assert again.is_identical
    assert read_stamp(picture.image).edit.settings.mask.soft == "threshold"
    assert picture.metrics["change_outside_max"] == 0


def test_a_call_keeps_grays_only_if_it_is_told(dataset):
    """
    `soft` and `blur_px` are a call's arguments; without them the mask is cut at half, its PNG has no word of either, and it is said.
    """
    image, mask = dataset / "image.png", dataset / "soft.png"
    told: dict[str, Any] = {"seed": 1, "num_inference_steps": 9, "kernel_size": 1}
    soft, cut = inpaint(image, mask, "a red star", soft="blend", **told), inpaint(image, mask, "a red star", **told)
    assert (soft.settings.mask.soft, cut.settings.mask.soft) == ("blend", "off")
    assert not any(CUT_AT_HALF in note for note in soft.notes)
    assert any(CUT_AT_HALF in note for note in cut.notes)
    with Image.open(cut.save("cut.png")) as written:
        settings = json.loads(written.info["sdxl_lab"])["resolved"]["edits"][0]["settings"]
    assert set(settings["mask"]) == {"kernel_size", "iterations", "feather_px", "latent_mask"}


def test_black_and_white_masks_are_one_run_in_a_sweep_over_soft(dataset):
    """
    Where there is no gray, `soft` makes no difference to `run_id`; where there is, each value is a run of its own.
    """
    for sample, runs in (("hard", 1), ("soft", 3)):
        found = {resolve(spec(dataset, sample, mask={"soft": soft, "kernel_size": 5})).spec.run_id for soft in ("off", "threshold", "blend")}
        assert len(found) == runs
    idle = resolve(spec(dataset, mask={"soft": "blend", "kernel_size": 5}))
    assert any("mask.soft has no effect: the region to repaint has no gray" in line for line in idle.said)
    assert any(CUT_AT_HALF in line for line in resolve(spec(dataset, "soft")).of_samples)
    assert not any(CUT_AT_HALF in line for line in resolve(spec(dataset, "soft", mask={"soft": "blend"})).of_samples)


def test_fractions_of_one_soft_mask_are_planned_as_one_trajectory(dataset):
    """
    A plan counts the base's evaluations once for two fractions, and anew for the other way of being soft.
    """
    parameters = spec(dataset, "soft").model_dump(mode="json", include={"dataset", "checkpoint", "samples", "tasks", "hyperparameters", "tracking"})
    grid = {"hyperparameters.denoising.high_noise_frac": [0.7, 0.8], "hyperparameters.mask.soft": ["threshold", "blend"]}
    groups = plan(SweepFile.from_dict({"name": "soft", "parameters": parameters, "grid": grid})).groups
    assert [len(group.runs) for group in groups] == [2, 2]


def test_a_mask_too_dark_for_its_steps_stops_the_plan(dataset):
    """
    It is one line, and nothing is written.
    """
    dark: dict[str, Any] = {"mask": {"soft": "threshold", "kernel_size": 1}, "denoising": {"num_inference_steps": 4}}
    with pytest.raises(
        SpecError, match=r"hyperparameters\.mask: sample 'line', inpaint: the lightest latent cell .* take mask\.soft blend"
    ) as caught:
        resolve(spec(dataset, "line", **dark))
    assert str(caught.value).count("\n") <= 1
    assert not (dataset.parent / "artifacts").exists()
    dark["mask"]["soft"] = "blend"
    assert resolve(spec(dataset, "line", **dark)).spec.edits
