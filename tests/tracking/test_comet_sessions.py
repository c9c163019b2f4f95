"""Sessions in Comet, by the unmodified SDK against the stand-in: while they grow, pushed later, and what is said of their pictures afterwards."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.records.session import SessionFolder
from sdxl_lab.tracking import confirmed, live, sender, tracker
from tests.support.comet_backend.state import Asset, Logged
from tests.support.comet_runs import only, told, until, workers_of
from tests.support.comet_server import Backend, Experiment
from tests.support.comet_server import backend as backend
from tests.support.commands import said
from tests.support.runs import resolved_run
from tests.support.sessions import begun_in, kept

pytestmark = pytest.mark.timeout(600)
COMMAND = str(Path(sys.executable).with_name("sdxl-lab"))


@pytest.fixture
def session(tmp_path: Path) -> SessionFolder:
    """A session of four pictures that Comet knows nothing of."""
    session = begun_in(tmp_path)
    kept(session, "a red star", seed=3)
    kept(session, "a red star", seed=3, guidance_scale=3.0)
    kept(session, "a ring", "inpaint", kernel_size=9)
    kept(session, "a ring", "inpaint", kernel_size=11)
    return session


def images(experiment: Experiment) -> dict[tuple[str, int | None], str]:
    """(name, step) of each image to the digest of its bytes; a place that two hold is an error."""
    found = {(image.name, image.step): image.sha256 for image in experiment.images}
    assert len(found) == len(experiment.images)
    return found


def uploads(backend: Backend, since: int) -> int:
    """How many images and files were sent since a request."""
    return sum(path.endswith(("visualizations/upload", "asset/upload")) for _, path in backend.requests[since:])


def of_a_copy(session: SessionFolder, folder: Path, backend: Backend) -> dict[str, Any]:
    """What a copy of the record becomes in Comet, which was never sent before."""
    below = folder / "runs" / "sessions" / session.path.name
    before = set(backend.experiments)
    sender.push(SessionFolder(shutil.copytree(session.path, below, ignore=shutil.ignore_patterns("comet"))))
    [key] = set(backend.experiments) - before
    return told(backend.experiments.pop(key))


def test_the_commands_know_sessions(backend, session, tmp_path, monkeypatch):
    """
    `status` and `push` find sessions below a folder and in the lab's own place; all of a session becomes one experiment that has ended well.
    """
    monkeypatch.chdir(tmp_path)
    before = said("status")
    assert [line.split()[1:] for line in before.out.splitlines()[1:]] == [["4", "session", "has", "nothing"]], before.out
    assert backend.requests == []
    pushed = said("push")
    assert pushed.code == 0, pushed.err
    experiment = only(backend)
    assert experiment.key in pushed.out
    assert said("status", session.path.parent).out.split()[-4:] == ["has", "all", "of", "it"]
    assert "lacks nothing" in said("push").out

    assert (experiment.name, sorted(experiment.tags)) == ("tried", ["exploration", "inpaint", "sessions", "text_to_image"])
    assert (experiment.running, experiment.crashed) == (False, False)
    assert set(images(experiment)) == {*(("picture", number) for number in (1, 2, 3, 4)), ("input", 3), ("mask", 3), ("mask", 4)}
    for picture in session.pictures():
        assert images(experiment)["picture", picture.number] == hashlib.sha256(picture.recorded.image.read_bytes()).hexdigest()
    assert [asset.name for asset in experiment.assets] == ["pictures.csv"]
    assert (experiment.others["shown"], experiment.parameters["tasks"], experiment.parameters["mask|kernel_size"]) == ("4", "inpaint", "11")
    assert experiment.parameters["size|width"] == "null"
    kept(session, "a blue ring")
    assert "lacks 1 picture" in said("status", session.path).out


def test_only_what_changed_is_sent_again(backend, session, tmp_path):
    """
    Pushed twice nothing changes; after a star, a note and a deletion these alone are sent, and the whole is what a copy becomes that is sent anew.
    """
    sender.push(session)
    experiment = only(backend)
    first, requests = told(experiment), len(backend.requests)
    sender.push(SessionFolder(session.path))
    assert told(experiment) == first
    assert {method for method, _ in backend.requests[requests:]} == {"GET"}

    others = Asset(name="picture", type="image", step=4, content=b"drawn over it")
    experiment.images.append(others)
    pictures = session.pictures()
    session.star(pictures[0], starred=True)
    session.note(pictures[2], "the “best” ring")
    session.delete(pictures[3])
    kept(session, "a third ring", "inpaint", kernel_size=9)
    assert not confirmed.standing(session).is_whole
    requests = len(backend.requests)
    sender.push(session)
    assert uploads(backend, requests) == 5  # two pictures said anew, one that is new with its mask, and the table
    assert others in experiment.images
    experiment.images.remove(others)
    assert {step for name, step in images(experiment) if name == "picture"} == {1, 2, 3, 5}
    assert (experiment.others["shown"], experiment.parameters["tasks"], experiment.parameters["seed"]) == ("1", "text_to_image", "3")
    assert experiment.parameters["mask|kernel_size"] == "null"
    [table] = experiment.assets
    assert "the “best” ring" in table.content.decode()
    fresh, now = of_a_copy(session, tmp_path / "copy", backend), told(experiment)
    of_deleted = [point for point in now["metrics"] if point not in fresh["metrics"]]
    assert {point[2] for point in of_deleted} == {4}
    assert now | {"metrics": fresh["metrics"]} == fresh


def test_what_an_earlier_version_told_of_a_session_is_taken_away(backend, session):
    """
    A session that grows after an earlier version sent it has parameters by their names of now alone, and those of others.
    """
    sender.push(session)
    whole = only(backend).parameters
    for name in ("inpaint|mask|kernel_size", "text_to_image|seed", "inpaint|prompts_sha256", "mine"):
        only(backend).logged_parameters[name] = Logged("null", None, 0)
    session.note(session.pictures()[0], "the first")
    sender.push(session)
    assert only(backend).parameters == whole | {"mine": "null"}


@pytest.mark.slow
def test_a_session_is_followed_while_it_grows(backend, tmp_path):
    """
    Pictures and stars are in Comet while the session goes on, after kill -9 of the sender too; it grows later under the same key, never crashed.
    """
    session = begun_in(tmp_path)
    notices: list[str] = []
    kept(session, "a red star")
    live.follow(session, notices.append)
    until(lambda: backend.experiments and ("picture", 1) in images(only(backend)))
    [killed] = workers_of(session)
    os.kill(killed, signal.SIGKILL)
    only(backend).running, only(backend).crashed = False, True  # as Comet says of one from which it hears nothing
    session.star(kept(session, "a ring", guidance_scale=3.0), starred=True)
    tracker.follow_session(session)
    until(lambda: any((image.metadata or {}).get("starred") for image in only(backend).images))
    [line] = tracker.end_session(session)
    assert line == f"in Comet: {confirmed.standing(session).url}", notices
    assert (only(backend).running, only(backend).crashed) == (False, False)

    later = SessionFolder(session.path)
    session.star(kept(later, "a blue ring"), starred=True)
    tracker.follow_session(later)
    assert only(backend).key in tracker.end_session(later)[0]
    until(lambda: not workers_of(session))
    assert (only(backend).running, only(backend).crashed, only(backend).others["shown"]) == (False, False, "3")
    assert told(only(backend)) == of_a_copy(session, tmp_path / "copy", backend)


def test_a_session_and_a_run_are_followed_beside_each_other(backend, session, tmp_path):
    """
    Who makes single pictures while a run is made lets go of neither; another session takes the place of the one before.
    """
    backend.stop()  # nobody has to arrive
    from sdxl_lab.records.folder import RunFolder

    resolved = resolved_run(tmp_path / "runs", tracking="online")
    with RunFolder.of(resolved).open(resolved) as run:
        live.follow(run)
        tracker.follow_session(session)
        other = begun_in(tmp_path, "other")
        kept(other, "a red star")
        tracker.follow_session(other)
        followed = {kind: one.is_of(record) for (kind, one), record in zip(live._following.items(), (run, other), strict=True)}
    assert followed == {"run": True, "session": True}
    for one in [live._following.pop("run"), live._following.pop("session")]:
        one.close()
    backend.start()


def test_without_an_account_nothing_is_sent(tmp_path, monkeypatch, session):
    """
    Without a key no process starts and nothing fails, whatever the session's tracking says; one line names the command that sends it later.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMET_API_KEY", "k" * 25)
    insisting, silent, empty = begun_in(tmp_path, "insisting", "online"), begun_in(tmp_path, "silent", "off"), begun_in(tmp_path, "empty")
    kept(insisting, "a red star")
    kept(silent, "a red star")
    monkeypatch.delenv("COMET_API_KEY")
    for one in (session, insisting, silent, empty):
        tracker.follow_session(one)
        path = one.path.relative_to(tmp_path)
        assert tracker.end_session(one) == ([f"Comet: no API key; with one, sdxl-lab push {path} sends it"] if one in (session, insisting) else [])
        assert workers_of(one) == []
        assert not one.comet_folder.exists()
    assert not empty.path.exists()


