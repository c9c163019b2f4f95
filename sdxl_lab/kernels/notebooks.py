"""Notebooks: find one, read its parameters, run it through papermill until it is whole."""

from __future__ import annotations

import ast
import errno
import glob
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab import progress
from sdxl_lab.errors import LabError, as_shown
from sdxl_lab.files.disk import FULL, make_folder, unwritten
from sdxl_lab.kernels.examples import FIRST, examples

if TYPE_CHECKING:
    from sdxl_lab.kernels.process import Wanted

BUILT_IN = FIRST
COMPARE, EXPLORE, BENCH = "compare", "explore", "bench"

OF_NO_RUN = {
    COMPARE: "it compares runs: sdxl-lab compare ... --notebook FILE.ipynb runs it",
    EXPLORE: "it is for exploring by hand: open it in JupyterLab, or use sdxl-lab paint, which keeps pictures in the same way",
    BENCH: "it is for exploring by hand: open it in JupyterLab, or use sdxl-lab paint, which keeps pictures in the same way",
}
"""The built-in notebooks that make no run, and what they are for."""
FAILED = "failed.ipynb"

START_S = 300
"""How long a kernel may take to answer: on a busy machine more than a minute."""

KERNEL = "python3"
"""Kernels of other names may be another Python."""

ARGUMENTS = ("--IPKernelApp.log_level=50",)
"""Of kernels: what one logs while it is being ended is of no use."""

SETS_UP = re.compile(r"environ|putenv|%env|sys\.(path|modules|meta_path)")
"""What a notebook says that changes what its imports give: nothing is imported before that."""

_told: set[str] = set()


def say_once(reason: str) -> None:
    """Say a line on stderr, unless this process has said it before.

    Args:
        reason: Why there is a new kernel.
    """
    if reason not in _told:
        _told.add(reason)
        print(f"sdxl-lab: {reason}", file=sys.stderr, flush=True)


_listener: ContextVar[Callable[[str], None]] = ContextVar("_listener", default=say_once)


@contextmanager
def listening(listen: Callable[[str], None]) -> Iterator[None]:
    """Hear, in this thread, why a warm kernel was replaced, instead of having it said on stderr; of the last notebook when the block ends.

    Until then nobody waits for the kernel to be clean again.

    Args:
        listen: Called with a line of text, such as `a new kernel for the next notebook: x.ipynb left thread work running`.
    """
    token = _listener.set(listen)
    try:
        yield
    finally:
        _settle()
        _listener.reset(token)


class NotebookError(LabError):
    """A notebook cannot be found or read, or one of its cells failed."""


class MachineError(NotebookError):
    """The machine failed, not the notebook: its kernel died, or there was not enough memory. The same again may succeed."""


def find(notebook: str) -> Path:
    """Locate a notebook.

    Args:
        notebook: A path, or one of `built_in` that makes a run.

    Returns:
        The path of an existing file.

    Raises:
        NotebookError: There is no such file.
    """
    with suppress(OSError):  # a name too long for any file
        if Path(notebook).is_file():
            return Path(notebook)
    brought = built_in()
    if notebook in OF_NO_RUN:
        raise NotebookError(f"got the notebook {notebook!r}, which makes no run; {OF_NO_RUN[notebook]}")
    if notebook in brought:
        return brought[notebook]
    names = ", ".join(name for name in brought if name not in OF_NO_RUN)
    raise NotebookError(f"got the notebook {notebook!r}, and there is no such file; give the path of an .ipynb file, or a built-in one: {names}")


def built_in() -> dict[str, Path]:
    """The notebooks that come with sdxl_lab, by name; the one that all began with is first."""
    return {name: path for name, path in examples().items() if path.suffix == ".ipynb"}


