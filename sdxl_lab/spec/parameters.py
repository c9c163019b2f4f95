"""Parameters as people and papermill write them, made plain values; and what a setting takes, by its type."""

from __future__ import annotations

import os
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from sdxl_lab.adapters import FromFile
from sdxl_lab.settings.choices import OneOf
from sdxl_lab.spec.homes import field_of, section_of
from sdxl_lab.spec.hyperparameters import hyperparameters

NULLS = ("null", "Null", "NULL", "None", "~")
SURROGATES = re.compile("[\ud800-\udfff]")
"""What Python puts for bytes that are no UTF-8. No file can hold them."""


def plain(value: Any) -> Any:
    """Bring parameters from a notebook to the types of JSON.

    Args:
        value: Nested dictionaries, lists and tuples of anything; numpy's numbers become Python's, paths become texts, -0.0
            becomes 0.0, and what has no counterpart stays for validation to refuse.

    Returns:
        A copy that shares no list and no dictionary with `value`.
    """
    if isinstance(value, Mapping):
        return {key: plain(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value) + 0.0
    return value


def without_nulls(values: Mapping[Any, Any], above: tuple[str, ...] = ()) -> tuple[dict[Any, Any], list[str]]:
    """Put None for the texts that were meant to be None, such as those papermill makes of `-p samples null`, and for those that are no Unicode.

    A text of that one word is refused even where words are taken as they are: it is far more often a slip than a prompt.

    Args:
        values: Nested plain parameters.
        above: The keys that lead to `values`.

    Returns:
        A copy with None in their places, and one line for each that says how to write None, or where the text went wrong.
    """
    kept: dict[Any, Any] = {}
    found: list[str] = []
    for key, value in values.items():
        keys = (*above, str(key))
        if isinstance(value, Mapping):
            kept[key], below = without_nulls(value, keys)
            found += below
        elif isinstance(value, str) and (broken := SURROGATES.search(value)):
            kept[key] = None
            found.append(
                f"{'.'.join(keys)}: got a text with {broken.group()!r} as character {broken.start() + 1}, which no Unicode text holds; "
                "write it in UTF-8, in a shell with a UTF-8 locale"
            )
        elif isinstance(value, str) and value.strip() in NULLS:
            kept[key] = None
            found.append(
                f"{'.'.join(keys)}: got the text {value!r}, which is not None; leave it out, or write None in Python, null in a YAML file; run and "
                f"papermill take -y '{yaml_line(keys, 'null')}'"
            )
        else:
            kept[key] = value
    return kept, found


def takes_numbers(path: str) -> type | None:
    """Find out whether a setting takes numbers.

    Args:
        path: The dotted path of a parameter, such as `hyperparameters.denoising.guidance_scale`; it need not exist.

    Returns:
        `int` for whole numbers, `float` for any, None for anything else.
    """
    first, *keys = path.split(".")
    annotation = _annotation(keys, hyperparameters()) if first == "hyperparameters" else None
    return next((kind for kind in members(annotation) if kind in (int, float)), None)


def takes_text(path: str, model: type[BaseModel]) -> bool:
    """Find out whether words are to be taken as they are: because a setting takes any text, or to be told that there is no such setting.

    Args:
        path: The dotted path of a parameter, such as `hyperparameters.inpaint.prompt`; it need not exist.
        model: The model of all parameters.

    Returns:
        False for numbers, choices such as a scheduler's name, lists and dictionaries, also where None is allowed beside them.
    """
    annotation = _annotation(path.split("."), model)
    return annotation is None or str in members(annotation)


def takes_none(path: str, model: type[BaseModel]) -> bool:
    """Find out whether the word `none` can mean None alone: because a setting takes it, takes no text, and has no choice of that name.

    So it does in place of an adapter, or of its file, of which None says that there is none.

    Args:
        path: The dotted path of a parameter, such as `hyperparameters.denoising.timestep_spacing`; it need not exist.
        model: The model of all parameters.
    """
    keys = path.split(".")
    adapter = _annotation(keys[:-1] if keys[-1] == "file" else keys, model)
    if isinstance(adapter, type) and issubclass(adapter, FromFile):
        return True
    annotation = _annotation(keys, model)
    taken = list(members(annotation))
    return type(None) in taken and str not in taken and "none" not in choices(annotation)


def _annotation(keys: Sequence[str], model: type[BaseModel]) -> Any:
    """The type of the setting to which keys lead; None if there is none."""
    level, annotation = model, None
    for key in keys:
        if (field := field_of(key, level)) is None:
            return None
        level, annotation = section_of(key, field), field.rebuild_annotation()
    return annotation


def members(annotation: Any) -> Iterator[Any]:
    """What a union is made of, without what annotates it but for `OneOf`, which stands for its text; any other type alone."""
    if get_origin(annotation) is Annotated:
        kind, *marks = get_args(annotation)
        yield from [mark for mark in marks if isinstance(mark, OneOf)] or members(kind)
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from members(member)
    else:
        yield annotation


def choices(annotation: Any) -> list[str]:
    """The words of which a type takes one, wherever in it they stand."""
    if isinstance(annotation, OneOf):
        return list(annotation.table)
    if get_origin(annotation) is Literal:
        return [choice for choice in get_args(annotation) if isinstance(choice, str)]
    return [choice for part in get_args(annotation) for choice in choices(part)]


def yaml_line(keys: Sequence[str], leaf: str) -> str:
    """Write a nested dictionary with one leaf as a line of YAML."""
    first, *rest = keys
    return f"{first}: {{{yaml_line(rest, leaf)}}}" if rest else f"{first}: {leaf}"
