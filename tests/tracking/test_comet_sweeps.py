"""A sweep's own experiment, by the unmodified SDK against the stand-in."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.comet import CometError
from sdxl_lab.records.finding import find, runs_at
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.run_files import RecordError
from sdxl_lab.records.sweep import SweepFolder
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.sweeps.plan import Group, Plan, PlannedRun
from sdxl_lab.sweeps.report import begin, end, record
from sdxl_lab.tracking import archive, confirmed, pushing, sender
from sdxl_lab.tracking.key import experiment_key
from sdxl_lab.tracking.projection import project
from tests.support.comet_runs import only, told
from tests.support.comet_server import backend as backend
from tests.support.commands import said
from tests.support.report_runs import FRACS, GUIDANCE, STEPS, planned, recorded
from tests.support.sheets import holds

pytestmark = pytest.mark.timeout(300)
COMMAND = "sdxl-lab sweep warm-days.yaml"
WORDS = (("octopus", "inpaint", "a red octopus", 1), ("octopus", "outpaint", "a library", 2), ("cup", "inpaint", "a cup", 3))


def specs(runs_folder: Path) -> list[ResolvedSpec]:
    """Twelve points, over three settings."""
    return [planned(runs_folder, *point, words=WORDS) for point in product(GUIDANCE, STEPS, FRACS)]


def plan_of(runs_folder: Path, name: str = "warm-days", tracking: str = "auto") -> Plan:
    """Their plan, however far they are."""
    runs = []
    for resolved, values in zip(specs(runs_folder), product(GUIDANCE, STEPS, FRACS), strict=True):
        denoising = dict(zip(("guidance_scale", "num_inference_steps", "high_noise_frac"), values, strict=True))
        run = PlannedRun(
            label=" ".join(f"{setting}={value}" for setting, value in denoising.items()),
            run_id=resolved.run_id,
            parameters=resolved.spec.model_dump() | {"tracking": tracking},
            folder=runs_folder / f"{resolved.spec.name}-{resolved.run_id[:10]}",
            status="new",
            works=dict.fromkeys(edit.key for edit in resolved.edits),  # pyright: ignore[reportArgumentType] - costs nothing
            pending=(),
            checkpoint="pocket",
            place=len(runs),
            overrides={f"hyperparameters.denoising.{setting}": value for setting, value in denoising.items()},
        )
        runs.append(run)
    return Plan(name=name, notebook=Path("notebook.ipynb"), runs_folder=runs_folder, groups=(Group(runs=tuple(reversed(runs))),), points=len(runs))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of twelve runs that are done."""
    folder = tmp_path_factory.mktemp("lab") / "artifacts" / "runs" / "warm-days"
    for resolved in specs(folder):
        recorded(resolved, side_px=32)
    return folder


