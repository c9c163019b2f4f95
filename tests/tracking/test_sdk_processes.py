"""How many processes of the SDK a run costs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.tracking import confirmed, sender
from tests.support.comet_runs import only
from tests.support.comet_server import Backend, serving
from tests.support.datasets import write_dataset
from tests.support.run_folders import ROOT
from tests.support.sdk_processes import counted, counting

MAKES_RUNS = """
import sys
from sdxl_lab.kernels import notebooks
from sdxl_lab.runs.experiment import execute

dataset, checkpoint = sys.argv[1:]
notebook = notebooks.find(notebooks.BUILT_IN)
few = {"denoising": {"num_inference_steps": 2}, "compute": {"threads": 1}}
for line in sys.stdin:
    name, tracking = line.split()
    given = {"name": name, "tracking": tracking, "dataset": dataset, "checkpoint": checkpoint, "tasks": ["inpaint"], "runs_folder": "runs"}
    print(execute(notebook, notebooks.parameters_of(notebook) | given | {"hyperparameters": few | {"seed": len(name)}}, warm=True).folder.path)
    sys.stdout.flush()
"""


@pytest.mark.timeout(300)
def test_only_what_is_tracked_starts_the_sdk(random_pair, tmp_path, monkeypatch):
    """
    A run starts no process of the SDK without an API key, one with it, and with `offline` one in each process that builds an archive.
    """
    (tmp_path / "home").mkdir()
    dataset = write_dataset(tmp_path / "scene", count=1)
    environment = os.environ | counting(tmp_path) | {"HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    environment["PYTHONPATH"] += os.pathsep + str(ROOT)
    command = [sys.executable, "-c", MAKES_RUNS, str(dataset), str(random_pair)]
    with (
        serving(Backend()) as backend,
        subprocess.Popen(command, env=environment, cwd=tmp_path, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdin is not None
        answers = process.stdout
        assert answers is not None

        def made(name: str, tracking: str) -> RunFolder:
            print(name, tracking, file=process.stdin, flush=True)
            return RunFolder(tmp_path / answers.readline().strip())

        without = made("a", "auto")
        assert counted(tmp_path) == []
        assert not without.comet_folder.exists()
        archived = made("ab", "offline")
        assert counted(tmp_path) == ["sdxl_lab.tracking.archive_worker"] * 2
        assert len([*archived.comet_folder.glob("*.zip")]) == 1
        settings = f"[comet]\napi_key={backend.api_key}\nurl_override={backend.environment()['COMET_URL_OVERRIDE']}\n"
        (tmp_path / "home" / ".comet.config").write_text(settings)
        live = made("abc", "auto")
        assert counted(tmp_path) == ["sdxl_lab.tracking.sending"]
        if not confirmed.standing(live).is_whole:  # a machine with much else to do is too slow to be live
            monkeypatch.setenv("HOME", str(tmp_path / "home"))
            sender.push(live)
        assert {asset.name for asset in only(backend).assets} == {"prompts.csv", "report.html", "executed.ipynb"}
        assert not only(backend).running
        assert "on its way to Comet" in live.executed_notebook.read_text()
        process.stdin.close()
        assert process.wait(60) == 0
