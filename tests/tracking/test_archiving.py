"""`sdxl-lab archive`: an archive of a run on request."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sdxl_lab.files.disk import write_whole
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.tracking import sender
from sdxl_lab.tracking.key import experiment_key
from sdxl_lab.tracking.projection import project
from tests.support.comet_runs import told
from tests.support.comet_server import Backend, serving
from tests.support.commands import said
from tests.support.run_folders import complete
from tests.support.runs import made_for, resolved_run
from tests.support.sessions import begun


@pytest.fixture
def runs(tmp_path: Path) -> list[RunFolder]:
    """Two runs that are done, one of which Comet is not to be told of."""
    return [complete(resolved_run(tmp_path / "runs" / name, tracking=tracking)) for name, tracking in (("one", "auto"), ("two", "off"))]


def test_archives_are_built_of_runs_whatever_their_tracking(runs, tmp_path, monkeypatch):
    """
    Each run below the folder gets a whole archive, the command says how it is sent, and the second time nothing is built.
    """
    monkeypatch.chdir(tmp_path)
    archived = said("archive", "runs")
    assert archived.code == 0, archived.err
    files = [run.comet_folder / f"{experiment_key(run)}.zip" for run in runs]
    assert archived.out.splitlines() == [
        f"{run.path.name} is archived; with an API key, this sends it: comet upload {file.relative_to(tmp_path)}"
        for run, file in zip(runs, files, strict=True)
    ]
    for run, file in zip(runs, files, strict=True):
        projection = project(run, tmp_path)
        with zipfile.ZipFile(file) as opened:
            assert opened.testzip() is None
            assert opened.read("messages.json").count(b'"file_upload"') == len(projection.images) + len(projection.assets)
    before = [file.stat().st_mtime_ns for file in files]
    assert said("archive", *(run.path for run in runs)).code == 0
    assert [file.stat().st_mtime_ns for file in files] == before


def test_what_cannot_be_archived_is_told_and_the_rest_is_archived(runs, tmp_path):
    """
    A run that is not done and a session are one line each and leave with 1; what holds no run is refused at once.
    """
    resolved = resolved_run(tmp_path / "runs" / "three")
    unfinished = RunFolder.of(resolved)
    with unfinished.open(resolved):
        unfinished.add_picture(resolved.edits[0], made_for(resolved.edits[0]))
    session = begun(tmp_path / "runs" / "sessions")
    write_whole(session.about_file, json.dumps(session.about).encode())
    refused = said("archive", tmp_path / "runs")
    assert refused.code == 1
    assert refused.out.count("is archived") == 2
    errors = [line for line in refused.err.splitlines() if "archiving" not in line]
    assert len(errors) == 3
    assert f"{session.path} is a session" in refused.err
    assert f"{unfinished.path} is not done" in refused.err
    assert errors[-1] == "sdxl-lab: 2 of 4 records are not archived; the lines above say why"
    assert "holds no run" in said("archive", tmp_path / "home").err + said("archive", runs[0].images_folder).err


@pytest.mark.slow
def test_push_goes_on_with_what_came_as_an_archive(runs, tmp_path, monkeypatch):
    """
    An archive that Comet's own command sent is the experiment that `push` would send: pushed afterward, nothing of it is sent again.
    """
    carried, _ = runs
    live = RunFolder(shutil.copytree(carried.path, tmp_path / "elsewhere" / carried.path.relative_to(tmp_path)))
    with serving(Backend()) as backend:
        for name, value in (backend.environment() | {"HOME": str(tmp_path)}).items():
            monkeypatch.setenv(name, value)
        sender.push(live)
        said("archive", carried.path)
        [file] = carried.comet_folder.glob("*.zip")
        subprocess.run([Path(sys.executable).with_name("comet"), "upload", file], check=True, capture_output=True, cwd=tmp_path, timeout=120)
        uploads = [path for _, path in backend.requests if "upload" in path]
        sender.push(carried)
        assert [path for _, path in backend.requests if "upload" in path] == uploads
        pushed, uploaded = (told(backend.experiments[experiment_key(run)]) for run in (live, carried))
        for part in ("name", "tags", "parameters", "images", "assets"):
            assert uploaded[part] == pushed[part]
        assert uploaded["others"].items() >= pushed["others"].items()
        assert set(uploaded["metrics"]) >= set(pushed["metrics"])
