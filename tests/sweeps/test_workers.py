"""Worker processes: what becomes of a task when its worker, its caller or the whole command ends in the middle."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.errors import LabError
from sdxl_lab.sweeps.workers import WorkerLostError, Workers


class PickyError(Exception):
    """An exception that can be pickled but not read back."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(reason)


def square(number: int) -> int:
    """Return its square."""
    return number * number


def pid(wait_s: float = 0.0) -> int:
    """Return the worker's process id."""
    time.sleep(wait_s)
    return os.getpid()


def tell_and_sleep(file: Path) -> None:
    """Write the worker's process id, then sleep for long."""
    file.with_suffix(".part").write_text(str(os.getpid()))
    file.with_suffix(".part").rename(file)
    time.sleep(600)


def stubborn(file: Path) -> None:
    """Do the same, and take no notice of ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tell_and_sleep(file)


def warm(file: Path) -> int:
    """Run a notebook in the worker's warm kernel, which writes the process ids of both; returns the kernel's."""
    import nbformat
    import papermill
    from papermill.engines import papermill_engines

    from sdxl_lab.kernels.engine import WarmEngine

    papermill_engines.register("warm", WarmEngine)
    code = f"import os\nfrom pathlib import Path\nPath({str(file)!r}).write_text(f'{{os.getppid()}} {{os.getpid()}}')\nprint(os.getpid())"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    notebook.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "Python"}
    executed = papermill.execute_notebook(notebook, None, engine_name="warm", progress_bar=False, preload=())  # pyright: ignore[reportArgumentType]
    return int(executed.cells[0].outputs[0].text)


def warm_and_sleep(file: Path) -> None:
    """The same, then sleep for long."""
    warm(file)
    time.sleep(600)


def fail(error: Exception) -> None:
    """Raise it."""
    raise error


def fail_picky() -> None:
    """Raise what cannot be sent."""
    raise PickyError(reason="no way back")


def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Wait for something to come true."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_gone(number: int) -> bool:
    """Whether there is no such process, or it only waits to be counted."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Two workers for the tests that end none but by intent."""
    with Workers(2, accelerators=[]) as workers:
        yield workers


def test_results_and_errors_come_back(workers):
    """
    A future holds what its function returned or raised, with the worker's traceback as a note; what cannot be sent arrives as text.
    """
    assert list(workers.map(square, range(5))) == [0, 1, 4, 9, 16]
    with pytest.raises(LabError, match="got 1, allowed is 2") as caught:
        workers.submit(fail, LabError("got 1, allowed is 2")).result()
    assert "in fail" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="PickyError: no way back"):
        workers.submit(fail_picky).result()


def test_as_many_tasks_run_at_once_as_there_are_workers(workers):
    """
    Two tasks that take a while run in two processes, neither of which is this one.
    """
    assert len({future.result() for future in [workers.submit(pid, 1.0) for _ in range(2)]} - {os.getpid()}) == 2


def test_a_worker_that_cannot_be_started_costs_its_task_alone(monkeypatch):
    """
    When the system has no process to give, the task fails with its reason, and the next one gets a worker.
    """
    start = multiprocessing.context.SpawnProcess.start
    refusals = [OSError("no process is left")]

    def refuse(process: Any) -> None:
        if refusals:
            raise refusals.pop()
        start(process)

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", refuse)
    with Workers(1, accelerators=[]) as workers:
        with pytest.raises(OSError, match="no process is left"):
            workers.submit(square, 2).result()
        assert workers.submit(square, 3).result() == 9


def test_a_killed_worker_is_replaced(workers, tmp_path):
    """
    After kill -9 of a worker its task fails with WorkerLostError, the other worker's task succeeds, and a new process takes the next tasks.
    """
    lost = workers.submit(tell_and_sleep, tmp_path / "pid")
    until((tmp_path / "pid").exists)
    other = workers.submit(square, 3)
    victim = int((tmp_path / "pid").read_text())
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(WorkerLostError, match=f"worker process {victim} ended by signal SIGKILL"):
        lost.result(timeout=60)
    assert other.result(timeout=60) == 9
    assert victim not in {future.result(timeout=60) for future in [workers.submit(pid, 0.3) for _ in range(4)]}


