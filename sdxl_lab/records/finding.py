"""Finding runs, sessions, sweeps and answers of studies below folders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.kept import KeptPicture, RunOfOne
from sdxl_lab.records.run_files import RecordError, RunFiles
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.records.study_result import ResultFolder
from sdxl_lab.records.sweep import SweepFolder
from sdxl_lab.wording import counted

Recorded: TypeAlias = RunFolder | SessionFolder | SweepFolder | ResultFolder
RunLike: TypeAlias = RunFiles | SessionFolder
FILES = {"spec.json": RunFolder} | {kind.about_name: kind for kind in (SessionFolder, SweepFolder, ResultFolder)}
"""What tells that a folder is one, and of which kind."""


def find_runs(folder: Path | str) -> tuple[RunFolder, ...]:
    """Find the runs below a folder.

    Args:
        folder: A runs folder, or any folder above some.

    Returns:
        The run folders, done or not, sorted by path, numbers in it by size.

    Examples:
        >>> [len(folder.pictures()) for folder in find_runs(home() / "artifacts" / "runs" / "single")]
        [1, 1]
    """
    return tuple(found for found in find(Path(folder).expanduser()) if isinstance(found, RunFolder))


def find_sessions(folder: Path) -> tuple[SessionFolder, ...]:
    """Find the sessions below a folder.

    Args:
        folder: Any folder above some, or a session's own.

    Returns:
        Their folders, sorted as runs are.
    """
    return tuple(found for found in find(folder) if isinstance(found, SessionFolder))


def find(folder: Path) -> tuple[Recorded, ...]:
    """Find runs, sessions, sweeps and answers of studies below a folder, sorted by path, numbers in it by size; hidden folders are passed over.

    Args:
        folder: Any folder above some, or one's own.
    """
    files = [file for name in FILES for file in folder.rglob(name)]
    found = (FILES[file.name](file.parent) for file in sorted(files, key=_by_size) if file.is_file() and not file.parent.name.startswith("."))
    return tuple(record for record in found if not isinstance(record, SweepFolder | ResultFolder) or record.is_readable)


def each_of(given: Iterable[RunLike | Path | str] | RunLike | Path | str) -> list[RunLike | Path | str]:
    """What was given, one or several, as a list."""
    return [given] if isinstance(given, RunLike | Path | str) else list(given)


def recorded_in(folder: Path) -> Recorded:
    """What a folder holds: by its file a session or a sweep, else a run, which may be still to be written."""
    return next((kind(folder) for name, kind in FILES.items() if (folder / name).is_file()), RunFolder(folder))


def recorded_at(paths: Iterable[RunLike | Path | str]) -> list[Recorded]:
    """Find runs, sessions and sweeps, each folder once.

    Args:
        paths: Their folders, or folders above some, such as a sweep's.

    Returns:
        In the order given; those below a folder by path.

    Raises:
        RecordError: A path holds none.
    """
    found: dict[Path, Recorded] = {}
    for path in paths:
        folder = path.path if isinstance(path, RunLike) else Path(path).expanduser()
        below = find(folder)
        if not below:
            kind = (_as_file(folder) or "is a file, and holds no run") if folder.is_file() else "holds no run" if folder.exists() else "is not there"
            raise RecordError(
                f"{folder} {kind}; give the folder of a run (it holds a spec.json), of a session, or a folder of runs, such as a sweep's"
            )
        for each in below:
            found.setdefault(each.path.resolve(), each)
    return list(found.values())


def runs_at(paths: Iterable[RunLike | Path | str]) -> list[RunFiles]:
    """Find runs to look at, each once; each picture of a session is a run of one.

    Args:
        paths: As for `recorded_at`, and single pictures of sessions, as runs or by the paths of their PNGs.

    Returns:
        In the order given.

    Raises:
        RecordError: A path holds none.
    """
    runs: dict[Path, RunFiles] = {}
    kept: dict[Path, dict[Path, KeptPicture]] = {}
    for path in paths:
        for run in _runs_of(path, kept):
            runs.setdefault(run.path.resolve(), run)
    return list(runs.values())


def starred(runs: Iterable[RunFiles]) -> tuple[list[RunFiles], str]:
    """Choose the pictures of sessions that are starred.

    Args:
        runs: As `runs_at` finds them.

    Returns:
        They, and what is to be said of what was left out, which has no stars; empty if nothing was.

    Raises:
        RecordError: None is starred, or there is no picture of a session.
    """
    found = list(runs)
    pictures = [run for run in found if isinstance(run, RunOfOne)]
    chosen: list[RunFiles] = [run for run in pictures if run.kept.is_starred]
    if not pictures:
        raise RecordError(f"got {counted(len(found), 'run')} and no picture of a session, and only those have stars; give a session's folder")
    if not chosen:
        are = counted(len(pictures), "picture is there, and it is not", "pictures are there, and none is")
        raise RecordError(f"{are} starred; star some (bench.star(3)), or look at all of them")
    others = len(found) - len(pictures)
    return chosen, f"{counted(others, 'run has', 'runs have')} no stars: left out" if others else ""


def kept_at(picture: Path) -> KeptPicture | None:
    """What a session says of a picture that lies in it.

    Args:
        picture: A file.

    Returns:
        None where it is not one of a session's pictures.
    """
    return _kept_beside(picture).get(picture.resolve())


def as_runs(recorded: Iterable[Recorded]) -> list[RunFiles]:
    """Runs as they are, and each picture of a session as a run of one; the runs of a sweep are found for themselves."""
    runs: list[RunFiles] = []
    for found in recorded:
        if isinstance(found, SessionFolder):
            runs += [kept.as_run for kept in found.pictures() if kept.is_sound]
        elif isinstance(found, RunFolder):
            runs.append(found)
    return runs


def _runs_of(path: RunLike | Path | str, kept: dict[Path, dict[Path, KeptPicture]]) -> list[RunFiles]:
    """The runs at one path; `kept` remembers the pictures of sessions, which may be named one by one."""
    if isinstance(path, RunFiles) and not isinstance(path, RunFolder):
        return [path]
    if isinstance(path, Path | str) and (file := Path(path).expanduser().resolve()).is_file():
        if file.parent not in kept:
            kept[file.parent] = _kept_beside(file)
        if file not in kept[file.parent]:
            kind = _as_file(file) or "is a file, and no picture of a session"
            raise RecordError(f"{path} {kind}; give the folder of a run or a session, or a picture that lies in a session")
        return [kept[file.parent][file].as_run]
    found = recorded_at([path])
    if all(isinstance(each, ResultFolder) for each in found):
        raise RecordError(f"{path} holds the answer of a study and no run; give the folder of a run, of a session, or a folder of runs")
    return as_runs(found)


def _as_file(file: Path) -> str:
    """What is to be said of a file of a sweep, which commands take for its runs; of others nothing."""
    return "is a file of parameters, and of a sweep the folder of its runs is what to give" if file.suffix in (".yaml", ".yml") else ""


def _kept_beside(picture: Path) -> dict[Path, KeptPicture]:
    """The pictures of the session that a picture lies in, by their paths."""
    session = SessionFolder(picture.resolve().parent.parent)
    if not session.is_begun:
        return {}
    return {kept.recorded.image.resolve(): kept for kept in session.pictures()}


def _by_size(path: Path) -> list[tuple[float, str]]:
    """A key to sort paths by, in which steps-9 comes before steps-10."""
    return [(-1, part) if index % 2 == 0 else (float(part), part) for index, part in enumerate(re.split(r"(\d+(?:\.\d+)?)", str(path)))]
