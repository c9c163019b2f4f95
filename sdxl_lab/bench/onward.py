"""From a picture of a bench to runs and sweeps: its parameters, and a sweep file around it."""

from __future__ import annotations

import itertools
import re
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
from sdxl_lab.spec.run_spec import NAME_PATTERN, RunSpec
from sdxl_lab.sweeps.sweep_file import SweepFile, SweepFileError
from sdxl_lab.viewing.onward import parameters_of_kept


class Parameters(dict[str, Any]):
    """The parameters of a run, for `RunSpec.from_parameters`; printed, they are a notebook's parameters cell."""

    def __str__(self) -> str:
        return "\n".join(f"{name} = {value!r}" for name, value in self.items())

    def save(self, path: Path | str) -> Path:
        """Write them as YAML, for `sdxl-lab run NOTEBOOK -f FILE`.

        Args:
            path: The file, replaced if it exists.

        Returns:
            The path.

        Raises:
            DiskError: The disk is full or not writable.
        """
        write_whole(Path(path), written(dict(self)).encode())
        return Path(path)


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
    if not isinstance(axes, Mapping) or not all(isinstance(values, Iterable) for values in axes.values()):
        raise SweepFileError([f"axes: got {axes!r}; allowed are settings with their values, such as {{'guidance_scale': [3, 5]}}"])
    base, task = parameters(kept), kept.resolved.edits[0].task
    own_name = f"around-{base.pop('name')}"
    stem = Path(path).stem if path and re.fullmatch(NAME_PATTERN, Path(path).stem) else own_name
    grid = {_path(axis): plain(values if isinstance(values, str) else list(values)) for axis, values in axes.items()}
    rest = ({"notebook": task} if task in notebooks.built_in() else {}) | {"parameters": dict(base), "grid": grid}
    folder = session.path / "sweeps"
    tried = (stem if number == 1 else f"{stem}-{number}" for number in itertools.count(1))
    name = next(name for name in tried if path or _is_free(folder / f"{name}.yaml", {"name": name, **rest}))
    SweepFile.from_dict({"name": name, **rest}, "the sweep around the picture")
    file = Path(path) if path else folder / f"{name}.yaml"
    write_whole(file, written({"name": name, **rest}).encode())
    return file


def _is_free(file: Path, content: dict[str, Any]) -> bool:
    """Whether a file is not there, or holds that very sweep: another one around the same picture keeps its name."""
    return not file.is_file() or file.read_bytes() == written(content).encode()


def _path(axis: str) -> str:
    """The dotted path of an axis; what is no setting is left for the sweep file to refuse."""
    top = axis.partition(".")[0]
    if top in RunSpec.model_fields:
        return axis
    return home_of(axis, RunSpec) or f"hyperparameters.{axis}"
