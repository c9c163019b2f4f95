"""Each part broken in turn, for real: it is named, and the rest is looked at."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from sdxl_lab.doctor import examination, network
from sdxl_lab.doctor.checks import CHECKS
from sdxl_lab.doctor.findings import Finding
from sdxl_lab.doctor.page import page
from sdxl_lab.families.pocket import POCKET
from tests.support import loopback_hub
from tests.support.comet_server import Backend, serving

Break = Callable[[Path, pytest.MonkeyPatch], str | None]
"""Breaks something, in a folder of its own; what it returns is the checkpoint to look at, if any."""


def module(folder: Path, patch: pytest.MonkeyPatch, name: str, code: str) -> None:
    """A module of that name, found before the library that has it."""
    (folder / f"{name}.py").write_text(code)
    patch.syspath_prepend(folder)


def without_libgl(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """The loader finds a file in the place of libGL, which is none."""
    (folder / "libGL.so.1").touch()
    patch.setenv("LD_LIBRARY_PATH", str(folder))


def old_torch(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """A torch that is too old is what pip installed."""
    info = folder / "torch-1.13.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.13.0\n")
    patch.syspath_prepend(folder)


def torch_of_another_build(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """The libraries of torch do not fit together."""
    module(folder, patch, "torch", f"raise ImportError('{folder}/lib/libtorch_cpu.so: undefined symbol: iJIT_NotifyEvent')")


def crashing_torch(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """It ends the process that imports it."""
    module(folder, patch, "torch", "import ctypes\nctypes.string_at(0)")


def hanging_opencv(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """An import never comes back."""
    module(folder, patch, "cv2", "import time\ntime.sleep(1000)")
    patch.setitem(CHECKS, "opencv", replace(CHECKS["opencv"], patience_s=0.5))


def no_hub(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Nobody listens there."""
    patch.setenv("HF_ENDPOINT", loopback_hub.NOBODY)