def test_a_worker_that_exits_is_lost(workers):
    """
    A task that ends its process is answered with the exit code, and does not end anything else.
    """
    with pytest.raises(WorkerLostError, match="with 7"):
        workers.submit(os._exit, 7).result(timeout=60)
    assert workers.submit(square, 2).result(timeout=60) == 4


def test_leaving_by_ctrl_c_interrupts_and_cancels(tmp_path, monkeypatch):
    """
    When a block is left by an exception, running tasks are interrupted, a stubborn one is killed, waiting ones never start, and no process stays.
    """
    monkeypatch.setattr("sdxl_lab.sweeps.workers.PATIENCE_S", 1.0)
    files, futures = [tmp_path / "soft", tmp_path / "hard"], []

    def leave() -> None:
        with Workers(2, accelerators=[]) as workers:
            futures.extend([workers.submit(tell_and_sleep, files[0]), workers.submit(stubborn, files[1]), workers.submit(square, 2)])
            until(lambda: all(file.exists() for file in files))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    soft, hard, waiting = futures
    assert waiting.cancelled()
    with pytest.raises(CancelledError):
        soft.result(timeout=0)
    with pytest.raises(WorkerLostError):
        hard.result(timeout=0)
    assert all(is_gone(int(file.read_text())) for file in files)


def test_waiting_tasks_can_be_cancelled():
    """
    Shutting down with cancel_futures cancels what has not begun, lets the rest end, and refuses new tasks.
    """
    workers = Workers(1, accelerators=[])
    futures = [workers.submit(pid, 1.0) for _ in range(3)]
    until(futures[0].running)
    workers.shutdown(cancel_futures=True)
    assert [future.cancelled() for future in futures] == [False, True, True]
    assert futures[0].result(timeout=0)
    with pytest.raises(RuntimeError, match="shut down"):
        workers.submit(square, 1)


def test_a_worker_keeps_its_kernel_and_takes_it_along(tmp_path):
    """
    Notebooks of one worker run in one kernel, which ends when the workers do.
    """
    with Workers(1, accelerators=[]) as workers:
        kernels = {workers.submit(warm, tmp_path / "pids").result(timeout=120) for _ in range(2)}
    assert len(kernels) == 1
    until(lambda: is_gone(*kernels), within_s=10)
    assert is_gone(*kernels)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "kill"])
def test_nothing_outlives_the_command(tmp_path, how):
    """
    When the command is killed in the middle of tasks, its workers and their kernels end within seconds.
    """
    code = (
        "import sys; from pathlib import Path; from sdxl_lab.sweeps.workers import Workers; from tests.sweeps.test_workers import warm_and_sleep\n"
        "if __name__ == '__main__':\n"
        "    workers = Workers(1, accelerators=[])\n"
        "    workers.submit(warm_and_sleep, Path(sys.argv[1])).result()"
    )
    script = tmp_path / "command.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, str(script), str(tmp_path / "pids")], env=environment) as command:
        until((tmp_path / "pids").exists)
        until(lambda: len((tmp_path / "pids").read_text().split()) == 2)
        command.send_signal(how)
    pids = [int(text) for text in (tmp_path / "pids").read_text().split()]
    until(lambda: all(map(is_gone, pids)), within_s=20)
    assert len(pids) == 2
    assert all(map(is_gone, pids))


def test_each_worker_has_its_own_gpu_where_there_are_several():
    """
    Several accelerators are dealt out in turn; a single one, or none, is left as it is.
    """
    with Workers(3, accelerators=["0", "GPU-7"]) as workers:
        barrier = [workers.submit(visible, 1.5) for _ in range(3)]
        assert sorted(future.result() or "" for future in barrier) == ["0", "0", "GPU-7"]
    with Workers(1, accelerators=["0"]) as workers:
        assert workers.submit(visible, 0.0).result() == os.environ.get("CUDA_VISIBLE_DEVICES")


def visible(wait_s: float) -> str | None:
    """Return which accelerators the worker may use."""
    time.sleep(wait_s)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_less_than_one_worker_is_refused():
    """
    No workers are refused at once.
    """
    with pytest.raises(ValueError, match="got 0 workers"):
        Workers(0)
