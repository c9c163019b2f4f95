"""Sweeps by their command: what it says, how it ends, and two of them at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.arguments import written
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.plan import Plan
from sdxl_lab.sweeps.sweep_file import SweepFile
from tests.support.commands import said
from tests.support.quick_sweeps import SEED, tries, write_specs
from tests.support.quick_sweeps import dataset as dataset
from tests.support.quick_sweeps import notebook as notebook
from tests.support.quick_sweeps import planned as planned
from tests.support.run_folders import complete
from tests.support.runs import resolved_run


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global plan
    from sdxl_lab.sweeps.planner import plan


COMMAND = str(Path(sys.executable).with_name("sdxl-lab"))

AT_ONCE = """
import sys
from pathlib import Path
from sdxl_lab.sweeps.planner import plan
from sdxl_lab.sweeps.sweep import Inline, sweep
from sdxl_lab.sweeps.sweep_file import SweepFile
print(sweep(plan(SweepFile.read(Path(sys.argv[1]))), Inline()).failed)
"""


@pytest.mark.slow
def test_two_sweeps_at_once_share_the_work(planned, notebook, dataset, random_pair, tmp_path):
    """
    Two commands on one folder make each point once between them, and both end when all of it is there.
    """
    file = tmp_path / "sweep.yaml"
    file.write_text(f"""
        name: test
        notebook: {notebook()}
        parameters: {{dataset: {dataset}, checkpoint: {random_pair}, samples: [scene-1], runs_folder: {tmp_path / "runs"}}}
        grid: {{hyperparameters.denoising.num_inference_steps: [3, 4, 5, 6]}}
        """)
    made = plan(SweepFile.read(file))
    commands = [subprocess.Popen([sys.executable, "-c", AT_ONCE, str(file)], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [command.communicate(timeout=170)[0] for command in commands]
    assert printed == ["()\n", "()\n"]
    assert tries(made) == [["done"]] * 4
    assert not plan(SweepFile.read(file)).pending


def written_file(path: Path, made: Plan, **content: Any) -> Path:
    """A sweep file with the parameters of a plan."""
    parameters = {name: value for name, value in made.runs[0].parameters.items() if name != "name"}
    path.write_text(written({"name": "test", "notebook": str(made.notebook), "parameters": parameters} | content))
    return path


def test_a_sweep_file_stands_for_the_folder_of_its_runs(planned, notebook, tmp_path):
    """
    What looks at records and asks nobody says the same of a sweep file as of its runs' folder.
    """
    made = planned(notebook(), grid={SEED: [1, 2]})
    for item in made.runs:
        complete(resolve(RunSpec.from_parameters(**item.parameters)).spec)
    file, runs = written_file(tmp_path / "sweep.yaml", made, grid={SEED: [1, 2]}), tmp_path / "runs"
    for command in ("status", "archive", "report"):
        by_file, by_folder = said(command, file), said(command, runs)
        assert (by_file.code, by_file.out) == (0, by_folder.out)
        assert str(runs) in by_file.out


def test_a_sweep_file_is_found_recorded_from_anywhere_in_the_lab(tmp_path, monkeypatch):
    """
    Runs lie in the artifacts of the repository, so their sweep file stands for them wherever in it somebody is.
    """
    runs = tmp_path / "artifacts" / "runs" / "far"
    complete(resolved_run(runs))
    (tmp_path / "artifacts" / "README.md").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    Path("far.yaml").write_text(written({"name": "far", "grid": {SEED: [1, 2]}}))
    assert said("status", Path("far.yaml")).out == said("status", runs).out != ""


def test_a_sweep_that_was_not_run_is_no_record(planned, notebook, tmp_path):
    """
    What looks at records answers a sweep file without any with the command that makes them.
    """
    file = written_file(tmp_path / "sweep.yaml", planned(notebook()), grid={SEED: [1, 2]})
    for command in ("status", "archive", "report"):
        asked = said(command, file)
        assert (asked.code, asked.out) == (1, "")
        assert asked.err == f"sdxl-lab: no run of {file} is recorded in {tmp_path / 'runs'} yet; make them with: sdxl-lab sweep {file}\n"


def test_the_command_says_what_failed_and_leaves_with_1(planned, notebook, tmp_path):
    """
    `sdxl-lab sweep` makes what can be made, lists what failed with its notebook, and leaves with 1; `sdxl-lab plan` says what is left.
    """
    bad = "if hyperparameters['seed'] == 2: raise ValueError('two is bad')"
    made = planned(notebook(before=bad, isolated=True, specs=tmp_path), grid={SEED: [1, 2]})
    write_specs(tmp_path, made)
    file = written_file(tmp_path / "sweep.yaml", made, grid={SEED: [1, 2]})
    swept = said("sweep", file)
    assert (swept.code, swept.out.splitlines()[0]) == (1, f"1 of 2 runs are done: {tmp_path / 'runs'}")
    [failed] = tmp_path.glob("runs/*/failed.ipynb")
    assert "sdxl-lab: 1 run failed" in swept.err
    assert f"seed=2: cell [3] of {made.notebook} failed with ValueError: two is bad" in swept.err
    assert f"\n    {failed}" in swept.err
    assert "1 of 2 done, 0 running, 0 to go, 1 failed" in swept.err
    left = said("plan", file)
    assert left.code == 0
    assert left.out.startswith(f"test: 2 points, 1 done, 1 to run, recorded in {tmp_path / 'runs'}\n")


@pytest.mark.slow
def test_ctrl_c_ends_the_command_and_what_it_started(planned, notebook, tmp_path):
    """
    Ctrl-C in the midst of a point ends command, worker and kernel within seconds, says so, leaves with 130, and the next command goes on.
    """
    made = planned(notebook(after="import os, time; open('kernel', 'w').write(str(os.getpid())); time.sleep(60)"))
    file = written_file(tmp_path / "sweep.yaml", made, grid={SEED: [1, 2]})
    with subprocess.Popen([COMMAND, "sweep", file, "--workers", "2"], stderr=subprocess.PIPE, text=True, cwd=tmp_path) as command:
        while not (tmp_path / "kernel").is_file() or not (tmp_path / "kernel").read_text():
            assert command.poll() is None
            time.sleep(0.1)
        command.send_signal(signal.SIGINT)
        _, message = command.communicate(timeout=60)
    assert command.returncode == 130
    assert "interrupted; pictures made so far are kept" in message
    assert "Traceback" not in message
    assert not Path(f"/proc/{(tmp_path / 'kernel').read_text()}").exists()
    assert len(list(tmp_path.glob("runs/*/images/scene-1/inpaint.png"))) >= 1
    mended = written_file(tmp_path / "again.yaml", planned(notebook()), grid={SEED: [1, 2]})
    assert subprocess.run([COMMAND, "sweep", mended], check=False).returncode == 0
