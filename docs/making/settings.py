"""The page of the settings, made of their models, so that a new setting stands on it by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from textwrap import fill
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.making.elsewhere import answered
from docs.making.markdown import attributes, coded, first_paragraph, table
from sdxl_lab.adapters import ADAPTERS
from sdxl_lab.bench.widget.knobs import NOT_OF_ONE, knobs_of
from sdxl_lab.checkpoints import own_defaults
from sdxl_lab.families import FAMILIES, OTHER, Made, Published
from sdxl_lab.settings import sections
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.spec.homes import section_of
from sdxl_lab.spec.hyperparameters import CommonHyperparameters
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.problems import allowed_of
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.tasks import TASKS, Task

HEAD = """# Settings

A run has eight parameters. One of them, `hyperparameters`, is nested and sparse: write down what you change, and nothing else.

```yaml
checkpoint: pocket
dataset: pocket-scenes-2
hyperparameters:
  denoising: {guidance_scale: 5.0, high_noise_frac: 0.8}
  outpaint:
    mask: {kernel_size: 3}        # for this task alone
```

What stands in `hyperparameters` holds for every task that takes it; under a task's name it holds for that task alone. On a command line the
path is dotted, `-p hyperparameters.denoising.guidance_scale 5`. For one picture, `paint`, `inpaint(...)` and their like take a setting by its
last name alone: `-p guidance_scale 5`, `guidance_scale=5`. A misspelled name is answered with the right one, a value that is not allowed with
what is.

