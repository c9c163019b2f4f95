"""How far runs are that another process makes, read from the disk: as bars at a terminal, as lines in a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sdxl_lab.progress import Doing, Follow, clock, heard
from sdxl_lab.progress.signs import Lines, repeated


@contextmanager
def following() -> Iterator[Follow]:
    """Show on stderr how far runs are that another process makes, while the block lasts: bars, or where that is no terminal, lines now and then."""
    with _bars() if sys.stderr.isatty() else _lines() as follow:
        yield follow


@contextmanager
def _bars() -> Iterator[Follow]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    counted = TextColumn("{task.fields[counted]}", markup=False)
    # Where the terminal is narrow, the end of what is under way is cut, and nothing else.
    under_way = TextColumn("{task.fields[doing]}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
    columns = (TextColumn("{task.description}", markup=False), BarColumn(12), counted, TimeElapsedColumn(), under_way)
    progress = Progress(*columns, console=Console(stderr=True), expand=True)

    @contextmanager
    def follow(label: str, total: int, count: Callable[[], int], doing: Callable[[], Doing | None] = _nothing) -> Iterator[None]:
        sign_of_all.hide()
        task = progress.add_task(label, total=total, counted="", doing="")

        def update() -> None:
            made, now = count(), doing()
            share = now.share if now and now.unit == "step" else 0
            counted = f"{made}/{total} pictures"
            progress.update(task, completed=min(total, made + share), counted=counted, doing=_narrow(now) if now else "")

        with repeated(update):
            yield
        progress.update(task, completed=count(), counted=f"{count()}/{total} pictures", doing="")

    sign_of_all = _Before(progress)
    with progress, heard(sign_of_all):
        yield follow
        sign_of_all.hide()


def _narrow(doing: Doing) -> str:
    """The time left first: what stands last may be cut."""
    left = f"{clock(doing.left_s)} left, " if doing.left_s is not None else ""
    return f"{left}{replace(doing, left_s=None)}"


class _Before:
    """A line below the bars for what is told before a run begins."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._task: Any = None

    def __call__(self, doing: Doing) -> None:
        if self._task is None:
            self._task = self._progress.add_task("", total=None, counted="", doing="")
        self._progress.update(self._task, doing=str(doing))

    def hide(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None


@contextmanager
def _lines() -> Iterator[Follow]:
    lines = Lines()
    latest: list[Doing] = []

    @contextmanager
    def follow(label: str, total: int, count: Callable[[], int], doing: Callable[[], Doing | None] = _nothing) -> Iterator[None]:
        latest.clear()

        def show() -> None:
            lines.show(f"{label}: {count()} of {total} pictures" + (f", {now}" if (now := doing()) else ""))

        with repeated(show):
            yield

    with repeated(lambda: lines.show(str(latest[-1])) if latest else None), heard(latest.append):
        yield follow


def _nothing() -> None:
    return None
