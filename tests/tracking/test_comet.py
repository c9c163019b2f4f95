from __future__ import annotations

import base64
import getpass
import hashlib
import json
import platform
import shutil
import socket
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdxl_lab.comet import CometError, dialogue
from sdxl_lab.comet.process import WorkerProcess
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.tracking.archive import build
from sdxl_lab.tracking.key import experiment_key
from sdxl_lab.tracking.projection import project
from tests.support.run_folders import complete
from tests.support.runs import resolved_run

PERSONAL = "ann-o-nymous"


def finished(folder: Path) -> RunFolder:
    """A run that is done, by somebody whose paths show."""
    resolved = resolved_run(folder / PERSONAL / "runs" / "demo", dataset=str(folder / PERSONAL / "my pictures"))
    return complete(resolved, change_outside_max=2.5)


def notebook(folder: Path) -> str:
    """An executed notebook as papermill and ipykernel write it, full of paths and names."""
    path = f"{folder}/{PERSONAL}/lab/notebook.ipynb"
    frame = f"\x1b[32mFile \x1b[39m\x1b[32m{path}:3\x1b[39m, in <module>"
    png = base64.b64encode(bytes(range(256))).decode()
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": [f"host {platform.node()}\n", f"saved {path}\n", "see https://example.org/a/b/c.html\n"]},
        {"output_type": "display_data", "data": {"image/png": png, "text/plain": [f"PosixPath('{path}')"]}, "metadata": {"at": path}},
        {"output_type": "error", "ename": "LabError", "evalue": f"no {path}", "traceback": [frame]},
    ]
    cell = {"cell_type": "code", "source": ["x = 1\n"], "execution_count": 1, "outputs": outputs}
    cell["metadata"] = {"tags": ["parameters"], "papermill": {"start_time": "now"}}
    papermill = {"input_path": path, "output_path": path, "parameters": {"dataset": path}}
    metadata = {"papermill": papermill, "kernelspec": {"name": "python3", "display_name": "Python 3", "path": path}}
    return json.dumps({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Path]:
    """A run and its archive, with contact sheet and notebook; the SDK is real, HOME is not."""
    folder = tmp_path_factory.mktemp("comet")
    run = finished(folder)
    run.executed_notebook.write_text(notebook(folder), "utf-8")
    Image.new("RGB", (8, 8)).save(run.contact_sheet)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("COMET_API_KEY", "k" * 25)
        patch.setenv("MY_SECRET", PERSONAL)
        (folder / ".comet.config").write_text(f"[comet]\nworkspace = {PERSONAL}\n")
        return run, build(run)


def members(archive: Path) -> dict[str, bytes]:
    """Every file of an archive."""
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def messages(archive: Path, kind: str) -> list[dict[str, Any]]:
    """What an archive says, of one kind."""
    lines = [json.loads(line) for line in members(archive)["messages.json"].splitlines()]
    return [line["payload"] for line in lines if line["type"] == kind]


def uploads(archive: Path, kind: str) -> list[dict[str, Any]]:
    """The files of an archive, of one kind."""
    return [upload for upload in messages(archive, "file_upload") if upload["upload_type"] == kind]


def test_every_picture_is_there_under_a_fixed_name(archived):
    """
    Results, inputs and masks carry the same names in every run, with step = index of the sample, and their own bytes.
    """
    run, archive = archived
    files = members(archive)
    found = {(upload["additional_params"]["figName"], upload["additional_params"]["step"]): upload for upload in uploads(archive, "visualization")}
    assert set(found) == {
        ("input", 0), ("inpaint", 0), ("inpaint-mask", 0), ("outpaint", 0), ("outpaint-mask", 0),
        ("input", 1), ("inpaint", 1), ("inpaint-mask", 1), ("contact-sheet", None),
        ("before-after-inpaint", 0), ("before-after-outpaint", 0), ("before-after-inpaint", 1),
    }  # fmt: skip
    for picture in run.pictures():
        upload = found[picture.task, picture.step]
        assert files[upload["file_path"]] == picture.image.read_bytes()
        assert files[found[f"{picture.task}-mask", picture.step]["file_path"]] == picture.mask_image.read_bytes()
        metadata = upload["metadata"]
        assert {
            name: metadata[name] for name in ("prompt", "negative_prompt", "seed", "sample", "task", "sha256", "base_steps", "refiner_steps")
        } == {
            "prompt": picture.prompt,
            "negative_prompt": None,
            "seed": picture.seed,
            "sample": picture.sample,
            "task": picture.task,
            "sha256": picture.sha256,
            "base_steps": 24,
            "refiner_steps": 6,
        }


def test_parameters_metrics_tags_and_others_are_those_of_the_record(archived):
    """
    The experiment holds nested parameters, metrics with steps, tasks and group as tags, and what identifies the run.
    """
    run, archive = archived
    parameters = {message["param"]["paramName"]: message["param"]["paramValue"] for message in messages(archive, "parameter_msg")}
    assert parameters["denoising|high_noise_frac"] == 0.8
    assert parameters["mask|kernel_size"] == 1
    assert parameters["outpaint|mode"] == "background"
    assert "curr_step" not in parameters
    metrics = {
        (message["metric"]["metricName"], message["metric"].get("step")): message["metric"]["metricValue"]
        for message in messages(archive, "metric_msg")
    }
    assert metrics["inpaint/change_outside_max", 1] == 2.5
    assert metrics["outpaint/seconds", 0] == 0.25
    assert metrics["mean/inpaint/change_outside_max", None] == 2.5
    assert metrics["inpaint/refiner_steps", 1] == 6
    experiment = json.loads(members(archive)["experiment.json"])
    assert experiment["offline_id"] == archive.stem == experiment_key(run)
    assert set(experiment["tags"]) == {"inpaint", "outpaint", "demo"}
    others = {message["key"]: message["value"] for message in messages(archive, "log_other")}
    assert others["Name"] == "test"
    assert others["run_id"] == run.resolved.run_id
    assert others["description"].startswith("sdxl-lab run inpaint_outpaint ")
    assert others["dataset"] == "pocket-scenes:1"
    assert others["checkpoint_digest"] == "c" * 64
    assert others["version.torch"]


def test_the_prompts_and_the_notebook_are_there(archived):
    """
    prompts.csv is the file on disk; the notebook keeps its source, its pictures and its web addresses.
    """
    run, archive = archived
    files = members(archive)
    sent = {kind: uploads(archive, kind) for kind in ("asset", "notebook")}
    assets = {upload["additional_params"]["fileName"]: files[upload["file_path"]] for kind in sent.values() for upload in kind}
    assert {kind: [upload["additional_params"]["fileName"] for upload in of] for kind, of in sent.items()} == {
        "asset": ["prompts.csv"],
        "notebook": ["executed.ipynb"],
    }
    assert assets["prompts.csv"] == run.prompts_file.read_bytes()
    cell = json.loads(assets["executed.ipynb"])["cells"][0]
    assert cell["source"] == ["x = 1\n"]
    assert base64.b64decode(cell["outputs"][1]["data"]["image/png"]) == bytes(range(256))
    assert "https://example.org/a/b/c.html" in "".join(cell["outputs"][0]["text"])
    assert cell["metadata"] == {"tags": ["parameters"]}


def test_nothing_personal_is_in_the_archive(archived):
    """
    No byte of it names host, user, home, folders, environment, account, arguments or repository.
    """
    run, archive = archived
    content = b"\n".join(name.encode() + b"\n" + data for name, data in members(archive).items()).lower()
    repository = Path(__file__).resolve().parents[2]
    forbidden = [
        PERSONAL,
        str(run.path),
        str(run.path.parent),
        str(Path.home()),
        str(repository),
        str(repository.parent),
        sys.prefix,
        sys.executable,
        str(Path.cwd()),
    ]
    forbidden += [
        platform.node(),
        socket.gethostname(),
        "k" * 25,
        "/tmp/",
        "/home/",
        "/users/",
        "pytest",
        "comet_api_key",
        "hostname",
        "git@",
        "site-packages",
    ]
    if getpass.getuser() != "root":
        forbidden.append(getpass.getuser())
    for text in forbidden:
        assert len(text) < 3 or text.lower().encode() not in content, text
    kinds = {json.loads(line)["type"] for line in members(archive)["messages.json"].splitlines()}
    assert kinds == {"log_other", "parameter_msg", "metric_msg", "file_upload"}


def test_the_same_content_is_not_built_again(archived, tmp_path, monkeypatch):
    """
    A second projection of an unchanged record leaves the very file; another content replaces it under the same key.
    """
    run, archive = archived
    monkeypatch.setenv("HOME", str(tmp_path.parent / "comet0"))
    before = archive.stat()
    assert build(run) == archive
    assert (archive.stat().st_ino, archive.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    Image.new("RGB", (9, 9)).save(run.contact_sheet)
    assert build(run) == archive
    assert archive.stat().st_mtime_ns != before.st_mtime_ns
    assert len(list(run.comet_folder.iterdir())) == 3
    images = {upload["additional_params"]["figName"]: upload["file_path"] for upload in uploads(archive, "visualization")}
    assert hashlib.sha256(members(archive)[images["contact-sheet"]]).digest() == hashlib.sha256(run.contact_sheet.read_bytes()).digest()


def said(archive: Path) -> list[Any]:
    """All messages of an archive, without what the SDK draws anew each time."""
    lines = [json.loads(line) for line in members(archive)["messages.json"].splitlines()]
    for line in lines:
        for name in ("local_timestamp", "file_path"):
            line["payload"].pop(name, None)
        for name in ("imageId", "assetId"):
            line["payload"].get("additional_params", {}).pop(name, None)
    return lines


def test_archives_in_a_row_are_built_by_one_process(tmp_path, monkeypatch):
    """
    The SDK starts once for many archives, again when the user's settings for it have changed or it was killed, and each holds its own run alone.
    """
    started = []

    class Counted(WorkerProcess):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(dialogue, "WorkerProcess", Counted)
    first, second = finished(tmp_path / "first"), finished(tmp_path / "second")
    monkeypatch.setenv("COMET_PROJECT_NAME", "one")
    build(first)
    in_a_row = said(build(second))
    assert len(started) == 1
    started[-1].end()
    shutil.rmtree(second.comet_folder)
    alone = said(build(second))
    assert len(started) == 2
    assert in_a_row == alone
    monkeypatch.setenv("COMET_PROJECT_NAME", "another")
    Image.new("RGB", (9, 9)).save(second.contact_sheet)
    assert json.loads(members(build(second))["experiment.json"])["project_name"] == "another"
    assert len(started) == 3


def test_only_a_finished_run_is_archived(tmp_path):
    """
    A run without record.json is refused, and no key is drawn for it.
    """
    run = RunFolder(tmp_path / "run")
    with pytest.raises(CometError, match="not done"):
        build(run)
    assert not run.comet_folder.exists()


def test_an_archive_that_fails_leaves_the_one_before(archived, monkeypatch):
    """
    When the SDK cannot do its work there is one error, no leftover, and the archive is the one that was there.
    """
    run, archive = archived
    before = archive.read_bytes()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(CometError, match="could not build"):
        build(run)
    assert archive.read_bytes() == before
    assert not list(run.comet_folder.glob(".unfinished-*"))


def test_a_report_of_too_many_pictures_for_one_file_stays_here(tmp_path):
    """
    Comet shows an asset by itself, so the report goes along only if its pictures are in it.
    """
    run = finished(tmp_path)
    run.report_file.write_text("<!doctype html>")
    assert "report.html" in [file.name for file in project(run, tmp_path).assets]
    run.report_pictures.mkdir()
    assert "report.html" not in [file.name for file in project(run, tmp_path).assets]