def half_a_checkpoint(folder: Path, patch: pytest.MonkeyPatch) -> str:
    """The second half of a file did not arrive."""
    file = copy_of_pocket(folder) / "base" / "unet" / "diffusion_pytorch_model.safetensors"
    os.truncate(file, file.stat().st_size // 2)
    return str(folder / "pair")


def a_checkpoint_without_vae(folder: Path, patch: pytest.MonkeyPatch) -> str:
    """A file did not arrive at all."""
    (copy_of_pocket(folder) / "base" / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    return str(folder / "pair")


def copy_of_pocket(folder: Path) -> Path:
    """The built-in checkpoint, as far as the files are looked at before they are loaded."""
    place = POCKET.names["pocket"]
    assert isinstance(place, Path)
    return shutil.copytree(place, folder / "pair", ignore=shutil.ignore_patterns("judge*"))


@pytest.mark.parametrize(
    ("cause", "part", "parts", "said", "advice"),
    [
        (without_libgl, "opencv", ["opencv", "system"], r"libGL\.so\.1", "libgl1"),
        (old_torch, "bounds", ["requirements", "system"], r"needs torch>=2\.6, got 1\.13\.0", r"pip install \"torch>=2\.6\""),
        (torch_of_another_build, "torch", ["system", "torch", "device"], r"cannot be imported.*libtorch_cpu\.so: undefined symbol", "pytorch.org"),
        (crashing_torch, "torch", ["system", "torch", "device"], "SIGSEGV", "send this page"),
        (hanging_opencv, "opencv", ["system", "opencv"], "no sign for 0 s", "send this page"),
        (half_a_checkpoint, "checkpoint", ["system", "checkpoint"], r"base/unet/diffusion_pytorch_model\.safetensors.*Download it again", ""),
        (a_checkpoint_without_vae, "checkpoint", ["system", "checkpoint"], r"base/vae/diffusion_pytorch_model\.safetensors is missing", ""),
    ],
)
def test_what_is_broken_is_named_and_the_rest_is_looked_at(tmp_path, monkeypatch, cause: Break, part, parts, said, advice):
    """
    The part that is broken says so, with what to do; whatever does not need it is found to be well.
    """
    findings = examination.examine(cause(tmp_path, monkeypatch), parts=parts)
    (fault,) = [finding for finding in findings if finding.verdict == "broken"]
    assert fault.part == part
    assert found(said, fault.line), fault
    assert found(advice, fault.advice), fault
    assert "ok" in verdicts(findings, "system")
    assert all("because of torch" in finding.line for finding in findings if finding.part == "device")


@pytest.mark.parametrize("size", ["limit", "disk"])
def test_a_full_disk_is_named(tmp_path, size):
    """
    Where nothing can be written any more, the place is named whose disk is full or whose limit is reached, and the others are looked at.
    """
    code = "from sdxl_lab.doctor.examination import examine; from sdxl_lab.doctor.page import page; print(page(examine(parts=['disk', 'system'])))"
    with full(tmp_path) if size == "disk" else limited(tmp_path) as (folder, before):
        command = ["sh", "-c", f'{before} exec "$@"', "sh", sys.executable, "-B", "-c", code]
        said = subprocess.run(
            command, cwd=folder, env=os.environ | {"PYTHONPATH": str(Path.cwd())}, capture_output=True, text=True, check=True
        ).stdout
    assert found(r"broken\s+artifacts\s+cannot be written to: the disk, a quota or a size limit\s+is full\s+-> pictures are kept there", said)
    assert found(r"(?m)^ok\s+system", said)
    assert found(r"(?m)^ok\s+temporary", said) == (size == "disk")


@contextmanager
def full(folder: Path) -> Iterator[tuple[Path, str]]:
    """A disk of its own with no room."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a disk")
    try:
        yield folder, ""
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def limited(folder: Path) -> Iterator[tuple[Path, str]]:
    """A limit on the size of files."""
    yield folder, "ulimit -f 8;"


def test_a_hub_that_is_away_is_named_and_one_that_answers_is_well(tmp_path, monkeypatch):
    """
    What the hub is needed for is said; without it nothing is broken. An address that is no hub of SDXL is told from silence.
    """
    no_hub(tmp_path, monkeypatch)
    (away,) = examination.examine(parts=["hub"])
    assert away.verdict == "attention"
    assert found("cannot be reached: the connection is refused; what is here already still works", away.line)
    with loopback_hub.serving(loopback_hub.Hub(tmp_path)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        (empty,) = examination.examine(parts=["hub"])
        (tmp_path / "stabilityai" / "stable-diffusion-xl-base-1.0").mkdir(parents=True)
        (there,) = examination.examine(parts=["hub"])
    assert (empty.verdict, there.verdict) == ("attention", "ok")
    assert found("gives no SDXL", empty.line)


def test_no_token_is_sent_to_the_hub(monkeypatch):
    """
    Somebody who is logged in is told from others, and what the hub is asked is what it answers to everybody.
    """
    heard: list[str | None] = []
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz")
    with asked_of_a_hub(monkeypatch, lambda request: heard.append(request.headers.get("Authorization"))):
        (finding,) = examination.examine(parts=["hub"])
    assert (finding.verdict, set(heard)) == ("ok", {None})
    assert "a token is there" in finding.line


def test_no_other_part_waits_for_a_server(tmp_path, monkeypatch):
    """
    A hub that answers only when torch was looked at has answered in time.
    """
    looked_at, over = tmp_path / "looked at", Event()
    module(tmp_path, monkeypatch, "torch", f"open({str(looked_at)!r}, 'w').close()\nraise ImportError('no torch')")

    def wait(_: BaseHTTPRequestHandler) -> None:
        while not looked_at.exists() and not over.wait(0.02):
            pass

    with asked_of_a_hub(monkeypatch, wait):
        hub, torch = examination.examine(parts=["hub", "torch"])
        over.set()
    assert (hub.verdict, torch.verdict) == ("ok", "broken")


def test_a_name_that_is_looked_up_for_ever_is_not_waited_for(monkeypatch):
    """
    Where the system finds no end of looking up the hub's name, which no library's timeout ends, the hub is away.
    """
    over = Event()

    def looked_up(*_: object, **__: object) -> None:
        over.wait()
        raise OSError

    monkeypatch.setattr(network, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    (away,) = network.hub(None)
    over.set()
    assert away.verdict == "attention"
    assert "no answer within" in away.line


@contextmanager
def asked_of_a_hub(patch: pytest.MonkeyPatch, hear: Callable[[BaseHTTPRequestHandler], object]) -> Iterator[None]:
    """A hub that has every model, and answers once it was heard."""

    class Listening(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hear(self)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"id": "a/b", "sha": "0", "siblings": []}')

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listening)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    patch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def test_an_interrupted_examination_leaves_no_process(tmp_path):
    """
    Ctrl-C ends the command at once, and the processes that were looking at something, even one that hangs.
    """
    (tmp_path / "cv2.py").write_text(
        f"import os, pathlib, time\npathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\ntime.sleep(1000)"
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from sdxl_lab.cli import main; main()"
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "HF_ENDPOINT": loopback_hub.NOBODY}
    command = subprocess.Popen([sys.executable, "-c", code, "doctor"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert command.poll() is None
        time.sleep(0.05)
    command.send_signal(signal.SIGINT)
    out, _ = command.communicate(timeout=60)
    assert command.returncode == 130
    assert out == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_comet_is_asked_without_the_key_first_and_a_refused_key_is_broken(monkeypatch):
    """
    Comet takes the key or refuses it; without one nothing but whether Comet is alive is asked. The key is never shown.
    """
    backend = Backend(api_key="Abc1De2Fg3Hi4Jk5Lm6No7Pq8")
    said: list[Finding] = []
    with serving(backend):
        for name, value in backend.environment().items():
            monkeypatch.setenv(name, value)
        said += network.comet(None)
        backend.expire_key()
        said += network.comet(None)
        monkeypatch.delenv("COMET_API_KEY")
        backend.requests.clear()
        said += network.comet(None)
        assert backend.requests == [("GET", "/clientlib/isAlive/ver")]
    assert [finding.verdict for finding in said] == ["ok", "broken", "ok"]
    wanted = ["takes the API key", "refuses the API key", "there is no API key"]
    assert all(found(words, finding.line) for words, finding in zip(wanted, said, strict=True))
    assert backend.api_key not in page(said)
    assert str(backend.port) not in page(said)
    assert backend.unknown == []


@pytest.mark.slow
def test_who_says_nothing_is_not_waited_for(monkeypatch):
    """
    A hub and a Comet that take a connection and never answer are named, each within its time.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("COMET_URL_OVERRIDE", f"http://127.0.0.1:{silent.getsockname()[1]}/clientlib/")
        monkeypatch.setenv("COMET_API_KEY", "Abc1De2Fg3Hi4Jk5Lm6No7Pq8")
        findings = examination.examine(parts=["hub", "comet"])
    assert [finding.verdict for finding in findings] == ["attention", "attention"]
    assert all("no answer within 5 s" in finding.line for finding in findings)


def found(pattern: str, text: str) -> bool:
    """Whether a text matches somewhere."""
    import re

    return re.search(pattern, text) is not None


def verdicts(findings: list[Finding], part: str) -> list[str]:
    """How a part was found to be."""
    return [finding.verdict for finding in findings if finding.part == part]
