"""Kernels that start before what they run is known."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from sdxl_lab.kernels import ahead, engine, notebooks
from sdxl_lab.kernels.process import Wanted
from tests.support.warm_notebooks import execute, notebook, printed

ARGUMENTS = ("--IPKernelApp.log_level=50",)
PID = "import os; print(os.getpid())"


@pytest.fixture(autouse=True)
def cold() -> Iterator[None]:
    """
    No kernel of an earlier test, and none of this one's for a later one.
    """
    engine.close()
    yield
    ahead.end()
    engine.close()


def wanted(*preload: str, alone: bool) -> Wanted:
    """
    What notebooks of `execute` ask for.
    """
    return Wanted(kernel_name="python3", arguments=ARGUMENTS, preload=preload, config=None, alone=alone)


def started() -> int:
    """
    The process id of this thread's kernel that starts.
    """
    assert ahead.of_thread.coming is not None
    return ahead.of_thread.coming.manager.provisioner.pid  # type: ignore[union-attr]


def lives(pid: int) -> bool:
    """
    Whether a process is there.
    """
    return Path("/proc", str(pid)).exists()


def ran(**options: Any) -> int:
    """
    The process id of the kernel that a notebook gets.
    """
    return int(printed(execute(PID, **options)))


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "warm"])
def test_the_next_notebook_gets_the_kernel_that_was_started_for_it(alone, monkeypatch):
    """
    It runs in that very process, whatever libraries set in the environment since; a second one does if the kernel is warm.
    """
    with ahead.started(wanted(alone=alone)):
        pid = started()
        monkeypatch.setenv("QT_QPA_FONTDIR", "as OpenCV sets it")
        assert ran(isolated=alone) == pid
    assert lives(pid) != alone
    assert (ran(isolated=alone) == pid) != alone


def test_a_kernel_that_nobody_took_ends_with_its_block():
    """
    At once, and by ctrl-C too.
    """
    pids = []

    def interrupted() -> None:
        with ahead.started(wanted("torch", alone=True)):
            pids.append(started())
            assert lives(pids[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not lives(pids[0])


def test_another_notebook_gets_another_kernel(tmp_path, monkeypatch):
    """
    A kernel that was started for another kind of notebook, in another folder or by another thread does not serve, and ends.
    """
    for change in ("kind", "folder"):
        with ahead.started(wanted(alone=True)):
            pid = started()
            if change == "folder":
                monkeypatch.chdir(tmp_path)
            assert ran(isolated=change == "folder") != pid
            assert not lives(pid)
    with ahead.started(wanted(alone=True)):
        others: list[object] = []
        thread = threading.Thread(target=lambda: others.append(ahead.taken(wanted(alone=True))))
        thread.start()
        thread.join()
        assert others == [None]
        assert lives(started())


def test_a_thread_with_a_warm_kernel_starts_no_other():
    """
    The next notebook gets the warm one.
    """
    pid = ran()
    with ahead.started(wanted(alone=False)):
        assert ahead.of_thread.coming is None
        assert ran() == pid


LOOK = "import sys; print('colorsys' in vars(sys)['modules'])"


@pytest.mark.parametrize(
    ("first", "metadata", "is_there"),
    [("", {}, True), ("import os; os.environ['X'] = 'y'", {}, False), ("%env X=y", {}, False), ("", {"isolated": True}, False)],
    ids=["plain", "environ", "env", "isolated"],
)
def test_nothing_is_imported_before_a_notebook_that_prepares_its_imports(tmp_path, first, metadata, is_there):
    """
    A notebook that speaks of its environment, or says that it is isolated, finds a kernel that has imported nothing for it.
    """
    path, output = tmp_path / "given.ipynb", tmp_path / "executed.ipynb"
    nbformat.write(notebook(*filter(None, [first, LOOK]), **metadata), path)
    with notebooks.started(path, preload=("colorsys",)):
        pid = started()
        notebooks.run(path, {}, output, preload=("colorsys",))
        assert ahead.of_thread.coming is None
    assert not lives(pid)
    assert printed(nbformat.read(output, as_version=4)).split()[-1] == str(is_there)


AT_ITS_END = """
import atexit
from pathlib import Path
atexit.register(lambda: Path("at exit").write_text("yes"))
never_closed = open("never closed", "w"); never_closed.write("yes")
"""


def test_what_a_notebook_leaves_for_its_end_happens(tmp_path, monkeypatch):
    """
    When `run` returns, functions of atexit have run and files that nobody closed are whole, although the kernel ends quickly.
    """
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "given.ipynb"
    nbformat.write(notebook(AT_ITS_END), path)
    with notebooks.started(path, preload=("colorsys",)):
        notebooks.run(path, {}, tmp_path / "executed.ipynb", preload=("colorsys",))
    assert [Path(name).read_text() for name in ("at exit", "never closed")] == ["yes", "yes"]


AT_A_WARM_END = """
import atexit, wave
from pathlib import Path
atexit.register(Path("at exit").write_text, "yes")
wave.never_closed = open("never closed", "w"); print(wave.never_closed.write("yes"))
"""


@pytest.mark.parametrize("more", [0, 1], ids=["at once", "after another notebook"])
def test_what_notebooks_leave_for_the_end_of_a_warm_kernel_happens(tmp_path, monkeypatch, more):
    """
    When a clean kernel is closed, functions of atexit run and files that a library holds open are whole, although its libraries are not taken apart.
    """
    monkeypatch.chdir(tmp_path)
    engine.close()
    for source in [AT_A_WARM_END] + ["1"] * more:
        execute(source)
    assert ahead.of_thread.warm is not None
    engine.close()
    assert [Path(name).read_text() for name in ("at exit", "never closed")] == ["yes", "yes"]
