"""A sweep's sheet: which picture stands in which row and column, and where the file is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.sweep import SweepFolder
from sdxl_lab.runs import resolution
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.report import end, record
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.viewing.sweep_sheets import Sheet, sheets_of
from tests.support import report_runs
from tests.support.sheets import holds

GUIDANCE, STEPS = "hyperparameters.denoising.guidance_scale", "hyperparameters.denoising.num_inference_steps"


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global plan
    from sdxl_lab.sweeps.planner import plan


def swept(folder: Path, grid: dict[str, Any], made: int | None = None, **parameters: Any) -> Any:
    """
    The plan of a sweep, its first runs recorded without a model.
    """
    shared = {"samples": ["red-circle"], "tasks": ["inpaint"], "tracking": "off", "runs_folder": str(folder / "warm")}
    planned = plan(SweepFile.from_dict({"name": "warm", "parameters": shared | parameters, "grid": grid}))
    for run in sorted(planned.runs, key=lambda run: run.place)[:made]:
        report_runs.recorded(resolution.resolve(RunSpec.from_parameters(**run.parameters)).spec, side_px=32)
    return planned


def sheet_of(planned: Any) -> Sheet:
    """
    The only sheet of a sweep.
    """
    [sheet] = sheets_of(record(planned))
    return sheet


def told(cell: Any, setting: str) -> Any:
    """
    What a cell's run says of a setting.
    """
    assert isinstance(cell, Picture)
    [value] = {getattr(edit.settings.denoising, setting) for edit in RunFolder(cell.image.parents[2]).resolved.edits}
    return value


@pytest.mark.parametrize("as_axis", [False, True])
def test_seeds_go_down_and_settings_across(tmp_path, as_axis):
    """
    Whether the seeds are an axis or those of each run, each is a row, each value of the other axis a column, and its picture where they meet.
    """
    grid: dict[str, Any] = {"hyperparameters.seed": [1, 2, 3]} if as_axis else {}
    sheet = sheet_of(swept(tmp_path, grid | {GUIDANCE: [3.0, 7.0]}, **({} if as_axis else {"hyperparameters": {"seeds": "1-3"}})))
    assert (sheet.task, sheet.down, sheet.rows) == ("inpaint", "seed", ("1", "2", "3"))
    assert sheet.across == "guidance_scale; seconds spent a picture"
    assert [column.splitlines()[0] for column in sheet.columns] == ["3.0", "7.0"]
    assert "guidance" not in sheet.same
    [(prompt, scheduler)] = {(cell.prompt, told(cell, "scheduler")) for row in sheet.cells for cell in row if isinstance(cell, Picture)}
    assert (sheet.same["prompt"], sheet.same["scheduler"]) == (prompt, scheduler)
    for row, cells in zip(sheet.rows, sheet.cells, strict=True):
        assert [(str(cell.seed), told(cell, "guidance_scale")) for cell in cells if isinstance(cell, Picture)] == [(row, 3.0), (row, 7.0)]


def test_a_column_tells_what_its_pictures_took(tmp_path):
    """
    Below its name stand the median of the column's seconds, as they are recorded, and the range where the slowest took over twice the fastest.
    """
    sheet = sheet_of(swept(tmp_path, {GUIDANCE: [3.0, 7.0]}, hyperparameters={"seeds": [1, 2]}))
    for index, column in enumerate(sheet.columns):
        spent = [cell.seconds for row in sheet.cells if isinstance(cell := row[index], Picture)]
        said, _, reach = column.splitlines()[1].partition(" s")
        assert bool(reach) == (max(spent) > 2 * min(spent))
        assert len(spent) == 2
        assert math.isclose(float(said), sum(spent) / 2, rel_tol=0.05)


def test_two_settings_of_one_sample_are_rows_and_columns(tmp_path):
    """
    Where there is but one sample and no seed, the first axis goes down instead of all points across.
    """
    sheet = sheet_of(swept(tmp_path, {STEPS: [3, 5], GUIDANCE: [3.0, 7.0, 9.0]}))
    assert (sheet.down, sheet.rows, sheet.across.split(";")[0]) == ("num_inference_steps", ("3", "5"), "guidance_scale")
    assert [[(told(cell, "num_inference_steps"), told(cell, "guidance_scale")) for cell in row] for row in sheet.cells] == [
        [(steps, guidance) for guidance in (3.0, 7.0, 9.0)] for steps in (3, 5)
    ]


def test_samples_go_down_and_what_is_not_there_says_so(tmp_path):
    """
    Of several samples each is a row; a point that failed is a column that says failed, one nobody made is missing.
    """
    planned = swept(tmp_path, {GUIDANCE: [3.0, 7.0, 9.0]}, made=1, samples=["red-circle", "yellow-star"])
    failed = next(run.label for run in planned.runs if run.place == 1)
    [sheet] = sheets_of(record(planned, {failed: "it was too warm"}))
    assert (sheet.down, len(sheet.rows)) == ("sample", 2)
    assert [[getattr(cell, "sample", cell) for cell in row] for row in sheet.cells] == [[row, "failed", None] for row in sheet.rows]


def test_the_sheet_lies_beside_the_report(tmp_path):
    """
    At its end a sweep names the file, which shows every picture, pixel by pixel.
    """
    planned = swept(tmp_path, {GUIDANCE: [3.0, 7.0]}, hyperparameters={"seeds": [1, 2]})
    lines = end(planned)
    sweep = SweepFolder(tmp_path / "warm")
    file = sweep.sheet_file("inpaint")
    assert lines[0] == f"to look at them: {sweep.report_file}, {file.name}"
    with Image.open(file) as sheet:
        assert all(holds(sheet, Image.open(picture.image)) for picture in sweep.pictures())
    assert len(sweep.pictures()) == 4
