"""What pydantic refuses of parameters, in lines a person can act on."""

from __future__ import annotations

import ast
import json
import re
import types
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from sdxl_lab.adapters import ADAPTERS, Named
from sdxl_lab.settings.choices import Allowed, OneOf
from sdxl_lab.settings.hyperparams import closest, unknown_key
from sdxl_lab.settings.sections import PromptAndSeed
from sdxl_lab.spec.adapter_slips import lacking_for, parted_name, weight_meant
from sdxl_lab.spec.homes import field_of, home_of, not_here, section_of
from sdxl_lab.spec.parameters import choices, members, yaml_line
from sdxl_lab.tasks import TASKS

REASONS = {
    ("dtype", "fp16"): "write float16",
    ("dtype", "bf16"): "write bfloat16",
    ("dtype", "fp32"): "write float32",
    ("timestep_spacing", "sgm_uniform"): "write trailing",
    ("timestep_spacing", "sgm uniform"): "write trailing",
    ("soft", "differential"): "write threshold, which is differential diffusion",
    ("soft", "differential_diffusion"): "write threshold, which is differential diffusion",
    ("fill", "fill"): "the web UI's fill is blur, of mask.fill",
    ("fill", "latent nothing"): "near the web UI's latent nothing is neutral, of mask.fill",
    ("fill", "latent noise"): "near the web UI's latent noise is noise, of mask.fill",
    ("timestep_spacing", "karras"): "karras is a setting of its own: write karras: true",
}


