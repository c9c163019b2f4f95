"""What is asked of a bench by its knobs: one value for each dotted path, and what the gate says of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace as replace_fields
from typing import Any

from sdxl_lab.adapters import ADAPTERS
from sdxl_lab.bench.opened import WORDS, Opened
from sdxl_lab.errors import LabError
from sdxl_lab.runs.single import Planned
from sdxl_lab.settings.hyperparams import flatten, replace
from sdxl_lab.spec.run_spec import SpecError
from sdxl_lab.tasks import TASKS

WHOLE = (*WORDS, "task", "checkpoint")
"""What is asked besides settings."""

PREFIX = "hyperparameters."


def asked_of(opened: Opened) -> dict[str, Any]:
    """What was asked for an earlier picture that lies on a bench, by dotted path; nothing of anything else.

    Args:
        opened: What lies there.
    """
    is_meant = replace_fields(opened, task=None).task_for(opened.settings) == opened.task  # by what is there
    whole = {"task": None if is_meant else opened.task, **opened.words}
    return {path: value for path, value in whole.items() if value not in (None, "")} | flatten(opened.settings)


def words_in(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Prompt, negative prompt and seed, None where nobody gave them.

    Args:
        asked: By dotted path.
    """
    return {name: asked.get(name) for name in WORDS}


def settings_in(asked: Mapping[str, Any], taken: Collection[str]) -> dict[str, Any]:
    """The settings, nested.

    Args:
        asked: By dotted path.
        taken: The paths of the task's settings; what another task was asked is left out. What is on the models has no knob, and stays as it was.
    """
    nested: dict[str, Any] = {}
    for path, value in asked.items():
        if (path in taken or path.partition(".")[0] in ADAPTERS) and path not in WHOLE:
            nested = replace(nested, path, value)
    return nested


def problems_of(error: LabError) -> list[dict[str, str]]:
    """What is wrong, each with the path of the knob that it is about; the empty path where it is about none.

    Args:
        error: What the gate said.
    """
    lines = error.problems if isinstance(error, SpecError) else (str(error),)
    return [_problem(line) for line in lines]


def values_of(ready: Planned) -> dict[str, Any]:
    """What each setting will be, by dotted path, whether somebody asked for it or not.

    Args:
        ready: What was planned.
    """
    edit, resolved = ready.edit, ready.resolved.spec
    chosen = {key: getattr(resolved, key) for key in ("device", "dtype", "threads")}
    compute = {"compute": resolved.spec.compute.model_dump() | chosen}
    words = {name: getattr(edit, name) for name in WORDS}
    return flatten(edit.settings.model_dump(mode="json") | compute) | words | {"task": edit.task, "checkpoint": resolved.spec.checkpoint}


def sizes_of(ready: Planned) -> tuple[tuple[int, int], tuple[int, int]]:
    """How large a picture is.

    Args:
        ready: What was planned.

    Returns:
        (width, height) of the finished picture in pixels, and as the UNets see it, or the crop of it.
    """
    return ready.resolved.sizes_of(ready.edit)


def _problem(line: str) -> dict[str, str]:
    path, colon, text = line.partition(": ")
    if not colon or " " in path:
        return {"path": "", "text": line}
    own = path.removeprefix(PREFIX)
    task, _, rest = own.partition(".")
    return {"path": rest if task in TASKS and rest else own, "text": text}
