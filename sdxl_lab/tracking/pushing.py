"""Runs and Comet, for people: what it lacks of them, and bringing it up to them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdxl_lab import comet
from sdxl_lab.errors import LabError
from sdxl_lab.progress.signs import Lines, repeated
from sdxl_lab.records.folder import RunFolder, find_runs, runs_at
from sdxl_lab.tracking import confirmed, sender
from sdxl_lab.tracking.confirmed import Standing
from sdxl_lab.wording import counted

if TYPE_CHECKING:
    from rich.console import Console


class PushError(LabError):
    """Something of a run did not reach Comet."""


def runs_of(paths: Sequence[Path], home: Path) -> list[RunFolder]:
    """Find runs.

    Args:
        paths: Run folders, or folders above some; none of them means all runs of the lab.
        home: The folder whose `artifacts/runs` are the lab's.

    Returns:
        The runs, each once.

    Raises:
        RecordError: A path holds no run.
    """
    return runs_at(paths) if paths else list(find_runs(home / "artifacts" / "runs"))


def push(paths: Sequence[Path], home: Path) -> None:
    """Bring Comet up to the records of runs, one after the other, with a progress bar on stderr, or where that is no terminal, lines.

    Args:
        paths: As for `runs_of`. Runs that are named are compared with Comet in any case; without names, those that it lacks something of
            and whose tracking is not `off`.
        home: As for `runs_of`.

    Raises:
        RecordError: A path holds no run.
        PushError: Something is not there in the end. What went wrong with each run was said on stderr, one line each.
        CometError: There is no API key, or Comet is out of reach, for the other runs too.
    """
    comet.require_key()
    runs = [run for run in runs_of(paths, home) if paths or _is_due(run)]
    failed = 0
    with _sending() as begin:
        for number, run in enumerate(runs, 1):
            sent = begin(run.path.name, f"{number} of {len(runs)}")
            try:
                sender.push(run, sent)
            except comet.OutOfReachError:
                raise
            except LabError as error:
                failed += 1
                print(f"sdxl-lab: {error}", file=sys.stderr, flush=True)
    if failed:
        raise PushError(f"{failed} of {counted(len(runs), 'run is', 'runs are')} not all in Comet; the lines above say why")
    for run in runs:
        print(f"{run.path.name} is in Comet: {confirmed.standing(run).url}")
    if not runs:
        print("Comet lacks nothing of the runs here")


@contextmanager
def _sending() -> Iterator[Callable[[str, str], Callable[[int, int], None]]]:
    """Show how much of runs is sent: called with a run's name and number, gives what is called with the files sent so far, and of how many."""
    if not sys.stderr.isatty():
        lines, latest = Lines(), [""]

        def begin(name: str, number: str) -> Callable[[int, int], None]:
            latest[0] = f"sending {name}, run {number}"
            return lambda sent, total: latest.__setitem__(0, f"sending {name}, run {number}: {sent} of {total} files")

        with repeated(lambda: lines.show(latest[0])):
            yield begin
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description:<32}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("files"))
    with Progress(*columns, console=Console(stderr=True)) as bars:

        def begin_bar(name: str, number: str) -> Callable[[int, int], None]:
            bar = bars.add_task(name, total=None)
            return lambda sent, total: bars.update(bar, completed=sent, total=total)

        yield begin_bar


def print_status(paths: Sequence[Path], home: Path, console: Console | None = None) -> None:
    """Print a table of runs: how far they are, and what Comet lacks of them. Offline and quick.

    Args:
        paths: As for `runs_of`.
        home: As for `runs_of`.
        console: Where to print; stdout when left out.

    Raises:
        RecordError: A path holds no run.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("run", "pictures", "done", "Comet"):
        table.add_column(column, overflow="fold")
    for cells in _rows(runs_of(paths, home), Path.cwd()):
        table.add_row(*map(Text, cells))
    (console or Console(highlight=False, width=None if sys.stdout.isatty() else 120)).print(table)


def _rows(runs: Sequence[RunFolder], here: Path) -> Iterator[tuple[str, str, str, str]]:
    for run in runs:
        path = run.path.resolve()
        name = str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
        try:
            found = confirmed.standing(run)
        except LabError as error:
            yield name, "?", "?", str(error)
            continue
        yield name, f"{found.made} of {found.planned}", "yes" if run.is_done else "no", _lacks(run, found)


def _lacks(run: RunFolder, found: Standing) -> str:
    if found.is_whole:
        return "has all of it"
    if run.resolved.spec.tracking == "off" and not found.url:
        return "off"
    if not found.url:
        return "has nothing"
    missing = found.made - found.confirmed
    return f"lacks {counted(missing, 'picture')}" if missing > 0 else "lacks the newest files"


def _is_due(run: RunFolder) -> bool:
    try:
        return run.resolved.spec.tracking != "off" and not confirmed.standing(run).is_whole
    except LabError:
        return True  # its error is said when it is pushed
