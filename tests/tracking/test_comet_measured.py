"""What Comet is told of records that were measured, or asked people about, since they were told."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.sweep import RecordedPoint, SweepFolder
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.studies.recorded import answer_of
from sdxl_lab.tracking import pushing, tracker
from sdxl_lab.viewing.report import write_report
from tests.support import report_runs
from tests.support.answered import PLACES, asked_about
from tests.support.comet_runs import told
from tests.support.comet_server import backend as backend
from tests.support.commands import said

pytestmark = pytest.mark.timeout(300)
SECTION = 'class="preferred"'


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    """A sweep of two runs that are done, with their pages."""
    return sweep_of(tmp_path / "runs", [report_runs.recorded(resolved, side_px=48) for resolved in planned(tmp_path / "runs")])


def planned(runs: Path) -> list[ResolvedSpec]:
    """Two runs that differ in guidance."""
    return [report_runs.planned(runs, guidance, 10, None, PLACES) for guidance in report_runs.GUIDANCE[:2]]


def sweep_of(folder: Path, runs: list[RunFolder], failed: int = 0) -> SweepFolder:
    """A sweep of runs, with the pages of each and of all, and with points that failed."""
    for run in runs:
        write_report([run], run.report_file)
    write_report(runs, folder / "report.html", title="warm")
    points = [RecordedPoint(label=run.path.name, run_id=run.resolved.run_id, folder=run.path.name, pictures=6, values={}) for run in runs]
    points += [RecordedPoint(label="none", run_id="0" * 64, folder="none", pictures=6, values={}, failed=True)] * failed
    return SweepFolder(folder).write(name="warm", tracking="auto", command="", points=points)


def test_a_push_after_votes_were_counted_brings_pages_and_table(backend, sweep, tmp_path):
    """
    Without a report in between, runs and sweep have the section in Comet, as `report` writes it, and the table has each run's share of votes.
    """
    pushing.push([sweep.path], sweep.path)
    assert not any(SECTION in page for experiment in backend.experiments.values() for page in experiment.html)
    _, result = asked_about(sweep.path, tmp_path / "study")
    column = answer_of(result).column
    pushing.push([sweep.path], sweep.path)
    experiments = list(backend.experiments.values())
    assert len(experiments) == 3
    assert [experiment.html.count(SECTION) for experiment in experiments] == [1, 1, 1]
    [of_sweep] = [experiment for experiment in experiments if "sweep" in experiment.tags]
    assert write_report([run for run in sweep.runs if run], tmp_path / "report.html", title="warm").read_text("utf-8") in of_sweep.html
    [table] = [asset for asset in of_sweep.assets if asset.name == "comparison.csv"]
    rows = {row["label"]: float(row[column]) for row in csv.DictReader(io.StringIO(table.content.decode()))}
    for run in sweep.runs:
        assert run
        own = [picture.metrics[column] for picture in run.pictures()]
        assert rows[run.path.name] == pytest.approx(sum(own) / len(own))
    before = [told(experiment) for experiment in experiments]
    pushing.push([sweep.path], sweep.path)
    assert [told(experiment) for experiment in backend.experiments.values()] == before
    for run in sweep.runs:
        assert run
        assert said("status", run.path).out.count("has all of it") == 1


def test_pages_of_records_that_nobody_measured_stay_as_they_are(backend, sweep):
    """
    Another version's page, of a run or a sweep without new numbers, is sent as that version wrote it.
    """
    files = [sweep.report_file, *(run.report_file for run in sweep.runs if run)]
    for file in files:
        file.write_text("<html>of long ago</html>")
    pushing.push([sweep.path], sweep.path)
    assert {file.read_text() for file in files} == {"<html>of long ago</html>"}
    assert all("of long ago" in experiment.html for experiment in backend.experiments.values())


def test_a_page_with_what_was_not_made_is_left_to_the_sweep(backend, tmp_path, capsys):
    """
    The page of a sweep with a point to make stays, since only the sweep knows what that would have been; a push says so.
    """
    folder = tmp_path / "runs"
    sweep = sweep_of(folder, [report_runs.recorded(resolved, side_px=48) for resolved in planned(folder)], failed=1)
    content = sweep.report_file.read_bytes()
    asked_about(folder, tmp_path / "study")
    pushing.push([folder], folder)
    assert sweep.report_file.read_bytes() == content
    said_of = capsys.readouterr().err
    assert "runs is not done, and its page lacks what was measured or asked since; going on with the sweep writes it anew" in said_of


def test_a_run_that_ends_again_has_the_page_of_now(sweep, tmp_path):
    """
    Asked for once more, a run that is done makes nothing, and its page has what people said since.
    """
    runs = [run for run in sweep.runs if run]
    for has_votes in (False, True):
        if has_votes:
            asked_about(sweep.path, tmp_path / "study")
        for run in runs:
            tracker.end(run)
        assert [SECTION in run.report_file.read_text("utf-8") for run in runs] == [has_votes, has_votes]


def test_an_archive_has_the_page_of_now(sweep, tmp_path):
    """
    Archives of runs and of their sweep that are built after votes were counted take the place of those before, and hold the pages with the section.
    """
    for has_votes in (False, True):
        if has_votes:
            asked_about(sweep.path, tmp_path / "study")
        answer = said("archive", sweep.path)
        assert answer.code == 0, answer.err
        archives = sorted(sweep.path.rglob("comet/*.zip"))
        assert len(archives) == 3
        for file in archives:
            with zipfile.ZipFile(file) as opened:
                assert (SECTION.encode() in opened.read("messages.json").replace(b'\\"', b'"')) == has_votes
