"""The papermill engine `warm`: one kernel for many notebooks, and notebooks that tell the truth however they end."""

from __future__ import annotations

import asyncio
import atexit
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import CellExecutionError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager
from papermill.log import logger

from sdxl_lab import progress
from sdxl_lab.kernels import ahead
from sdxl_lab.kernels.ahead import of_thread
from sdxl_lab.kernels.process import Kernel, Wanted

UNFIT = re.compile(r"out of memory|MemoryError|CUDA|CUDNN|CUBLAS|HIP error|AcceleratorError|device-side", re.IGNORECASE)
"""Errors of a cell after which its kernel is not used again."""

IOPUB_S = 60.0
"""How long what a cell printed may take to arrive after the cell has ended; nbclient's own 4 seconds are few on a busy machine."""


class WarmEngine(NBClientEngine):
    """Runs notebooks one after the other in one kernel, which starts once and keeps what it has imported and loaded.

    Use: `papermill.execute_notebook(..., engine_name="warm")`. The kernel belongs to the calling thread and ends with it, with the process, by
    `close`, or within a second or two of the process being killed. From the `papermill` command there is one notebook, hence a cold run.

    After each notebook the kernel is made clean, as `sdxl_lab.kernels.slate` describes; what is not undone stands there too. The next notebook gets a
    new kernel when this one cannot be cleaned (a function of the notebook lives on in a hook, a patch or a thread; watched models were changed),
    when it died, was interrupted, exceeded a timeout, or met a CUDA error or the end of memory, when another kernel or environment is asked for,
    and around a notebook whose metadata says `isolated: true`. A kernel that cannot import sdxl_lab serves one notebook.

    Besides papermill's own engine arguments it takes `isolated` (default False); `preload`, names of modules to import before the first
    notebook, or `module:function` to call: the settings made there then belong to the clean state (default torch, where it is installed, and
    nothing for a notebook that is isolated; by its metadata it always gets nothing); and
    `tell`, which is called with one line of text when a kernel is replaced, saying why (default none; papermill's log has it too); and
    `settled` (default True): whether to wait until the kernel is clean. If not, `settle` or the next notebook does.

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
            **kwargs: `isolated`, `preload`, `tell`, `settled`, and nbclient's options.
        """
        isolates, tell, settled = bool(nb_man.nb.metadata.get("isolated")), kwargs.pop("tell", None), kwargs.pop("settled", True)
        alone = kwargs.pop("isolated", False) or isolates
        preload = tuple(kwargs.pop("preload", () if alone else ("torch",)))
        wanted = Wanted(
            kernel_name=kernel_name,
            arguments=tuple(kwargs.pop("extra_arguments", ())),
            preload=() if isolates else preload,
            config=kwargs.pop("config", None),
            alone=alone,
        )
        options = {name: value for name, value in kwargs.items() if name not in ("input_path", "startup_timeout", "timeout")}
        options |= {"timeout": execution_timeout or kwargs.get("timeout"), "log_output": log_output}
        options["coalesce_streams"], coalesces = False, options.get("coalesce_streams", False)
        options |= {
            "iopub_timeout": kwargs.get("iopub_timeout", IOPUB_S),
            "kernel_name": kernel_name,
            "stdout_file": stdout_file,
            "stderr_file": stderr_file,
            "log": logger,
        }
        path = nb_man.nb.metadata.papermill.get("input_path")
        name = Path(path).name if isinstance(path, str) else "a notebook"  # papermill also takes notebooks that are no file
        with _kernel(wanted, name, start_timeout=start_timeout, tell=tell or _tell_nobody) as kernel:
            client = _Client(nb_man, km=kernel.manager, **options)
            client.kc = kernel.channels
            try:
                client.execute()
            finally:
                if coalesces:
                    _coalesce(nb_man.nb)
            kernel.is_fit &= not any(map(_is_unfit, client.nb.cells))
        if settled:
            settle()
        return nb_man.nb


def settle() -> None:
    """Wait until this thread's warm kernel is clean after its latest notebook; end it, and tell who asked for that notebook, if it cannot be."""
    kernel = of_thread.warm
    if kernel is None or not kernel.is_ours():
        return
    others = asyncio.all_tasks(ensure_event_loop())
    try:
        problem = kernel.wiped()
    except BaseException:
        of_thread.warm = None
        _cancel(others)
        kernel.close(at_once=True)
        raise
    if problem:
        of_thread.warm = None
        of_thread.say(problem)
        kernel.close()


