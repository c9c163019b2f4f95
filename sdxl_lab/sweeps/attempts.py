"""What the disk says of a sweep's runs: begun, recorded, tried by whom and with what end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import append_line, make_folder, whole_lines
from sdxl_lab.files.locks import locked
from sdxl_lab.kernels import notebooks
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.sweeps.plan import PlannedRun

FOLDER = ".attempts"
"""Beside the runs' folders, hidden, since it is no run."""

End = Literal["done", "failed", "broken"]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One time that a sweep tried a run.

    Attributes:
        sweep: Names the command that tried.
        process: Id of the process that did.
        began: Seconds since 1970.
        end: `done`; `failed`, an error of the notebook; `broken`, a fault of the machine; None as long as it lasts, or if its process died.
        message: What was wrong.
        new_kernel: Why the next run gets a new kernel, if it does.
        ended: Seconds since 1970, once it has ended.
    """

    sweep: str
    process: int
    began: float
    end: End | None = None
    message: str = ""
    new_kernel: str = ""
    ended: float | None = None


class Attempts:
    """The attempts at one run, in a file beside the runs. Reading needs no lock; writing happens inside `alone`."""

    def __init__(self, runs_folder: Path, run_id: str) -> None:
        self._folder = runs_folder / FOLDER
        self._run_id = run_id

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one who makes the run, on every machine that shares the folder.

        Raises:
            LockError: Somebody else does.
            DiskError: The folder cannot be written to.
        """
        make_folder(self._folder)
        with locked(self._folder, f"{self._run_id}.lock"):
            yield

    def begin(self, sweep: str) -> None:
        """Write down that an attempt begins."""
        self._append({"sweep": sweep, "process": os.getpid(), "began": round(time.time(), 3)})

    def end(self, sweep: str, end: End, message: str = "", new_kernel: str = "") -> None:
        """Write down how the latest attempt of a sweep ended."""
        self._append(
            {"sweep": sweep, "end": end, "message": message, "ended": round(time.time(), 3)} | ({"new_kernel": new_kernel} if new_kernel else {})
        )

    def of(self, sweep: str) -> tuple[Attempt, ...]:
        """The attempts of one sweep, in order."""
        found: list[Attempt] = []
        for line in whole_lines(self._file):
            values = _values(line)
            if values.get("sweep") != sweep:
                continue
            if "began" in values:
                found.append(Attempt(sweep=sweep, process=values["process"], began=values["began"]))
            elif found:
                last = found.pop()
                ended = {"end": values["end"], "message": values["message"], "new_kernel": values.get("new_kernel", ""), "ended": values.get("ended")}
                found.append(Attempt(sweep=sweep, process=last.process, began=last.began, **ended))
        return tuple(found)

    @property
    def was_cut_off(self) -> bool:
        """Whether the latest attempt, whoever's, has not come to its end: it may lack what comes after the record, such as the notebook's archive."""
        return "began" in self._latest

    @property
    def failed(self) -> bool:
        """Whether the latest attempt, whoever's, ended with an error, of the notebook or of the machine."""
        return self._latest.get("end") in ("failed", "broken")

    @property
    def _latest(self) -> dict[str, Any]:
        """What was written down last; empty before the first attempt."""
        lines = whole_lines(self._file)
        return _values(lines[-1]) if lines else {}

    @property
    def _file(self) -> Path:
        return self._folder / f"{self._run_id}.jsonl"

    def _append(self, values: dict[str, Any]) -> None:
        append_line(self._file, json.dumps(values, ensure_ascii=False).encode())


def begun(runs_folder: Path, run_id: str) -> RunFolder | None:
    """Find the folder in which a run was begun, whatever name it had then.

    Args:
        runs_folder: Where it would be recorded now.
        run_id: The run.

    Returns:
        The folder, done or to go on with; None if there is none.
    """
    for spec in sorted(runs_folder.glob(f"*-{run_id[:10]}/spec.json")):
        folder = RunFolder(spec.parent)
        try:
            resolved = folder.resolved
        except LabError:  # damaged: no run
            continue
        if resolved.run_id == run_id and folder.path.name == f"{resolved.spec.name}-{run_id[:10]}":
            return folder
    return None


def is_recorded(folder: RunFolder) -> bool:
    """Whether a run is recorded, with every picture and the executed notebook whole."""
    return folder.is_done and notebooks.is_whole(folder.executed_notebook) and not folder.pending()


def is_done(folder: RunFolder) -> bool:
    """Whether nothing is left to do for a run: recorded, and no attempt at it was cut off."""
    return is_recorded(folder) and not Attempts(folder.path.parent, folder.resolved.run_id).was_cut_off


def has_failed(run: PlannedRun) -> bool:
    """Whether the latest attempt at a run of a plan failed."""
    return Attempts(run.folder.parent, run.run_id).failed


def _values(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
