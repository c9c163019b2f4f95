"""What a notebook's metadata says after it ended, in each of the ways in which one can end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from sdxl_lab.kernels import engine, notebooks
from sdxl_lab.kernels.notebooks import MachineError, NotebookError
from tests.support.warm_notebooks import execute, notebook, printed

LONG = "import time; time.sleep(600)"
ENDS: dict[str, tuple[str, dict[str, Any], type[BaseException], str]] = {
    "failed": ("1 / 0", {}, PapermillExecutionError, "ZeroDivisionError: division by zero"),
    "killed": ("import os; os.kill(os.getpid(), 9)", {}, DeadKernelError, "DeadKernelError: Kernel died"),
    "timed out": (LONG, {"execution_timeout": 1}, CellTimeoutError, "CellTimeoutError: A cell timed out"),
    "interrupted": (f"import os; os.kill(os.getppid(), 2); {LONG}", {}, KeyboardInterrupt, "KeyboardInterrupt: ctrl-C"),
}


@pytest.fixture(scope="module", autouse=True)
def cold() -> Any:
    """Leave no kernel behind."""
    yield
    engine.close()


def cells_of(path: Path) -> list[Any]:
    """The cells of a notebook on disk, less the two that papermill adds around an error."""
    cells = json.loads(path.read_text())["cells"]
    return [cell for cell in cells if "papermill-error-cell-tag" not in cell["metadata"].get("tags", [])]


def told(path: Path) -> list[tuple[str, bool | None, bool]]:
    """For each cell its status, whether it met an exception, and whether it has an end."""
    books = [cell["metadata"]["papermill"] for cell in cells_of(path)]
    return [(book["status"], book["exception"], book["end_time"] is not None) for book in books]


@pytest.mark.parametrize("isolated", [False, True], ids=["warm", "isolated"])
@pytest.mark.parametrize("end", ENDS)
def test_a_notebook_says_which_cells_ran(tmp_path, end, isolated):
    """
    Cells before the end are completed, the last one failed and says why, later ones are pending; so it stands on disk, saved as they run or not.
    """
    source, options, error, reason = ENDS[end]
    output = tmp_path / "executed.ipynb"
    saves = {"request_save_on_cell_execute": isolated}
    with pytest.raises(error):
        execute("print('one')", f"print('two')\n{source}", "print('three')", output=str(output), isolated=isolated, **options, **saves)
    assert told(output) == [("completed", False, True), ("failed", True, True), ("pending", None, False), ("pending", None, False)]
    first, second, third, _ = cells_of(output)
    assert (first["execution_count"], third["execution_count"], third["outputs"]) == (1, None, [])
    problems = [f"{output['ename']}: {output['evalue']}" for output in second["outputs"] if output["output_type"] == "error"]
    assert [problem[: len(reason)] for problem in problems] == [reason]
    whole = json.loads(output.read_text())["metadata"]["papermill"]
    assert whole["exception"] is True
    assert whole["end_time"]
    assert not notebooks.is_whole(output)


@pytest.mark.parametrize("end", ["killed", "timed out", "interrupted"])
def test_the_next_notebook_gets_a_new_kernel(end):
    """
    After a kernel died, was stuck or was interrupted, the next notebook runs from beginning to end, in another one.
    """
    source, options, error, _ = ENDS[end]
    before = printed(execute("import os; print(os.getpid())"))
    with pytest.raises(error):
        execute(source, **options)
    after = printed(execute("import os; print(os.getpid())", "pass"))
    assert int(before) != int(after)


def test_a_notebook_that_leaves_early_says_so(tmp_path):
    """
    exit() ends a notebook without an error, as papermill has it; the cells behind it stay pending, and it is not whole.
    """
    output = tmp_path / "executed.ipynb"
    execute("print('one')", "exit()", "print('three')", output=str(output))
    assert told(output)[0] == ("completed", False, True)
    assert told(output)[2] == ("pending", None, False)
    assert not notebooks.is_whole(output)


def test_a_kernel_that_never_started_ran_nothing(tmp_path):
    """
    When no kernel starts, every cell is pending and the notebook has an exception.
    """
    output = tmp_path / "executed.ipynb"
    with pytest.raises(RuntimeError, match="Kernel died"):
        execute("print('one')", output=str(output), extra_arguments=["--no-such-option-of-any-kernel"])
    assert told(output) == [("pending", None, False)] * 2
    assert json.loads(output.read_text())["metadata"]["papermill"]["exception"] is True


def test_a_success_says_that_all_ran(tmp_path):
    """
    A notebook without an error has only completed cells, and is whole.
    """
    output = tmp_path / "executed.ipynb"
    execute("print('one')", "", "print('three')", output=str(output))
    assert told(output) == [("completed", False, True)] * 4
    assert json.loads(output.read_text())["metadata"]["papermill"]["exception"] is None
    assert notebooks.is_whole(output)


def test_the_command_tells_the_truth_too(tmp_path):
    """
    `papermill --engine warm` runs one notebook; killed with -9 in a cell, it leaves that cell running and later ones pending, and no kernel.
    """
    given, output, pid = tmp_path / "given.ipynb", tmp_path / "executed.ipynb", tmp_path / "pid"
    told_pid = f"import os; from pathlib import Path; Path({str(pid)!r}).write_text(str(os.getpid())); "
    nbformat.write(notebook("print('one')", told_pid + LONG, "print('three')"), given)
    start = "from tests.support import warm_notebooks; from papermill.cli import papermill; papermill()"
    command = [sys.executable, "-c", start, str(given), str(output), "--engine", "warm", "--no-progress-bar"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (pid.exists() and pid.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    assert told(output) == [("completed", False, True), ("running", False, False), ("pending", None, False), ("pending", None, False)]
    kernel = Path("/proc", pid.read_text(), "stat")
    while kernel.exists() and kernel.read_text().rpartition(")")[2].split()[0] not in "ZX":
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("warm", [pytest.param(False, marks=pytest.mark.slow), True], ids=["cold", "warm"])
def test_a_run_keeps_the_notebook_that_did_not_succeed(tmp_path, warm):
    """
    Whatever ended a notebook, `failed.ipynb` tells it cell by cell, and a fault of the machine is told from one of the notebook.
    """
    given, output = tmp_path / "given.ipynb", tmp_path / "executed.ipynb"
    ends = {
        "1 / 0": (NotebookError, "ZeroDivisionError"),
        "import os; os.kill(os.getpid(), 9)": (MachineError, "ended in the middle"),
        "raise MemoryError('4 GB')": (MachineError, "MemoryError: 4 GB"),
        "raise RuntimeError('CUDA error: an illegal memory access')": (MachineError, "CUDA error"),
        f"import os; os.kill(os.getppid(), 2); {LONG}": (KeyboardInterrupt, "^$"),
        "exit()": (NotebookError, r"left with exit\(\)"),
    }
    for source, (kind, message) in ends.items():
        nbformat.write(notebook("print('one')", source, "print('three')"), given)
        with pytest.raises(kind, match=message) as caught:
            notebooks.run(given, {}, output, warm=warm)
        assert caught.type is kind
        assert [status for status, *_ in told(tmp_path / "failed.ipynb")] == ["completed", "failed", "pending", "pending"], source
        assert sorted(path.name for path in tmp_path.iterdir()) == ["failed.ipynb", "given.ipynb"]