MOMENTS = ["begun", "between", "replacing", "deleting", "told"]


@pytest.mark.parametrize("moment", [pytest.param(one, marks=pytest.mark.slow) for one in MOMENTS])
def test_a_killed_push_loses_nothing(moment, backend, session, tmp_path):
    """
    After kill -9 of the sender, wherever it is, the next push brings the rest, and nothing is there twice, in an earlier version or too much.
    """
    if moment in ("replacing", "deleting"):
        sender.push(session)
        session.star(session.pictures()[1], starred=True)
        if moment == "deleting":
            session.delete(session.pictures()[3])
        backend.fail("asset/delete", delay_s=30.0)
    backend.fail("upload", delay_s=0.5)
    if moment == "told":
        backend.fail("asset/list", delay_s=30.0, after=1)
    requests = len(backend.requests)
    with subprocess.Popen([COMMAND, "push", str(session.path)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        until(lambda: workers_of(session))
        if moment in ("replacing", "deleting"):
            until(lambda: any("asset/delete" in path for _, path in backend.requests[requests:]))
        elif moment != "begun":
            until(lambda: backend.experiments and len(only(backend).images) >= (7 if moment == "told" else 2))
        for worker in workers_of(session):
            os.kill(worker, signal.SIGKILL)
        process.kill()
    backend.clear()
    sender.push(session)
    now, fresh = told(only(backend)), of_a_copy(session, tmp_path / "copy", backend)
    assert now | ({"metrics": fresh["metrics"]} if moment == "deleting" else {}) == fresh
    assert confirmed.standing(session).is_whole
