"""What fills the mask and closes its seam: recorded, told, and made again; and stopped before a run where it cannot be."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from sdxl_lab import inpaint, reproduce
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.experiment import run
from sdxl_lab.runs.resolution import Resolved, resolve
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.viewing.show import print_path
from tests.support.datasets import write_dataset

STEPS = {"denoising": {"num_inference_steps": 3}}
CLOSED = {"fill": "telea", "color_match": "ring", "blend": "poisson"}
NEUTRAL = {"fill": "original", "color_match": None, "blend": "alpha"}


@pytest.fixture
def dataset(tmp_path, monkeypatch) -> Path:
    """Two scenes; the mask of the second is white but for a corner, which dilating takes."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "scenes"
    write_dataset(folder)
    mask = Image.new("L", (128, 128), 255)
    mask.paste(0, (0, 0, 12, 12))
    mask.save(folder / "1-mask.png")
    return folder


def resolved(dataset: Path, sample: str = "scene-0", **mask: Any) -> Resolved:
    """A run of one picture."""
    parameters: dict[str, Any] = {"name": "fills", "dataset": str(dataset), "checkpoint": "pocket", "tasks": ["inpaint"], "samples": [sample]}
    return resolve(RunSpec.from_parameters(**parameters, tracking="off", hyperparameters={**STEPS, "mask": mask}))


def test_they_are_recorded_told_and_made_again(dataset):
    """
    Record, PNG and `show` say them, other tools read them in the field's words, and the picture is made again bit for bit.
    """
    [picture] = run(resolved(dataset, **CLOSED))
    stamp = read_stamp(picture.image)
    assert {key: getattr(stamp.edit.settings.mask, key) for key in CLOSED} == CLOSED
    with Image.open(picture.image) as image:
        assert "Mask fill: telea, Color match: ring, Mask blend: poisson" in image.info["parameters"]
    console = Console(width=200, file=io.StringIO(), record=True)
    print_path(picture.image, console)
    told = console.export_text()
    for key, value in CLOSED.items():
        assert f"{key} {value}" in " ".join(told.split()) or f"mask.{key} {value}" in " ".join(told.split())
    again = reproduce(picture.image, dataset=str(dataset))
    assert again.is_identical


def test_neutral_ones_are_nobodys_business(dataset):
    """
    Given as they are where nobody asks, they leave `run_id` and document alone; each other value is another run.
    """
    plain = resolved(dataset)
    assert resolved(dataset, **NEUTRAL).spec.run_id == plain.spec.run_id
    assert not NEUTRAL.keys() & json.loads(plain.spec.to_json())["edits"][0]["settings"]["mask"].keys()
    assert len({resolved(dataset, **{key: value}).spec.run_id for key, value in CLOSED.items()} | {plain.spec.run_id}) == 4


def test_a_call_takes_them_by_name_and_the_web_ui_reads_its_own(dataset):
    """
    `fill`, `color_match` and `blend` are arguments of a call; of `blur` the PNG says what the web UI calls it.
    """
    made = inpaint(dataset / "0.png", dataset / "0-mask.png", "a red star", seed=1, num_inference_steps=3, fill="blur", blend="poisson")
    with Image.open(made.save("made.png")) as image:
        assert "Masked content: fill" in image.info["parameters"]
        assert "Color match" not in image.info["parameters"]


def test_nothing_to_fill_from_stops_the_plan(dataset):
    """
    A mask that is dilated to all of the picture has nothing around it: one line before anything runs; gray and noise need nothing.
    """
    with pytest.raises(SpecError, match=r"hyperparameters\.mask: sample 'scene-1', inpaint: mask\.fill telea continues what is around .* neutral"):
        resolved(dataset, "scene-1", fill="telea", kernel_size=33)
    assert not (dataset.parent / "artifacts").exists()
    bare = resolved(dataset, "scene-1", fill="noise", blend="poisson", kernel_size=33)
    assert any("no seam" in line for line in bare.said)
