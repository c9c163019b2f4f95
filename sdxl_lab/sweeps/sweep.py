"""Running a sweep on an executor: groups go out, faults of the machine are tried again, what is recorded stays recorded."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sdxl_lab.errors import LabError
from sdxl_lab.files.locks import LockError
from sdxl_lab.kernels import notebooks
from sdxl_lab.kernels.notebooks import MachineError
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs.experiment import NotMadeError, execute_in
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.attempts import Attempts, begun, is_recorded
from sdxl_lab.sweeps.plan import Plan, PlannedRun
from sdxl_lab.tracking import tracker
from sdxl_lab.wording import counted

MOST_ATTEMPTS = 3
"""A fault of the machine (a dead kernel, a lost worker, no memory left) is tried again twice."""

POLL_S = 0.5
BUSY_POLL_S = 2.0

Outcome = Literal["done", "failed", "busy"]
Show: TypeAlias = Callable[[Plan, str], AbstractContextManager[None]]
"""Shows a sweep while its block lasts: given the plan, and the name under which this command's attempts are found on the disk."""


class SweepError(LabError):
    """A sweep did not end as it should."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One run as it is sent to a worker.

    Attributes:
        run_id: Names it.
        label: What sets it apart, for people.
        parameters: All eight, with nothing left to choose.
        folder: Where it is recorded, or will be.
        pictures: How many it has.
    """

    run_id: str
    label: str
    parameters: Mapping[str, Any]
    folder: Path
    pictures: int

    @classmethod
    def of(cls, run: PlannedRun) -> Task:
        """The task of a planned run."""
        return cls(run_id=run.run_id, label=run.label, parameters=run.parameters, folder=run.folder, pictures=len(run.works))

    @property
    def runs_folder(self) -> Path:
        """Where it is recorded."""
        return Path(self.parameters["runs_folder"])


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A point that was not made.

    Attributes:
        label: Which one.
        message: Why.
        notebook: What its notebook looked like when it failed, if it got that far.
    """

    label: str
    message: str
    notebook: Path | None

    def __str__(self) -> str:
        return f"{self.label}: {self.message}" + (f"\n    {self.notebook}" if self.notebook else "")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a sweep ended.

    Attributes:
        before: Runs that were recorded when it began.
        made: Runs that are recorded since, by this command or by another one at the same time.
        failed: The others.
    """

    before: int
    made: int = 0
    failed: tuple[Failure, ...] = ()

    def check(self) -> None:
        """See that all went well.

        Raises:
            SweepError: Runs failed. Lists each, with why and its notebook.
        """
        if self.failed:
            lines = [
                f"{counted(len(self.failed), 'run')} failed; the others are kept, and the same command tries these again:",
                *map(str, self.failed),
            ]
            raise SweepError("\n  - ".join(lines))


def sweep(plan: Plan, executor: Executor, show: Show | None = None, meanwhile: Callable[[], bool] | None = None) -> Summary:
    """Make all that a plan has pending.

    Nothing is kept in memory that matters: what is done is what is recorded, so the same command goes on after any interruption, and two
    of them at once share the work.

    Args:
        plan: The plan.
        executor: What runs groups of points, each group in one process: `Workers`, Parsl's `ParslPoolExecutor`, or `Inline`. It stays open.
        show: Shows the progress; nothing is shown when left out.
        meanwhile: Called again and again while others work; answers whether it had something to do.

    Returns:
        How it ended. A failed point does not stop the others.

    Raises:
        SweepError: The executor takes no more work.
        KeyboardInterrupt: By ctrl-C; what has not started is taken back from the executor.

    Examples:
        >>> sweep(planned, Inline()).made  # or: with Workers(2) as workers: sweep(planned, workers)
        2
    """
    name = secrets.token_hex(8)
    running = _Running(plan, executor, name, meanwhile or _idle)
    with (show or _unseen)(plan, name):
        try:
            running.to_the_end()
        except BaseException:
            running.take_back()
            raise
    failed = tuple(_failure(run, running.failed[run.run_id]) for run in plan.pending if run.run_id in running.failed)
    return Summary(before=len(plan.done), made=len(plan.pending) - len(failed), failed=failed)


def run_group(notebook: str, tasks: Sequence[Task], sweep: str, working_folder: str) -> dict[str, tuple[Outcome, str]]:
    """Make the runs of one group, one after the other in this thread's warm kernel; workers call this.

    Args:
        notebook: What runs each.
        tasks: The runs.
        sweep: Names the command that asks.
        working_folder: Of that command.

    Returns:
        For each `run_id` how it ended, and why if it failed. `busy` is what somebody else is making.
    """
    if Path.cwd() != Path(working_folder) and Path(working_folder).is_dir():
        os.chdir(working_folder)
    return {task.run_id: _make(Path(notebook), task, sweep) for task in tasks}


