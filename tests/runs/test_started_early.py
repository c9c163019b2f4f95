"""When a command starts a kernel, and when it starts none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from sdxl_lab.kernels import notebooks
from sdxl_lab.settings.arguments import written
from tests.support.quick_sweeps import FINISH, MAKE, PARAMETERS, RESOLVE, dataset  # noqa: F401 - a fixture
from tests.support.started import Told, told_of

ASSIGNED = "\n".join(f"{name} = {value!r}" for name, value in PARAMETERS.items())


@pytest.fixture(scope="module")
def command(dataset, random_pair, tmp_path_factory) -> Callable[..., Told]:  # noqa: F811
    """
    Runs a notebook of one quick picture by `sdxl-lab run`, in a folder that all tests here share.
    """
    folder = tmp_path_factory.mktemp("early")
    cells = [nbformat.v4.new_code_cell(source) for source in (ASSIGNED, RESOLVE + MAKE, FINISH)]
    cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "quick.ipynb")
    given = {"dataset": str(dataset), "checkpoint": str(random_pair), "samples": ["scene-1"], "hyperparameters.denoising.num_inference_steps": 4}

    def run(**changed: object) -> Told:
        pairs = [text for name, value in (given | changed).items() for text in ("-p", name, value if isinstance(value, str) else json.dumps(value))]
        return told_of(["run", str(folder / "quick.ipynb"), *pairs], folder)

    run.folder = folder  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="module")
def first(command) -> Told:
    """
    What the run's first command did.
    """
    return command()


def test_a_kernel_starts_before_the_command_imports_pytorch(first):
    """
    It imports while the command resolves; papermill comes last of all.
    """
    assert first.code == 0, first.error
    assert first.events == ("kernel", "torch", "papermill")


def test_a_run_that_is_done_starts_no_kernel(first, command):
    """
    The same command again finds it by its parameters, and resolves it to be sure.
    """
    assert first.code == 0, first.error
    again = command()
    assert (again.code, again.events) == (0, ("torch",)), again.error


def test_a_run_that_resolving_refuses_leaves_no_kernel_and_no_folder(command):
    """
    A sample that the dataset has not, found while the kernel starts, is one error; the command ends its kernel and begins no folder.
    """
    refused = command(samples=["no-such"], runs_folder="refused")
    assert refused.code == 1
    assert refused.error.splitlines()[-1].endswith("- samples: got 'no-such'; dataset scenes has scene-0, scene-1")
    assert refused.events[0] == "kernel"
    assert not (command.folder / "refused").exists()
    assert not [path for path in Path("/proc").glob("[0-9]*/environ") if _is_of(path, command.folder)]


def _is_of(environment: Path, folder: Path) -> bool:
    """
    Whether a process was started by a command in a folder: kernels have its environment.
    """
    try:
        return str(folder).encode() in environment.read_bytes()
    except OSError:  # another user's, or gone
        return False


@pytest.mark.parametrize("name", ["run", "plan", "sweep"])
def test_a_typo_is_told_without_pytorch(name, command):
    """
    A misspelled setting is told with the one that was meant, by a process that starts no kernel and imports neither torch nor papermill.
    """
    if name == "run":
        told = command(**{"hyperparameters.denoising.guidance_scal": 5})
    else:
        (command.folder / "typo.yaml").write_text(written({"name": "typo", "grid": {"hyperparameters.denoising.guidance_scal": [3, 5]}}))
        told = told_of([name, "typo.yaml"], command.folder)
    assert told.code == 1
    assert "guidance_scale" in told.error
    assert told.events == ()


@pytest.mark.slow
def test_a_kernel_that_started_early_makes_the_pictures_of_any_other(first, command, dataset, random_pair, tmp_path):  # noqa: F811
    """
    Bit for bit those of the same notebook in a kernel that imports nothing before its first cell.
    """
    from sdxl_lab.records.finding import find_runs

    assert first.code == 0, first.error
    given = PARAMETERS | {"dataset": str(dataset), "checkpoint": str(random_pair), "samples": ["scene-1"], "runs_folder": str(tmp_path / "runs")}
    given |= {"hyperparameters": {"denoising": {"num_inference_steps": 4}}}
    notebooks.run(command.folder / "quick.ipynb", given, tmp_path / "executed.ipynb")
    early, late = (find_runs(folder / "runs")[0].pictures() for folder in (command.folder, tmp_path))
    assert [picture.sha256 for picture in early] == [picture.sha256 for picture in late]
