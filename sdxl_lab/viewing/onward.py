"""From a record to parameters: those that continue from a run, from one of its pictures, or from a picture of a session."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sdxl_lab.checkpoints import moved_defaults
from sdxl_lab.datasets import inputs
from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import write_once
from sdxl_lab.records.finding import find, kept_at
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.picture import file_name
from sdxl_lab.records.run_files import RunFiles
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.records.stamps import Stamp, read_stamp
from sdxl_lab.records.study_result import ResultFolder
from sdxl_lab.settings.documents import written
from sdxl_lab.settings.hyperparams import merge
from sdxl_lab.spec.asked_again import as_parameters, with_files
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.wording import counted


class ShowError(LabError):
    """There is nothing to show at a path, or nothing to go on from."""


def parameters_of(path: Path) -> dict[str, Any]:
    """Write the parameters that continue from a run or a picture.

    Args:
        path: A run's folder, or a PNG that sdxl_lab made.

    Returns:
        Nested plain values for YAML. A run's plan the same run; a picture's plan that one picture, its prompt and seed included. Settings whose
        defaults have moved since it was made are written out. What a picture of a session was given becomes a dataset in the session's folder.

    Raises:
        LabError: It is neither, it is a session, or a call made the picture, and no dataset has what it was made from.
    """
    if (session := SessionFolder(path)).is_begun:
        pictures = session.pictures()
        example = pictures[-1].recorded.image.name if pictures else "PICTURE.png"
        raise ShowError(
            f"{path} is a session of {counted(len(pictures), 'picture')}; give the one to go on from: "
            f"sdxl-lab show {path / 'images' / example} --as-parameters"
        )
    if path.is_dir():
        folder = run_at(path)
        return parameters_of_run(folder, folder.local)
    if kept := kept_at(path):
        return parameters_of_kept(kept)
    stamp = stamp_at(path)
    if (around := SessionFolder(path.resolve().parent.parent)).is_begun:
        raise ShowError(
            f"{path} lies in a session that does not have all of it any more: it was deleted there, or its line in {around.lines_file.name} or a "
            f"file in {around.inputs_folder.name} is lost; copy the whole session, or call sdxl_lab.{stamp.edit.task}(...) with the settings that "
            "`sdxl-lab show` lists"
        )
    if stamp.resolved.dataset.is_of_call:
        raise ShowError(
            f"{path} was made by a call, or in a session that it does not lie in any more, so no dataset has what a run could go on from; call "
            f"again, sdxl_lab.{stamp.edit.task}(...), with the settings that `sdxl-lab show` lists, put it on a bench, Bench().open(picture), or "
            "make a run over a dataset of it"
        )
    return parameters_of_picture(stamp.edit, stamp.resolved, stamp.versions.get("sdxl_lab"), run_of(path).local)


def parameters_of_run(folder: RunFolder, local: Mapping[str, Any]) -> dict[str, Any]:
    """Write the parameters that plan a run again, as `parameters_of` does.

    Args:
        folder: The run.
        local: Where `dataset` and `checkpoint` are on the machine that is meant; empty for their names.
    """
    return _completed(written(folder.resolved.spec), folder.resolved, folder.resolved.edits, version_of(folder), local)


def parameters_of_picture(edit: Edit, resolved: ResolvedSpec, version: str | None, local: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Write the parameters that plan one picture again, as `parameters_of` does.

    Args:
        edit: The picture.
        resolved: The run it belongs to.
        version: Of sdxl_lab, which made it; None if nothing says.
        local: As `parameters_of_run` takes it.
    """
    return _completed(as_parameters(edit, resolved), resolved, (edit,), version, local)


def parameters_of_kept(kept: KeptPicture) -> dict[str, Any]:
    """Write the parameters of a run that makes a picture of a session.

    Args:
        kept: The picture. Its session knows where its checkpoint and dataset are here, and keeps a dataset of what it was given.

    Returns:
        As `parameters_of`; the run is called as the session, with the picture's number.

    Raises:
        ShowError: The session has lost what the picture was made from.
        DiskError: The dataset cannot be written.
    """
    session, resolved = SessionFolder(kept.session), kept.resolved
    place = session.local.get("dataset", {}).get(resolved.dataset.digest, "")
    local: dict[str, Any] = {"checkpoint": session.checkpoint_of(kept), "files": session.files_of(kept)}
    local |= {"dataset": place} if place and Path(place).exists() else {}
    if resolved.dataset.is_of_call:
        local["dataset"] = str(_dataset(kept, session))
    found = as_parameters(resolved.edits[0], resolved)
    named = {"name": f"{session.name}-{kept.number}", **{key: value for key, value in found.items() if key != "name"}}
    return _completed(named, resolved, resolved.edits, kept.of_part["versions"].get("sdxl_lab"), local)


