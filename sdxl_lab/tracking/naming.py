"""What an experiment of a run is called, and the command that makes the run again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.settings.arguments import written
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.spec.homes import named_among
from sdxl_lab.spec.parameters import takes_text
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.tasks import TASKS
from sdxl_lab.tracking.experiment import NAME_LIMIT, VALUE_LIMIT, short_name
from sdxl_lab.viewing.onward import parameters_of_run

NOTEBOOK = "inpaint_outpaint"
FILE = "parameters.yaml"
"""What the command reads that would be too long for a description."""
LONGEST_NAME = 80
LONGEST_VALUE = 41
DIGITS = 6
"""Of its `run_id`, where a name holds a text that was cut."""
FEW_SAMPLES = 2


def title_of(resolved: ResolvedSpec) -> str:
    """Name a run so that it can be told from others in a list.

    A sweep names its runs by what sets them apart, and people name theirs as they like: that name is taken as it is. One that says nothing but
    the tasks, as a notebook has by itself, or that was cut, is followed by what was set.

    Args:
        resolved: The run.

    Returns:
        At most `NAME_LIMIT` characters.
    """
    name = resolved.spec.name
    says_tasks = not _without_tasks(name)
    if not (says_tasks or len(name) >= LONGEST_NAME or "..." in name):
        return short_name(name)
    words = [f"{short}={value}" for short, value in _set(resolved)]
    told = sorted(words, key=lambda word: word.partition("=")[0] not in name)  # what a cut name begins to say first
    label = " ".join([name, *words] if says_tasks else told or [name])
    return short_name(label) if "…" not in label else f"{label[: NAME_LIMIT - DIGITS - 2]} ~{resolved.run_id[:DIGITS]}"


def command_of(run: RunFolder) -> str:
    """Write the command that makes a run again: without paths of a machine, and without what was left to it.

    Args:
        run: The run.

    Returns:
        A line for a shell; where it would exceed `VALUE_LIMIT` characters, one that reads `FILE`.
    """
    parameters = public_parameters(run)
    tasks = tuple(run.resolved.spec.tasks)
    notebook = tasks[0] if tasks in (("text_to_image",), ("image_to_image",)) else NOTEBOOK
    line = shlex.join(["sdxl-lab", "run", notebook, *(word for option in _options(parameters) for word in option)])
    return line if len(line) <= VALUE_LIMIT else shlex.join(["sdxl-lab", "run", notebook, "-f", FILE])


def public_parameters(run: RunFolder) -> dict[str, Any]:
    """The parameters that make a run again, as nested plain values without paths.

    Args:
        run: The run.
    """
    parameters = parameters_of_run(run, {})
    kept = {key: value for key, value in parameters.items() if key not in ("tracking", "runs_folder") and value is not None}
    return kept | {"name": run.resolved.spec.name}


def _options(parameters: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for path, value in flatten(parameters).items():
        if value == {}:
            continue
        if not takes_text(path, RunSpec):
            yield "-p", path, written({"value": value}).partition(": ")[2].strip() if isinstance(value, str) else _json(value)
        elif isinstance(value, str):
            yield "-p", path, value
        elif value is not None:  # where a text is allowed too, and would be taken as it stands
            yield "-y", _json(_nested(path, value))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _nested(path: str, value: Any) -> Any:
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def _without_tasks(name: str) -> str:
    """What a name says beside tasks."""
    for task in sorted(TASKS, key=len, reverse=True):
        name = name.replace(task, "")
    return name.strip("_-.")


def _set(resolved: ResolvedSpec) -> Iterator[tuple[str, str]]:
    """What was given, with the shortest names that tell it apart."""
    spec = resolved.spec
    paths = {path: value for path, value in flatten(spec.hyperparameters).items() if path.partition(".")[0] != "compute" and value != {}}
    settings = {_of_task(path)[1] for path in paths}
    for path, value in paths.items():
        task, setting = _of_task(path)
        yield task + named_among(setting, settings), _text(value)
    if spec.samples:
        samples = ",".join(spec.samples) if len(spec.samples) <= FEW_SAMPLES else str(len(spec.samples))
        yield "samples", samples


def _of_task(path: str) -> tuple[str, str]:
    """What names the task that a setting was given for, empty for all, and the setting."""
    first, _, rest = path.partition(".")
    return (f"{first}.", rest) if first in TASKS else ("", path)


def _text(value: Any) -> str:
    if isinstance(value, str):
        half = LONGEST_VALUE // 2
        return value if len(value) <= LONGEST_VALUE else f"{value[:half]}…{value[-half:]}"
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
