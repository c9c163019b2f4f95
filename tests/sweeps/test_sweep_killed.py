"""A sweep that is killed at every kind of moment loses nothing and makes nothing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.records.finding import find_runs
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.settings.arguments import written
from tests.support.datasets import write_dataset
from tests.support.sweep_tripwire import Moment, install

COMMAND = str(Path(sys.executable).with_name("sdxl-lab"))
POINTS = 24

MOMENTS = [
    Moment(name="planning: the dataset is read", where="command", event="open", what="metadata.json", writes=False, victim="command"),
    Moment(name="kernel start: before its process", where="worker", event="subprocess.Popen", what="ipykernel_launcher", victim="worker"),
    Moment(name="kernel start: it reads its connection", where="kernel", event="open", what="kernel.json", writes=False, victim="kernel"),
    Moment(name="kernel start: before its process", where="worker", event="subprocess.Popen", what="ipykernel_launcher", victim="command"),
    Moment(name="planning: the checkpoint is read", where="command", event="open", what="unet/config.json", writes=False, victim="command"),
    Moment(name="loading the checkpoint", where="kernel", event="open", what="model_index.json", writes=False, victim="kernel", count=9),
    Moment(name="generation: a forward", where="kernel", event="forward", what="UNet", count=3, victim="worker"),
    Moment(name="generation: a forward", where="kernel", event="forward", what="UNet", count=5, victim="command"),
    Moment(name="generation: a forward", where="kernel", event="forward", what="UNet", count=2, victim="kernel"),
    Moment(name="generation: the mask is being written", where="kernel", event="os.rename", what="inpaint-mask.png", victim="worker"),
    Moment(name="between PNG and images.jsonl", where="kernel", event="open", what="images.jsonl", victim="command"),
    Moment(name="between PNG and images.jsonl", where="kernel", event="open", what="images.jsonl", victim="kernel"),
    Moment(name="between PNG and images.jsonl", where="kernel", event="open", what="images.jsonl", victim="worker"),
    Moment(name="between record.json and the notebook", where="worker", event="os.rename", what="executed.ipynb", victim="command"),
    Moment(name="between record.json and the notebook", where="kernel", event="open", what="contact-sheet.png", victim="kernel"),
    Moment(name="between record.json and the notebook", where="worker", event="os.rename", what="executed.ipynb", victim="worker"),
    Moment(name="archive building: the SDK runs", where="kernel", event="os.mkdir", what="/out", victim="command", delay_s=0.5),
    Moment(name="archive building: before it is in place", where="kernel", event="os.rename", what=".zip", victim="kernel"),
    Moment(name="archive building: the SDK runs, for the notebook", where="worker", event="os.mkdir", what="/out", victim="worker", delay_s=0.5),
    Moment(name="archive building: before it is in place, for the notebook", where="worker", event="os.rename", what=".zip", victim="command"),
]


def test_the_moments_cover_what_can_be_killed():
    """
    Twenty moments hit planning, kernel start, generation, both gaps between files and archive building, and each kind of process.
    """
    assert len(MOMENTS) == 20
    covered = {moment.name.partition(":")[0] for moment in MOMENTS}
    gaps = {"between PNG and images.jsonl", "between record.json and the notebook"}
    assert {"planning", "kernel start", "generation", "archive building"} | gaps <= covered
    assert all({moment.victim for moment in MOMENTS if moment.name == gap} == {"command", "worker", "kernel"} for gap in gaps)


def pictures(runs: Path) -> dict[str, np.ndarray]:
    """Every result below a folder, by the run's id, sample and task."""
    found = {}
    for path in sorted(runs.glob("*/images/*/*paint.png")):
        with Image.open(path) as image:
            found["/".join([RunFolder(path.parents[2]).resolved.run_id, *path.parts[-2:]])] = np.asarray(image)
    return found


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes find their parents in /proc")
def test_a_sweep_killed_at_every_moment_records_each_point_once(random_pair, tmp_path, capsys):
    """
    A sweep of 24 points, killed with SIGKILL at 20 moments and started again, records each point once, with the pictures of an undisturbed one.
    """
    dataset = write_dataset(tmp_path / "scenes")

    def sweep_file(name: str, tracking: str) -> Path:
        parameters = {"dataset": str(dataset), "checkpoint": str(random_pair), "samples": ["scene-1"], "tasks": ["inpaint"], "tracking": tracking}
        parameters |= {"runs_folder": str(tmp_path / name), "hyperparameters": {"denoising": {"num_inference_steps": 8}}}
        grid = {"hyperparameters.seed": "random(4)", "hyperparameters.denoising.high_noise_frac": [None, "0.5-0.9 (0.1)"]}
        path = tmp_path / f"{name}.yaml"
        path.write_text(written({"name": name, "parameters": parameters, "grid": grid}))
        return path

    subprocess.run([COMMAND, "sweep", str(sweep_file("undisturbed", "off"))], check=True, timeout=3600)
    wires = tmp_path / "wires"
    environment = os.environ | install(wires, MOMENTS)
    file, starts = sweep_file("killed", "offline"), 0
    while True:
        starts += 1
        assert starts <= len(MOMENTS) + 1, "the command died of something else"
        ended = subprocess.run([COMMAND, "sweep", str(file)], env=environment, timeout=3600, capture_output=True, text=True, check=False)
        if ended.returncode != -9:
            break
        time.sleep(3)  # kernels notice within a second or two that what started them is gone
    log = (wires / "log").read_text()
    with capsys.disabled():
        print(f"\n{log}{starts} starts of the command\n{ended.stdout}")
    assert ended.returncode == 0, ended.stderr
    assert [line.partition(", from")[0].rpartition(": ")[0] for line in log.splitlines()] == [moment.name for moment in MOMENTS]

    undisturbed, killed = pictures(tmp_path / "undisturbed"), pictures(tmp_path / "killed")
    assert len(killed) == POINTS
    assert undisturbed.keys() == killed.keys()
    assert all(np.array_equal(undisturbed[name], killed[name]) for name in killed)
    runs = find_runs(tmp_path / "killed")
    assert len(runs) == len({run.resolved.run_id for run in runs}) == POINTS
    for run in runs:
        lines = [json.loads(line) for line in run.lines_file.read_text().splitlines()]
        assert [(line["sample"], line["task"]) for line in lines] == [("scene-1", "inpaint")]
        assert run.record["run_id"] == run.resolved.run_id
        [archive] = run.comet_folder.glob("*.zip")
        with zipfile.ZipFile(archive) as opened:
            assert opened.testzip() is None
            messages = [json.loads(line) for line in opened.read("messages.json").splitlines()]
        names = {message["payload"]["additional_params"].get("fileName") for message in messages if message["type"] == "file_upload"}
        assert {"executed.ipynb", "prompts.csv"} <= names
        assert not [path for path in run.path.rglob("*") if path.name.startswith((".unfinished-", ".executed-"))]
    assert subprocess.run([COMMAND, "plan", str(file)], capture_output=True, text=True, check=True).stdout.startswith("killed: 24 points, 24 done")
