"""Where a setting belongs in the nested parameters, and what is given by its name alone, laid there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sdxl_lab.adapters import ADAPTERS, Named
from sdxl_lab.settings.hyperparams import closest, difference, shortest
from sdxl_lab.settings.sections import PromptAndSeed
from sdxl_lab.spec.elsewhere import ELSEWHERE, NOT_HERE, as_listed
from sdxl_lab.spec.hyperparameters import CommonHyperparameters, hyperparameters
from sdxl_lab.tasks import TASKS

ALIKE_FOR_ALL = ("compute", "image")
"""Sections that cannot differ by task; no adapter can either."""


def field_of(key: str, model: type[BaseModel] | None) -> FieldInfo | None:
    """The field of a key; below a section of names any name has one. None if there is no such key."""
    if model is None:
        return None
    return FieldInfo(annotation=model.of) if issubclass(model, Named) else model.model_fields.get(key)


def section_of(key: str, field: Any) -> type[BaseModel] | None:
    """The model of the dictionary that a field holds; None for one that holds none."""
    if key == "hyperparameters":
        return hyperparameters()
    annotation = field.annotation if field is not None else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def home_of(key: str, model: type[BaseModel]) -> str | None:
    """Find where a setting belongs that was written on the wrong level, or under the name another tool gives it.

    Args:
        key: As it was written.
        model: Of all parameters.

    Returns:
        Its full path; None if there is no such setting.
    """
    key = as_listed(key)
    key = ELSEWHERE.get(key, key)
    if key in model.model_fields:
        return key
    homes = [f"hyperparameters.{path}" for path in _paths(hyperparameters()) if key in (path, path.rpartition(".")[2])]
    return homes[0] if homes else None


def not_here(key: str, model: type[BaseModel]) -> str | None:
    """Say why there is no setting of a name that another tool has.

    Args:
        key: As it was written.
        model: Of all parameters.

    Returns:
        A sentence without its end; None if the name is nobody's, or ours.
    """
    return None if home_of(key, model) else NOT_HERE.get(as_listed(key))


def nearest_home(key: str, model: type[BaseModel]) -> str | None:
    """Find where a setting belongs that was written on the wrong level, under another tool's name, or misspelled.

    Args:
        key: As it was written.
        model: Of all parameters.

    Returns:
        Its full path; None if no setting resembles it.
    """
    names = [path.rpartition(".")[2] for path in _paths(hyperparameters())]
    return home_of(key, model) or home_of(closest(key, names) or "", model)


def place_of(path: str, value: Any) -> str:
    """Where a value is laid: a text in place of an adapter's section is its file, beside which more may be asked of it.

    Args:
        path: The dotted path at which it is given.
        value: What is given there.
    """
    kind, _, name = path.removeprefix("hyperparameters.").partition(".")
    return f"{path}.file" if kind in ADAPTERS and name and "." not in name and isinstance(value, str) else path


def named_among(path: str, paths: Iterable[str]) -> str:
    """Name a setting by as few of its last keys as set it apart, and what is asked of an adapter by the adapter's name at least.

    Args:
        path: Its dotted path, such as `loras.moon.weight`.
        paths: Those it stands among, itself included.
    """
    kind, _, rest = path.removeprefix("hyperparameters.").partition(".")
    return max(shortest(path, paths), rest if kind in ADAPTERS else "", key=len)


def laid_out(task: str, settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Lay the settings of one picture where parameters have them.

    Args:
        task: Its task.
        settings: By section, such as `mask={"kernel_size": 9}`, or by a setting's own name, such as `kernel_size=9`; of a name that several
            sections have, the first one's is meant. What there is not is laid where the gate refuses it.

    Returns:
        The hyperparameters, nested; and one line for each setting that was given twice and differently.
    """
    laid, twice, refused = dict(settings), [], TASKS[task].refusals
    for key, path in _own_homes(task).items():
        if key in refused:
            continue
        section = path.partition(".")[0]
        below = {} if laid.get(section) is None else laid[section]
        if key not in settings or not isinstance(below, Mapping):  # the gate refuses what is no section
            continue
        value = laid.pop(key)
        if key in below and difference({key: below[key]}, {key: value}):
            twice.append(f"{path}: given twice and differently, in {section} and as {key}; give it once")
        laid[section] = {**below, key: value}
    alike = {key: laid.pop(key) for key in (*ALIKE_FOR_ALL, *ADAPTERS) if key in laid and key not in refused}
    return {**alike, task: laid}, twice


