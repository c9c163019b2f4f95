"""The offline archive of a finished run or sweep, which `comet upload` sends as one experiment."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from sdxl_lab.comet.dialogue import KeptWorker, Refusal
from sdxl_lab.comet.errors import CometError
from sdxl_lab.files.disk import TEMPORARY, DiskError, sync_folder, write_whole
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.sweep import SweepFolder
from sdxl_lab.tracking.experiment import File, Projection
from sdxl_lab.tracking.holdings import Holdings, lacking
from sdxl_lab.tracking.key import experiment_key
from sdxl_lab.tracking.logs import LOGS
from sdxl_lab.tracking.projection import project
from sdxl_lab.wording import counted

TIMEOUT_S = 300.0
STATE = "archive.json"
"""Beside the archive: a digest of what is in it."""

_worker = KeptWorker("sdxl_lab.tracking.archive_worker")


def build(record: RunFolder | SweepFolder) -> Path:
    """Build the offline archive of a finished run or sweep.

    It is built from the record alone, in a process of its own: the SDK sees neither the notebook's process nor the user's
    environment or configuration, and sends nothing. Built again with the same content, the archive there is kept; with other
    content, such as an executed notebook, it is replaced under the same key.

    Args:
        record: A run that is done, or a sweep whose runs are. Nobody else may be writing to it.

    Returns:
        `comet/<key>.zip` in its folder.

    Raises:
        CometError: It is not done, or the SDK did not build what it was asked for.
        DiskError: The disk is full or not writable.
    """
    require_done(record)
    target = record.comet_folder / f"{experiment_key(record)}.zip"
    state = record.comet_folder / STATE
    try:
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=record.comet_folder, ignore_cleanup_errors=True) as name:
            folder = Path(name).resolve()
            projection = project(type(record)(record.path.resolve()), folder)  # the worker has another working folder
            job = _plain(projection)
            content = json.dumps({"key": projection.key, "content": _digest(job)}).encode() + b"\n"
            if target.is_file() and state.is_file() and state.read_bytes() == content:
                return target
            built = _build(projection, job, folder / "out")
            with built.open("rb") as file:
                os.fsync(file.fileno())
            state.unlink(missing_ok=True)
            built.replace(target)
            sync_folder(record.comet_folder)
            write_whole(state, content)
    except OSError as error:
        raise DiskError(f"could not write {target}: {error.strerror or error}; free some space, or put permissions right, and run again") from error
    return target


def require_done(record: RunFolder | SweepFolder) -> None:
    """Make sure that a record is finished.

    Raises:
        CometError: It is not.
    """
    if record.is_unfinished:
        raise CometError(f"{record.path} is not done, and only a finished record is archived; run it again to finish it")


def is_archived(run: RunFolder) -> bool:
    """Whether there is an archive that was built since the run's notebook was executed."""
    state = run.comet_folder / STATE
    return state.is_file() and state.stat().st_mtime_ns >= run.executed_notebook.stat().st_mtime_ns


def prepare() -> None:
    """Have the SDK ready soon in the process that builds archives: it takes seconds to import, and nothing waits for it."""
    _worker.start()


def _plain(projection: Projection) -> dict[str, Any]:
    """All of it, as JSON has it: what an experiment that holds nothing lacks."""
    lacked = lacking(projection, Holdings())
    return {
        "key": projection.key,
        "name": projection.name,
        "tags": lacked.tags,
        "parameters": dict(lacked.parameters),
        "others": {name: value for name, value in lacked.others.items() if name != "Name"},
        "metrics": [[name, step, value] for (name, step), value in lacked.metrics.items()],
        "files": {kind: [_plain_file(file) for file in getattr(lacked, kind)] for kind in LOGS},
    }


def _plain_file(file: File) -> dict[str, Any]:
    return {"name": file.name, "step": file.step, "path": str(file.path), "sha256": file.sha256, "metadata": dict(file.metadata)}


def _digest(plain: dict[str, Any]) -> str:
    """Identify what an archive will hold, wherever its files lie."""
    files = {kind: [{**file, "path": ""} for file in files] for kind, files in plain["files"].items()}
    return hashlib.sha256(json.dumps(plain | {"files": files}, sort_keys=True).encode()).hexdigest()


def _build(projection: Projection, job: dict[str, Any], out: Path) -> Path:
    """Let the SDK write the archive, in a process that knows nothing of this one, and check what it wrote."""
    out.mkdir()
    for file in projection.files:
        file.ready()
    try:
        _worker.answer("build", silence_s=TIMEOUT_S, job=job, out=str(out))
    except Refusal as refusal:
        raise CometError(
            f"comet_ml could not build the archive: {refusal}; see that comet-ml is installed whole and the disk is not full, and run again: "
            "the pictures are kept"
        ) from None
    built = out / f"{projection.key}.zip"
    if not built.is_file():
        raise CometError("comet_ml wrote no archive; see that the disk is not full, and run again: the pictures are kept")
    _check_archive(built, sum(map(len, job["files"].values())))
    return built


def _check_archive(built: Path, expected: int) -> None:
    try:
        with zipfile.ZipFile(built) as opened:
            damaged = opened.testzip()
            messages = [json.loads(line) for line in opened.read("messages.json").splitlines()]
            members = set(opened.namelist())
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise CometError(f"comet_ml built an archive that cannot be read ({error}); run again: the pictures are kept") from error
    uploads = [message["payload"]["file_path"] for message in messages if message["type"] == "file_upload"]
    found = len(uploads) + sum(message["type"] == "htmlOverride" for message in messages)
    if damaged or found != expected or not set(uploads) <= members:
        raise CometError(
            f"comet_ml put {found} of {counted(expected, 'file')} into the archive; run again: the pictures are kept, and the disk may be full"
        )
