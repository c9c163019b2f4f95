"""Names of tasks, checked against those that there are when they are looked at, and not before."""

from __future__ import annotations

from typing import Annotated

from sdxl_lab.settings.choices import OneOf
from sdxl_lab.tasks import TASKS


def _elsewhere() -> dict[str, str]:
    return {name: f"write {task.name}" for task in TASKS.values() for name in task.elsewhere}


TaskName = Annotated[str, OneOf(table=TASKS, refused=_elsewhere)]


def by_default() -> tuple[str, ...]:
    """The tasks of a run to which none are given."""
    return tuple(name for name, task in TASKS.items() if task.is_default)


def some() -> str:
    """What `tasks` may be, in words."""
    return f"a list of one or more of {', '.join(TASKS)}"