This page is made from the code.
"""

OF_SAMPLERS = "What other tools call the samplers: [a table](a1111.md#samplers)."
RANGE = re.compile(r",? (?:in [(\[]\d[\d.]*, \d[\d.]*[)\]]|\d+ or more|\d+ to \d+)(?=[,;:.]|$)")
"""How docstrings say what is allowed, which stands beside them here."""


def page() -> str:
    """All parameters of a run, and below them all settings by section."""
    parts = [HEAD, "## Parameters of a run\n", table(("parameter", "allowed", "what it is"), _parameters())]
    common = CommonHyperparameters()
    for section, rows in _by_section().items():
        model = section_of(section, type(common).model_fields.get(section))
        about = (
            first_paragraph(model)
            if model
            else "What the dataset says of a picture and parameters may say otherwise, and what only outpainting asks."
        )
        parts += [f"## {section or 'Words, seeds and mode'}\n", f"{about}\n", table(("setting", "default", "allowed", "what it does"), rows)]
        if section == "denoising":
            parts.append(f"{OF_SAMPLERS}\n\nSteps, strength and guidance are the checkpoint's own where nobody says:\n\n{defaults()}")
    parts += [part for kind in ADAPTERS for part in _of_adapters(kind)]
    parts += ["## Other tools' names\n", "If you write one of these, the error names ours, or says what there is instead:\n", answered()]
    return "\n".join(parts)


def defaults() -> str:
    """What suits each family of checkpoints, and each task."""
    suited: dict[tuple[Any, ...], list[str]] = {}
    for word, family in FAMILIES.items():
        others = ["any other of Stable Diffusion 1 or 2"] if family.generations else [] if family.names else ["anything else"]
        for name in [*family.names, *others]:
            own = own_defaults.defaults(CheckpointIdentity(name=name, digest="0", family=word))["denoising"]
            row = (own["num_inference_steps"], own["strength"], f"{own['guidance_scale']:.1f}")
            suited.setdefault((word, *row), []).append(f"`{name}`" if name in family.names else name)
    rows = [(", ".join(names), *row) for (_, *row), names in suited.items()]
    suits = [f"`{task.name}` has `{key}` {value} by itself{_before_xl(task, key)}." for task in TASKS.values() for key, value in task.suits.items()]
    few = (
        "A checkpoint that was [distilled to few steps](few-steps.md) gets its own scheduler, 4 to 8 steps, no guidance, and for `inpaint` and "
        "`outpaint` strength 1."
    )
    return "\n".join([table(("checkpoint", "`num_inference_steps`", "`strength`", "`guidance_scale`"), rows), fill(" ".join([*suits, few]), 120), ""])


def _before_xl(task: Task, key: str) -> str:
    """What a setting is by itself for Stable Diffusion 1 and 2, where that is otherwise."""
    own = [suits[key] for family in FAMILIES.values() if family.generations and key in (suits := family.suits.get(task.pipeline, {}))]
    return f", {own[0]} with Stable Diffusion 1 and 2" if own else ""


def distilled() -> str:
    """How checkpoints are used that were distilled to few steps, by the word of their names that tells."""
    rows = [
        (
            f"`{word}`",
            made.num_inference_steps,
            f"{made.guidance_scale:g}",
            f"`{made.scheduler}`",
            "`trailing`" if SCHEDULERS[made.scheduler].is_spaced else "its own",
        )
        for word, made in FAMILIES[OTHER].distilled.items()
    ]
    return table(("in its name", "steps, where the name states none", "`guidance_scale`", "`scheduler`", "`timestep_spacing`"), rows)


def checkpoints() -> str:
    """The checkpoints that have names, where they are, and under which license."""
    rows = []
    for name, place in ((name, place) for family in FAMILIES.values() for name, place in family.names.items()):
        if isinstance(place, Published):
            where = " and ".join(f"`{repository}`" for repository in (place.base, place.refiner) if repository)
            rows.append((f"`{name}`", where, place.license or "not known here"))
        else:
            where = f"made by `{place.command}`" if isinstance(place, Made) else "comes with the lab"
            rows.append((f"`{name}`", where, "the lab's own"))
    return table(("checkpoint", "on the hub", "license"), rows)


def _parameters() -> Iterator[tuple[str, str, str]]:
    about = attributes(RunSpec)
    for name, field in RunSpec.model_fields.items():
        allowed = "a nested dictionary, see below" if name == "hyperparameters" else allowed_of(field) or ""
        yield f"`{name}`", allowed, about[name]


def _of_adapters(kind: str) -> list[str]:
    """The section of a kind of adapters, each of which has a name that people choose."""
    section = ADAPTERS[kind].section
    about = attributes(section.of)
    rows = [
        (f"`{kind}.NAME.{key}`", _written(field), coded(allowed_of(field) or ""), coded(about[key])) for key, field in section.of.model_fields.items()
    ]
    return [f"## {kind}\n", f"{first_paragraph(section)}\n", table(("setting", "default", "allowed", "what it does"), rows)]


def _written(field: FieldInfo) -> str:
    """The default of a setting that one may leave out."""
    if field.is_required():
        return ""
    return "none" if field.default is None else f"`{json.dumps(field.default)}`"


def _by_section() -> dict[str, list[tuple[str, ...]]]:
    """Rows of the table of each section, in the order of the models; those of no section first."""
    takers: dict[str, list[str]] = {}
    knobs: dict[str, dict[str, Any]] = {}
    for task in TASKS:
        for knob in [*knobs_of(task), *_without_knobs()]:
            takers.setdefault(knob["path"], []).append(task)
            knobs.setdefault(knob["path"], knob)
    found: dict[str, list[tuple[str, ...]]] = {"": []}
    for path, knob in knobs.items():
        if path in RunSpec.model_fields or path == "task":
            continue
        tasks = "" if len(takers[path]) == len(TASKS) else f"*For*: {', '.join(f'`{task}`' for task in takers[path])}."
        said = f"{coded(_beside(knob['help'], knob['allowed']))} {tasks}".strip()
        found.setdefault(knob["section"], []).append((f"`{path}`", _default(knob), _allowed(knob["allowed"]), said))
    return found


def _without_knobs() -> list[dict[str, Any]]:
    """What a knob cannot be: it asks for several pictures, or changes a prompt that stands in view."""
    model: type[BaseModel] = sections.PromptAndSeed
    common = {"section": "", "default": None, "none": "none", "unit": ""}
    return [common | {"path": name, "allowed": allowed_of(model.model_fields[name]), "help": attributes(model)[name]} for name in NOT_OF_ONE]


def _beside(said: str, allowed: str) -> str:
    """What a docstring says of a setting, without what is allowed."""
    if set(re.findall(r"[\w:]+", said)) - {"or"} <= set(re.findall(r"[\w:]+", allowed)):
        return ""
    none = re.search(r",? or None for [^.;]+$", allowed)
    return RANGE.sub("", said).removesuffix(".").removesuffix(none[0] if none else ".") + "."


def _allowed(said: str) -> str:
    """What is allowed; of a choice each word as code."""
    choice = re.fullmatch(r"one of ([^;(]+?)(, or None.*)?", said)
    return f"{', '.join(f'`{word}`' for word in choice[1].split(', '))}{choice[2] or ''}" if choice else coded(said)


def _default(knob: dict[str, Any]) -> str:
    """Its default, and who replaces it."""
    key, value = knob["path"].removeprefix("denoising."), knob["default"]
    own = list(dict.fromkeys(getattr(family, key) for family in FAMILIES.values() if hasattr(family, key)))
    if own:
        of_tasks = [f"`{task.suits[key]}` for `{task.name}`" for task in TASKS.values() if key in task.suits]
        return "; ".join([f"{' or '.join(f'`{each}`' for each in own)}, by checkpoint", *of_tasks])
    return knob["none"] if value is None else f"`{value}`" + (f" {knob['unit']}" if knob["unit"] and isinstance(value, int) else "")
