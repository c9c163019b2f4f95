"""From a picture of a bench to runs and sweeps: its parameters, a dataset of what it was made from, a sweep file around it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sdxl_lab.datasets import inputs
from sdxl_lab.files.disk import write_once, write_whole
from sdxl_lab.kernels import notebooks
from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.settings.arguments import written
from sdxl_lab.spec.homes import home_of
from sdxl_lab.spec.parameters import plain
from sdxl_lab.spec.resolved_spec import as_parameters
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.sweep_file import SweepFile


class Parameters(dict[str, Any]):
    """The parameters of a run, for `RunSpec.from_parameters`; printed, they are a notebook's parameters cell."""

    def __str__(self) -> str:
        return "\n".join(f"{name} = {value!r}" for name, value in self.items())


def parameters(kept: KeptPicture, session: SessionFolder) -> Parameters:
    """Write the parameters of a run that makes a picture of a session.

    Args:
        kept: The picture.
        session: Which knows where its checkpoint and dataset are here, and keeps a dataset of what it was given.
    """
    resolved, local = kept.resolved, session.local
    found = as_parameters(resolved.edits[0], resolved)
    if resolved.dataset.is_of_call:
        found["dataset"] = str(_dataset(kept, session))
    else:
        found["dataset"] = local.get("dataset", {}).get(resolved.dataset.digest, found["dataset"])
    found["checkpoint"] = session.checkpoint_of(kept)
    return Parameters({"name": f"{session.name}-{kept.number}", **{key: value for key, value in found.items() if key != "name"}})


def sweep_around(kept: KeptPicture, session: SessionFolder, axes: Mapping[str, Iterable[Any] | str], path: Path | str | None) -> Path:
    """Write a sweep file around a picture of a session.

    Args:
        kept: The picture.
        session: As for `parameters`.
        axes: Setting to its values, by name or dotted path.
        path: The YAML file; in the session's folder if None.

    Returns:
        The file.

    Raises:
        SweepFileError: An axis is no setting, or a value is not allowed.
    """
    base = parameters(kept, session)
    name = f"around-{base.pop('name')}"
    task = kept.resolved.edits[0].task
    grid = {_path(axis): plain(values if isinstance(values, str) else list(values)) for axis, values in axes.items()}
    notebook = {"notebook": task} if task in notebooks.built_in() else {}
    content = {"name": name, **notebook, "parameters": dict(base), "grid": grid}
    SweepFile.from_dict(content, "the sweep around the picture")
    file = Path(path) if path else session.path / "sweeps" / f"{name}.yaml"
    write_whole(file, written(content).encode())
    return file


def _path(axis: str) -> str:
    """The dotted path of an axis; what is no setting is left for the sweep file to refuse."""
    top = axis.partition(".")[0]
    if top in RunSpec.model_fields:
        return axis
    return home_of(axis, RunSpec) or f"hyperparameters.{axis}"


def _dataset(kept: KeptPicture, session: SessionFolder) -> Path:
    """A folder with what a picture of the session was made from, as a dataset."""
    edit, given = kept.resolved.edits[0], kept.resolved.dataset.inputs or {}
    sample: dict[str, Any] = {"name": edit.sample}
    folder = session.path / "datasets" / "-".join([edit.sample, edit.task, *(sha256[:8] for sha256 in given.values())])
    for name, sha256 in given.items():
        write_once(folder / f"{name}.png", inputs.file_of(sha256, session.inputs_folder).read_bytes())
        sample[name] = f"{name}.png"
    write_once(folder / "metadata.json", json.dumps({"samples": [sample]}, indent=2, ensure_ascii=False).encode() + b"\n")
    return folder
