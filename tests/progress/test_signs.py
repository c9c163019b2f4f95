"""Signs of life: what is told while something is under way, and how it is shown."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from sdxl_lab import progress
from sdxl_lab.errors import LabError
from sdxl_lab.progress import Doing, signs
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings
from sdxl_lab.spec.edit import Edit
from sdxl_lab.sweeps import board, executors
from sdxl_lab.sweeps.attempts import Attempts
from tests.conftest import write_checkpoint
from tests.support.loopback_hub import Hub, serving
from tests.support.quick_sweeps import SEED
from tests.support.quick_sweeps import dataset as dataset
from tests.support.quick_sweeps import notebook as notebook
from tests.support.quick_sweeps import planned as planned


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, load
    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.generation.generate import generate


@pytest.fixture
def heard(monkeypatch) -> list[Doing]:
    """Everything that is told in this process."""
    monkeypatch.setattr(progress, "PAUSE_S", 0.0)
    told: list[Doing] = []
    monkeypatch.setattr(progress, "_listener", told.append)
    return told


def test_each_step_and_component_is_told(tmp_path, scene, heard):
    """
    Loading tells every component of base and refiner, and a picture every step from the first to the last, through base and refiner.
    """
    checkpoint = load(str(write_checkpoint(tmp_path, seed=7)), Compute(device="cpu", threads=1))
    components = [str(doing) for doing in heard if doing.unit == "component"]
    assert [line.partition(":")[0] for line in components] == ["loading the base"] * len(components)
    assert {line.split(": ")[1].split(",")[0] for line in components} >= {"unet", "vae", "text_encoder", "text_encoder_2", "tokenizer"}
    image, mask = scene
    for handover in ("consistent", "stock"):
        denoising = Denoising(num_inference_steps=6, strength=1.0, high_noise_frac=0.5, handover=handover)
        edit = Edit(sample="disc", task="inpaint", prompt="a red star", seed=3, settings=EditSettings(denoising=denoising))
        made = generate(edit, image, mask, checkpoint)
        steps = [doing for doing in heard if doing.unit == "step"]
        assert [doing.what for doing in steps] == ["base"] * made.base_steps + ["refiner"] * made.refiner_steps
        assert [(doing.done, doing.total) for doing in steps] == [(step, 6) for step in range(1, 7)]
        assert any(str(doing).startswith("loading the refiner: unet, component ") for doing in heard) == (handover == "consistent")
        heard.clear()


DOWNLOAD = """
from sdxl_lab import progress
from sdxl_lab.checkpoints.hub import Repository
progress.PAUSE_S = 0.0
with progress.heard(lambda doing: print(doing.what, int(doing.done), int(doing.total), doing.unit)):
    Repository("owner/name").fetch_files("unet/*")
