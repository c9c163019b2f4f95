"""Sweeps of quick runs, one picture each, for the tests of sweeps: fixtures that test files import by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nbformat
import pytest

from sdxl_lab.files.disk import write_whole
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.attempts import Attempts
from sdxl_lab.sweeps.plan import Plan
from sdxl_lab.sweeps.sweep_file import SweepFile
from tests.support.datasets import write_dataset
from tests.support.run_folders import ROOT

SEED, FRAC = "hyperparameters.seed", "hyperparameters.denoising.high_noise_frac"

PARAMETERS: dict[str, Any] = {"name": "quick", "dataset": "pocket-scenes", "checkpoint": "pocket", "samples": None, "tasks": ["inpaint"]}
PARAMETERS |= {"hyperparameters": {}, "tracking": "off", "runs_folder": "runs"}
ASSIGNED = "\n".join(f"{name} = {value!r}" for name, value in PARAMETERS.items())
RESOLVE = f"""
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec
resolved = resolve(RunSpec.from_parameters({", ".join(f"{name}={name}" for name in PARAMETERS)}))
"""
MAKE = "run(resolved)"
FINISH = "finish(resolved)"
COMPLETE = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from tests.support.run_folders import complete
complete(ResolvedSpec.from_json(Path({{specs!r}}, f"{{{{hyperparameters['seed']}}}}.json").read_text("utf-8")))
"""
"""What makes a run without a model from its spec, in a file that its seed names: resolving it there would load torch."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Two scenes."""
    return write_dataset(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture
def notebook(tmp_path) -> Callable[..., Path]:
    """Writes a notebook that makes its run, with code of one's own before or after the pictures; `isolated` gets it a kernel of its own.

    One that is given a folder of `write_specs` makes those runs alone, without a model.
    """

    def write(*, before: str = "", after: str = "", make: str = MAKE, isolated: bool = False, specs: Path | None = None) -> Path:
        made = [COMPLETE.format(specs=str(specs))] if specs else [RESOLVE + make, after, FINISH]
        cells = [nbformat.v4.new_code_cell(source) for source in (ASSIGNED, before, *made) if source]
        cells[0].metadata["tags"] = ["parameters"]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"isolated": isolated}), tmp_path / "notebook.ipynb")
        return tmp_path / "notebook.ipynb"

    return write


@pytest.fixture
def planned(dataset, random_pair, tmp_path) -> Callable[..., Plan]:
    """Plans a sweep of quick runs of one picture."""
    from sdxl_lab.sweeps.planner import plan

    def make(notebook: Path, *, fixed: Mapping[str, Any] = MappingProxyType({}), **content: Any) -> Plan:
        parameters = {"dataset": str(dataset), "checkpoint": str(random_pair), "samples": ["scene-1"], "runs_folder": str(tmp_path / "runs")}
        parameters |= {"hyperparameters.denoising.num_inference_steps": 4, **fixed}
        return plan(SweepFile.from_dict({"name": "test", "notebook": str(notebook), "parameters": parameters} | content))

    return make


def write_specs(folder: Path, made: Plan) -> None:
    """Write the spec of each run of a plan over seeds, for a notebook that makes them without a model."""
    for item in made.runs:
        resolved = resolve(RunSpec.from_parameters(**item.parameters))
        write_whole(folder / f"{item.parameters['hyperparameters']['seed']}.json", resolved.spec.to_json().encode())


def tries(made: Plan) -> list[list[str | None]]:
    """How each attempt at each pending run ended, whichever sweep made it."""
    found = []
    for item in made.pending:
        lines = (item.folder.parent / ".attempts" / f"{item.run_id}.jsonl").read_text().splitlines()
        names = dict.fromkeys(line.split('"')[3] for line in lines)
        found.append([attempt.end for name in names for attempt in Attempts(item.folder.parent, item.run_id).of(name)])
    return found
