"""The built-in notebook, and running notebooks through papermill."""

from __future__ import annotations

import ast
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
import pytest

from sdxl_lab.kernels import engine, notebooks
from sdxl_lab.kernels.notebooks import NotebookError
from tests.support.run_folders import script

PARAMETERS = ["name", "dataset", "checkpoint", "samples", "tasks", "hyperparameters", "tracking", "runs_folder"]

Write = Callable[..., Path]

run = partial(notebooks.run, warm=True)
"""In one kernel for all tests that do not need one of their own."""


@pytest.fixture(scope="module", autouse=True)
def cold() -> Iterator[None]:
    """Leave no kernel behind."""
    yield
    engine.close()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a notebook whose first cell is tagged `parameters`."""

    def write(*sources: str) -> Path:
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        cells[0].metadata["tags"] = ["parameters"]
        path = tmp_path / "notebook.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return path

    return write


MAKING = [name for name in notebooks.built_in() if name not in notebooks.OF_NO_RUN]
"""The notebooks that come with sdxl_lab and make pictures."""


@pytest.fixture(params=MAKING)
def built_in(request) -> nbformat.NotebookNode:
    """One of them."""
    return nbformat.read(notebooks.find(request.param), as_version=4)


@pytest.mark.parametrize("name", MAKING)
def test_the_parameters_cell_holds_exactly_the_eight_names(name):
    """
    A built-in notebook assigns the eight parameters of a run, in the order people read them, and nothing else.
    """
    assert list(notebooks.parameters_of(notebooks.find(name))) == PARAMETERS


def test_the_notebook_is_committed_without_outputs(built_in):
    """
    The notebook in the repository carries no output and no execution count, so that a diff shows what was written.
    """
    code = [cell for cell in built_in.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert {cell.execution_count for cell in code} == {None}


def test_the_notebook_is_thin(built_in):
    """
    The notebook has about eight code cells of at most 16 lines, none of which defines a function or a class.
    """
    code = [cell.source for cell in built_in.cells if cell.cell_type == "code"]
    defined = [node for source in code for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert len(code) <= 10
    assert max(len(source.splitlines()) for source in code) <= 16
    assert not defined


def test_parameters_reach_the_cells(write, tmp_path):
    """
    Given parameters win over the parameters cell, whatever of JSON's types they have. The output's folder is made, whatever its name.
    """
    notebook = write("a = 1\nb = 'kept'", "print([a, b])")
    output = tmp_path / "new {a} {" / "b**[c].ipynb"
    run(notebook, {"a": {"x": [None, -7, 0.5, "null"]}}, output)
    [printed] = [out for cell in json.loads(output.read_text())["cells"] for out in cell["outputs"]]
    assert ast.literal_eval("".join(printed["text"])) == [{"x": [None, -7, 0.5, "null"]}, "kept"]


def test_a_long_path_for_temporary_files_is_no_hindrance(write, tmp_path, monkeypatch):
    """
    A kernel talks over sockets, whose paths the system cuts at about a hundred bytes, wherever temporary files lie.
    """
    folder = tmp_path / ("t" * 90)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    notebooks.run(write("a = 1", "a"), {}, tmp_path / "executed.ipynb")
    assert notebooks.is_whole(tmp_path / "executed.ipynb")
    assert not list(folder.glob("sdxl-*"))


MUCH = """
import sys
print("x" * 600_000)
for number in range(2000):
    sys.stdout.write(f"\\r{number}")
    sys.stdout.flush()
for number in range(2000):
    sys.stderr.write(".")
    sys.stderr.flush()
"""


@pytest.mark.timeout(120)
def test_what_a_cell_prints_is_kept_however_much_it_is(write, tmp_path):
    """
    A line of 600 KB, thousands of writes over each other and thousands without a newline arrive whole, as a terminal shows them.
    """
    notebooks.run(write("a = 1", MUCH), {}, tmp_path / "executed.ipynb")
    printed = json.loads((tmp_path / "executed.ipynb").read_text())["cells"][-1]["outputs"]
    shown = {output["name"]: "".join(output["text"]) for output in printed}
    assert shown == {"stdout": "x" * 600_000 + "\n1999", "stderr": "." * 2000}
    assert [output["name"] for output in printed] == ["stdout", "stderr"]


@pytest.mark.parametrize("seed", range(20))
def test_output_is_joined_as_nbclient_joins_it(seed):
    """
    What is written over by carriage returns is what nbclient's own pattern takes out.
    """
    text = "".join(np.random.default_rng(seed).choice(list("ab\r\n"), 60))
    pieces = [nbformat.v4.new_output("stream", name="stdout", text=character) for character in text]
    cell = nbformat.v4.new_code_cell(outputs=pieces)
    engine._coalesce(nbformat.v4.new_notebook(cells=[cell]))
    assert "".join(output.text for output in cell.outputs) == re.sub(r".*\r(?=[^\n])", "", text)


FULL_DISK = """
import resource, sys
from pathlib import Path
import sdxl_lab.kernels.engine
from sdxl_lab.kernels import notebooks
from sdxl_lab.files.disk import DiskError
sys.dont_write_bytecode = True  # half a compiled module would be kept
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    notebooks.run(Path(sys.argv[1]), {}, Path(sys.argv[2]))
except DiskError as error:
    print(error)
