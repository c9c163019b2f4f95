"""A warm kernel that was replaced: who is told, how often, and what of; and what a kernel that dies costs a sweep."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest

from sdxl_lab.kernels import engine, notebooks
from sdxl_lab.runs import experiment
from sdxl_lab.settings.arguments import written
from sdxl_lab.sweeps.attempts import Attempts
from sdxl_lab.sweeps.board import Board
from sdxl_lab.sweeps.plan import Plan
from sdxl_lab.sweeps.sweep import MOST_ATTEMPTS, Inline, Summary, sweep
from tests.support.edits import crossed
from tests.support.quick_sweeps import SEED, tries, write_specs
from tests.support.quick_sweeps import dataset as dataset
from tests.support.quick_sweeps import notebook as notebook
from tests.support.quick_sweeps import planned as planned
from tests.support.warm_notebooks import execute, printed

COMMAND = str(Path(sys.executable).with_name("sdxl-lab"))

PATCH = "import wave\ndef own(*_): pass\nwave.open = own"
REASON = "a new kernel for the next notebook: {name} left function own in wave.open"


@pytest.fixture(scope="module", autouse=True)
def cold() -> Iterator[None]:
    """Leave no kernel behind."""
    engine.close()
    yield
    engine.close()


CAUSES = {
    "a function in a class": (
        "from collections import Counter\ndef own(*_): pass\nCounter.most_common = own",
        "left function own in collections.Counter.most_common",
    ),
    "a function in a registry": (
        "import atexit, copyreg\ndef own(*_): pass\ncopyreg.dispatch_table[int] = own",
        "left function own in copyreg.dispatch_table",
    ),
    "a method in an object's list": (
        "import logging\nclass Own:\n    def f(self, _): return True\nlogging.getLogger('x').addFilter(Own().f)",
        "left ",
    ),
    "a closure": (
        "import wave\ndef make(n):\n    def inner(): return n\n    return inner\nwave.open = make(1)",
        "left function make.<locals>.inner in wave.open",
    ),
    "a function, and all that was there frozen": (
        "import gc, wave\ndef own(*_): pass\nwave.open = own\ngc.freeze()",
        "left function own in wave.open",
    ),
    "a thread": (
        "import threading, time\ndef work(): time.sleep(600)\nthreading.Thread(target=work, daemon=True, name='mine').start()",
        "left thread mine running",
    ),
    "a task": (
        "import asyncio\nasync def work(): await asyncio.sleep(600)\nt = asyncio.create_task(work(), name='mine')\nawait asyncio.sleep(0)",
        "left task mine running",
    ),
}


@pytest.mark.parametrize("what", crossed(CAUSES, quick=lambda what: what not in ("a function in a registry", "a closure")))
def test_what_lives_on_is_said_with_what_holds_it(what):
    """
    The reason names what a notebook left, and the module, class or object in which it is.
    """
    source, reason = CAUSES[what]
    told: list[str] = []
    execute(source, tell=told.append)
    [line] = told
    assert line.startswith(f"a new kernel for the next notebook: a notebook {reason}")


def test_other_reasons_for_a_new_kernel_are_said(monkeypatch, tmp_path):
    """
    A kernel that is replaced because it died or because the environment is another one is said to the notebook that gets the new one.
    """
    told: list[str] = []
    pid = int(printed(execute("import os; print(os.getpid())", tell=told.append)))
    os.kill(pid, 9)
    execute("1", tell=told.append)
    monkeypatch.setenv("ANY_NAME", "any value")
    execute("1", tell=told.append)
    execute("1", tell=told.append)
    execute("1", tell=told.append, isolated=True)
    died, changed = told
    assert died.startswith("a new kernel for a notebook: the one before ")
    assert died.endswith("died")
    assert changed == "a new kernel for a notebook: the environment has changed: ANY_NAME"
    engine.close()


def test_commands_say_it_once(tmp_path, capfd):
    """
    Notebooks run one after the other say on stderr why the next gets a new kernel, once for each reason, however often it happens.
    """
    for name in ("one.ipynb", "two.ipynb", "one.ipynb"):
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(PATCH)]), tmp_path / name)
        notebooks.run(tmp_path / name, {}, tmp_path / "executed.ipynb", warm=True)
    assert capfd.readouterr().err.splitlines() == [f"sdxl-lab: {REASON.format(name=name)}" for name in ("one.ipynb", "two.ipynb")]


def test_who_listens_hears_of_the_last_notebook_when_the_block_ends(tmp_path, capfd):
    """
    Of a notebook with another one behind it who listens hears before that begins, of the last one at the end of the block; stderr has nothing.
    """
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(PATCH)]), tmp_path / "given.ipynb")
    told: list[str] = []
    heard: list[int] = []
    with notebooks.listening(told.append):
        for _ in range(2):
            notebooks.run(tmp_path / "given.ipynb", {}, tmp_path / "executed.ipynb", warm=True)
            heard.append(len(told))
    assert (heard, told) == ([0, 1], [REASON.format(name="given.ipynb")] * 2)
    assert capfd.readouterr().err == ""


def test_a_kernel_that_dies_while_nobody_waits_for_it_serves_no_more(tmp_path):
    """
    Killed after its notebook, before anybody has asked whether it is clean, a kernel is replaced, and the next notebook runs to its end.
    """
    pids = list[int]()
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import os; print(os.getpid())")]), tmp_path / "given.ipynb")
    for _ in range(2):
        with notebooks.listening(lambda _: None):
            notebooks.run(tmp_path / "given.ipynb", {}, tmp_path / "executed.ipynb", warm=True)
            pids.append(int(printed(nbformat.read(tmp_path / "executed.ipynb", as_version=4))))
            os.kill(pids[-1], signal.SIGKILL)
    assert pids[0] != pids[1]
    engine.close()


def test_a_clean_notebook_says_nothing(tmp_path, capfd):
    """
    As long as a kernel is kept there is nothing to say.
    """
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("def own(): pass")]), tmp_path / "given.ipynb")
    for _ in range(2):
        notebooks.run(tmp_path / "given.ipynb", {}, tmp_path / "executed.ipynb", warm=True)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_a_sweep_keeps_the_reasons_and_shows_each_once(planned, notebook, capfd):
    """
    What a worker finds stands with its attempts, whether its point was made or failed; the board has it once, and stderr not at all.
    """
    engine.close()
    made = planned(notebook(before=PATCH, after="if hyperparameters['seed'] == 2: 1 / 0"), grid={SEED: [1, 2]})
    names = list[str]()

    class Named(Inline):
        def submit(self, fn: Callable[..., object], /, *args: object, **kwargs: object) -> object:
            names.append(str(args[2]))
            return super().submit(fn, *args, **kwargs)

    ended = sweep(made, Named())
    assert (ended.made, len(ended.failed)) == (1, 1)
    attempts = [attempt for run in made.runs for attempt in Attempts(run.folder.parent, run.run_id).of(names[0])]
    assert [(attempt.end, attempt.new_kernel) for attempt in attempts] == [(end, REASON.format(name="notebook.ipynb")) for end in ("done", "failed")]
    board = Board(made, names[0])
    assert board.notes(board.statuses()) == (f"sdxl-lab: {REASON.format(name='notebook.ipynb')}",)
    assert capfd.readouterr().err == ""


DYING = """
import os, pathlib
mark = pathlib.Path({folder!r}, f"seed-{{hyperparameters['seed']}}")
first = not mark.exists()
mark.touch()
if hyperparameters["seed"] == {always} or (hyperparameters["seed"] == 1 and first): os._exit(9)
if hyperparameters["seed"] == 2 and first: raise MemoryError
"""


def test_a_kernel_that_dies_costs_an_attempt_and_not_the_point(planned, notebook, tmp_path, monkeypatch):
    """
    A point whose kernel dies is tried again in a new one, in which those after it go on.
    """
    monkeypatch.setattr(experiment, "PRELOAD", ())  # kernels that start sooner
    dying = DYING.format(folder=str(tmp_path), always=None)
    made = planned(notebook(before=dying, specs=tmp_path), grid={SEED: [1, 4]})
    write_specs(tmp_path, made)
    assert sweep(made, Inline()) == Summary(before=0, made=2, failed=())
    assert tries(made) == [["broken", "done"], ["done"]]


@pytest.mark.slow
def test_a_fault_of_the_machine_that_stays_is_given_up(planned, notebook, tmp_path):
    """
    A memory that is full once costs an attempt; a kernel that always dies, three of them and the point.
    """
    made = planned(notebook(before=DYING.format(folder=str(tmp_path), always=3)), grid={SEED: [2, 3, 4]})
    ended = sweep(made, Inline())
    assert tries(made) == [["broken", "done"], ["broken"] * MOST_ATTEMPTS, ["done"]]
    [failure] = ended.failed
    assert failure.label == "seed=3"
    assert f"tried {MOST_ATTEMPTS} times" in failure.message


def written_file(path: Path, made: Plan, seeds: list[int]) -> Path:
    """A sweep file with the parameters of a plan, over some seeds."""
    parameters = {name: value for name, value in made.runs[0].parameters.items() if name != "name"}
    path.write_text(written({"name": "test", "notebook": str(made.notebook), "parameters": parameters, "grid": {SEED: seeds}}))
    return path


def screen(stream: str) -> list[str]:
    """What a terminal shows in the end of what was written to it: lines, carriage returns, going up, erasing lines."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.|\n", stream):
        if token == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif token == "\r":
            column = 0
        elif token.startswith("\x1b["):
            if token.endswith("A"):
                row = max(0, row - int(token[2:-1] or 1))
            elif token.endswith("K"):
                lines[row] = ""
        else:
            lines[row] = lines[row].ljust(column)[:column] + token + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def on_a_terminal(*command: str | Path) -> list[str]:
    """What stands on the terminal that is a command's stderr, once it has ended well."""
    reader, writer = pty.openpty()
    environment = os.environ | {"COLUMNS": "120", "LINES": "40", "TERM": "xterm"}
    with subprocess.Popen(command, stderr=writer, stdout=subprocess.DEVNULL, env=environment) as process:
        os.close(writer)
        stream = b""
        with suppress(OSError):  # the last writer has left
            while more := os.read(reader, 65536):
                stream += more
    os.close(reader)
    assert process.returncode == 0
    return [line for line in screen(stream.decode().replace("\r\n", "\n")) if line]


