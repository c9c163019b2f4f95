"""How far runs are that another process makes, read from the disk: as bars at a terminal, as lines in a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sdxl_lab.progress import Doing, Follow, heard
from sdxl_lab.signs import Lines, repeated


@contextmanager
def following() -> Iterator[Follow]:
    """Show on stderr how far runs are that another process makes, while the block lasts: bars, or where that is no terminal, lines now and then."""
    with _bars() if sys.stderr.isatty() else _lines() as follow:
        yield follow


@contextmanager
def _bars() -> Iterator[Follow]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    counted = TextColumn("{task.fields[counted]}", markup=False)
    columns = (TextColumn("{task.description:<24}", markup=False), BarColumn(20), counted, TimeElapsedColumn())
    doing_column = TextColumn("{task.fields[doing]}", markup=False)
    progress = Progress(*columns, doing_column, console=Console(stderr=True))

    @contextmanager
    def follow(label: str, total: int, count: Callable[[], int], doing: Callable[[], Doing | None] = _nothing) -> Iterator[None]:
        sign_of_all.hide()
        task = progress.add_task(label, total=total, counted="", doing="")

        def update() -> None:
            made, now = count(), doing()
            share = now.share if now and now.unit == "step" else 0
            counted = f"{made}/{total} pictures"
            progress.update(task, completed=min(total, made + share), counted=counted, doing=str(now) if now and made < total else "")

        with repeated(update):
            yield
        progress.update(task, completed=count(), counted=f"{count()}/{total} pictures", doing="")

    sign_of_all = _Before(progress)
    with progress, heard(sign_of_all):
        yield follow
        sign_of_all.hide()


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
