"""What the tests of artifacts share: small datasets, the backend as the user's account, and one worker for many tests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.comet import artifact
from sdxl_lab.comet.dialogue import Dialogue, talking
from tests.support.comet_backend.state import Version
from tests.support.comet_server import Backend, serving

ASSET = "experiment/asset/get-asset"
FILES = "artifacts/version/files"
LONG = "x" * 196 + ".png"


def write_dataset(folder: Path, names: tuple[str, ...] = ("images/octopus.png",)) -> Path:
    """
    Pictures under these names, with masks beside them.
    """
    samples = []
    for number, name in enumerate(names):
        mask_name = name.replace("images/", "masks/", 1)
        for path in (folder / name, folder / mask_name):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)).save(folder / name)
        mask = Image.new("L", (16, 12))
        mask.paste(255, (2, 2, 9, 9))
        mask.save(folder / mask_name)
        samples.append({"name": f"sample-{number}", "image": name, "mask": mask_name, "inpaint": {"prompt": "a red octopus"}})
    (folder / "metadata.json").write_text(json.dumps({"samples": samples}))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """
    Every file of a dataset by name; not the lab's own record of it.
    """
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".digest.json"}


def leftovers(folder: Path) -> list[Path]:
    """
    Versions that look whole.
    """
    return [path for path in folder.glob("*/*/*") if path.is_dir() and not path.name.startswith(".")]


@pytest.fixture(scope="session")
def stand_in() -> Iterator[Backend]:
    """
    One backend for all tests here.
    """
    with serving(Backend(workspaces=["team"])) as backend:
        yield backend


@pytest.fixture
def backend(stand_in: Backend, tmp_path: Path, monkeypatch) -> Iterator[Backend]:
    """
    The backend, empty and well, known to this process as the user's account.
    """
    stand_in.clear()
    if stand_in.server is None:
        stand_in.start()
    stand_in.artifacts.clear()
    stand_in.requests.clear()
    stand_in.received.clear()
    for name in [name for name in os.environ if name.startswith("COMET_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in stand_in.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield stand_in
    assert stand_in.unknown == []


class Worker:
    """
    The real worker process, kept from one test to the next, since importing the SDK takes seconds.
    """

    def __init__(self) -> None:
        self.running: tuple[AbstractContextManager[Dialogue], Dialogue] | None = None

    @contextmanager
    def talking(self, module: str, account: dict[str, str]) -> Iterator[Dialogue]:
        """
        As the room's own, but it goes on.
        """
        if self.running is None:
            block = talking(module, account)
            self.running = block, block.__enter__()
        yield self.running[1]

    def end(self) -> None:
        """
        Like any other.
        """
        if self.running is not None:
            self.running[0].__exit__(None, None, None)


@pytest.fixture(scope="session")
def kept_worker() -> Iterator[Worker]:
    """
    Ended after the last test.
    """
    worker = Worker()
    yield worker
    worker.end()


@pytest.fixture
def one_worker(kept_worker: Worker, backend: Backend, monkeypatch) -> Worker:
    """
    Whatever is asked of Comet in this test, one process answers it.
    """
    monkeypatch.setattr(artifact, "talking", kept_worker.talking)
    return kept_worker


def sea(backend: Backend, tmp_path: Path, label: str = "team/sea:1.0.0") -> Path:
    """
    A dataset whose files somebody logged by other means, without checksums: where they were read from.
    """
    folder = tmp_path / label.replace(":", "-")
    if not folder.exists():
        write_dataset(folder)
    backend.add_artifact(label, contents(folder))
    return folder


def version_of(backend: Backend) -> Version:
    """
    The only version there is.
    """
    (only,) = backend.artifacts.values()
    (version,) = only.versions
    return version


def asked_for(backend: Backend) -> int:
    """
    How many files were.
    """
    return sum(path.endswith(ASSET) for _, path in backend.requests)