BARS = f"""
import time
from sdxl_lab.kernels import notebooks
from sdxl_lab.progress.bars import following
with following() as follow:
    for name in ("base", "refined"):
        with follow(name, 2, lambda: 2):
            time.sleep(0.5)
            notebooks.say_once({REASON.format(name="x.ipynb")!r})
            time.sleep(0.5)
"""


def test_it_is_said_above_progress_bars():
    """
    The demo's bars stay whole, one a run, below a reason that is said in their midst, once.
    """
    said, *bars = on_a_terminal(sys.executable, "-c", BARS)
    assert said == f"sdxl-lab: {REASON.format(name='x.ipynb')}"
    assert [bar.split()[0] for bar in bars] == ["base", "refined"]
    assert all("2/2 pictures" in bar for bar in bars)


@pytest.mark.slow
def test_the_command_says_it_once_below_its_table(planned, notebook, tmp_path):
    """
    With two workers whose notebooks each cost a kernel, the table stays whole, and the reason stands below it, once; in a file before the last line.
    """
    made = planned(notebook(before=PATCH))
    reason, line = f"sdxl-lab: {REASON.format(name='notebook.ipynb')}", "3 of 3 done, 0 running, 0 to go"
    sweep_twice = [written_file(tmp_path / f"{number}.yaml", made, seeds=[number, number + 1, number + 2]) for number in (1, 4)]
    command = [COMMAND, "sweep", "--workers", "2"]
    shown = [text for text in on_a_terminal(*command, sweep_twice[0]) if "defaults since" not in text]
    assert shown == ["test", "  point  pictures  since", line, reason]
    said = subprocess.run([*command, sweep_twice[1]], capture_output=True, text=True, check=True).stderr
    assert said.splitlines()[-2:] == [reason, line]
    assert said.count(reason) == 1
