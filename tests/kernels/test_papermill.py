"""The built-in notebooks by plain papermill: its command, its engines, a loop in Python, a store that is no disk."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import papermill
import pytest
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import papermill_io

from sdxl_lab.kernels import engine, notebooks
from sdxl_lab.kernels.ahead import of_thread
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.arguments import written
from sdxl_lab.spec.run_spec import RunSpec
from tests.support.run_folders import environment
from tests.support.warm_notebooks import execute, notebook, printed

QUICK = {"samples": ["red-circle"], "tasks": ["inpaint"], "hyperparameters": {"denoising": {"num_inference_steps": 2}}, "tracking": "off"}


@pytest.fixture(scope="module", autouse=True)
def cold() -> Iterator[None]:
    """Leave no kernel behind."""
    yield
    engine.close()


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder of a user's own, to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the `papermill` command over the built-in notebook."""
    notebook = notebooks.find("inpaint_outpaint")
    line = [sys.executable, "-m", "papermill", notebook, "out.ipynb", "--no-progress-bar", *arguments]
    return subprocess.run([*map(str, line)], env=environment(), capture_output=True, text=True, check=False)


def in_python(output: str, parameters: dict[str, Any], path: str | None = None) -> None:
    """Run the built-in notebook by papermill's function, in a warm kernel."""
    papermill.execute_notebook(path or notebooks.find("inpaint_outpaint"), output, parameters, engine_name="warm", progress_bar=False)


def planned(parameters: dict[str, Any]) -> RunFolder:
    """Where the lab itself would record a run of these parameters."""
    defaults = notebooks.parameters_of(notebooks.find("inpaint_outpaint"))
    return resolve(RunSpec.from_parameters(**defaults | parameters)).folder


@pytest.mark.parametrize("name", ["inpaint_outpaint", "text_to_image", "image_to_image"])
def test_papermill_describes_each_parameter(name):
    """
    `papermill --help-notebook` has every parameter of a run with a word on it, and a default that the lab reads as the same.
    """
    path = notebooks.find(name)
    described = papermill.inspect_notebook(str(path))
    assert set(described) == set(RunSpec.model_fields)
    assert [parameter for parameter, said in described.items() if not said["help"]] == []
    assert {parameter: ast.literal_eval(said["default"]) for parameter, said in described.items()} == notebooks.parameters_of(path)


@pytest.mark.parametrize("engine", [None, "warm"])
def test_a_dotted_name_is_answered_by_the_command(here, engine):
    """
    `papermill -p hyperparameters.seed 3` ends with one line that says what to write, with papermill's own engine and with the warm one.
    """
    ended = command("-p", "hyperparameters.seed", "3", *(["--engine", engine] if engine else []))
    assert ended.returncode == 1
    assert "hyperparameters.seed: got a dotted name" in ended.stderr
    assert (
        ended.stderr.rstrip().splitlines()[-1].endswith("write -y '{hyperparameters: {seed: 3}}', or use sdxl-lab run, whose -p takes dotted names")
    )
    assert "AttributeError" not in ended.stderr


@pytest.mark.slow
def test_a_sparse_file_is_a_run_by_the_command(here):
    """
    `papermill -f FILE -p NAME VALUE --engine warm` makes the run that the lab plans of these parameters, and the notebook is whole.
    """
    (here / "quick.yaml").write_text(written(QUICK))
    ended = command("-f", "quick.yaml", "-p", "name", "by-papermill", "--engine", "warm")
    assert ended.returncode == 0, ended.stderr
    assert planned(QUICK | {"name": "by-papermill"}).is_done
    assert notebooks.is_whole(here / "out.ipynb")


def test_a_loop_has_one_kernel_and_takes_what_the_lab_writes(here):
    """
    Notebooks run one after the other share a warm kernel; files that a bench and `show --as-parameters` write make the same pixels again.
    """
    from sdxl_lab import Bench, fetch
    from sdxl_lab.viewing.onward import parameters_of

    with closing(Bench("pocket", "tried", tracking="off")) as bench:
        bench.open(fetch("pocket-scenes").sample("red-circle"))
        picture = bench.make("a blue star on grass", seed=5, num_inference_steps=2)
        bench.parameters().save("of-bench.yaml")
    in_python("first.ipynb", QUICK)
    kernel = of_thread.warm
    [first] = planned(QUICK).pictures()
    Path("of-run.yaml").write_text(written(parameters_of(first.image)))
    made = {}
    for name in ("of-bench", "of-run"):
        in_python(f"{name}.ipynb", papermill.iorw.read_yaml_file(f"{name}.yaml") | {"runs_folder": name})
        [folder] = Path(name).glob("*/")
        [made[name]] = RunFolder(folder).pictures()
    assert of_thread.warm is kernel
    assert made["of-bench"].sha256 == picture.kept.recorded.sha256
    assert made["of-run"].sha256 == first.sha256


def test_a_store_that_papermill_knows_takes_the_notebook(here, monkeypatch):
    """
    An address of a scheme that is registered with papermill is read and written by its handler, and the run is recorded on the disk.
    """
    shelf = Shelf({"shelf://in.ipynb": notebooks.find("inpaint_outpaint").read_text()})
    monkeypatch.setattr(papermill_io, "_handlers", [("shelf://", shelf), *papermill_io._handlers])
    in_python("shelf://out.ipynb", QUICK, "shelf://in.ipynb")
    (here / "out.ipynb").write_text(shelf.texts["shelf://out.ipynb"])
    assert notebooks.is_whole(here / "out.ipynb")
    assert planned(QUICK).is_done


class Shelf:
    """A store of texts by address, as papermill wants a handler to be."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts

    def read(self, path: str) -> str:
        """What lies there."""
        return self.texts[path]

    def write(self, buffer: str, path: str) -> None:
        """Put something there."""
        self.texts[path] = buffer

    def pretty_path(self, path: str) -> str:
        """How papermill shows an address."""
        return path


CHECKED = ("from sdxl_lab import check_parameters\ncheck_parameters()", "a = 1")


def with_parameters(*sources: str) -> Any:
    """A notebook whose second cell is tagged `parameters`."""
    made = notebook(*sources)
    made.cells[1].metadata["tags"] = ["parameters"]
    return made


def test_a_check_is_of_its_own_notebook_and_once():
    """
    What papermill puts into the notebook that checks is checked; a cell that looks like it further down, and the next notebook, are not.
    """
    alike = "# Parameters\nprint('further', 'down')\nb = 1"
    with pytest.raises(PapermillExecutionError, match="b: unknown key; valid here are a"):
        execute(of=with_parameters(*CHECKED), parameters={"b": 2})
    assert "further down" in printed(execute(of=with_parameters(*CHECKED, alike), parameters={"a": 2}))
    execute(of=with_parameters(*CHECKED))
    assert printed(execute(of=with_parameters("x = 1", "a = 1", "print(b)"), parameters={"b": 2})) == "2\n"