def close() -> None:
    """End this thread's warm kernel, if there is one; the next notebook starts a new one."""
    kernel, of_thread.warm = of_thread.warm, None
    if kernel is not None and kernel.is_ours():
        kernel.close()


@cache
def _close_at_the_end() -> None:
    """Have `close` called when the process ends; once, from the first kernel on."""
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
                progress.tell("running the notebook", done=index + 1, total=len(self.nb.cells), unit="cell")
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


def _coalesce(notebook: Any) -> None:
    """Join what each cell printed: once, at the end, when no later cell can update an output by its place among the others.

    nbclient's own takes the square of a line's length in time: minutes for a line of 100 KB.
    """
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        pieces: dict[str, list[str]] = {}
        kept = []
        for output in cell.outputs:
            if output.output_type != "stream" or output.name not in pieces:
                kept.append(output)
            if output.output_type == "stream":
                pieces.setdefault(output.name, []).append(output.text)
        for output in kept:
            if output.output_type == "stream":
                output.text = "\n".join(map(_overwritten, "".join(pieces[output.name]).split("\n")))
        names = [output.get("name") for output in kept]
        for place in range(len(names) - 1):
            if names[place : place + 2] == ["stderr", "stdout"]:  # which came first is chance
                kept[place : place + 2] = reversed(kept[place : place + 2])
        cell.outputs = kept


def _overwritten(line: str) -> str:
    """What a terminal shows of a line: what follows its last carriage return, unless that ends it."""
    return line[line.rfind("\r", 0, len(line) - 1) + 1 :]


def _add_error(cell: Any, error: BaseException) -> None:
    """Leave in the cell why it ended: the kernel had no chance to say it."""
    if cell.cell_type == "code":
        first_line = (str(error) or "ctrl-C").strip().splitlines()[0]
        name = type(error).__name__
        cell.outputs.append(nbformat.v4.new_output("error", ename=name, evalue=first_line, traceback=[f"{name}: {first_line}"]))


def _is_unfit(cell: Any) -> bool:
    outputs = cell.outputs if cell.cell_type == "code" else []
    return any(UNFIT.search(f"{output.ename}: {output.evalue}") for output in outputs if output.output_type == "error")


@contextmanager
def _kernel(wanted: Wanted, notebook: str, *, start_timeout: float, tell: Callable[[str], None]) -> Iterator[Kernel]:
    others = asyncio.all_tasks(ensure_event_loop())

    def say(reason: str) -> None:
        logger.info(f"A new kernel {reason}")
        tell(f"a new kernel {reason}")

    kernel = None if wanted.alone else _taken(wanted, start_timeout, lambda problem: say(f"for {notebook}: {problem}"))
    is_new, problem = kernel is None, ""
    kernel = kernel or ahead.taken(wanted) or Kernel(wanted)
    try:
        if is_new:
            problem = kernel.enter(start_timeout)
        yield kernel
        if is_kept := not wanted.alone and kernel.is_fit and not problem:
            kernel.begin_wipe()
    except BaseException:
        _cancel(others)
        kernel.close(at_once=True)
        raise

    def say_after(problem: str) -> None:
        say(f"for the next notebook: {notebook} {problem}")

    if problem:
        say_after(problem)
    if is_kept:
        of_thread.warm, of_thread.say = kernel, say_after
        _close_at_the_end()
    else:
        kernel.close()


def _taken(wanted: Wanted, start_timeout: float, say: Callable[[str], None]) -> Kernel | None:
    """This thread's warm kernel, entered; None if there is none that serves."""
    settle()
    kernel, of_thread.warm = of_thread.warm, None
    if kernel is None or not kernel.is_ours():
        return None
    others = asyncio.all_tasks(ensure_event_loop())
    try:
        problem = kernel.unlike(wanted) or kernel.enter(start_timeout)
    except BaseException:
        _cancel(others)
        kernel.close(at_once=True)
        raise
    if not problem:
        return kernel
    say(problem)
    kernel.close()
    return None


def _tell_nobody(_: str) -> None:
    """Where nobody asked to be told."""


def _cancel(others: set[Any]) -> None:
    """Cancel what ctrl-C left unfinished on this thread's event loop: it would go on at the loop's next use."""
    loop = ensure_event_loop()
    left = asyncio.all_tasks(loop) - others
    for task in left:
        task.cancel()
    if left and not loop.is_running():
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
