"""The progress of a sweep, read from the disk: a live table of what runs, is done and failed, or a line for each point; and the time left."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

from sdxl_lab import progress
from sdxl_lab.files.disk import whole_lines
from sdxl_lab.progress import Doing, clock
from sdxl_lab.progress.signs import Lines, repeated
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.sweeps.attempts import Attempts
from sdxl_lab.sweeps.plan import LEAST_ROOM, Plan, PlannedRun
from sdxl_lab.tables import Column, apart, laid_out, width_of
from sdxl_lab.wording import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

REFRESH_S = 1.0
MOST_ROWS = 12
"""Failed runs beyond this many are counted, not listed, while the sweep lasts."""

RunState = Literal["waits", "runs", "done", "failed"]


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """How far one run is.

    Attributes:
        run: The run.
        state: What it does.
        made: Pictures that are whole.
        began: When this sweep last began it, in seconds since 1970, if it did.
        message: Why it failed, or why it was last tried again.
        new_kernels: Why runs after it got new kernels, if they did.
        ended: When it ended, in seconds since 1970, if that is known.
        doing: What is under way in it, if it runs.
    """

    run: PlannedRun
    state: RunState
    made: int
    began: float | None
    message: str
    new_kernels: tuple[str, ...] = ()
    ended: float | None = None
    doing: Doing | None = None

    @property
    def share(self) -> float:
        """How much of what was pending is made, from 0 to 1."""
        if self.state == "done":
            return 1.0
        before = len(self.run.works) - len(self.run.pending)
        under_way = self.doing.share if self.doing and self.doing.unit == "step" else 0
        return min(1.0, max(0, self.made - before + under_way) / max(1, len(self.run.pending)))

    @property
    def took(self) -> str:
        """How long it took, for people; empty where that is not known."""
        return clock(self.ended - self.began) if self.began and self.ended else ""


def status_of(run: PlannedRun, sweep: str) -> RunStatus:
    """Read how far a run is.

    Args:
        run: A run that the plan has pending.
        sweep: Names the command that makes it; attempts of others are passed over.
    """
    folder = RunFolder(run.folder)
    attempts = Attempts(run.folder.parent, run.run_id).of(sweep)
    last = attempts[-1] if attempts else None
    made = min(len(whole_lines(folder.lines_file)), len(run.works))
    if (last and last.end == "done") or (not last and folder.is_done and folder.executed_notebook.is_file()):
        state: RunState = "done"
    elif last and last.end == "failed":
        state = "failed"
    else:
        state = "runs" if last and last.end is None else "waits"
    reasons = tuple(attempt.new_kernel for attempt in attempts if attempt.new_kernel)
    doing = progress.read(folder.progress_file) if state == "runs" else None
    doing = replace(doing, left_s=None) if doing else None  # that of the whole sweep is shown
    times = {"began": last.began if last else None, "ended": last.ended if last else None}
    return RunStatus(run=run, state=state, made=made, message=last.message if last else "", new_kernels=reasons, doing=doing, **times)


class Board:
    """How far the runs of a sweep are, as a table.

    Args:
        plan: The plan.
        sweep: Names the command that makes it.
    """

    def __init__(self, plan: Plan, sweep: str) -> None:
        self._plan, self._sweep = plan, sweep
        self._settled: dict[str, RunStatus] = {}
        self._began = time.time()
        self._shortened: tuple[int, dict[PlannedRun, str]] | None = None

    def statuses(self) -> tuple[RunStatus, ...]:
        """How far each pending run is, in the plan's order; what is done is not read again."""
        for run in self._plan.pending:
            if self._settled.get(run.run_id) is None or self._settled[run.run_id].state != "done":
                self._settled[run.run_id] = status_of(run, self._sweep)
        return tuple(self._settled[run.run_id] for run in self._plan.pending)

    def left_s(self, statuses: tuple[RunStatus, ...]) -> float | None:
        """Seconds still needed at the pace so far, by UNet forwards; None before the first picture."""
        forwards = self._plan.forwards
        made = sum(forwards[item.run.run_id] * item.share for item in statuses)
        left = sum(forwards[item.run.run_id] * (1 - item.share) for item in statuses if item.state != "failed")
        return left * (time.time() - self._began) / made if made else None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        statuses = self.statuses()
        active = [item for item in statuses if item.state == "runs"]
        failed = [item for item in statuses if item.state == "failed"]
        head, *rows = laid_out(self._columns([*failed[-MOST_ROWS:], *active], options.max_width), left=5)
        yield Text(self._plan.name, style="table.title")
        yield Text(head, style="bold")
        # As texts, since rich would take words in brackets for its own.
        yield from map(Text, rows)
        yield Text(self.line(statuses), style="table.caption")
        yield from (Text(printable(note)) for note in self.notes(statuses))

    def _columns(self, shown: Sequence[RunStatus], width: int) -> list[Column]:
        states: Column = ("", [item.state for item in shown])
        numbers: list[Column] = [
            ("pictures", [f"{item.made}/{len(item.run.works)}" for item in shown]),
            ("since", [clock(time.time() - item.began) if item.began and item.state == "runs" else "" for item in shown]),
        ]
        room = width - sum(map(width_of, [states, *numbers]))
        labels = self._labels(max(LEAST_ROOM, room // 2))
        points: Column = ("point", [labels[item.run] for item in shown])
        messages = [printable(next(iter(item.message.splitlines()), "") or str(item.doing or "")) for item in shown]
        return [states, points, *numbers, ("", ["\n".join(wrap(message, max(LEAST_ROOM, room - width_of(points)))) for message in messages])]

    def _labels(self, longest: int) -> dict[PlannedRun, str]:
        """What the runs are called; thousands are shortened once, not each second."""
        if self._shortened is None or self._shortened[0] != longest:
            names = apart([run.label for run in self._plan.pending], longest)
            self._shortened = longest, dict(zip(self._plan.pending, names, strict=True))
        return self._shortened[1]

    def notes(self, statuses: tuple[RunStatus, ...]) -> tuple[str, ...]:
        """What else there is to say, each once: why kernels were replaced."""
        return tuple(dict.fromkeys(f"sdxl-lab: {reason}" for item in statuses for reason in item.new_kernels))

    def line_of(self, item: RunStatus, statuses: tuple[RunStatus, ...], ended: int) -> str:
        """One run that has ended, in one line: the how manieth, how long it took or why it failed, and the time left."""
        number, left_s = ended + len(self._plan.done), self.left_s(statuses)
        left = f"about {clock(left_s)} left" if left_s and any(other.state in ("runs", "waits") for other in statuses) else ""
        why = next(iter(item.message.splitlines()), "") if item.state == "failed" else ""
        after = f"{item.state} after {item.took}" if item.took else item.state
        return ", ".join(filter(None, [f"{number} of {len(self._plan.runs)}: {item.run.label} {after}", why, left]))

    def line(self, statuses: tuple[RunStatus, ...]) -> str:
        """All of it in one line."""
        counts = {state: sum(item.state == state for item in statuses) for state in ("done", "runs", "failed", "waits")}
        before = len(self._plan.done)
        left_s = self.left_s(statuses)
        pace = f"about {clock(left_s)} left" if left_s is not None and counts["done"] + counts["failed"] < len(statuses) else ""
        shown = [f"{counts['done'] + before} of {len(self._plan.runs)} done", f"{counts['runs']} running", f"{counts['waits']} to go"]
        shown += [f"{counts['failed']} failed"] if counts["failed"] else []
        return ", ".join([*shown, *([pace] if pace else [])])


@contextmanager
def following(plan: Plan, sweep: str, console: Console | None = None) -> Iterator[None]:
    """Show the table on stderr while the block lasts; where that is no terminal, a line for each point that has ended, and how far all is.

    Args:
        plan: The plan.
        sweep: Names the command that makes it.
        console: Where to show it instead.
    """
    from rich.console import Console
    from rich.live import Live

    console = console or Console(stderr=True)
    board = Board(plan, sweep)
    if not console.is_terminal:
        told = _Told(board, console)
        try:
            with repeated(told.look):
                yield
        finally:
            told.end()
        return
    with Live(board, console=console, refresh_per_second=1 / REFRESH_S):
        yield


class _Told:
    """How far the runs of a sweep are, as lines."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board, self._console = board, console
        self._ended: set[str] = set()
        self._lines = Lines(self._write)

    def look(self) -> None:
        """Say what has ended since the last look; if nothing has for a while, how far all is."""
        statuses = self._board.statuses()
        for item in statuses:
            if item.state in ("done", "failed") and item.run.run_id not in self._ended:
                self._ended.add(item.run.run_id)
                self._lines.say(self._board.line_of(item, statuses, ended=len(self._ended)))
        doing = next((f"; {item.run.label}: {item.doing}" for item in statuses if item.doing), "")
        self._lines.show(f"{self._board.line(statuses)}{doing}")

    def end(self) -> None:
        """Say what is left to say."""
        self.look()
        statuses = self._board.statuses()
        for line in (*self._board.notes(statuses), self._board.line(statuses)):
            self._write(line)

    def _write(self, text: str) -> None:
        self._console.print(printable(text), soft_wrap=True, highlight=False, markup=False)
