"""Settings that a family of checkpoints has not: refused by name where somebody asks for one, and no part of what is shown of a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sdxl_lab.families import FAMILIES, OF_THE_REFINER, OTHER
from sdxl_lab.settings.hyperparams import flatten, without
from sdxl_lab.settings.sections import Compute, EditSettings
from sdxl_lab.spec.edit import Edit
from sdxl_lab.tasks import DEFAULTS, NEUTRAL, TASKS


class _NotApplicable(str):
    """A text of its own, told by `is` from one that somebody wrote."""

    __slots__ = ()


NOT_APPLICABLE = _NotApplicable("n/a")
"""What stands, and is shown, in place of a value that a checkpoint has no use for."""

_OF_COMPUTE = {f"compute.{key}": value for key, value in Compute().model_dump().items()}


def lacks(family: str) -> Mapping[str, str]:
    """What a family has not, by dotted path or section: why; nothing of one that is not known here.

    Args:
        family: As records have it.
    """
    return FAMILIES[family].lacks if family in FAMILIES else {}


def reason(path: str, lacked: Mapping[str, str]) -> str | None:
    """Why a setting is not there; None if it is.

    Args:
        path: Dotted, as `EditSettings` has it, or below `compute`.
        lacked: What is not there, as `lacks` has it.
    """
    return next((why for lacking, why in lacked.items() if path == lacking or path.startswith(f"{lacking}.")), None)


def lacking_anywhere(path: str) -> bool:
    """Whether some checkpoint has not a setting, or something of a section.

    Args:
        path: Dotted, as parameters have it.
    """
    own = setting_of(path)
    every = {*OF_THE_REFINER, *(lacking for family in FAMILIES.values() for lacking in family.lacks)}
    return any(own == lacking or own.startswith(f"{lacking}.") or lacking.startswith(f"{own}.") for lacking in every)


def setting_of(path: str) -> str:
    """A dotted path of parameters as the one of an edit's setting: `denoising.high_noise_frac`, whether for all tasks or for one."""
    own = path.removeprefix("hyperparameters.")
    first, _, rest = own.partition(".")
    return rest if first in TASKS else own


def refused(hyperparameters: Mapping[str, Any], family: str, checkpoint: str) -> list[str]:
    """Say which of the settings that somebody gave the checkpoint's family has not.

    What is as it would be anyway is not asked for.

    Args:
        hyperparameters: Nested and sparse, as a `RunSpec` has them.
        family: The checkpoint's, as records have it.
        checkpoint: What people call it.

    Returns:
        A line each, beginning with the dotted path.
    """
    levels = {"hyperparameters": hyperparameters} | {f"hyperparameters.{task}": hyperparameters.get(task) or {} for task in TASKS}
    return [f"{level}.{line}" for level, given in levels.items() for line in _asked(given, family, checkpoint)]


def refused_of(edit: Edit, family: str, checkpoint: str) -> list[str]:
    """The same of a picture whose settings are complete.

    Args:
        edit: What to paint.
        family: The checkpoint's, as records have it.
        checkpoint: What people call it.
    """
    return list(_asked(edit.settings.model_dump(), family, checkpoint)) if lacks(family) else []


def taken(edit: Edit, family: str) -> dict[str, Any]:
    """An edit's settings, nested and plain, less those that its task does not take, or its checkpoint's family has not.

    Args:
        edit: What was asked.
        family: The checkpoint's, as records have it.
    """
    return without(edit.taken(), lacks(family))


def _asked(given: Mapping[str, Any], family: str, checkpoint: str) -> Iterator[str]:
    if not (lacked := lacks(family)):
        return
    sections = {key: given[key] for key in (*EditSettings.model_fields, "compute") if isinstance(given.get(key), Mapping)}
    anyway = DEFAULTS | _OF_COMPUTE
    for path, value in flatten(sections).items():
        why = reason(path, lacked)
        if why is None or value in (None, {}, anyway.get(path), NEUTRAL.get(path)):
            continue
        others = [word for word, other in FAMILIES.items() if word != OTHER and reason(path, other.lacks) is None]
        advice = f", or take a checkpoint of family {_either(others)}" if others else ""
        yield f"{path}: got {value!r}, but checkpoint {checkpoint} is of family {family}, which {why}; leave it out{advice}"


def _either(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last