def run_at(path: Path) -> RunFolder:
    """The run that a folder is.

    Args:
        path: The folder.

    Raises:
        ShowError: It is none; it may hold several, as a sweep's does.
    """
    folder = RunFolder(path)
    if folder.is_begun:
        return folder
    if runs := [below for below in sorted(path.iterdir()) if RunFolder(below).is_begun]:
        raise ShowError(
            f"{path} holds {counted(len(runs), 'run')} and is none; sdxl-lab report {path} and sdxl-lab compare {path} look at all of them, and show "
            f"at one: sdxl-lab show {runs[0]}"
        )
    records = find(path)
    answers = [found for found in records if isinstance(found, ResultFolder)]
    if records and len(answers) == len(records):
        raise ShowError(f"{path} holds the answer of a study, and no run; it is read in {answers[-1].page_file}")
    shown = [found for found in records if isinstance(found, RunFolder | SessionFolder)]
    below = f", such as sdxl-lab show {shown[-1].path}" if shown else ""
    raise ShowError(
        f"{path} is not a run folder, nor a session's; give one of those, or a picture that sdxl_lab made{below}; sdxl-lab status lists all"
    )


def stamp_at(path: Path) -> Stamp:
    """What a picture says of itself.

    Args:
        path: A PNG that sdxl_lab made.

    Raises:
        LabError: It is none, or there is nothing at the path.
    """
    if not path.exists():
        raise ShowError(f"{path} is not there; give the folder of a run or a session, or a picture that sdxl_lab made")
    return read_stamp(path)


def run_of(picture: Path) -> RunFolder:
    """The run that a picture lies in, unless it was moved: <run>/images/<sample>/<task>.png."""
    parents = picture.resolve().parents
    return RunFolder(parents[2] if len(parents) > 2 else picture.parent)


def _completed(
    parameters: dict[str, Any], resolved: ResolvedSpec, edits: Iterable[Edit], version: str | None, local: Mapping[str, Any]
) -> dict[str, Any]:
    """Parameters that mean today what they meant to the version that recorded them, with the paths that this machine knows."""
    old = moved_defaults.recorded(resolved.spec, edits, moved_defaults.version_of(version), resolved.checkpoint)
    # The record names no paths of the machine it was made on; on that machine they are known.
    here = {key: local[key] for key in ("dataset", "checkpoint") if key in local}
    if files := {path: file for path, file in local.get("files", {}).items() if Path(file).exists()}:
        here["hyperparameters"] = with_files(parameters["hyperparameters"], files)
    return merge({"hyperparameters": old}, parameters | here) if old else parameters | here


def version_of(folder: RunFiles) -> str | None:
    """Find which version made a run: as its record says, or as long as it is not done, its machine's.

    Args:
        folder: The run, or a picture of a session as one.
    """
    for found in (folder.record, folder.local.get("machine", {})):
        if version := found.get("versions", {}).get("sdxl_lab"):
            return version
    return None


def _dataset(kept: KeptPicture, session: SessionFolder) -> Path:
    """A folder with what a picture of the session was made from, as a dataset."""
    edit, given = kept.resolved.edits[0], kept.resolved.dataset.inputs or {}
    sample: dict[str, Any] = {"name": edit.sample}
    if faults := inputs.lacking(given, session.inputs_folder):
        lost = " and ".join(f"its {name} {inputs.file_of(given[name], session.inputs_folder)} {fault}" for name, fault in faults.items())
        raise ShowError(f"picture {kept.number} of {session.path} has nothing to go on from: {lost}; put the file there")
    folder = session.path / "datasets" / "-".join([file_name(edit.sample), edit.task, *(sha256[:8] for sha256 in given.values())])
    for name, sha256 in given.items():
        write_once(folder / f"{name}.png", inputs.file_of(sha256, session.inputs_folder).read_bytes())
        sample[name] = f"{name}.png"
    write_once(folder / "metadata.json", json.dumps({"samples": [sample]}, indent=2, ensure_ascii=False).encode() + b"\n")
    return folder
