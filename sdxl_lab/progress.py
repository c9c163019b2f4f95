"""Progress bars of runs that another process makes, read from the disk: one picture, one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Event, Thread
from typing import TypeAlias

Follow: TypeAlias = Callable[[str, int, Callable[[], int]], AbstractContextManager[None]]
"""Shows the progress of one run while its block lasts: given a label, how many pictures, and a count of those done."""

POLL_S = 0.2


@contextmanager
def following() -> Iterator[Follow]:
    """Show progress bars on stderr while the block lasts, one below the other."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TextColumn("pictures"), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True))
    try:

        @contextmanager
        def follow(label: str, total: int, count: Callable[[], int]) -> Iterator[None]:
            progress.start()
            task, ended = progress.add_task(label, total=total, completed=count()), Event()

            def poll() -> None:
                while not ended.wait(POLL_S):
                    progress.update(task, completed=count())

            thread = Thread(target=poll, daemon=True)
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()
                progress.update(task, completed=count())

        yield follow
    finally:
        if progress.live.is_started:
            progress.stop()
