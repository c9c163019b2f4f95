"""Runs of earlier releases in Comet: what they sent is left as it is, what they did not send is sent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.tracking import confirmed, sender
from sdxl_lab.tracking.tracker import end
from tests.records.test_releases import RUNS
from tests.support.comet_runs import only, told
from tests.support.comet_server import backend as backend

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def kept(tmp_path: Path) -> RunFolder:
    """A copy of 0.1.0's run, which Comet knows nothing of."""
    return RunFolder(shutil.copytree(RUNS[0], tmp_path / "runs" / "demo" / RUNS[0].name))


def as_confirmed_by_the_first_release(run: RunFolder) -> None:
    """
    Write the note as 0.1.0 does, which knows no versions of projections.
    """
    path = run.comet_folder / "confirmed.json"
    note = json.loads(path.read_text())
    del note["projection"]
    path.write_text(json.dumps(note, indent=2) + "\n")


def test_a_run_of_an_earlier_release_is_pushed_once(backend, kept):
    """
    All of it is sent; what another version confirmed is not sent again, though this one would say more of it; what this one confirmed is mended.
    """
    sender.push(kept)
    experiment = only(backend)
    results = [image for image in experiment.images if image.name in ("inpaint", "outpaint")]
    assert {(image.metadata or {})["picture_id"] for image in results} == {picture.picture_id for picture in kept.pictures()}
    assert (len(results), confirmed.standing(kept).is_whole) == (10, True)

    as_confirmed_by_the_first_release(kept)
    del experiment.parameters["dtype"]  # as if 0.1.0 had not sent it
    before = told(experiment)
    sender.push(kept)
    assert confirmed.standing(kept).is_whole
    assert told(experiment) == before

    (kept.comet_folder / "confirmed.json").unlink()
    sender.push(kept)
    assert "dtype" in experiment.parameters
    assert len([image for image in experiment.images if image.name in ("inpaint", "outpaint")]) == 10


def test_a_finished_run_is_not_laid_out_anew(kept):
    """
    Ending a run of an earlier release once more, as a notebook run again does, leaves its sheet and its report as they were.
    """
    for file in (kept.contact_sheet, kept.report_file):
        file.touch()
    before = [file.read_bytes() for file in (kept.contact_sheet, kept.report_file)]
    end(kept)
    assert [file.read_bytes() for file in (kept.contact_sheet, kept.report_file)] == before
