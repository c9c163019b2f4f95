"""Nothing is lost: whatever fails, wherever and for how long, one push later Comet holds what an undisturbed run leaves there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.tracking import confirmed, sender
from tests.support.comet_runs import Kernel, kernel, only, told, until, workers_of
from tests.support.comet_server import Backend, serving

pytestmark = pytest.mark.timeout(600)
COMMAND = str(Path(sys.executable).with_name("sdxl-lab"))
MOST_S = 30.0
WHILE_S = 6.0

FAULTS: dict[str, Callable[[Backend], object]] = {
    "refused": Backend.stop,
    "hangs": lambda backend: backend.fail(delay_s=float("inf")),
    "reset": lambda backend: backend.fail(drop="unread"),
    "request cut": lambda backend: backend.fail("upload", drop="reading"),
    "answer cut": lambda backend: backend.fail(truncate=2),
    "answer lost": lambda backend: backend.fail(method="POST", drop="unanswered"),
    "401": Backend.expire_key,
    "500": lambda backend: backend.fail(status=500),
}
"""How a server fails: each lasts until it is mended."""

QUICK = {("answer lost", "middle", "for a while"), ("500", "end", "for good")}


def mend(backend: Backend) -> None:
    """Let the server work again, with all that it stored."""
    backend.clear()
    if backend.server is None:
        backend.start()


def cases() -> Iterator[Any]:
    """Each fault at each stage, for a while and for good."""
    for fault in FAULTS:
        for stage in ("start", "middle", "end"):
            for length in ("for a while", "for good"):
                case = (fault, stage, length)
                yield pytest.param(*case, marks=[] if case in QUICK else pytest.mark.slow, id="-".join(case))


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """The stand-in, as the account of this process and of those it starts."""
    with serving(Backend()) as backend:
        for name, value in backend.environment().items():
            monkeypatch.setenv(name, value)
        yield backend


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run leaves in Comet that nothing disturbs."""
    with serving(Backend()) as backend, pytest.MonkeyPatch.context() as patch:
        for name, value in backend.environment().items():
            patch.setenv(name, value)
        with kernel(tmp_path_factory.mktemp("runs") / "runs" / "faults") as made:
            made.do("begin", "picture", "picture", "picture", "end")
            made.end()
            sender.push(made.run)
        assert backend.unknown == []
        return told(only(backend))


@pytest.fixture
def runs_folder(tmp_path: Path) -> Path:
    """A group of runs, of the same name as that of the undisturbed one."""
    return tmp_path / "runs" / "faults"


def something_arrived(backend: Backend) -> bool:
    """Whether a picture has come."""
    return any(experiment.images for experiment in backend.experiments.values())


def wait_a_while(backend: Backend, seen: int) -> None:
    """Let a fault do its work: until it was met, or for some seconds at most."""
    end = time.monotonic() + WHILE_S
    while len(backend.requests) == seen and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1.0)


@pytest.mark.parametrize(("fault", "stage", "length"), [*cases()])
def test_a_failing_server_loses_nothing(fault, stage, length, backend, runs_folder, undisturbed):
    """
    A run whose server fails, whenever and for how long ever, is hardly slowed, and one push later Comet equals that of an undisturbed run.
    """

    def disturb(at: str) -> None:
        if at == stage:
            FAULTS[fault](backend)

    def relieve(made: Kernel, at: str) -> None:
        if at == stage and length == "for a while":
            wait_a_while(backend, len(backend.requests))
            mend(backend)

    with kernel(runs_folder) as made:
        disturb("start")
        made.do("begin", "picture")
        relieve(made, "start")
        if stage != "start":
            until(lambda: something_arrived(backend))
        disturb("middle")
        made.do("picture", "picture")
        relieve(made, "middle")
        disturb("end")
        made.start("end")
        relieve(made, "end")
        made.wait()
        said = made.end()
        assert made.seconds < MOST_S
        assert said.count("\n") <= 2
        assert "Traceback" not in said
        mend(backend)
        sender.push(made.run)
    assert told(only(backend)) == undisturbed
    assert confirmed.standing(made.run).is_whole
    assert backend.unknown == []


@pytest.mark.slow
@pytest.mark.parametrize("goes_on", [True, False], ids=["goes on", "for good"])
@pytest.mark.parametrize("stage", ["start", "middle", "end"])
def test_a_killed_kernel_loses_nothing(stage, goes_on, backend, runs_folder, undisturbed, tmp_path):
    """
    After kill -9 of the kernel its worker ends by itself, and one push later Comet equals the record, whether the run goes on or not.
    """
    with kernel(runs_folder) as made:
        made.do("begin", "picture")
        if stage != "start":
            until(lambda: something_arrived(backend))
            made.do("picture")
        if stage == "end":
            made.do("picture")
            backend.fail("upload", delay_s=1.0)
            made.start("end")
            until(made.run.record_file.is_file)
        made.kill()
        until(lambda: not workers_of(made.run), 40.0)
        backend.clear()
    if goes_on and stage != "end":
        with kernel(runs_folder) as made:
            made.do("begin", *["picture"] * len(made.run.pending()), "end")
            made.end()
    sender.push(made.run)
    if goes_on and stage != "end":
        assert told(only(backend)) == undisturbed
    assert told(only(backend)) == told_by_a_copy(made.run, tmp_path / "copy" / "runs" / "faults", backend)
    assert backend.unknown == []


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["start", "middle", "end"])
def test_a_killed_push_loses_nothing(stage, backend, runs_folder, undisturbed, monkeypatch):
    """
    After kill -9 of `sdxl-lab push` the next one brings the rest, and nothing is there twice.
    """
    with kernel(runs_folder) as made:
        backend.stop()
        made.do("begin", "picture", "picture", "picture", "end")
        made.end()
        backend.start()
    backend.fail("upload", delay_s=0.5)
    with subprocess.Popen([COMMAND, "push", str(made.run.path)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        if stage == "start":
            until(lambda: workers_of(made.run))
        else:
            until(lambda: something_arrived(backend))
        if stage == "end":
            until(lambda: len(only(backend).images) >= 9)
        process.kill()  # the worker lives on for a moment, and the next one waits for it
    backend.clear()
    again = subprocess.run([COMMAND, "push", str(made.run.path)], capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    assert told(only(backend)) == undisturbed
    assert backend.unknown == []


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["start", "middle"])
def test_a_killed_worker_is_replaced(stage, backend, runs_folder, undisturbed):
    """
    After kill -9 of the worker another one takes over, and the run does not notice.
    """
    with kernel(runs_folder) as made:
        made.do("begin")
        if stage == "middle":
            made.do("picture")
            until(lambda: something_arrived(backend))
        until(lambda: workers_of(made.run))
        [killed] = workers_of(made.run)
        os.kill(killed, signal.SIGKILL)
        until(lambda: set(workers_of(made.run)) - {killed})
        made.do(*["picture"] * len(made.run.pending()))
        until(lambda: len(only(backend).images) >= 8 if backend.experiments else False)
        made.do("end")
        made.end()
        sender.push(made.run)
    assert told(only(backend)) == undisturbed
    assert backend.unknown == []


def told_by_a_copy(run: RunFolder, folder: Path, backend: Backend) -> dict[str, Any]:
    """What a copy of the record becomes in Comet, which was never sent before."""
    copy = RunFolder(shutil.copytree(run.path, folder / run.path.name, ignore=shutil.ignore_patterns("comet")))
    before = set(backend.experiments)
    sender.push(copy)
    [key] = set(backend.experiments) - before
    return told(backend.experiments.pop(key))
