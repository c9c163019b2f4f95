"""A notebook kernel's process: how it is started, asked and ended, and what it was started with."""

from __future__ import annotations

import ast
import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import zmq
from jupyter_client import AsyncKernelManager
from jupyter_core.utils import run_sync

LONGEST_SOCKET_BYTES = 103
"""Of the path of a socket on macOS; 107 on Linux."""

RESET_S = 60.0
"""How long a kernel may take to become clean; one that takes longer is replaced."""

PRELOAD_S = 600.0
"""How long a new kernel may take to import what it keeps: from a slow disk, on a busy machine, torch alone takes a minute."""

ENDING_POLL_S = 0.01
"""How often is looked whether a kernel has ended."""

STARTING_POLL_S = 0.05
"""How often is looked whether a kernel has said its first word."""

HEARD_S = 0.2
"""How long what a kernel prints may take until it is asked again."""

SET_BY_LIBRARIES = ("TORCHINDUCTOR_CACHE_DIR",)
"""Environment variables that torch sets when some part of it is imported here: no reason for another kernel."""


class NoAnswerError(RuntimeError):
    """A kernel does not do what it is asked for."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a kernel is started with; one that was started with something else does not serve.

    Attributes:
        kernel_name: Of a kernel spec.
        arguments: Further ones for its command line.
        preload: What it imports, or calls, before its first notebook.
        config: traitlets' own, if any.
        alone: Whether it serves one notebook and is none of the warm ones.
        environment: Of this process.
    """

    kernel_name: str
    arguments: tuple[str, ...]
    preload: tuple[str, ...]
    config: Any
    alone: bool = False
    environment: dict[str, str] = field(default_factory=lambda: {name: value for name, value in os.environ.items() if name not in SET_BY_LIBRARIES})


