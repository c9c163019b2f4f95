"""The papermill engine `warm`: one kernel for many notebooks, and notebooks that tell the truth however they end."""

from __future__ import annotations

import asyncio
import atexit
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop, run_sync
from nbclient.exceptions import CellExecutionError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager
from papermill.log import logger

RESET_S = 60.0
"""How long a kernel may take to become clean; one that takes longer is replaced."""

PRELOAD_S = 600.0
"""How long a new kernel may take to import what it keeps: from a slow disk, on a busy machine, torch alone takes a minute."""

UNFIT = re.compile(r"out of memory|MemoryError|CUDA|CUDNN|CUBLAS|HIP error|AcceleratorError|device-side", re.IGNORECASE)
"""Errors of a cell after which its kernel is not used again."""

_of_thread = threading.local()


class WarmEngine(NBClientEngine):
    """Runs notebooks one after the other in one kernel, which starts once and keeps what it has imported and loaded.

    Use: `papermill.execute_notebook(..., engine_name="warm")`. The kernel belongs to the calling thread and ends with it, with the process, by
    `close`, or within a second or two of the process being killed. From the `papermill` command there is one notebook, hence a cold run.

    After each notebook the kernel is made clean, as `sdxl_lab.slate` describes; what is not undone stands there too. The next notebook gets a
    new kernel when this one cannot be cleaned (a function of the notebook lives on in a hook, a patch or a thread; watched models were changed),
    when it died, was interrupted, exceeded a timeout, or met a CUDA error or the end of memory, when another kernel or environment is asked for,
    and around a notebook whose metadata says `isolated: true`. A kernel that cannot import sdxl_lab serves one notebook.

    Besides papermill's own engine arguments it takes `isolated` (default False), and `preload`, names of modules to import before the first
    notebook: the settings a library makes at import then belong to the clean state (default torch, where it is installed).

    The metadata of a notebook says what happened, cell by cell: `completed`, `failed`, `running` as long as a cell runs, and `pending` for what
    was never reached. A dead kernel, a timeout or ctrl-C leaves the cell `failed`, with an error among its outputs, and is raised again; the
    notebook is written to its output path then too. papermill's own engine calls all of those cells completed.
    """

    @classmethod
    def execute_notebook(  # papermill's signature
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: Any = True,  # noqa: FBT002
        log_output: Any = False,  # noqa: FBT002
        autosave_cell_every: int = 30,
        **kwargs: Any,
    ) -> Any:
        """Run a notebook; papermill calls this.

        Args:
            nb: The notebook, parameters injected.
            kernel_name: Of a kernel spec.
            output_path: Where to save after each cell, if anywhere.
            progress_bar: As papermill's.
            log_output: As papermill's.
            autosave_cell_every: Seconds between saves while a cell runs.
            **kwargs: papermill's engine arguments, and those of this class.

        Returns:
            The executed notebook. Errors of its cells are in there; papermill raises them.

        Raises:
            DeadKernelError: The kernel died.
            CellTimeoutError: A cell took longer than `execution_timeout`.
            KeyboardInterrupt: By ctrl-C.
        """
        books = _Books(nb, output_path=output_path, log_output=log_output, progress_bar=progress_bar, autosave_cell_every=autosave_cell_every)
        books.notebook_start()
        try:
            cls.execute_managed_notebook(books, kernel_name, log_output=log_output, **kwargs)
        except BaseException:
            books.nb.metadata.papermill["exception"] = True
            books.output_path = books.nb.metadata.papermill.get("output_path")
            raise
        finally:
            books.notebook_complete()
        return books.nb

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        log_output: Any = False,  # noqa: FBT002
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: int = 60,
        execution_timeout: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run a notebook in the kernel that is warm, or in a new one; `execute_notebook` calls this.

        Args:
            nb_man: Keeps the notebook's books.
            kernel_name: Of a kernel spec.
            log_output: As papermill's.
            stdout_file: As papermill's.
            stderr_file: As papermill's.
            start_timeout: Seconds to wait for a new kernel.
            execution_timeout: Seconds that each cell may take; unlimited when left out.
            **kwargs: `isolated`, `preload`, and nbclient's options.
        """
        isolated = kwargs.pop("isolated", False) or bool(nb_man.nb.metadata.get("isolated"))
        wanted = _Wanted(
            kernel_name=kernel_name,
            arguments=tuple(kwargs.pop("extra_arguments", ())),
            preload=tuple(kwargs.pop("preload", ("torch",))),
            config=kwargs.pop("config", None),
        )
        options = {name: value for name, value in kwargs.items() if name not in ("input_path", "startup_timeout", "timeout")}
        options |= {"timeout": execution_timeout or kwargs.get("timeout"), "log_output": log_output}
        options |= {"kernel_name": kernel_name, "stdout_file": stdout_file, "stderr_file": stderr_file, "log": logger}
        with _kernel(wanted, isolated=isolated, start_timeout=start_timeout) as kernel:
            client = _Client(nb_man, km=kernel.manager, **options)
            client.kc = kernel.channels
            client.execute()
            kernel.is_fit &= not any(map(_is_unfit, client.nb.cells))
        return nb_man.nb


def close() -> None:
    """End this thread's warm kernel, if there is one; the next notebook starts a new one."""
    kernel = getattr(_of_thread, "kernel", None)
    _of_thread.kernel = None
    if kernel is not None and kernel.is_ours():
        kernel.close()


