"""What is known of a run, and begun for it, before PyTorch is imported: where it is recorded, whether it was asked for before, its kernel."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sdxl_lab import comet
from sdxl_lab.adapters import ADAPTERS
from sdxl_lab.files.places import in_the_way
from sdxl_lab.kernels import notebooks
from sdxl_lab.process.quiet import quiet_libraries
from sdxl_lab.settings.documents import canonical, written
from sdxl_lab.spec.run_spec import RunSpec, SpecError

PRELOAD = (
    "sdxl_lab.process.quiet:quiet_libraries",
    "sdxl_lab.runs.experiment",
    "sdxl_lab.checkpoints.loading",
    "sdxl_lab.generation.generate",
    "sdxl_lab.metrics",
)
"""What a kernel does before its first run: all that takes seconds to import, with nothing said."""


@contextmanager
def started(notebook: Path, spec: RunSpec, *, warm: bool = False) -> Iterator[None]:
    """Start the kernel of a run while it is resolved, unless it seems to be done. A kernel that was not needed ends with the block.

    Args:
        notebook: What makes the run.
        spec: The run.
        warm: As for `notebooks.run`.

    Raises:
        CometError: Comet cannot be used as asked.
    """
    comet.check(spec.tracking)
    if asked_before(spec):
        yield
        return
    quiet_libraries()  # in the environment of the kernel too
    with notebooks.started(notebook, warm=warm, preload=PRELOAD):
        yield


def asked_before(spec: RunSpec) -> bool:
    """Whether a run was recorded that was asked for by the same parameters: most likely it is done. To know it takes resolving, hence PyTorch.

    Args:
        spec: The parameters. Where dataset and checkpoint lie is not compared.
    """
    asked = _compared(written(spec))
    for record in runs_folder_of(spec).glob(f"{glob.escape(spec.name)}-*/record.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):  # damaged: no run
            if _compared(json.loads(record.with_name("spec.json").read_text("utf-8"))["spec"]) == asked:
                return True
    return False


def home() -> Path:
    """The folder whose `artifacts` the lab uses: the repository around the working folder, else the working folder itself.

    Examples:
        >>> runs = home() / "artifacts" / "runs"
    """
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "artifacts" / "README.md").is_file()), here)


def runs_folder_of(spec: RunSpec) -> Path:
    """Where runs are kept: what lies under `artifacts` belongs to the lab, wherever in it the notebook lies.

    Args:
        spec: A run.

    Raises:
        SpecError: A file is in the way.
    """
    folder = Path(spec.runs_folder).expanduser()
    folder = home() / folder if folder.parts[:1] == ("artifacts",) else folder
    if file := in_the_way(folder):
        asked = f"got {spec.runs_folder!r}; allowed is the path of a folder"
        raise SpecError([f"runs_folder: {asked}. {file} is no folder: choose another, or move it away"])
    return folder


def _compared(spec: Mapping[str, Any]) -> str:
    compared = {name: spec[name] for name in ("samples", "tasks", "hyperparameters")}
    adapters = {kind: {name: _named(one) for name, one in spec["hyperparameters"].get(kind, {}).items()} for kind in ADAPTERS}
    return canonical(compared | {"hyperparameters": spec["hyperparameters"] | adapters})


def _named(adapter: Mapping[str, Any]) -> dict[str, Any]:
    """An adapter with its file's name alone: records do not say where it lay."""
    return {**adapter, "file": adapter["file"].rpartition("/")[2]}