class Kernel:
    """A kernel's process, in a private folder with the sockets to it: over TCP other users of the machine can listen in.

    It is not waited for: it starts and imports what it should while this process does something else, until it is entered.
    """

    def __init__(self, wanted: Wanted) -> None:
        folder = _private_folder()
        self.wanted, self.owner, self.is_fit = wanted, os.getpid(), True
        self._folder = os.getcwd()  # noqa: PTH109 - a text
        configured = {"config": wanted.config} if wanted.config else {}
        name, file = wanted.kernel_name, str(folder / "kernel.json")
        self.manager = AsyncKernelManager(kernel_name=name, transport="ipc", connection_file=file, **configured)
        self._end = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.channels: Any = None
        self._wiping: str | None = None
        try:
            # Not in a file that every kernel of this user writes to.
            run_sync(self.manager.start_kernel)(extra_arguments=[*wanted.arguments, "--HistoryManager.hist_file=:memory:"])
            self._end.detach()
            sockets: list[Any] = []
            self._end = weakref.finalize(self, _kill, _process(self.manager), folder, self.owner, sockets)
            self.channels = self.manager.client()
            self.channels.context.setsockopt(zmq.RCVHWM, 0)  # else what a notebook prints faster than it is read is dropped
            sockets.append(self.channels)
            self.channels.start_channels(hb=False)  # its process is looked at instead
            self.channels.allow_stdin = False
            beginning = "begin_alone" if wanted.alone else "begin"
            self._beginning: str | None = self._request(f"{beginning}({list(wanted.preload)!r})")
        except BaseException:
            self.close(at_once=True)
            raise

    def is_ours(self) -> bool:
        """Whether this process started it, rather than one that this one was forked from."""
        return self.owner == os.getpid()

    def unlike(self, wanted: Wanted) -> str:
        """Why it cannot serve: it died, or was started with something else. Empty if it can."""
        if _process(self.manager).poll() is not None:
            return "the one before died"
        now, then = wanted.environment, self.wanted.environment
        if names := sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name)):
            return f"the environment has changed: {', '.join(names)}"
        if wanted.alone and self._folder != os.getcwd():  # noqa: PTH109
            return "the working folder has changed"
        return "" if self.wanted == wanted else "another one is asked for"

    def enter(self, start_timeout: float) -> str:
        """Make it ready for a notebook, which starts in this process's working folder; answers what stands against that.

        Args:
            start_timeout: Seconds that a new one may take until it answers at all.

        Raises:
            RuntimeError: It died, or does not answer.
        """
        problem = ""
        if self._beginning is not None:
            beginning, self._beginning = self._beginning, None
            run_sync(self._until_it_answers)(start_timeout)
            problem = self._problem(lambda: self._answer(beginning, PRELOAD_S))
            run_sync(self._until_it_is_heard)(start_timeout)
        if self.wanted.alone:
            return ""
        return problem or self._problem(lambda: self.ask(f"enter({os.getcwd()!r})"), silent="the one before gives no answer")  # noqa: PTH109

    def begin_wipe(self) -> None:
        """Undo what a notebook left behind. It is not waited for."""
        self._wiping = self._request("wipe()")

    def wiped(self) -> str:
        """Wait for what was begun to be undone, if anything was; answers what remains of it."""
        request, self._wiping = self._wiping, None
        return "" if request is None else self._problem(lambda: self._answer(request, RESET_S))

    def _problem(self, ask: Callable[[], str], silent: str = "cannot be cleaned up after") -> str:
        try:
            answer = ask()
        except RuntimeError as error:
            return f"{silent}: {error}"
        return "" if answer == "clean" else answer

    def ask(self, call: str) -> str:
        """What a function of `sdxl_lab.kernels.slate` answers in the kernel.

        Raises:
            NoAnswerError: Something went wrong there.
        """
        return self._answer(self._request(call), RESET_S)

    def _request(self, call: str) -> str:
        expression = f"__import__('sdxl_lab.kernels.slate', fromlist=['slate']).{call}"
        return self.channels.execute("", silent=True, store_history=False, user_expressions={"answer": expression}, allow_stdin=False)

    def _answer(self, request: str, timeout_s: float) -> str:
        try:
            reply = run_sync(self._reply)(request, timeout_s)
        except TimeoutError:
            raise NoAnswerError(f"it took longer than {timeout_s:.0f} s") from None
        answer = reply["content"].get("user_expressions", {}).get("answer", reply["content"])
        if answer.get("status") == "ok" and "data" in answer:
            return ast.literal_eval(answer["data"]["text/plain"])
        raise NoAnswerError(f"{answer.get('ename')}: {answer.get('evalue')}")

    async def _until_it_answers(self, timeout_s: float) -> None:
        """Wait for its first word, which a kernel says from a thread of its own while it still imports."""
        self.channels.control_channel.send(self.channels.session.msg("kernel_info_request"))
        deadline = time.monotonic() + timeout_s
        while not await self.channels.control_channel.msg_ready() and not await self.channels.shell_channel.msg_ready():
            if _process(self.manager).poll() is not None:
                raise NoAnswerError("Kernel died before it answered")
            if time.monotonic() > deadline:
                raise NoAnswerError(f"Kernel did not answer in {timeout_s:.0f} seconds")
            await asyncio.sleep(STARTING_POLL_S)

    async def _until_it_is_heard(self, timeout_s: float) -> None:
        """Wait until what it prints arrives: the first that it sends is lost before it knows that somebody listens."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            await self._reply(self.channels.kernel_info(), timeout_s)
            with suppress(Empty):
                await self.channels.iopub_channel.get_msg(timeout=HEARD_S)
                return
        raise NoAnswerError(f"Kernel was not heard in {timeout_s:.0f} seconds")

    async def _reply(self, request: str, timeout_s: float) -> Any:
        async with asyncio.timeout(timeout_s):
            while True:
                waiting = asyncio.ensure_future(self.channels.shell_channel.get_msg(timeout=None))
                while not (await asyncio.wait([waiting], timeout=0.5))[0]:
                    if _process(self.manager).poll() is not None:
                        waiting.cancel()
                        raise NoAnswerError("the kernel died")
                if waiting.result()["parent_header"].get("msg_id") == request:
                    return waiting.result()

    def close(self, *, at_once: bool = False) -> None:
        """End the process, after what it does at its exit unless `at_once`, and remove the sockets."""
        try:
            if not at_once:
                with suppress(RuntimeError):  # it is dead already
                    run_sync(self._shut_down)()
        finally:
            self._end()
            run_sync(self.manager.cleanup_resources)()

    async def _shut_down(self) -> None:
        """As `shutdown_kernel` does, which looks ten times a second whether it has ended."""
        await self.manager.interrupt_kernel()
        await self.manager.request_shutdown()
        await self.manager.finish_shutdown(pollinterval=ENDING_POLL_S)


def _process(manager: AsyncKernelManager) -> subprocess.Popen[bytes]:
    provisioner: Any = manager.provisioner
    return provisioner.process


def _kill(process: subprocess.Popen[bytes], folder: Path, owner: int, sockets: list[Any]) -> None:
    if owner != os.getpid():
        return
    try:
        for channels in sockets:
            channels.stop_channels()
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a kernel leads a group of its own: what its cells started ends with it
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _private_folder() -> Path:
    """A new folder for this user alone, in the first place for temporary files where the paths of sockets are short enough."""
    longest = LONGEST_SOCKET_BYTES - len("/sdxl-12345678/kernel-ipc-5")
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if len(os.fsencode(place)) <= longest:
            with suppress(OSError):
                return Path(tempfile.mkdtemp(prefix="sdxl-", dir=place))
    raise NoAnswerError(f"a Kernel's sockets need a folder for temporary files whose path has at most {longest} bytes; set TMPDIR to one")
