"""The parameters of a run as Comet compares them: what its tasks share stands once, what one of them was given of its own under its name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sdxl_lab.settings.dilation import AUTO
from sdxl_lab.settings.documents import written
from sdxl_lab.settings.hyperparams import flatten, without
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.lacking import taken
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.tasks import TASKS
from sdxl_lab.tracking.experiment import VALUE_LIMIT, short_name
from sdxl_lab.viewing.flattened import variation_of

WORDS = ("prompt", "negative_prompt")
KERNEL = "mask.kernel_size"
OF_SAMPLES = "one for each sample"


def parameters_of(resolved: ResolvedSpec) -> dict[str, Any]:
    """One value a key for the whole run, so that two runs that differ in one setting differ in one parameter.

    A setting that all tasks take stands once, and beside it under the name of each task that was given its own; a setting that only one of
    several tasks takes stands under that task. Which of these it is follows from what was given, so a sweep's runs have the same keys.
    None says nothing, and is left out.

    Args:
        resolved: The run.
    """
    tasks = tuple(dict.fromkeys(edit.task for edit in resolved.edits))
    samples = dict.fromkeys(edit.sample for edit in resolved.edits)
    parameters: dict[str, Any] = {
        "dataset": resolved.dataset.name,
        "checkpoint": resolved.checkpoint.name,
        "tasks": ", ".join(tasks),
        "samples": _cut(", ".join(samples)),
        "dtype": resolved.dtype,
        "threads": resolved.threads,
        "device": resolved.device,
        **resolved.spec.compute.changing,
        **resolved.on_models,
    }
    values = {task: _values([edit for edit in resolved.edits if edit.task == task], resolved) for task in tasks}
    for path in dict.fromkeys(path for own in values.values() for path in own):
        takers = [task for task in tasks if path not in TASKS[task].untaken]
        own = takers if len(takers) == 1 < len(tasks) else [task for task in takers if len(tasks) > 1 and _is_given(resolved, task, path)]
        shared = [task for task in takers if task not in own]
        is_open = path == KERNEL and len(tasks) > 1 and not _is_given(resolved, None, path)  # each task chooses its own
        for name, of in ((path, shared), *((f"{task}.{path}", [task]) for task in own)):
            found = {task: values[task][path] for task in of if path in values[task]}
            if (value := _one(found, is_open=is_open and of == shared)) is not None:
                parameters[name] = value
    return {short_name(path.replace(".", "|")): value for path, value in parameters.items()}


def earlier_keys(resolved: ResolvedSpec) -> frozenset[str]:
    """The keys under which projections 1 and 2 told a run's settings, each once for each task.

    Args:
        resolved: The run.
    """
    paths = {f"{edit.task}.{path}" for edit in resolved.edits for path in (*flatten(written(edit)["settings"]), *WORDS, "seed", "prompts_sha256")}
    return frozenset(short_name(path.replace(".", "|")) for path in paths)


def _values(edits: Sequence[Edit], resolved: ResolvedSpec) -> dict[str, list[Any]]:
    """By dotted path: the values of a task's pictures, of seeds one for each sample."""
    values: dict[str, list[Any]] = {}
    for edit in edits:
        own = without(taken(edit, resolved.checkpoint.family), TASKS[edit.task].untaken)
        words = {name: getattr(edit, name) for name in WORDS}
        for path, value in {**flatten(own), **words, **variation_of(edit, resolved)}.items():
            values.setdefault(path, []).append(value)
    seeds: dict[str, list[int]] = {}
    for edit in edits:
        seeds.setdefault(edit.sample, []).append(edit.seed)
    return values | {"seed": [own[0] if len(own) == 1 else ", ".join(map(str, own)) for own in seeds.values()]}


def _is_given(resolved: ResolvedSpec, task: str | None, path: str) -> bool:
    """Whether a setting was given for one task, or for all that have none of their own."""
    given = resolved.spec.hyperparameters
    level = given if task is None else given.get(task, {})
    first, *rest = ("seeds",) if path == "seed" and level.get("seeds") is not None else path.split(".")
    if first == "size" and "size" in level:  # perhaps by an aspect
        return True
    value = level.get(first)
    for key in rest:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value not in (None, AUTO)


def _one(values: Mapping[str, Sequence[Any]], *, is_open: bool) -> Any:
    """What some tasks have in common; where that is not one value, what is to be said of it."""
    every = [value for own in values.values() for value in own]
    if not every:
        return None
    if is_open and any(value != 1 for value in every):  # 0.1.0 dilated nothing where nobody asked
        return AUTO
    if all(value == every[0] for value in every):
        return _cut(every[0])
    if all(value == own[0] for own in values.values() for value in own):
        return _cut(", ".join(f"{task} {own[0]}" for task, own in values.items() if own[0] is not None))
    return OF_SAMPLES


def _cut(value: Any) -> Any:
    """A text that is too long, with a digest of all of it."""
    if not isinstance(value, str) or len(value) <= VALUE_LIMIT:
        return value
    mark = f"… (sha256 {hashlib.sha256(value.encode()).hexdigest()[:16]})"
    return value[: VALUE_LIMIT - len(mark)] + mark