"""


@pytest.mark.parametrize("limit_bytes", [200, 50_000])
def test_a_disk_that_is_full_at_a_notebook_s_end_leaves_no_half_of_it(write, tmp_path, limit_bytes):
    """
    A notebook that cannot be written, as it begins or as it ends, is one error, and no part of it is taken for a failed one.
    """
    done = script(FULL_DISK, write("a = 1", "print('x' * 1_000_000)"), tmp_path / "out" / "executed.ipynb", limit_bytes)
    assert "full; free some space and run again" in done.stdout, done.stderr
    assert done.stderr == ""
    assert list((tmp_path / "out").iterdir()) == []


UPDATED = """
import sys
from IPython.display import display
for number in range(3):
    print(number, flush=True)
handle = display("before", display_id=True)
"""


def test_a_later_cell_may_update_what_was_shown(write, tmp_path):
    """
    An output after several printed lines is still the one that a later cell updates.
    """
    run(write("a = 1", UPDATED, "handle.update('after')"), {}, tmp_path / "executed.ipynb")
    assert "after" in json.dumps(json.loads((tmp_path / "executed.ipynb").read_text())["cells"][1]["outputs"][-1])


def test_an_executed_notebook_is_whole_or_absent(write, tmp_path):
    """
    A notebook that failed never stands where an executed one is looked for, and a later success leaves nothing else behind.
    """
    output = tmp_path / "executed.ipynb"
    with pytest.raises(NotebookError):
        run(write("a = 1", "1 / 0"), {}, output)
    assert not output.exists()
    run(write("a = 1", "a"), {}, output)
    assert notebooks.is_whole(output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["executed.ipynb", "notebook.ipynb"]


def test_a_lab_error_in_a_cell_arrives_as_its_message(write, tmp_path):
    """
    An error of the lab's kind, from whatever room, reaches the caller of a notebook as the same message, and is all that the notebook shows of it.
    """
    notebook = write(
        "a = 1", "from sdxl_lab.errors import LabError\nclass OwnError(LabError): pass", "raise OwnError('got 1, allowed is 2:\\n  write 2')"
    )
    with pytest.raises(NotebookError) as caught:
        run(notebook, {}, tmp_path / "executed.ipynb")
    assert str(caught.value) == "got 1, allowed is 2:\n  write 2"
    [error] = [output for cell in json.loads((tmp_path / "failed.ipynb").read_text())["cells"] for output in cell.get("outputs", [])]
    assert error["traceback"] == ["OwnError: got 1, allowed is 2:\n  write 2"]


def test_another_error_in_a_cell_says_which_cell_and_keeps_the_notebook(write, tmp_path):
    """
    A fault in a notebook's own code names the cell and the error, and the notebook with its traceback is kept.
    """
    with pytest.raises(NotebookError, match=r"cell \[2\] .* ZeroDivisionError: division by zero") as caught:
        run(write("a = 1", "1 / 0"), {}, tmp_path / "executed.ipynb")
    assert str(tmp_path / "failed.ipynb") in str(caught.value)
    assert (tmp_path / "failed.ipynb").is_file()


def test_a_kernel_that_dies_is_an_error(write, tmp_path):
    """
    A kernel that dies in a cell ends the run with an error and without an executed notebook, although papermill calls its cells completed.
    """
    with pytest.raises(NotebookError, match="ended in the middle"):
        notebooks.run(write("a = 1", "import os; os._exit(9)"), {}, tmp_path / "executed.ipynb")
    assert not (tmp_path / "executed.ipynb").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as a notebook"),
        ("[]", "cannot be read as a notebook"),
        ('{"cells": []}', "has 0 cells tagged 'parameters'"),
        ('{"cells": [{"metadata": {"tags": ["parameters"]}, "source": "seed = random()"}]}', r"has 'seed = random\(\)'; allowed is"),
        ('{"cells": [{"metadata": {"tags": ["parameters"]}, "source": "seed = ("}]}', "is not Python"),
        ('{"cells": [{"metadata": {"tags": ["parameters"]}, "source": "seed = 1\\u0000"}]}', "is not Python"),
        ('{"cells": [{"metadata": {"tags": ["parameters"]}, "source": "seed = {[]: 1}"}]}', r"has 'seed = \{\[\]: 1\}'; allowed is"),
    ],
)
def test_a_notebook_without_readable_parameters_is_refused(tmp_path, text, message):
    """
    A file that is no notebook, or whose parameters cannot be read, is refused with the reason.
    """
    path = tmp_path / "notebook.ipynb"
    path.write_text(text)
    with pytest.raises(NotebookError, match=message):
        notebooks.parameters_of(path)


def test_a_notebook_that_is_not_there_is_refused():
    """
    A path without a file is answered with the name of the built-in notebook, whatever the length of the path.
    """
    with pytest.raises(NotebookError, match="or a built-in one: inpaint_outpaint"):
        notebooks.find("x" * 300)
    with pytest.raises(NotebookError, match="or a built-in one: inpaint_outpaint"):
        notebooks.find("no/such.ipynb")


def test_a_notebook_cut_short_is_not_whole(tmp_path, write):
    """
    A notebook with a cell that never ran, an error, or half a file is not taken for an executed one.
    """
    run(write("a = 1", "a"), {}, tmp_path / "executed.ipynb")
    text = (tmp_path / "executed.ipynb").read_text()
    torn = tmp_path / "torn.ipynb"
    torn.write_text(text[: len(text) // 2])
    assert not notebooks.is_whole(torn)
    assert not notebooks.is_whole(write("a = 1"))
    assert not notebooks.is_whole(tmp_path / "absent.ipynb")