class Inline(Executor):
    """Runs what is submitted at once, in this process: for one worker, for debugging, for tests."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function now; the future that is returned is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as every executor does
            future.set_exception(error)
        return future


class _Running:
    """What is out, what came back, and what is to be tried again."""

    def __init__(self, plan: Plan, executor: Executor, name: str, meanwhile: Callable[[], bool]) -> None:
        self.plan, self.executor, self.name, self.meanwhile = plan, executor, name, meanwhile
        self.failed: dict[str, str] = {}
        self._out: dict[Future[Any], tuple[Task, ...]] = {}
        self._losses: dict[str, int] = {}

    def to_the_end(self) -> None:
        busy: list[Task] = []
        had_to_do = True
        for group in self.plan.groups:
            self._submit(map(Task.of, group.pending))
        while self._out or busy:
            if self._out:
                finished, _ = wait(self._out, timeout=0 if had_to_do else POLL_S, return_when=FIRST_COMPLETED)
                busy += [task for future in finished for task in self._came_back(future)]
                had_to_do = not finished and self.meanwhile()
            else:
                time.sleep(BUSY_POLL_S)
                free = [task for task in busy if _is_free(task)]
                busy = [task for task in busy if task not in free]
                # Whoever made them has left; what is recorded by now costs a look.
                self._submit(free)

    def take_back(self) -> None:
        for future in self._out:
            future.cancel()

    def _submit(self, tasks: Iterable[Task]) -> None:
        batch = tuple(tasks)
        if not batch:
            return
        try:
            future = self.executor.submit(run_group, str(self.plan.notebook.absolute()), batch, self.name, str(Path.cwd()))
        except RuntimeError as error:
            raise SweepError(f"the workers take no more work ({error}); what is done is kept: the same command goes on from there") from error
        self._out[future] = batch

    def _came_back(self, future: Future[Any]) -> list[Task]:
        """Take note of what a group's future says; returns what somebody else is making."""
        batch = self._out.pop(future)
        try:
            ends = future.result()
        except (Exception, CancelledError) as error:  # noqa: BLE001 - whatever an executor raises when a worker is lost
            self._submit(self._left(batch, error))
            return []
        self.failed |= {run_id: message for run_id, (state, message) in ends.items() if state == "failed"}
        return [task for task in batch if ends[task.run_id][0] == "busy"]

    def _left(self, batch: tuple[Task, ...], error: BaseException) -> list[Task]:
        """What of a lost group is to be tried again: by the disk, since the worker can't say."""
        left, started = [], False
        for task in batch:
            attempts = Attempts(task.runs_folder, task.run_id).of(self.name)
            last = attempts[-1] if attempts else None
            if last and last.end == "done":
                continue
            if last and last.end == "failed":
                self.failed[task.run_id] = last.message
            elif last and last.end is None and len(attempts) >= MOST_ATTEMPTS:
                self.failed[task.run_id] = f"its worker was lost {len(attempts)} times: {_first_line(error)}"
            else:
                left.append(task)
            started |= last is not None and last.end is None
        if left and not started:
            # No run of it was under way, so none of them is to blame; but a worker that never gets there is not asked for ever.
            first = left[0]
            self._losses[first.run_id] = self._losses.get(first.run_id, 0) + 1
            if self._losses[first.run_id] >= MOST_ATTEMPTS:
                self.failed |= {task.run_id: f"no worker could begin it: {_first_line(error)}" for task in left}
                return []
        return left


def _make(notebook: Path, task: Task, sweep: str) -> tuple[Outcome, str]:
    attempts = Attempts(task.runs_folder, task.run_id)
    try:
        with attempts.alone():
            return _attempted(notebook, task, sweep, attempts)
    except LockError:
        return "busy", ""
    except LabError as error:  # the folder cannot be written to
        return "failed", str(error)


def _attempted(notebook: Path, task: Task, sweep: str, attempts: Attempts) -> tuple[Outcome, str]:
    # Somebody else may have made it, or begun it under another name, since it was planned.
    found = begun(task.runs_folder, task.run_id)
    if found is not None and is_recorded(found):
        if attempts.was_cut_off:
            with found.open(found.resolved_here):
                tracker.add_notebook(found)
            attempts.end(sweep, "done")
        return "done", ""
    parameters = dict(task.parameters) | ({"name": found.resolved.spec.name} if found is not None else {})
    folder = found or RunFolder(task.folder)
    while True:
        attempts.begin(sweep)
        reasons: list[str] = []
        try:
            with notebooks.listening(reasons.append):
                execute_in(folder, task.pictures, notebook, parameters, warm=True)
        except MachineError as error:
            attempts.end(sweep, "broken", str(error), "; ".join(reasons))
            if len(attempts.of(sweep)) >= MOST_ATTEMPTS:
                return "failed", f"{error} (tried {MOST_ATTEMPTS} times)"
            continue
        except Exception as error:  # noqa: BLE001 - one bad point must not take the others along
            message = str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
            message = (_changed(parameters, task.run_id) if isinstance(error, NotMadeError) else "") or message
            attempts.end(sweep, "failed", message, "; ".join(reasons))
            return "failed", message
        attempts.end(sweep, "done", new_kernel="; ".join(reasons))
        return "done", ""


def _changed(parameters: Mapping[str, Any], planned: str) -> str:
    """Whether the parameters mean another run by now, in words."""
    try:
        run_id = resolve(RunSpec.from_parameters(**parameters)).spec.run_id
    except LabError as error:
        return str(error)
    if run_id == planned:
        return ""
    return f"its dataset or checkpoint changed since it was planned, which makes it run {run_id[:10]}; plan the sweep again"


def _is_free(task: Task) -> bool:
    try:
        with Attempts(task.runs_folder, task.run_id).alone():
            return True
    except LockError:
        return False


def _failure(run: PlannedRun, message: str) -> Failure:
    folder = begun(run.folder.parent, run.run_id) or RunFolder(run.folder)
    notebook = folder.executed_notebook.with_name(notebooks.FAILED)
    return Failure(label=run.label, message=message, notebook=notebook if notebook.is_file() else None)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def _idle() -> bool:
    return False


def _unseen(plan: Plan, name: str) -> nullcontext[None]:
    return nullcontext()