atexit.register(close)


class _Books(NotebookExecutionManager):
    """papermill's, less its habit of calling completed what was never reached."""

    def notebook_complete(self, **_: Any) -> None:
        self.cleanup_pbar()
        self.end_time = self.now()
        self.nb.metadata.papermill["end_time"] = self.end_time.isoformat()
        if self.start_time is not None:
            self.nb.metadata.papermill["duration"] = (self.end_time - self.start_time).total_seconds()
        self.save()


class _Client(PapermillNotebookClient):
    """papermill's, with an answer for each way in which a cell can end."""

    def papermill_execute_cells(self) -> None:
        for index, cell in enumerate(self.nb.cells):
            try:
                self.nb_man.cell_start(cell, index)
                self.execute_cell(cell, index)
            except CellExecutionError as error:
                self.nb_man.cell_exception(cell, cell_index=index, exception=error)
                break
            except BaseException as error:
                _add_error(cell, error)
                self.nb_man.cell_exception(cell, cell_index=index, exception=error)
                raise
            finally:
                self.nb_man.cell_complete(cell, cell_index=index)


def _add_error(cell: Any, error: BaseException) -> None:
    """Leave in the cell why it ended: the kernel had no chance to say it."""
    if cell.cell_type == "code":
        first_line = (str(error) or "ctrl-C").strip().splitlines()[0]
        name = type(error).__name__
        cell.outputs.append(nbformat.v4.new_output("error", ename=name, evalue=first_line, traceback=[f"{name}: {first_line}"]))


