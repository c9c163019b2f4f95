"""Runs, sessions, sweeps and Comet, for people: what it lacks of them, and bringing it up to them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdxl_lab import comet
from sdxl_lab.errors import LabError
from sdxl_lab.progress.signs import Lines, repeated
from sdxl_lab.records.finding import Recorded, find, recorded_at
from sdxl_lab.tracking import confirmed, pages, sender
from sdxl_lab.tracking.confirmed import Standing
from sdxl_lab.wording import counted

if TYPE_CHECKING:
    from rich.console import Console


class PushError(LabError):
    """Something of a record did not reach Comet."""


def records_of(paths: Sequence[Path], home: Path) -> list[Recorded]:
    """Find runs, sessions and sweeps.

    Args:
        paths: Their folders, or folders above some; none of them means all of the lab.
        home: The folder whose `artifacts/runs` are the lab's.

    Returns:
        Each once.

    Raises:
        RecordError: A path holds none.
    """
    return recorded_at(paths) if paths else list(find(home / "artifacts" / "runs"))


def push(paths: Sequence[Path], home: Path) -> None:
    """Bring Comet up to runs, sessions and sweeps, one after the other, with a progress bar on stderr, or where that is no terminal, lines.

    A page that numbers were measured behind, or people asked, is written anew before.

    Args:
        paths: As for `records_of`. What is named is compared with Comet in any case; without names, what it lacks something of
            and whose tracking is not `off`.
        home: As for `records_of`.

    Raises:
        RecordError: A path holds no record.
        PushError: Something is not there in the end. What went wrong with each was said on stderr, one line each.
        CometError: There is no API key, or Comet is out of reach, for the others too.
    """
    comet.require_key()
    records = [record for record in records_of(paths, home) if paths or _is_due(record)]
    kinds = {record.kind for record in records}
    kind = kinds.pop() if len(kinds) == 1 else "record"
    failed = 0
    with _sending() as begin:
        for number, record in enumerate(records, 1):
            sent = begin(record.path.name, f"{kind} {number} of {len(records)}")
            try:
                if behind := pages.renew(record):
                    print(f"sdxl-lab: {behind}", file=sys.stderr, flush=True)
                sender.push(record, sent)
            except comet.OutOfReachError:
                raise
            except LabError as error:
                failed += 1
                print(f"sdxl-lab: {error}", file=sys.stderr, flush=True)
    if failed:
        raise PushError(f"{failed} of {counted(len(records), f'{kind} is', f'{kind}s are')} not all in Comet; the lines above say why")
    for record in records:
        print(f"{record.path.name} is in Comet: {confirmed.standing(record).url}")
    if not records:
        print("Comet lacks nothing of the runs, sessions and sweeps here")


@contextmanager
def _sending() -> Iterator[Callable[[str, str], Callable[[int, int], None]]]:
    """Show how much is sent: called with a record's name and its place, gives what is called with the files sent so far, and of how many."""
    if not sys.stderr.isatty():
        lines, latest = Lines(), [""]

        def begin(name: str, place: str) -> Callable[[int, int], None]:
            latest[0] = f"sending {name}, {place}"
            return lambda sent, total: latest.__setitem__(0, f"sending {name}, {place}: {sent} of {total} files")

        with repeated(lambda: lines.show(latest[0])):
            yield begin
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description:<32}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("files"))
    with Progress(*columns, console=Console(stderr=True)) as bars:

        def begin_bar(name: str, place: str) -> Callable[[int, int], None]:
            bar = bars.add_task(name, total=None)
            return lambda sent, total: bars.update(bar, completed=sent, total=total)

        yield begin_bar


def print_status(paths: Sequence[Path], home: Path, console: Console | None = None) -> None:
    """Print a table of runs, sessions and sweeps: how far they are, and what Comet lacks of them. Offline and quick.

    Args:
        paths: As for `records_of`.
        home: As for `records_of`.
        console: Where to print; stdout when left out.

    Raises:
        RecordError: A path holds no record.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("run", "pictures", "done", "Comet"):
        table.add_column(column, overflow="fold")
    for cells in _rows(records_of(paths, home), Path.cwd()):
        table.add_row(*map(Text, cells))
    (console or Console(highlight=False, width=None if sys.stdout.isatty() else 120)).print(table)


def _rows(records: Sequence[Recorded], here: Path) -> Iterator[tuple[str, str, str, str]]:
    for record in records:
        path = record.path.resolve()
        name = str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
        try:
            found = confirmed.standing(record)
            pictures = f"{found.made}" if found.planned is None else f"{found.made} of {found.planned}"
            yield name, pictures, _ended(record), _lacks(record, found)
        except LabError as error:
            yield name, "?", "?", str(error)


def _ended(record: Recorded) -> str:
    if record.planned is None:
        return record.kind
    return ("no" if record.is_unfinished else "yes") + (", a sweep" if record.kind == "sweep" else "")


def _lacks(record: Recorded, found: Standing) -> str:
    if found.is_whole:
        return "has all of it"
    if record.tracking == "off" and not found.url:
        return "off"
    if not found.url:
        return "has nothing"
    missing = found.made - found.confirmed
    return f"lacks {counted(missing, 'picture')}" if missing > 0 else "lacks the newest files"


def _is_due(record: Recorded) -> bool:
    try:
        return record.tracking != "off" and not confirmed.standing(record).is_whole
    except LabError:
        return True  # its error is said when it is pushed
