"""Defaults that moved from one release to the next: old records and old sweeps mean the old ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from sdxl_lab.checkpoints.own_defaults import defaults
from sdxl_lab.settings.documents import RELEASES, Neutral, later_fields
from sdxl_lab.settings.hyperparams import HyperparameterError, flatten, get, merge, replace
from sdxl_lab.settings.sections import EditSettings
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.spec.task_names import by_default
from sdxl_lab.tasks import TASKS


def moved_since(release: str, checkpoint: CheckpointIdentity) -> dict[str, Any]:
    """Find the settings whose defaults are others than they were.

    Args:
        release: Of sdxl_lab, such as `0.1.0`.
        checkpoint: What the pictures are made with: checkpoints bring defaults of their own.

    Returns:
        Dotted path to the default of that release, for each that has moved since. A setting that came later was neutral then.
    """
    then, now = flatten(defaults(checkpoint, release)), flatten(defaults(checkpoint))
    moved = {path: then.get(path, _library_default(path)) for path in now.keys() | then.keys() if then.get(path) != now.get(path)}
    return dict(_arrived_since(release, EditSettings)) | dict(sorted(moved.items()))


def pinned(parameters: Mapping[str, Any], release: str, checkpoint: CheckpointIdentity) -> dict[str, Any]:
    """Write the defaults of a release into parameters, under what they give themselves.

    Args:
        parameters: As `RunSpec.from_parameters` takes them.
        release: Of sdxl_lab.
        checkpoint: What `parameters` name.

    Returns:
        A copy that means the same whatever today's defaults are, as far as they have moved since that release. Where all tasks came later, there is
        nothing to write.
    """
    if not any(TASKS[task].is_first for task in parameters.get("tasks") or by_default() if task in TASKS):
        return dict(parameters)
    old: dict[str, Any] = {}
    for path, value in moved_since(release, checkpoint).items():
        old = replace(old, path, value)
    return merge({"hyperparameters": old}, parameters) if old else dict(parameters)


def recorded(spec: RunSpec, edits: Iterable[Edit], release: str, checkpoint: CheckpointIdentity) -> dict[str, Any]:
    """Find what a record's parameters have to say so that they still mean its pictures.

    Args:
        spec: What was asked for.
        edits: Pictures of the run.
        release: That made the record.
        checkpoint: That made the pictures.

    Returns:
        Nested hyperparameters: each setting that was not given and whose default has moved since, with the value that the pictures have.
    """
    written: dict[str, Any] = {}
    for edit in edits:
        settings = edit.settings.model_dump(mode="json")
        for path in moved_since(release, checkpoint):
            if not _has(spec.given(edit.task), path):
                written = replace(written, path, get(settings, path))
    return written


def noticed(spec: RunSpec, edits: Iterable[Edit], checkpoint: CheckpointIdentity) -> dict[str, tuple[Any, Any]]:
    """Find the defaults that make other pictures today than in the first release.

    Args:
        spec: What is asked for.
        edits: What will be made of it.
        checkpoint: With which.

    Returns:
        Dotted path to the first release's default and today's, for each that was not given and tells in at least one picture.
    """
    moved, today = moved_since(RELEASES[0], checkpoint), defaults(checkpoint)
    found: dict[str, tuple[Any, Any]] = {}
    for edit in (edit for edit in edits if TASKS[edit.task].is_first):
        settings = edit.settings.model_dump(mode="json")
        telling = (path for path, old in moved.items() if not _has(spec.given(edit.task), path) and get(settings, path) != old)
        found |= {path: (moved[path], get(today, path) if _has(today, path) else _library_default(path)) for path in telling}
    return found


def version_of(text: str | None) -> str:
    """The release that a version belongs to, `0.2.0` for `0.2.0.dev0`; the first one where a record does not say."""
    match = re.match(r"\d+(\.\d+)*", text or "")
    return match[0] if match else RELEASES[0]


def _arrived_since(release: str, section: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    later = later_fields(section)
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _arrived_since(release, field.annotation, f"{above}{name}.")
        for mark in later[name].metadata if name in later else ():
            if isinstance(mark, Neutral) and _numbers(mark.since) > _numbers(release) and mark.value != field.default:
                yield f"{above}{name}", mark.value


def _library_default(path: str) -> Any:
    return get(EditSettings().model_dump(mode="json"), path)


def _has(nested: Mapping[str, Any], path: str) -> bool:
    try:
        get(nested, path)
    except HyperparameterError:
        return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version_of(version).split("."))