def _is_unfit(cell: Any) -> bool:
    outputs = cell.outputs if cell.cell_type == "code" else []
    return any(UNFIT.search(f"{output.ename}: {output.evalue}") for output in outputs if output.output_type == "error")


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What a kernel is started with; one that was started with something else does not serve."""

    kernel_name: str
    arguments: tuple[str, ...]
    preload: tuple[str, ...]
    config: Any
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))


class _Kernel:
    """A kernel's process, in a private folder with the sockets to it: over TCP other users of the machine can listen in."""

    def __init__(self, wanted: _Wanted, *, start_timeout: float) -> None:
        # A socket's path has 107 bytes at most.
        folder = Path(tempfile.mkdtemp(prefix="sdxl-"))
        self.wanted, self.owner, self.is_fit, self.began = wanted, os.getpid(), True, False
        configured = {"config": wanted.config} if wanted.config else {}
        name, file = wanted.kernel_name, str(folder / "kernel.json")
        self.manager = AsyncKernelManager(kernel_name=name, transport="ipc", connection_file=file, **configured)
        self._end = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.channels: Any = None
        try:
            # Not in a file that every kernel of this user writes to.
            run_sync(self.manager.start_kernel)(extra_arguments=[*wanted.arguments, "--HistoryManager.hist_file=:memory:"])
            self._end.detach()
            sockets: list[Any] = []
            self._end = weakref.finalize(self, _kill, _process(self.manager), folder, self.owner, sockets)
            self.channels = self.manager.client()
            sockets.append(self.channels)
            self.channels.start_channels()
            run_sync(self.channels.wait_for_ready)(timeout=start_timeout)
            self.channels.allow_stdin = False
        except BaseException:
            self.close(at_once=True)
            raise

    def is_ours(self) -> bool:
        """Whether this process started it, rather than one that this one was forked from."""
        return self.owner == os.getpid()

    def serves(self, wanted: _Wanted) -> bool:
        return self.is_ours() and self.wanted == wanted and _process(self.manager).poll() is None

    def enter(self) -> None:
        """Make it ready for one of many notebooks, which starts in this process's working folder."""
        if not self.began:
            self._have(f"begin({list(self.wanted.preload)!r})", PRELOAD_S)
            self.began = True
        self._have(f"enter({os.getcwd()!r})")  # noqa: PTH109

    def enter_once(self) -> None:
        """Make it ready for its only notebook."""
        self.ask("let_exit_end_the_notebook()")

    def wipe(self) -> None:
        """Undo what a notebook left behind; the kernel stays fit if nothing of it remains."""
        self._have("wipe()")

    def _have(self, call: str, timeout_s: float = RESET_S) -> None:
        if self.is_fit and (answer := self.ask(call, timeout_s)) != "'clean'":
            self.is_fit = False
            logger.info(f"The next notebook gets a new kernel: {answer}")

    def ask(self, call: str, timeout_s: float = RESET_S) -> str:
        """What a function of `sdxl_lab.slate` answers in the kernel, or what went wrong there."""
        expression = f"__import__('sdxl_lab.slate', fromlist=['slate']).{call}"
        request = self.channels.execute("", silent=True, store_history=False, user_expressions={"answer": expression}, allow_stdin=False)
        try:
            reply = run_sync(self._reply)(request, timeout_s)
        except (TimeoutError, RuntimeError) as error:
            return f"no answer: {error!r}"
        answer = reply["content"].get("user_expressions", {}).get("answer", reply["content"])
        return answer["data"]["text/plain"] if answer.get("status") == "ok" and "data" in answer else str(answer)

    async def _reply(self, request: str, timeout_s: float) -> Any:
        async with asyncio.timeout(timeout_s):
            while True:
                waiting = asyncio.ensure_future(self.channels.shell_channel.get_msg(timeout=None))
                while not (await asyncio.wait([waiting], timeout=0.5))[0]:
                    if _process(self.manager).poll() is not None:
                        waiting.cancel()
                        raise RuntimeError("the kernel died")
                if waiting.result()["parent_header"].get("msg_id") == request:
                    return waiting.result()

    def close(self, *, at_once: bool = False) -> None:
        """End the process, after what it does at its exit unless `at_once`, and remove the sockets."""
        try:
            if not at_once:
                with suppress(RuntimeError):  # it is dead already
                    run_sync(self.manager.shutdown_kernel)(now=False)
        finally:
            self._end()
            run_sync(self.manager.cleanup_resources)()


@contextmanager
def _kernel(wanted: _Wanted, *, isolated: bool, start_timeout: float) -> Iterator[_Kernel]:
    kernel, others = None, asyncio.all_tasks(ensure_event_loop())
    if not isolated:
        kernel, _of_thread.kernel = getattr(_of_thread, "kernel", None), None
        if kernel is not None and not kernel.serves(wanted):
            if kernel.is_ours():
                kernel.close()
            kernel = None
    kernel = kernel or _Kernel(wanted, start_timeout=start_timeout)
    try:
        kernel.enter_once() if isolated else kernel.enter()
        yield kernel
        if not isolated:
            kernel.wipe()
    except BaseException:
        _cancel(others)
        kernel.close(at_once=True)
        raise
    if isolated or not kernel.is_fit:
        kernel.close()
    else:
        _of_thread.kernel = kernel


def _cancel(others: set[Any]) -> None:
    """Cancel what ctrl-C left unfinished on this thread's event loop: it would go on at the loop's next use."""
    loop = ensure_event_loop()
    left = asyncio.all_tasks(loop) - others
    for task in left:
        task.cancel()
    if left and not loop.is_running():
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


def _process(manager: AsyncKernelManager) -> subprocess.Popen[bytes]:
    provisioner: Any = manager.provisioner
    return provisioner.process


def _kill(process: subprocess.Popen[bytes], folder: Path, owner: int, sockets: list[Any]) -> None:
    if owner != os.getpid():
        return
    for channels in sockets:
        channels.stop_channels()
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # a kernel leads a group of its own: what its cells started ends with it
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)
