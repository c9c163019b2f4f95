"""A sweep over checkpoints of several families: each at its own size and pace, compared by sample and seed at the input's size."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.lacking import NOT_APPLICABLE
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.plan import Plan
from sdxl_lab.sweeps.report import record
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.tracking.of_sweep import of_sweep
from sdxl_lab.viewing.compare import compare
from sdxl_lab.viewing.sweep_sheets import sheets_of

FRAC, STEPS = "hyperparameters.denoising.high_noise_frac", "hyperparameters.denoising.num_inference_steps"
BORDER = {"hyperparameters.outpaint": {"mode": "canvas", "canvas": {"left_px": 32}}}


@pytest.fixture(scope="module")
def swept(tmp_path_factory, sd2_inpaint, random_pair) -> tuple[Plan, list[RunFolder]]:
    """
    A checkpoint of Stable Diffusion 2 that was trained to inpaint, and one of XL with and without its refiner: an object and a border repainted.
    """
    from sdxl_lab.sweeps.planner import plan

    common: dict[str, Any] = {"samples": ["red-circle"], "tracking": "off", "runs_folder": str(tmp_path_factory.mktemp("runs")), STEPS: 4, **BORDER}
    grid = {"checkpoint": [str(sd2_inpaint), str(random_pair)], FRAC: [None, 0.5]}
    planned = plan(SweepFile.from_dict({"name": "families", "parameters": common, "grid": grid, "where": {FRAC: "applies"}}))
    folders = []
    for point in sorted(planned.runs, key=lambda point: point.place):
        resolved = resolve(RunSpec.from_parameters(**point.parameters))
        run(resolved)
        finish(resolved)
        folders.append(resolved.folder)
    return planned, folders


def test_what_was_planned_is_what_is_made(swept):
    """
    One run of the family without a refiner, two of the other, each by the name that it was planned with.
    """
    planned, folders = swept
    assert [folder.resolved.run_id for folder in folders] == [point.run_id for point in sorted(planned.runs, key=lambda point: point.place)]
    assert [folder.resolved.checkpoint.family for folder in folders] == ["sd", "custom", "custom"]
    assert [point.overrides[FRAC] for point in sorted(planned.runs, key=lambda point: point.place)] == [NOT_APPLICABLE, None, 0.5]


def test_pictures_come_back_at_the_inputs_size(swept):
    """
    Whatever size each checkpoint works at, an inpainted picture is as large as its input, and an extended one as its canvas.
    """
    for folder in swept[1]:
        sizes = {}
        for picture in folder.pictures():
            with Image.open(picture.image) as image:
                sizes[picture.task] = image.size
        assert sizes == {"inpaint": (128, 128), "outpaint": (160, 128)}


def test_pictures_of_families_are_paired_by_sample_and_seed(swept):
    """
    Each metric of each picture is there in every run, and the comparison pairs them all, with n/a for the refiner's share that one has not.
    """
    compared = compare(swept[1])
    metrics = [{(picture.key, name) for picture in row.pictures for name in picture.metrics} for row in compared.rows]
    assert metrics[0] == metrics[1] == metrics[2] != set()
    names = sorted({name for _, name in metrics[0]} & set(compared.metrics))
    assert names
    for row in compared.rows[1:]:
        pairs = [found.n for name in names if (found := compared.difference(row, name))]
        assert len(pairs) == len(names)
        assert set(pairs) <= {1, 2}
    assert compared.settings()["denoising.high_noise_frac"].tolist() == [NOT_APPLICABLE, None, 0.5]


def test_sheets_and_comet_have_what_does_not_apply(swept, tmp_path):
    """
    A sweep's sheet has a place of its own for the point without the setting, called n/a, as in Comet's table, and Comet's axis has the others.
    """
    sweep = record(swept[0])
    sheet = next(sheet for sheet in sheets_of(sweep) if sheet.task == "inpaint")
    assert len(sheet.rows) * len(sheet.columns) >= 3
    assert any(NOT_APPLICABLE in label for label in (*sheet.columns, *sheet.rows))
    assert sum(isinstance(cell, type(swept[1][0].pictures()[0])) for row in sheet.cells for cell in row) == 3
    projected = of_sweep(sweep, tmp_path)
    assert projected.others["axis.high_noise_frac"] == "0: none, 1: 0.5"
    curves = [json.loads(file.path.read_text()) for file in projected.curves]
    assert {tuple(curve["x"]) for curve in curves if curve["name"].endswith("over high_noise_frac")} == {(0, 1)}
    [table] = [file for file in projected.assets if file.name.endswith(".csv")]
    assert table.ready().read_text().count(f"high_noise_frac={NOT_APPLICABLE}") == 1


@pytest.mark.parametrize("given", [False, True])
def test_words_alone_are_as_large_as_each_checkpoint_makes_them(swept, sd1, tmp_path, given):
    """
    Steps and size are each checkpoint's own where nobody gives them, and one size for all where somebody does.
    """
    from sdxl_lab.sweeps.planner import plan

    size = {"hyperparameters.size": {"width": 64, "height": 128}} if given else {}
    common = {"dataset": "pocket-prompts", "samples": ["01-red-circle"], "tracking": "off", "runs_folder": str(tmp_path), **size}
    made = plan(
        SweepFile.from_dict({"name": "words", "notebook": "text_to_image", "parameters": common, "grid": {"checkpoint": [str(sd1), "pocket"]}})
    )
    resolved = [resolve(RunSpec.from_parameters(**point.parameters)) for point in made.runs]
    assert [one.picture_sizes for one in resolved] == ([((64, 128),)] * 2 if given else [((64, 64),), ((128, 128),)])
    assert [one.spec.edits[0].settings.denoising.num_inference_steps for one in resolved] == [50, 30]
    assert list(made.forwards.values()) == [50, 30]
    seen = "" if given else "; seen at {0}"
    lines = str(made).splitlines()
    assert f"checkpoint {sd1}: steps 50; guidance 7.5{seen.format('64x64')}" in lines
    assert f"checkpoint pocket: steps 30; guidance 5{seen.format('128x128')}" in lines
