"""The same sweep through Parsl with local blocks, and what a killed worker does to it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.attempts import Attempts
from sdxl_lab.sweeps.executors import ExecutorError, opened
from sdxl_lab.sweeps.plan import Plan
from sdxl_lab.sweeps.sweep import Summary, sweep
from sdxl_lab.sweeps.sweep_file import SweepFile
from tests.support.datasets import write_dataset


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global plan
    from sdxl_lab.sweeps.planner import plan


SITE = """
from parsl import Config, HighThroughputExecutor
from parsl.providers import LocalProvider

executor = HighThroughputExecutor(
    address="127.0.0.1", loopback_address="127.0.0.1", max_workers_per_node=2, cores_per_worker=0.5,
    provider=LocalProvider(init_blocks=1, max_blocks=1),
)
config = Config(executors=[executor], run_dir={run_dir!r}, usage_tracking=0, initialize_logging=False)
"""


@pytest.fixture
def site(tmp_path) -> Path:
    """A site file with one local block of two workers."""
    path = tmp_path / "site.py"
    path.write_text(SITE.format(run_dir=str(tmp_path / "parsl-files")))
    return path


def test_a_site_file_that_configures_nothing_is_refused(tmp_path):
    """
    A site file that is not there, fails, or assigns no configuration is answered with what it must say.
    """
    pytest.importorskip("parsl", reason="Parsl is not installed: pip install 'sdxl-lab[parsl]'")
    site = tmp_path / "site.py"
    for text, message in ((None, "there is no such file"), ("1 / 0", "failed with ZeroDivisionError"), ("config = 5", "assigns 5 to config")):
        if text is not None:
            site.write_text(text)
        with pytest.raises(ExecutorError, match=message), opened(1, site):
            pass


def without_times(folder: Path) -> dict[str, Any]:
    """What a run recorded, less what the clock and the machine's load say."""
    lines = [json.loads(line) for line in (folder / "images.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("seconds")
        line["metrics"] = {name: value for name, value in line["metrics"].items() if "bytes" not in name}
    record = {key: value for key, value in json.loads((folder / "record.json").read_text()).items() if key not in ("finished", "seconds")}
    return {"spec": json.loads((folder / "spec.json").read_text()), "lines": lines, "record": record}


def kill_the_first_worker(made: Plan, found: list[int]) -> None:
    """Wait until some run has begun, and kill the process that makes it."""
    while not found:
        for item in made.runs:
            for file in item.folder.parent.glob(f".attempts/{item.run_id}.jsonl"):
                [first, *others] = file.read_text().splitlines() or ["{}"]
                if not others and (process := json.loads(first).get("process")):
                    found.append(process)
                    time.sleep(1)
                    os.kill(process, signal.SIGKILL)
                    return
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_parsl_leaves_the_record_of_our_own_workers_though_one_is_killed(random_pair, site, tmp_path):
    """
    A sweep through Parsl whose worker is killed in the midst of a point leaves the very record that our own workers leave.
    """
    pytest.importorskip("parsl", reason="Parsl is not installed: pip install 'sdxl-lab[parsl]'")
    dataset = write_dataset(tmp_path / "scenes")

    def planned(name: str) -> Plan:
        parameters = {"dataset": str(dataset), "checkpoint": str(random_pair), "tracking": "off", "runs_folder": str(tmp_path / name)}
        grid = {"hyperparameters.seed": [1, 2], "hyperparameters.denoising.high_noise_frac": [None, 0.6, 0.8]}
        base = parameters | {"hyperparameters.denoising.num_inference_steps": 8}
        return plan(SweepFile.from_dict({"name": name, "parameters": base, "grid": grid}))

    ours, parsls, killed = planned("ours"), planned("parsl"), []
    with opened(1) as executor:
        assert sweep(ours, executor) == Summary(before=0, made=6, failed=())
    killer = threading.Thread(target=kill_the_first_worker, args=(parsls, killed), daemon=True)
    killer.start()
    with opened(1, site) as executor:
        assert sweep(parsls, executor) == Summary(before=0, made=6, failed=())
    assert killed
    ends = [line for file in (tmp_path / "parsl" / ".attempts").glob("*.jsonl") for line in file.read_text().splitlines()]
    assert sum('"end": "done"' in line for line in ends) == 6
    assert sum('"began"' in line for line in ends) == 7
    for left, right in zip(ours.runs, parsls.runs, strict=True):
        assert left.run_id == right.run_id
        assert without_times(left.folder) == without_times(right.folder)
    assert not planned("parsl").pending
    assert resolve(RunSpec.from_parameters(**parsls.runs[0].parameters)).is_done
    assert Attempts(parsls.runs_folder, parsls.runs[0].run_id).was_cut_off is False
