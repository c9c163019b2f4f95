"""Pictures of which the models saw a part: planned, recorded, told, and made again."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from sdxl_lab import inpaint, reproduce
from sdxl_lab.images.masks import binarize
from sdxl_lab.images.png import png
from sdxl_lab.pocket.world import draw, object_mask, sample_scene
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import StampError, read_stamp
from sdxl_lab.runs.experiment import run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.tracking.of_run import told
from sdxl_lab.viewing.report import write_report
from sdxl_lab.viewing.show import print_path

STEPS = {"denoising": {"num_inference_steps": 3}}
CROP = {"padding_mask_crop": 24}


@pytest.fixture
def dataset(tmp_path, monkeypatch) -> Path:
    """A scene of 320x256 pixels with a small object, and one whose mask is three pixels wide."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "far"
    folder.mkdir()
    scene = sample_scene(3, 320, 256)
    draw(scene).save(folder / "far.png")
    binarize(object_mask(scene)).save(folder / "mask.png")
    tiny = Image.new("L", (320, 256))
    tiny.paste(255, (100, 90, 103, 93))
    tiny.save(folder / "tiny.png")
    samples = [{"name": name, "image": "far.png", "mask": f"{mask}.png"} for name, mask in (("far", "mask"), ("tiny", "tiny"))]
    (folder / "metadata.json").write_text(json.dumps({"samples": samples}))
    return folder


def resolved(dataset: Path, sample: str = "far", **hyperparameters: Any):
    """A run of one picture."""
    parameters: dict[str, Any] = {"name": "crop", "dataset": str(dataset), "checkpoint": "pocket", "tasks": ["inpaint"], "samples": [sample]}
    return resolve(RunSpec.from_parameters(**parameters, tracking="off", hyperparameters={"prompt": "a red star", **STEPS, **hyperparameters}))


def printed(path: Path) -> str:
    """What `show` says of it."""
    console = Console(width=200, file=io.StringIO(), record=True)
    print_path(path, console)
    return console.export_text()


def test_a_crop_is_recorded_told_and_made_again(dataset):
    """
    Line, PNG, `show`, report and Comet say which part was seen and how much larger, and the picture is made again from its PNG bit for bit.
    """
    planned = resolved(dataset, crop=CROP)
    [edit] = planned.spec.edits
    frame = planned.frames[edit.key]
    assert planned.sizes_of(edit) == ((320, 256), frame.size)
    [picture] = run(planned)
    assert picture.frame == read_stamp(picture.image).frame == frame
    assert (picture.working_width, picture.working_height) == frame.size
    assert RunFolder(planned.folder.path).pictures() == (picture,)
    left, top, right, bottom = frame.box
    seen = f"{right - left}x{bottom - top} pixels at ({left}, {top}), seen at {frame.size[0]}x{frame.size[1]}: {frame.upscale:.3g} times its own size"
    said = frame.told((320, 256))
    assert said.startswith(seen)
    gain = ((320 * 256) / ((right - left) * (bottom - top))) ** 0.5
    assert said.endswith(f"and {gain:.3g} times as large as where so many pixels show the whole picture")
    assert said in printed(picture.image)
    assert told(picture, edit)["seen"] == said
    assert said in write_report([planned.folder], dataset / "report.html").read_text()
    with Image.open(picture.image) as image:
        assert "Inpaint area: Only masked, Masked area padding: 24" in image.info["parameters"]
    again = reproduce(picture.image, dataset=str(dataset))
    assert again.is_identical
    assert read_stamp(again.save(dataset / "again.png")).frame == frame


def test_a_call_crops_by_name_and_a_whole_picture_says_nothing(dataset):
    """
    `padding_mask_crop` is a call's argument, its PNG says what was seen; without it neither line nor PNG has a word of it.
    """
    image, mask = dataset / "far.png", dataset / "mask.png"
    cropped, whole = (inpaint(image, mask, "a red star", seed=1, num_inference_steps=3, **crop) for crop in (CROP, {}))
    paths = [cropped.save("cropped.png"), whole.save("whole.png")]
    assert [read_stamp(path).frame is None for path in paths] == [False, True]
    assert cropped.settings.crop.padding_mask_crop == 24
    with Image.open(paths[1]) as image:
        assert "frame" not in json.loads(image.info["sdxl_lab"])
        assert "crop" not in json.loads(image.info["sdxl_lab"])["resolved"]["edits"][0]["settings"]


def test_a_crop_of_all_is_the_run_without_one(dataset):
    """
    Its `run_id` is the same, and it is said why nothing was cropped.
    """
    plain, idle = resolved(dataset), resolved(dataset, crop={"padding_mask_crop": 400})
    assert idle.spec.run_id == plain.spec.run_id
    assert idle.frames == {}
    assert any("crop has no effect" in line for line in idle.said)
    assert resolved(dataset, crop={**CROP, "min_upscale": 1.2}).spec.run_id == resolved(dataset, crop=CROP).spec.run_id != plain.spec.run_id


def test_a_crop_below_a_cell_stops_the_plan(dataset):
    """
    It is one line that starts with the section, and nothing is written.
    """
    with pytest.raises(SpecError, match=r"hyperparameters\.crop: sample 'tiny', inpaint: only 3x3 pixels .* such as 32"):
        resolved(dataset, "tiny", crop={"padding_mask_crop": 0}, mask={"kernel_size": 1})
    assert not (dataset.parent / "artifacts").exists()


@pytest.mark.parametrize("frame", [[1, 2], {"box": [0, 0, 8]}, {"box": [0, 0, 8, "x"], "size": [8, 8]}, "all"], ids=str)
def test_a_strange_frame_in_a_png_is_refused(dataset, frame):
    """
    A stamp that says what no crop is has one clear error.
    """
    planned = resolved(dataset, crop=CROP)
    [picture] = run(planned)
    with Image.open(picture.image) as image:
        text = json.loads(image.info["sdxl_lab"]) | {"frame": frame}
        picture.image.write_bytes(png(image, {"sdxl_lab": json.dumps(text)}))
    with pytest.raises(StampError, match="frame: allowed is a box of four whole numbers"):
        read_stamp(picture.image)