@pytest.fixture
def runs_folder(made: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    return shutil.copytree(made, tmp_path / "artifacts" / "runs" / "warm-days")


def test_a_sweep_of_twelve_points_is_one_experiment(backend, runs_folder, monkeypatch):
    """
    At its end one process of the SDK sends its sheets, report, table and curves, what its points share and differ in; again, nothing is sent.
    """
    started = []
    monkeypatch.setattr("sdxl_lab.tracking.live.sender", lambda *given: started.append(given) or sender.sender(*given))
    lines = end(plan_of(runs_folder), command=COMMAND)
    sweep = SweepFolder(runs_folder)
    assert len(started) == 1
    if not confirmed.standing(sweep).is_whole:  # a machine with much else to do is too slow to be live
        sender.push(sweep)
    assert str(lines[-1]).startswith(("the sweep itself in Comet: http", "Comet lacks"))
    experiment = only(backend)
    assert experiment.key == experiment_key(sweep)
    assert (experiment.name, experiment.tags) == ("warm-days", {"warm-days", "sweep"})
    assert not experiment.running
    others = experiment.others
    assert others["description"] == COMMAND
    assert (others["points"], others["done"], others["failed"], others["pictures"]) == ("12", "12", "0", "36")
    assert others["axes"] == "guidance_scale, num_inference_steps, high_noise_frac"
    assert others["axis.guidance_scale"] == "2.0, 5.0, 9.0"
    assert others["axis.high_noise_frac"] == "0: none, 1: 0.8"
    assert experiment.parameters["dataset"] == "pocket-scenes"
    assert not [name for name in experiment.parameters if name.endswith(("guidance_scale", "num_inference_steps", "high_noise_frac"))]
    assert {(image.name, image.step) for image in experiment.images} == {("contact-sheet-inpaint", None), ("contact-sheet-outpaint", None)}
    assert runs_folder.joinpath("report.html").read_text("utf-8") in experiment.html
    before = told(experiment)
    posted = sum(method == "POST" and "notification" not in path for method, path in backend.requests)
    sender.push(sweep)
    assert told(only(backend)) == before
    assert sum(method == "POST" and "notification" not in path for method, path in backend.requests) == posted


def curves_of(sweep: SweepFolder, scratch: Path) -> dict[str, Any]:
    """The curves of a sweep's projection, by their names."""
    read = [json.loads(file.path.read_bytes()) for file in project(sweep, scratch).curves]
    return {curve["name"]: (curve["x"], curve["y"]) for curve in read}


def test_curves_are_means_over_the_other_axes(runs_folder, tmp_path):
    """
    Over an axis of numbers x is the value, else its place; y is the mean of all points with it; what was spent has no curve.
    """
    curves = curves_of(record(plan_of(runs_folder)), tmp_path)
    x, y = curves["inpaint/seam_delta_e over guidance_scale"]
    assert x == [2.0, 5.0, 9.0]
    assert np.allclose(y, [2 / 3, 5 / 3, 3])
    x, y = curves["outpaint/steps over num_inference_steps"]
    assert (x, y) == ([10, 30], [10, 30])
    x, y = curves["inpaint/seam_delta_e over high_noise_frac"]
    assert x == [0, 1]
    assert np.allclose(y, [16 / 9, 16 / 9])
    assert not [name for name in curves if "memory" in name or "seconds" in name]
    assert len(curves) == 2 * 4 * 3


def test_table_and_sheets_hold_every_point(runs_folder, tmp_path):
    """
    The table has a row a run with its label, what differs, means and intervals; a sheet shows each picture of its task in its point's column.
    """
    plan = plan_of(runs_folder)
    projection = project(record(plan), tmp_path)
    table = next(file for file in projection.assets if file.name == "comparison.csv")
    rows = list(csv.DictReader(io.StringIO(table.ready().read_text("utf-8"))))
    assert [row["label"] for row in rows] == [run.label for run in reversed(plan.runs)]
    assert [float(row["denoising.guidance_scale"]) for row in rows] == [guidance for guidance, _, _ in product(GUIDANCE, STEPS, FRACS)]
    assert np.allclose([float(row["seam_delta_e"]) * 3 for row in rows], [float(row["denoising.guidance_scale"]) for row in rows])
    assert {"seam_delta_e_low", "seam_delta_e_high", "seam_delta_e_n"} <= rows[0].keys()
    for file, task in zip(projection.images, ("inpaint", "outpaint"), strict=True):
        with Image.open(file.ready()) as sheet:
            assert all(holds(sheet, Image.open(path)) for run in plan.runs for path in run.folder.glob(f"images/*/{task}.png"))


def test_nothing_personal_is_in_a_sweeps_experiment(runs_folder, tmp_path):
    """
    Where an axis is a path, and labels hold it, no folder of this machine is in what is sent.
    """
    plan = plan_of(runs_folder)
    runs = [replace(run, label=f"{run.label} {run.folder}", overrides={**run.overrides, "dataset": str(run.folder)}) for run in plan.runs]
    sweep = record(replace(plan, groups=(Group(runs=tuple(runs)),)), command=COMMAND)
    assert str(tmp_path) in sweep.about_file.read_text("utf-8")
    projection = project(sweep, tmp_path)
    told = [projection.others, projection.parameters, projection.name, projection.description, [file.name for file in projection.files]]
    content = [json.dumps(told).encode(), *(file.ready().read_bytes() for file in (*projection.assets, *projection.curves))]
    assert b"axis.dataset" in content[0]
    assert not [text for text in content if str(tmp_path).encode() in text]


def test_a_sweep_that_went_on_is_brought_up(backend, runs_folder, capsys):
    """
    A sweep with a point that failed and one never begun is an experiment as far as it came; once they are made, the same one shows all of it.
    """
    last, failing = (resolved for resolved in reversed(specs(runs_folder)[-2:]))
    kept = {}
    for resolved in (last, failing):
        folder = runs_folder / f"{resolved.spec.name}-{resolved.run_id[:10]}"
        kept[folder] = shutil.move(folder, runs_folder.with_name(folder.name))
    plan = plan_of(runs_folder, tracking="off")
    sweep = record(plan, {plan.runs[1].label: "it was too warm"}, command=COMMAND)
    assert (sweep.planned, sweep.count, sweep.is_unfinished) == (36, 30, True)
    sender.push(sweep)
    experiment = only(backend)
    assert (experiment.others["done"], experiment.others["failed"]) == ("10", "1")
    sheets = {image.sha256 for image in experiment.images}
    for folder, elsewhere in kept.items():
        shutil.move(elsewhere, folder)
    sender.push(record(plan, command=COMMAND))
    assert (experiment.others["done"], experiment.others["failed"]) == ("12", "0")
    assert {(image.name, image.step) for image in experiment.images} == {("contact-sheet-inpaint", None), ("contact-sheet-outpaint", None)}
    assert len(experiment.images) == 2
    assert not sheets & {image.sha256 for image in experiment.images}
    [table] = [asset for asset in experiment.assets if asset.name == "comparison.csv"]
    assert len(table.content.splitlines()) == 13


def test_push_and_status_know_a_sweep_that_has_a_record(runs_folder, tmp_path, monkeypatch):
    """
    Beside its runs a sweep is a record of its own; one of an earlier version, without its file, is its runs alone, as it is in comparisons.
    """
    monkeypatch.chdir(tmp_path)
    before = said("status", "artifacts").out
    assert (before.count("3 of 3"), "a sweep" in before) == (12, False)
    begin(plan_of(runs_folder), command=COMMAND)
    kinds = [found.kind for found in pushing.records_of([tmp_path / "artifacts"], tmp_path)]
    assert (kinds.count("run"), kinds.count("sweep")) == (12, 1)
    [line] = [line for line in said("status", "artifacts").out.splitlines() if "a sweep" in line]
    assert line.split() == ["artifacts/runs/warm-days", "36", "of", "36", "yes,", "a", "sweep", "has", "nothing"]
    assert len(runs_at([runs_folder])) == 12


def test_a_folder_has_the_record_of_one_sweep(runs_folder):
    """
    A second sweep that records its runs there leaves the file of the first, and one line says that it gets no experiment.
    """
    end(plan_of(runs_folder, tracking="off"))
    first = SweepFolder(runs_folder).about_file.read_bytes()
    second = plan_of(runs_folder, name="cold-days", tracking="off")
    begin(second)
    *_, line = end(second)
    assert line.startswith("the sweep gets no experiment of its own:")
    assert "another runs_folder" in line
    assert SweepFolder(runs_folder).about_file.read_bytes() == first


def test_a_sweep_is_found_wherever_its_folder_lies(runs_folder, tmp_path):
    """
    Moved as a whole, and with a run that was begun under another name, it has the same pictures; a damaged file is one error, and no sweep.
    """
    sweep = record(plan_of(runs_folder))
    run = sweep.runs[0]
    assert run is not None
    moved = SweepFolder(shutil.move(runs_folder, tmp_path / "elsewhere"))
    (moved.path / run.path.name).rename(moved.path / f"other-{run.resolved.run_id[:10]}")
    assert [picture.sha256 for picture in moved.pictures()] == [
        picture.sha256 for resolved in specs(moved.path) for picture in found(moved, resolved)
    ]
    moved.about_file.write_text("{")
    with pytest.raises(RecordError, match=r"sweep\.json cannot be read"):
        _ = SweepFolder(moved.path).points
    assert {record.kind for record in find(moved.path)} == {"run"}


def found(sweep: SweepFolder, resolved: ResolvedSpec) -> tuple[Picture, ...]:
    """The pictures of one of its runs."""
    [folder] = sweep.path.glob(f"*-{resolved.run_id[:10]}")
    return RunFolder(folder).pictures()


def test_a_sweep_that_is_tracked_offline_has_an_archive(runs_folder):
    """
    At its end the archive is there, with sheets, table, curves and the report, and nothing personal; one with a point to make has none.
    """
    *_, line = end(plan_of(runs_folder, tracking="offline"), command=COMMAND)
    sweep = SweepFolder(runs_folder)
    [file] = sweep.comet_folder.glob("*.zip")
    assert line == f"of the sweep itself: comet upload {file}"
    with zipfile.ZipFile(file) as opened:
        assert opened.testzip() is None
        content = opened.read("messages.json").decode()
        sizes = [info.file_size for info in opened.infolist()]
    messages = [json.loads(each) for each in content.splitlines()]
    kinds = Counter(message["payload"]["upload_type"] for message in messages if message["type"] == "file_upload")
    assert kinds == {"visualization": 2, "asset": 2, "curve": 24}
    assert all(sizes)
    assert "htmlOverride" in {message["type"] for message in messages}
    assert str(runs_folder.parent) not in content
    shutil.rmtree(next(runs_folder.glob("guidance_2-*")))
    with pytest.raises(CometError, match="is not done"):
        archive.build(SweepFolder(runs_folder))