"""


def test_downloads_are_told_in_bytes(tmp_path):
    """
    A download from the hub tells how many bytes have come, of how many, up to the last one, and draws no bar of its own.
    """
    (tmp_path / "hub" / "owner" / "name" / "unet").mkdir(parents=True)
    (tmp_path / "hub" / "owner" / "name" / "unet" / "a.safetensors").write_bytes(bytes(25_000_000))
    with serving(Hub(tmp_path / "hub")) as hub:
        environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        said = subprocess.run([sys.executable, "-c", DOWNLOAD], env=environment, capture_output=True, text=True, check=True)
    counts = [int(line.split()[2]) for line in said.stdout.splitlines()]
    assert counts == sorted(counts)
    assert len(counts) > 2
    assert said.stdout.splitlines()[-1] == "downloading owner/name 25000000 25000000 B"
    assert said.stderr == ""


def test_what_is_told_reaches_another_process_and_leaves_no_file(tmp_path):
    """
    A file passes on the latest that was told; half of it is nothing, and when the work ends, well or not, it is gone.
    """
    file = tmp_path / "progress"
    with suppress(LabError), progress.passed_on(file):
        progress.tell("base", done=3, total=12, unit="step")
        assert progress.read(file) == Doing(what="base", done=3, total=12, unit="step")
        file.write_text(file.read_text()[:9])
        assert progress.read(file) is None
        raise LabError
    assert not file.exists()
    with progress.passed_on(tmp_path / "absent" / "file"):
        progress.tell("a folder that is not there stops nobody")


def test_the_same_work_is_heard_now_and_then_and_another_at_once():
    """
    A thousand steps at once are one sign; work of another kind is heard in any case.
    """
    signs_heard: list[str] = []
    with progress.heard(lambda doing: signs_heard.append(str(doing))):
        for step in range(1000):
            progress.tell("base", done=step, total=1000, unit="step")
        progress.tell("reading unet.safetensors", done=2.5e9, total=5.14e9, unit="B")
    assert signs_heard == ["base, step 0 of 1000", "reading unet.safetensors, 2.50 GB of 5.14 GB"]


def test_the_time_left_is_that_of_an_even_pace(monkeypatch):
    """
    Two and a half of ten pictures in 50 s leave 150 s; those of an earlier attempt count for nothing, and steps within a picture count.
    """
    now = [1000.0]
    monkeypatch.setattr(signs.time, "monotonic", lambda: now[0])
    sign = signs.Sign()
    sign.pictures(12, made=2)
    for title in ("a", "b", "c"):
        sign.picture(title)
    now[0] += 50
    sign.last = sign.within(Doing(what="base", done=15, total=30, unit="step"))
    assert str(sign) == "4 of 12 pictures, c, base, step 15 of 30, about 2:30 left"


def test_lines_become_rarer(monkeypatch):
    """
    In ten minutes of changing work the first line comes after two seconds, and there are between ten and twenty; unchanged, a minute apart.
    """
    now, lines = [0.0], []
    monkeypatch.setattr(signs.time, "monotonic", lambda: now[0])
    shown = signs.Lines(lambda text: lines.append(now[0]))
    for tenth in range(6000):
        now[0] = tenth / 10
        shown.show(str(tenth))
    assert lines[0] == 2.0
    assert 10 <= len(lines) <= 20
    before = len(lines)
    for tenth in range(6000, 12000):
        now[0] = tenth / 10
        shown.show("the same")
    assert len(lines) - before <= 10


def test_each_point_that_ends_is_a_line_in_a_file(planned, notebook):
    """
    Where stderr is no terminal, a point that ends is one line: the how manieth, its name, its seconds or why it failed, and the time left.
    """
    made = planned(notebook(), grid={SEED: [1, 2, 3]})
    first, second, third = made.runs
    folder = first.folder.parent
    written = io.StringIO()
    for run in (first, second, third):
        Attempts(folder, run.run_id).begin("mine")
    with board.following(made, "mine", Console(file=written)):
        time.sleep(0.1)
        Attempts(folder, first.run_id).end("mine", "done")
        time.sleep(0.6)
        Attempts(folder, second.run_id).end("mine", "failed", "two is bad\nand more")
        time.sleep(0.6)
        said = written.getvalue().splitlines()
    assert said[0].startswith("1 of 3: seed=1 done after 0:00, about 0:0")
    assert said[1].startswith("2 of 3: seed=2 failed after 0:01, two is bad, about ")
    assert len(said) == 2
    assert written.getvalue().splitlines()[-1].startswith("1 of 3 done, 1 running, 0 to go, 1 failed")


def test_more_workers_than_the_machine_has_use_for_are_remarked(monkeypatch):
    """
    Workers beyond GPUs, cores or groups of points, and a number of them that a site file overrides, are said; a number that fits is not.
    """
    monkeypatch.setattr(executors, "visible_gpus", lambda: ["0", "1"])
    monkeypatch.setattr(executors, "available_cores", lambda: 2)
    assert executors.remarks(2, groups=9) == executors.remarks(1, groups=1) == ()
    assert "4 workers share 2 GPUs" in executors.remarks(4, groups=9)[0]
    assert "of 2 workers 1 will have nothing to do" in executors.remarks(2, groups=1)[0]
    assert "site.py says how many" in executors.remarks(2, groups=9, site=Path("site.py"))[0]
    monkeypatch.setattr(executors, "visible_gpus", list)
    assert "4 workers share 2 cores" in executors.remarks(4, groups=9)[0]
