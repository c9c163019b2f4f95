"""Finding runs and sessions below folders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.kept import RunOfOne
from sdxl_lab.records.run_files import RecordError, RunFiles
from sdxl_lab.records.session import SessionFolder

Recorded: TypeAlias = RunFolder | SessionFolder


def find_runs(folder: Path) -> tuple[RunFolder, ...]:
    """Find the runs below a folder.

    Args:
        folder: A runs folder, or any folder above some.

    Returns:
        The run folders, done or not, sorted by path, numbers in it by size.

    Examples:
        >>> [len(folder.pictures()) for folder in find_runs(home() / "artifacts" / "runs" / "single")]
        [1, 1]
    """
    return tuple(found for found in find(folder) if isinstance(found, RunFolder))


def find_sessions(folder: Path) -> tuple[SessionFolder, ...]:
    """Find the sessions below a folder.

    Args:
        folder: Any folder above some, or a session's own.

    Returns:
        Their folders, sorted as runs are.
    """
    return tuple(found for found in find(folder) if isinstance(found, SessionFolder))


def find(folder: Path) -> tuple[Recorded, ...]:
    """Find runs and sessions below a folder, sorted by path, numbers in it by size; hidden folders are passed over.

    Args:
        folder: Any folder above some, or one's own.
    """
    files = [*folder.rglob("spec.json"), *folder.rglob("session.json")]
    found = (file for file in sorted(files, key=_by_size) if file.is_file() and not file.parent.name.startswith("."))
    return tuple(RunFolder(file.parent) if file.name == "spec.json" else SessionFolder(file.parent) for file in found)


def recorded_in(folder: Path) -> Recorded:
    """What a folder holds: a session if it has a session's file, else a run, which may be still to be written."""
    session = SessionFolder(folder)
    return session if session.session_file.is_file() else RunFolder(folder)


def recorded_at(paths: Iterable[RunFiles | SessionFolder | Path | str]) -> list[Recorded]:
    """Find runs and sessions, each folder once.

    Args:
        paths: Their folders, or folders above some, such as a sweep's.

    Returns:
        In the order given; those below a folder by path.

    Raises:
        RecordError: A path holds none.
    """
    found: dict[Path, Recorded] = {}
    for path in paths:
        folder = path.path if isinstance(path, RunFiles | SessionFolder) else Path(path)
        below = find(folder)
        if not below:
            kind = "holds no run" if folder.exists() else "is not there"
            raise RecordError(f"{folder} {kind}; give the folder of a run (it holds a spec.json), of a session, or a folder of runs")
        for each in below:
            found.setdefault(each.path.resolve(), each)
    return list(found.values())


def runs_at(paths: Iterable[RunFiles | SessionFolder | Path | str]) -> list[RunFiles]:
    """Find runs to look at, each once; each picture of a session is a run of one.

    Args:
        paths: As for `recorded_at`, and single pictures of sessions as runs.

    Returns:
        In the order given.

    Raises:
        RecordError: A path holds none.
    """
    runs: dict[Path, RunFiles] = {}
    for path in paths:
        for run in [path] if isinstance(path, RunOfOne) else as_runs(recorded_at([path])):
            runs.setdefault(run.path.resolve(), run)
    return list(runs.values())


def as_runs(recorded: Iterable[Recorded]) -> list[RunFiles]:
    """Runs as they are, and each picture of a session as a run of one."""
    each = ([kept.as_run for kept in found.pictures()] if isinstance(found, SessionFolder) else [found] for found in recorded)
    return [run for runs in each for run in runs]


def _by_size(path: Path) -> list[tuple[float, str]]:
    """A key to sort paths by, in which steps-9 comes before steps-10."""
    return [(-1, part) if index % 2 == 0 else (float(part), part) for index, part in enumerate(re.split(r"(\d+(?:\.\d+)?)", str(path)))]
