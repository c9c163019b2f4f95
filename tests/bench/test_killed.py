"""Sessions whose processes were killed: every finished picture is there, none twice."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sdxl_lab import Bench, fetch
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.tracking import sender
from tests.support.comet_runs import only, told
from tests.support.comet_server import Backend, serving
from tests.support.run_folders import environment

MOMENTS = {
    "while the checkpoint is loaded": ("sdxl_lab.checkpoints.loading:_load", "before", 1),
    "in the first picture's third step": ("sdxl_lab.bench.worker:Making.stepped", "before", 3),
    "before the session's file is written": ("sdxl_lab.records.session:write_once", "before", 1),
    "before an input is renamed": ("sdxl_lab.files.disk:sync_folder", "before", 2),
    "before the picture's PNG is written": ("sdxl_lab.records.session:stamped_png", "before", 2),
    "between the second picture's PNG and its line": ("sdxl_lab.records.session:append_line", "before", 3),
    "in the middle of its line": ("sdxl_lab.records.session:append_line", "torn", 3),
    "once its line is written": ("sdxl_lab.records.session:append_line", "after", 3),
    "between two pictures": ("sdxl_lab.records.session:SessionFolder.add", "after", 2),
    "in the middle of a star": ("sdxl_lab.records.session:append_line", "torn", 5),
}
"""Name to what is called, when in the call the process dies, and in which of its calls."""
QUICK = ("in the middle of its line",)

BY_BENCH = """
import tests.support.death
from sdxl_lab import Bench, fetch
bench = Bench(tracking="off", name="killed")
bench.open(fetch("pocket-scenes").sample("red-circle"))
for seed in (1, 2, 3):
    print(bench.make("a blue star on grass", seed=seed, num_inference_steps=4).picture_id, flush=True)
bench.star(2)
"""
BY_COMMAND = """
import sys
import tests.support.death
from sdxl_lab import cli
sys.argv = ["sdxl-lab", "paint", "a blue star on grass", "--seed", "1-3", "-p", "num_inference_steps", "4", "-p", "tracking", "off"]
cli.main()
"""


def ended(script: str, folder: Path, moment: tuple[str, str, int] | None) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder, which dies at a moment."""
    variables = environment() | ({"SDXL_LAB_TEST_DEATH": json.dumps(moment)} if moment else {})
    return subprocess.run([sys.executable, "-c", script], cwd=folder, env=variables, capture_output=True, text=True, timeout=170, check=False)


def sessions(folder: Path) -> list[SessionFolder]:
    """The sessions of a working folder."""
    return [SessionFolder(file.parent) for file in sorted(folder.glob("artifacts/runs/sessions/*/session.json"))]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> list[tuple[str, str]]:
    """
    The pictures of a session that nobody killed.
    """
    session = SessionFolder.begin(tmp_path_factory.mktemp("whole"), "whole", tracking="off")
    bench = Bench.on(session)
    bench.open(fetch("pocket-scenes").sample("red-circle"))
    return [(made.picture_id, made.sha256) for made in (bench.make("a blue star on grass", seed=seed, num_inference_steps=4) for seed in (1, 2, 3))]


@pytest.mark.parametrize("moment", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MOMENTS])
@pytest.mark.parametrize("script", [BY_BENCH, pytest.param(BY_COMMAND, marks=pytest.mark.slow)], ids=["bench", "paint"])
def test_a_killed_session_has_every_finished_picture_once(tmp_path, monkeypatch, undisturbed, script, moment):
    """
    Killed with SIGKILL at any moment, a session has each picture whose line was written, and resumed it gets the others, all as undisturbed.
    """
    killed = ended(script, tmp_path, MOMENTS[moment])
    if killed.returncode == 0:
        pytest.skip("the command stars nothing")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    told = killed.stdout.split()
    monkeypatch.chdir(tmp_path)
    found = sessions(tmp_path)
    before = [kept.picture_id for session in found for kept in session.pictures()]
    assert set(told) & {one for one, _ in undisturbed} <= set(before)
    bench = Bench.resume() if found and before else Bench(tracking="off")
    if not before:
        bench.open(fetch("pocket-scenes").sample("red-circle") if script == BY_BENCH else None)
    for seed in (1, 2, 3):
        bench.make("a blue star on grass", seed=seed, num_inference_steps=4)
    pictures = bench.pictures
    assert [one.seed for one in pictures] == [1, 2, 3]
    if script == BY_BENCH:
        assert [(one.picture_id, one.sha256) for one in pictures] == undisturbed
    files = sorted(path.name for path in bench.session.images_folder.iterdir())
    assert files == sorted(f"{one.picture_id[:16]}.png" for one in pictures)
    assert not list(bench.session.path.rglob(".unfinished-*"))
    bench.star(2)
    assert [one.is_starred for one in Bench.resume().pictures] == [False, True, False]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("script", [BY_BENCH, BY_COMMAND], ids=["bench", "paint"])
def test_comet_holds_all_of_a_killed_session(tmp_path, monkeypatch, script, moment):
    """
    Followed by Comet until it was killed, then resumed and pushed, a session's experiment is the one of a copy that Comet never saw before.
    """
    with serving(Backend()) as backend:
        for name, value in backend.environment().items():
            monkeypatch.setenv(name, value)
        ended(script.replace('tracking="off"', 'tracking="auto"').replace('"tracking", "off"', '"tracking", "auto"'), tmp_path, MOMENTS[moment])
        monkeypatch.chdir(tmp_path)
        found = [session for session in sessions(tmp_path) if session.pictures()]
        bench = Bench.resume() if found else Bench()
        for seed in (1, 2, 3):
            bench.make("a blue star on grass", seed=seed, num_inference_steps=4)
        bench.finish()
        sender.push(bench.session)
        experiment = only(backend)
        below = tmp_path / "copied" / "runs" / "sessions" / bench.session.path.name
        shutil.copytree(bench.session.path, below, ignore=shutil.ignore_patterns("comet"))
        sender.push(SessionFolder(below))
        [copy] = [one for one in backend.experiments.values() if one is not experiment]
        assert len(experiment.images) == len({(image.name, image.step) for image in experiment.images})
        assert told(experiment) == told(copy)