def problems(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Write what pydantic refused as one line a setting.

    Args:
        error: What it raised.
        model: The model that was validated.

    Returns:
        Lines that start with the dotted path and say what was got, what is allowed and, where known, what was meant.
    """
    lines: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for found in error.errors(include_url=False, include_context=False):
        path, field = _locate(found["loc"], model)
        lines.setdefault(path, _line(path, field, found, model))
        kinds.setdefault(path, found["type"])
    # A list with a bad item is also called too short: the item says it all.
    lists = {path[:place] for path in lines for place, letter in enumerate(path) if letter == "["}
    return [line for path, line in lines.items() if path not in lists | lacking_for(lines) | _misspelled(kinds)]


def allowed_of(field: Any) -> str | None:
    """What a field says is allowed, in words; None where it says nothing, or there is no field."""
    if field is None:
        return None
    return field.description or next((str(mark) for mark in field.metadata if isinstance(mark, Allowed | OneOf)), None)


def _misspelled(kinds: Mapping[str, str]) -> set[str]:
    """Paths in a section that are missing since their last key was written differently, of which that key's line says it."""
    missing = [path.rpartition(".") for path, kind in kinds.items() if kind == "missing"]
    unknown = [path.rpartition(".") for path, kind in kinds.items() if kind == "extra_forbidden"]
    meant = [(above, closest(key, [name for place, _, name in missing if place == above])) for above, _, key in unknown if above]
    return {f"{above}.{name}" for above, name in meant if name}


def _locate(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, Any]:
    """Dotted path of an error, and the field or model it is about."""
    path, field, level = "", None, model
    for key in loc:
        if isinstance(key, int):
            path += f"[{key}]"
            continue
        if field is not None and level is None and len(list(members(field.annotation))) > 1:  # what follows names a member of its union
            break
        path = f"{path}.{key}" if path else key
        if level is not None:
            field = field_of(key, level)
            level = section_of(key, field)
    return path, field


def _line(path: str, field: Any, found: Any, model: type[BaseModel]) -> str:
    value = found.get("input")
    key = path.rpartition(".")[2]
    if found["type"] == "invalid_key":
        return f"{path}: got a key that is no text; allowed are texts, as in unquoted YAML or quoted Python"
    if found["type"] == "extra_forbidden":
        return parted_name(path, found["loc"], value, _valid(found["loc"][:-1], model)) or _unknown(path, found["loc"], model)
    section = section_of(key, field)
    if section is not None and issubclass(section, Named) and found["type"] != "value_error":
        example = f". Write {key}.NAME.file {value}" if isinstance(value, str) else ""
        return f"{path}: got {_shown(value)}; allowed is a dictionary of names, each with {', '.join(section.of.model_fields)}{example}"
    if section is not None and found["type"] != "value_error":
        hint = weight_meant(section, path, value) or _hint(key, value, None)
        return f"{path}: got {_shown(value)}; allowed is a dictionary with keys among {', '.join(_keys(section))}{hint}"
    said = allowed_of(field)
    if found["type"] == "value_error" and not said:
        return f"{path}: {found['msg'].removeprefix('Value error, ')}"
    allowed = said or "a value of another type"
    if found["type"] == "missing" and not isinstance(found["loc"][-1], int):
        return f"{path}: missing; allowed is {allowed}"
    reason = found["msg"].removeprefix("Value error, ") if found["type"] == "value_error" else None
    return f"{path}: got {_shown(value)}; allowed is {allowed}" + (f". {_sentence(reason)}" if reason else _hint(key, value, field))


def _unknown(path: str, loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    key = str(loc[-1])
    valid = _valid(loc[:-1], model)
    task = TASKS.get(str(loc[1])) if len(loc) > 2 else None
    if task and key == "compute":
        return f"{path}: compute cannot differ by task, since a run loads its checkpoint once: move it to hyperparameters.compute"
    home = home_of(key, model)
    if task and (refused := [task.refusals[name] for name in (key, *(home or "").split(".")) if name in task.refusals]):
        return f"{path}: unknown key; {refused[0]}"
    if task and key == "image":
        return f"{path}: image cannot differ by task, since a run keeps one input of a sample: move it to hyperparameters.image"
    if task and key in ADAPTERS:
        return f"{path}: {key} cannot differ by task, since they are on the checkpoint's models: move them to hyperparameters.{key}"
    if "." in key:
        return f"{path}: unknown key; dictionaries here are nested, not dotted: write {{{yaml_line(key.split('.'), '...')}}}"
    if said := not_here(key, model):
        return f"{path}: unknown key; {said}"
    if home and home != path and home.rpartition(".")[2] in ADAPTERS:
        return f"{path}: unknown key; write {home}.NAME.file FILE"
    if home and home != path:
        return f"{path}: unknown key; valid here are {', '.join(valid)}. Did you mean {home}?"
    return unknown_key(path, valid)


def _valid(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    level: type[BaseModel] | None = model
    for key in loc:
        level = section_of(str(key), field_of(str(key), level))
    return _keys(level) if level else []


def _keys(section: type[BaseModel]) -> list[str]:
    """The keys of a section; in `hyperparameters`, where words stand beside dictionaries, the dictionaries first."""
    if not issubclass(section, PromptAndSeed):
        return list(section.model_fields)
    return sorted(section.model_fields, key=lambda key: section_of(key, section.model_fields[key]) is None)


def _hint(key: str, value: Any, field: Any) -> str:
    kinds = list(members(field.rebuild_annotation())) if field is not None else []
    is_off = value is False or (isinstance(value, str) and value.casefold() == "off")
    if is_off and types.NoneType in kinds and str not in kinds:
        return ". To leave it out, write null in YAML, None in Python"
    if isinstance(value, str):
        refused = {name: reason for kind in kinds for offer in _offers(kind) for name, reason in offer.refused().items()}
        if reason := refused.get(value.casefold()) or REASONS.get((key, value.casefold())):
            return f". {_sentence(reason)}"
        held = _held(value)
        if held == "a number" and (power := re.fullmatch(r"([-+]?\d+)([eE].+)", value.strip())):
            return f". Write {power[1]}.0{power[2]}: without a decimal point papermill takes it for a text, and -r takes any number for one"
        if held == "a number":
            return f". Write {value.strip()}, without quotes, and not by -r"
        if held:
            return f". The text holds {held}: in YAML write it without quotes, a list in brackets; papermill takes it by -y, its -p makes texts of it"
        if key == "size" and (sides := re.fullmatch(r"(\d+)\s*[xX*]\s*(\d+)", value.strip())):
            return f". Write {{width: {sides[1]}, height: {sides[2]}}}"
        if key in ("tasks", "samples"):
            return f". Write [{value!r}]"
        meant = closest(value, [choice for kind in kinds for choice in choices(kind)])
        if meant:
            return f". Did you mean {meant}?"
    if value is False and "off" in choices(field.annotation if field is not None else None):
        return ". In a YAML file for papermill, put quotes around off, which it takes for False"
    if key == "high_noise_frac" and isinstance(value, int | float) and value in (0, 1):
        return ". diffusers ignores 0 and 1; None runs the base alone"
    if isinstance(value, float) and value.is_integer() and field is not None and "whole" in (allowed_of(field) or ""):
        return f". Write {int(value)}"
    if value is not None and not isinstance(value, str) and str in kinds:
        return ". In YAML, put quotes around a text; -r takes one as it is"
    return ""


def _offers(annotation: Any) -> list[OneOf]:
    return [annotation] if isinstance(annotation, OneOf) else [offer for part in get_args(annotation) for offer in _offers(part)]


def _held(text: str) -> str | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            ends = text.strip()[:1] + text.strip()[-1:]
            return {"[]": "a list", "{}": "a dictionary"}.get(ends)  # of words without quotes, as in YAML
    kinds = {tuple: "a tuple", list: "a list", dict: "a dictionary", int: "a number", float: "a number", bool: "a yes or no"}
    return kinds.get(type(value))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
