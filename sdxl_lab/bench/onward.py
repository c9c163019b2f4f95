"""From a picture of a bench to runs and sweeps: its parameters, and a sweep file around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sdxl_lab.files.disk import write_whole
from sdxl_lab.kernels import notebooks
from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.settings.arguments import written
from sdxl_lab.spec.homes import home_of
from sdxl_lab.spec.parameters import plain
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.viewing.onward import parameters_of_kept


class Parameters(dict[str, Any]):
    """The parameters of a run, for `RunSpec.from_parameters`; printed, they are a notebook's parameters cell."""

    def __str__(self) -> str:
        return "\n".join(f"{name} = {value!r}" for name, value in self.items())


def parameters(kept: KeptPicture) -> Parameters:
    """Write the parameters of a run that makes a picture of a session, as `sdxl_lab.viewing.onward` does.

    Args:
        kept: The picture.
    """
    return Parameters(parameters_of_kept(kept))


def sweep_around(kept: KeptPicture, session: SessionFolder, axes: Mapping[str, Iterable[Any] | str], path: Path | str | None) -> Path:
    """Write a sweep file around a picture of a session.

    Args:
        kept: The picture.
        session: Where the file is written.
        axes: Setting to its values, by name or dotted path.
        path: The YAML file; in the session's folder if None.

    Returns:
        The file.

    Raises:
        SweepFileError: An axis is no setting, or a value is not allowed.
    """
    base = parameters(kept)
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
