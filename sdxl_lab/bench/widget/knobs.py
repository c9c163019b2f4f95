"""Knobs: the settings of one picture, as a page needs them to let a person turn them. Made of the models, so that a new setting has one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel

from sdxl_lab import families
from sdxl_lab.bench.widget.traits import traits_in
from sdxl_lab.checkpoints.own_defaults import defaults
from sdxl_lab.settings.choices import Allowed
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.settings.knobs import Knob
from sdxl_lab.settings.sections import DEFAULT_SEED, EditSettings, Settings, Text
from sdxl_lab.spec.homes import ALIKE_FOR_ALL
from sdxl_lab.spec.hyperparameters import CommonHyperparameters
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.lacking import lacks, reason
from sdxl_lab.spec.parameters import plain
from sdxl_lab.spec.problems import allowed_of
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.spec.task_names import TaskName
from sdxl_lab.tasks import TASKS

NOT_OF_ONE = ("seeds", "prompt_replace", "negative_prompt_replace")
"""Settings that ask for several pictures, or change a prompt that stands in view."""

LARGEST_EXACT = 2**53 - 1
"""Whole numbers beyond it are not exact in JavaScript."""


class BesideSettings(Settings):
    """What a bench is asked for a picture besides its settings.

    Attributes:
        checkpoint: What makes the picture: a built-in name, a folder, a repository of the hub, or a file.
        task: What to do. Where nobody says, what lies on the bench tells: a picture and a mask `inpaint`, a picture `image_to_image`, with a canvas
            `outpaint`, words alone `text_to_image`.
    """

    checkpoint: Annotated[Text, Allowed(lambda: allowed_of(RunSpec.model_fields["checkpoint"]) or ""), Knob(is_shown=True)] = "pocket"
    task: Annotated[
        TaskName | None, Allowed(lambda: f"one of {', '.join(TASKS)}, or None for what the bench tells"), Knob(none="auto", is_shown=True)
    ] = None


def knobs_of(task: str, identity: CheckpointIdentity | None = None) -> list[dict[str, Any]]:
    """Describe the knobs for a picture, in the order of the settings that its task takes, after those of checkpoint and task.

    Args:
        task: Its name.
        identity: Of the checkpoint whose own defaults hold, and whose family may have fewer settings; None for the library's alone.

    Returns:
        Plain values of JSON, a dictionary for each knob: `path`, dotted, without the task's name, and `section`, the same but for its last name;
        `label`, `unit`, `help` and `allowed` in words; `kind`, `minimum`, `maximum`, `soft`, `step`, `parts` and `none` as `Traits` has them, `odd`,
        `optional` and `shown` likewise; `choices`, all that there are of a choice, else words to take instead of a number or to begin with, or None;
        `default`, what is used where nobody asks; and `usual`, what the library has for it, which a session's history leaves out.
    """
    own = {} if identity is None else flatten(defaults(identity, task=task))
    lacked = {} if identity is None else lacks(identity.family)
    common, refused = CommonHyperparameters(), TASKS[task].refusals
    alike = ((name, getattr(common, name)) for name in ALIKE_FOR_ALL if name not in refused)
    found = [*_knobs(BesideSettings()), *_knobs(TASKS[task].takes()), *(knob for name, section in alike for knob in _knobs(section, name))]
    usual = flatten(EditSettings().model_dump(mode="json"))
    return [
        knob | {"default": own.get(knob["path"], knob["default"]), "usual": usual.get(knob["path"], knob["default"])}
        for knob in found
        if knob["path"] not in NOT_OF_ONE and not reason(knob["path"], lacked)
    ]


def for_page(value: Any) -> Any:
    """Write a value so that JavaScript reads it exactly: a whole number that is too large for it becomes a text.

    Args:
        value: A plain one.
    """
    return str(value) if isinstance(value, int) and abs(value) > LARGEST_EXACT else value


def from_page(path: str, value: Any) -> Any:
    """Read what a page sends: the text of a whole number is that number where it is asked for as the seed.

    Args:
        path: Of the knob.
        value: As JSON holds it.
    """
    return int(value) if path == "seed" and isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,40}\s*", value) else value


def _knobs(settings: BaseModel, above: str = "") -> Iterator[dict[str, Any]]:
    traits = traits_in(type(settings))
    for name, field in type(settings).model_fields.items():
        path, value, of = f"{above}.{name}" if above else name, getattr(settings, name), traits[name]
        if isinstance(value, BaseModel):
            yield from _knobs(value, path)
            continue
        yield {
            "path": path,
            "section": above,
            "label": of.label,
            "kind": of.kind,
            "choices": _choices(path, of.table if of.table is not None else of.words),
            "minimum": of.minimum,
            "maximum": of.maximum,
            "soft": list(of.soft) if of.soft else None,
            "step": of.step,
            "odd": of.is_odd,
            "parts": list(of.parts) if of.parts else None,
            "optional": of.is_optional,
            "none": of.none,
            "unit": of.unit,
            "allowed": allowed_of(field) or (f"one of {', '.join(map(str, of.words))}" if of.kind == "choice" else ""),
            "help": of.help,
            "default": DEFAULT_SEED if path == "seed" else plain(value),
            "shown": of.is_shown,
        }


def _choices(path: str, words: Any) -> list[Any] | None:
    return families.names() if path == "checkpoint" else list(words) or None