def parameters_of(notebook: Path) -> dict[str, Any]:
    """Read the defaults that a notebook's parameters cell assigns.

    Args:
        notebook: A notebook with one code cell tagged `parameters` that assigns literals to names.

    Returns:
        Name to value.

    Raises:
        NotebookError: The file is not a notebook, no cell is tagged, or the cell assigns something else than literals.
    """
    try:
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
        tagged = ["".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotebookError(f"{notebook} cannot be read as a notebook: {error}; save it again from JupyterLab") from error
    if len(tagged) != 1:
        raise NotebookError(
            f"{notebook} has {len(tagged)} cells tagged 'parameters'; exactly one is allowed: tag the cell that assigns the parameters"
        )
    return dict(_assignments(tagged[0], notebook))


def run(notebook: Path, parameters: Mapping[str, Any], output: Path, *, warm: bool = False, preload: Sequence[str] = ()) -> None:
    """Run a notebook; the output appears only if every cell succeeded.

    Args:
        notebook: What to run.
        parameters: Values for its parameters cell: None, numbers, texts, lists and dictionaries.
        output: Path of the executed notebook. A notebook that did not succeed lies beside it as `failed.ipynb`, with the cells that ran.
        warm: Use this thread's warm kernel (`sdxl_lab.kernels.engine`), kept for the next notebook, instead of one that ends with this one.
            Why a warm kernel was replaced is said on stderr, once a process and reason, or to whoever is `listening`.
        preload: What the kernel imports, or as `module:function` calls, before its first notebook: what these set is not a notebook's doing. Nothing
            in a kernel for this notebook alone, if the notebook says something about environment or imports, or that it is `isolated`.

    Raises:
        MachineError: The kernel died, or there was not enough memory.
        NotebookError: A cell failed. The message is that of the error in the cell.
        DiskError: The output or its folder cannot be written; no part of it is left.
        KeyboardInterrupt: By ctrl-C.
    """
    make_folder(output.parent)
    for leftover in output.parent.glob(f".{glob.escape(output.stem)}-*.ipynb"):
        leftover.unlink(missing_ok=True)
    unfinished = output.with_name(f".{output.stem}-{os.getpid()}.ipynb")
    failed = output.with_name(FAILED)
    try:
        with _quiet():
            _papermill(notebook, parameters, unfinished, failed, isolated=not warm, preload=_preloads(notebook, preload, warm=warm))
        if not is_whole(unfinished):
            raise NotebookError(f"{notebook} left with exit() before its end; see {failed}, and let the last cell end it")
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(output)
        failed.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in {*FULL, errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
        unfinished.unlink(missing_ok=True)  # papermill writes in place: it is cut off
        raise unwritten(Path(error.filename or output), error) from error
    finally:
        if unfinished.exists():
            unfinished.replace(failed)
        if _listener.get() is say_once:
            _settle()


@contextmanager
def started(notebook: Path, *, warm: bool = False, preload: Sequence[str] = ()) -> Iterator[None]:
    """Start the kernel of a notebook that is run in the block, by this thread: it imports while other things are done. Nothing waits for it.

    One that has not been needed ends with the block, at once.

    Args:
        notebook: What will be run.
        warm: As for `run`; likewise `preload`.
        preload: See `warm`.
    """
    from sdxl_lab.kernels import ahead

    with ahead.started(_wanted(notebook, preload, warm=warm)):
        yield


def start_warm(notebook: str, preload: Sequence[str], folder: str) -> None:
    """Start this thread's warm kernel, for whatever it will run first. Nothing waits for it; it ends with this process.

    Args:
        notebook: What will be run.
        preload: As for `run`.
        folder: In which notebooks will start.
    """
    from sdxl_lab.kernels import ahead

    os.chdir(folder)
    ahead.start(_wanted(Path(notebook), preload, warm=True))


def is_whole(executed: Path) -> bool:
    """Whether a file is a notebook in which every code cell ran and none failed."""
    try:
        cells = [cell for cell in json.loads(executed.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    errors = [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
    return not errors and all(cell["execution_count"] for cell in cells if "".join(cell["source"]).strip())


def _assignments(source: str, notebook: Path) -> Iterator[tuple[str, Any]]:
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise NotebookError(f"{notebook}: the parameters cell is not Python: {error.msg} in line {error.lineno}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotebookError(f"{notebook}: the parameters cell is not Python: {error or 'nested too deeply'}") from None
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                try:
                    yield name, ast.literal_eval(value)
                except (ValueError, TypeError, RecursionError, MemoryError):
                    allowed = "a number, a text, None, a list or a dictionary of such"
                    raise NotebookError(f"{notebook}: the parameters cell has {ast.unparse(statement)!r}; allowed is {allowed}") from None


def _papermill(notebook: Path, parameters: Mapping[str, Any], unfinished: Path, failed: Path, *, isolated: bool, preload: Sequence[str]) -> None:
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.engines import papermill_engines
    from papermill.exceptions import PapermillExecutionError

    from sdxl_lab.kernels.engine import UNFIT, WarmEngine

    progress.tell("starting the notebook's kernel")
    papermill_engines.register("warm", WarmEngine)  # also where the package is not installed
    try:
        papermill.execute_notebook(
            _as_it_is(notebook),
            _as_it_is(unfinished),
            dict(parameters),
            engine_name="warm",
            kernel_name=KERNEL,
            language="python",
            progress_bar=False,
            request_save_on_cell_execute=False,  # else each cell writes every picture so far again
            coalesce_streams=True,  # a progress bar is one line in the end
            extra_arguments=ARGUMENTS,
            start_timeout=START_S,
            isolated=isolated,
            preload=preload,
            tell=_listener.get(),
            settled=False,
        )
    except PapermillExecutionError as error:
        if error.traceback == as_shown(error.ename, error.evalue):
            raise NotebookError(error.evalue) from error
        kind = MachineError if UNFIT.search(f"{error.ename}: {error.evalue}") else NotebookError
        raise kind(f"cell [{error.exec_count}] of {notebook} failed with {error.ename}: {error.evalue}; see the traceback in {failed}") from error
    except DeadKernelError as error:
        raise MachineError(
            f"the kernel that ran {notebook} ended in the middle: interrupted, or died for want of memory; pictures made so far are kept: "
            "the same command goes on from there"
        ) from error
    except CellTimeoutError as error:
        raise MachineError(
            f"the kernel that ran {notebook} did not say that its cell had ended: the machine is too busy; pictures made so far are kept: "
            "the same command goes on from there"
        ) from error
    except RuntimeError as error:
        if "Kernel" not in str(error):
            raise
        # jupyter_client's own words for a kernel that died, or did not answer, at its start
        raise MachineError(f"no kernel could be started for {notebook}: {error}; the same command tries again") from error


def _settle() -> None:
    """Wait until the warm kernel is clean, if this process has ever had one."""
    if engine := sys.modules.get("sdxl_lab.kernels.engine"):
        with _quiet():
            engine.settle()


def _wanted(notebook: Path, preload: Sequence[str], *, warm: bool) -> Wanted:
    from sdxl_lab.kernels.process import Wanted

    return Wanted(kernel_name=KERNEL, arguments=ARGUMENTS, preload=_preloads(notebook, preload, warm=warm), config=None, alone=not warm)


def _preloads(notebook: Path, preload: Sequence[str], *, warm: bool) -> tuple[str, ...]:
    if not warm:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):  # papermill says what is wrong with it
            read = json.loads(notebook.read_text("utf-8"))
            sources = ["".join(cell["source"]) for cell in read["cells"] if cell["cell_type"] == "code"]
            if read["metadata"].get("isolated") or any(map(SETS_UP.search, sources)):
                return ()
    return tuple(preload)


def _as_it_is(path: Path) -> str:
    """A path for papermill, which would replace `{name}` in it by the parameter."""
    return str(path).replace("{", "{{").replace("}", "}}")


@contextmanager
def _quiet() -> Iterator[None]:
    # papermill and the kernel's client log what the one message at the end says better.
    loggers = [logging.getLogger(name) for name in ("papermill", "traitlets", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
