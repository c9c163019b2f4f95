"""Every benchmark, run small: what it prints besides times must hold, so that none can rot unseen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write_checkpoint

FOLDER = Path(__file__).parents[1] / "benchmarks"
FACTS = {
    "overhead.py": (["CHECKPOINT", "1", "4"], r"base alone: equal(.|\n)*stock: equal(.|\n)*ratio"),
    "pocket.py": (["--runs", "1"], r"load base and refiner(.|\n)*inpaint, 30 steps"),
    "real_size.py": (["CHECKPOINT", "4"], r"equal"),
    "report.py": (["8", "2"], r"chromium|ms a frame"),
    "sweep.py": (["both", "4"], r"equal bit for bit(.|\n)*throughput"),
    "trajectory.py": (["CHECKPOINT", "6"], r"equal"),
    "warm.py": (["pocket", "1", "2"], r"ratio"),
}
"""Arguments of a small run of each, and what its output must hold."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def printed(name: str, arguments: list[str], checkpoint: Path) -> str:
    """What a benchmark prints."""
    command = [sys.executable, str(FOLDER / name), *(str(checkpoint) if word == "CHECKPOINT" else word for word in arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_every_benchmark_has_a_small_run():
    """
    The table above lists the folder.
    """
    assert set(FACTS) == {path.name for path in FOLDER.glob("*.py")}


@pytest.mark.parametrize("name", FACTS)
def test_a_benchmark_runs_and_its_facts_hold(name, tmp_path):
    """
    It comes to its end, and says of its pictures what it always says; a sweep takes exactly the forwards that were planned.
    """
    arguments, facts = FACTS[name]
    text = printed(name, arguments, write_checkpoint(tmp_path / "pair"))
    assert re.search(facts, text), text
    for taken, planned in re.findall(r"(\d+) UNet forwards \(planned[^:]*: (\d+)\)", text):
        assert taken == planned