def unknown(task: str, settings: Mapping[str, Any]) -> list[str]:
    """Find settings of one picture that are misspelled names of others.

    Args:
        task: Its task.
        settings: As for `laid_out`.

    Returns:
        One line for each, with the name that was probably meant, or with why there is none. What else there is not is left to the gate, which
        knows more of it.
    """
    names = [*TASKS[task].takes.model_fields, *CommonHyperparameters.model_fields, *ADAPTERS, *_own_homes(task)]
    strange = [key for key in settings if key not in names and key not in TASKS[task].refusals]
    lines: list[str] = []
    for key in strange:
        listed = as_listed(key)
        own = ELSEWHERE.get(listed, listed).rpartition(".")[2]
        if own in ADAPTERS:
            value = settings[key]
            lines.append(f"{key}: write {own}.NAME.file {value if isinstance(value, str) else 'FILE'}")
        elif own in names:
            lines.append(f"{key}: here it is called {own}")
        elif listed in NOT_HERE:
            lines.append(f"{key}: {NOT_HERE[listed]}")
        elif listed not in ELSEWHERE and (near := closest(key, names)):
            lines.append(f"{key}: there is no such setting; did you mean {near}?")
    return lines


def task_that_takes(settings: Iterable[str], otherwise: str) -> str:
    """Find the task that settings of one picture are about.

    Args:
        settings: Names, as for `laid_out`.
        otherwise: The task where it takes them, or none takes more of them.
    """
    given = {*settings}

    def taken(task: str) -> int:
        paths = _paths(TASKS[task].takes)
        return len(given & {*paths, *(path.rpartition(".")[2] for path in paths)} - TASKS[task].refusals.keys())

    return max([otherwise, *TASKS], key=taken)


def paths_of(model: type[BaseModel]) -> list[str]:
    """The dotted paths of all parameters: `name`, `hyperparameters.seed`, `hyperparameters.inpaint.mask.kernel_size`.

    Args:
        model: Of all parameters.
    """
    found: list[str] = []
    for name, field in model.model_fields.items():
        below = section_of(name, field)
        found += [name] if below is None or issubclass(below, Named) else [f"{name}.{path}" for path in paths_of(below)]
    return found


def settings_of(task: str) -> list[str]:
    """The settings of single pictures of a task, by their own names, the most used first.

    Args:
        task: Its name.
    """
    return list(reversed(_own_homes(task)))


def _own_homes(task: str) -> dict[str, str]:
    """Of each setting that lies in a section, its path for one task: the task's own sections first, each in the model's order."""
    models = (TASKS[task].takes, CommonHyperparameters)
    paths = [path for model in models for path in _paths(model) if "." in path]
    return {path.rpartition(".")[2]: path for path in reversed(paths)}


def _paths(model: type[BaseModel], prefix: str = "") -> list[str]:
    """The dotted paths of all sections and settings, the tasks' own last."""
    paths: list[str] = []
    of_tasks: list[str] = []
    for name, field in model.model_fields.items():
        below = section_of(name, field)
        paths.append(f"{prefix}{name}")
        if below and issubclass(below, PromptAndSeed):
            of_tasks += [f"{name}.{key}" for key in below.model_fields if key not in model.model_fields]
        elif below:
            paths += _paths(below, f"{prefix}{name}.")
    return paths + of_tasks
