"""Runs on their way to the stand-in for Comet: starting one, disturbing it, and what Comet holds of it in the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdxl_lab.records.folder import RunFolder
from tests.support.comet_server import Backend, Experiment
from tests.support.runs import resolved_run

ROOT = Path(__file__).resolve().parents[2]
PICTURES = 3
PATIENCE_S = 120.0


def told(experiment: Experiment) -> dict[str, Any]:
    """
    All that an experiment holds, in an order of its own; what was sent twice is there twice.

    Times differ from run to run, and so does the report, which shows them: of the HTML panel it counts how many pages it holds. So may the commit, while
    somebody works on the code.
    """
    others = {name: value for name, value in experiment.others.items() if name not in ("finished", "commit")}
    return {
        "name": experiment.name,
        "tags": sorted(experiment.tags),
        "parameters": experiment.parameters,
        "others": others,
        "metrics": sorted(experiment.metrics, key=str),
        "images": sorted(((file.name, file.step, file.sha256, file.metadata) for file in experiment.images), key=str),
        "assets": sorted(
            (file.name, file.step, file.type, *((file.sha256, file.metadata) if file.name != "report.html" else ())) for file in experiment.assets
        ),
        "noise": [experiment.output, experiment.system, experiment.git, experiment.git_patch, experiment.html.count("</html>"), experiment.file_path],
    }


def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "nothing happened for too long"
        time.sleep(0.05)


def live_run(runs_folder: str | Path, tracking: str) -> list[str]:
    """The command that makes a run without a model, and is told on stdin what to do next."""
    return [sys.executable, "-m", "tests.support.live_run", str(runs_folder), tracking]


class Kernel:
    """The process that makes a run."""

    def __init__(self, runs_folder: Path) -> None:
        self.run = RunFolder.of(resolved_run(runs_folder, tracking="online"))
        command = live_run(runs_folder, "online")
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, env=environment, text=True, **pipes)
        self.seconds = 0.0

    def start(self, step: str) -> None:
        """Ask for a step."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{step}\n")
        self.process.stdin.flush()

    def wait(self) -> None:
        """Wait for the step that was asked for."""
        assert self.process.stdout is not None
        self.seconds += float(self.process.stdout.readline())

    def do(self, *steps: str) -> None:
        """Ask for steps and wait for them."""
        for step in steps:
            self.start(step)
            self.wait()

    def end(self) -> str:
        """End the process in good order; what it wrote to stderr."""
        _, said = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, said
        return said

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def kernel(runs_folder: Path) -> Iterator[Kernel]:
    """A kernel that does not outlive its test."""
    started = Kernel(runs_folder)
    try:
        yield started
    finally:
        started.kill()


def workers_of(run: RunFolder) -> list[int]:
    """The processes that send a run, by their ids."""
    wanted = str(run.path.resolve()).encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted in words and any(b"sdxl_lab.tracking.sending" in word for word in words):
            found.append(int(folder.name))
    return found


def only(backend: Backend) -> Experiment:
    """The one experiment there is."""
    [experiment] = backend.experiments.values()
    return experiment
