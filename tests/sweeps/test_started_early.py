"""Workers and kernels that start while a sweep is planned."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.kernels import ahead
from sdxl_lab.runs.early import asked_before
from sdxl_lab.settings.arguments import written
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.executors import prepare
from sdxl_lab.sweeps.sweep import sweep
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.sweeps.workers import Workers
from tests.support.quick_sweeps import SEED, dataset, notebook, planned, write_specs  # noqa: F401 - fixtures
from tests.support.started import told_of

SAYS_ITS_PROCESS = "import os; from pathlib import Path; Path({file!r}).open('a').write(f'{{os.getpid()}}\\n')"


def imported() -> list[str]:
    """
    Which of the large libraries a process has imported.
    """
    return [name for name in ("torch", "diffusers", "transformers", "comet_ml", "pandas") if name in sys.modules]


def coming() -> int:
    """
    The process id of the kernel that was started in a worker.
    """
    kernel: Any = ahead.of_thread.coming
    return kernel.manager.provisioner.pid


@pytest.fixture
def two_points(notebook, planned, tmp_path):  # noqa: F811
    """
    A sweep of two runs that need no model, as file and plan; each writes its kernel's process id to a file.
    """
    path = notebook(before=SAYS_ITS_PROCESS.format(file=str(tmp_path / "kernels")), specs=tmp_path)
    made = planned(path, grid={SEED: [1, 2]})
    write_specs(tmp_path, made)
    parameters = {name: value for name, value in made.runs[0].parameters.items() if name != "name"}
    parameters["hyperparameters"] = {name: value for name, value in parameters["hyperparameters"].items() if name != "seed"}
    return SweepFile.from_dict({"name": "test", "notebook": str(path), "parameters": parameters, "grid": {SEED: [1, 2]}}), made


def test_the_kernel_that_was_started_early_runs_the_first_point(two_points, tmp_path):
    """
    It is the one that all of a worker's points have; and the worker itself has imported none of the large libraries in the end.
    """
    file, made = two_points
    with Workers(1) as workers:
        prepare(workers, file, 1)
        pid = workers.submit(coming).result()
        assert sweep(made, workers).made == 2
        assert workers.submit(imported).result() == []
    assert set((tmp_path / "kernels").read_text().split()) == {str(pid)}
    assert not Path("/proc", str(pid)).exists()


class Counting(Workers):
    """Workers that count what they are asked for."""

    asked = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """As theirs."""
        self.asked += 1
        return super().submit(fn, *args, **kwargs)


@pytest.mark.slow
def test_no_worker_starts_early_for_a_point_that_is_done(two_points):
    """
    There are as many as asked for, but no more than points that were not recorded; other parameters or another name are another point.
    """
    file, made = two_points
    counts = []
    for done in (0, 1, 2):
        with Counting(3) as workers:
            prepare(workers, file, 3)
            counts.append(workers.asked)
            if done < 2:
                sweep(replace(made, groups=made.groups[done : done + 1]), workers)
    assert counts == [2, 1, 0]
    asked = dict(file.points[0].parameters)
    for changed in ({"samples": None}, {"tasks": ["outpaint"]}, {"hyperparameters": {"seed": 3}}, {"name": "another"}):
        assert not asked_before(RunSpec.from_parameters(**asked | changed))


def test_a_sweep_that_planning_refuses_leaves_no_process_and_no_folder(tmp_path):
    """
    A sample that the dataset has not is one error, found while workers and kernels start; the command ends them and writes nothing.
    """
    parameters = {"samples": ["no-such"], "tracking": "off", "runs_folder": "refused"}
    (tmp_path / "refused.yaml").write_text(written({"name": "refused", "parameters": parameters, "grid": {SEED: [1, 2]}}))
    told = told_of(["sweep", "refused.yaml", "--workers", "2"], tmp_path)
    assert told.code == 1
    assert "samples: got 'no-such'" in told.error
    assert not (tmp_path / "refused").exists()
    assert [pid for pid in os.listdir("/proc") if pid.isdecimal() and _is_of(pid, tmp_path)] == []  # noqa: PTH208


def _is_of(pid: str, folder: Path) -> bool:
    """
    Whether a process was started by a command in a folder: its workers and their kernels have its environment.
    """
    try:
        return str(folder).encode() in Path("/proc", pid, "environ").read_bytes()
    except OSError:  # another user's, or gone
        return False
