"""What the declaration of a setting tells of its knob: kind, limits, choices, words. Knows no task and no page."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import floor, log10
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sdxl_lab.settings.choices import OneOf
from sdxl_lab.settings.framing import ODD
from sdxl_lab.settings.knobs import Knob

KINDS = {int: "integer", float: "number", str: "text", bool: "flag"}
UNITS = {"px": "px", "s": "s", "bytes": "bytes"}
"""By the suffix of a setting's name."""

POSITIONS = 100
"""Of a slider for any number, about, where no step is said."""

Member = tuple[Any, tuple[Any, ...]]
"""A type, and what annotates it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Traits:
    """What of a knob stays as long as its setting is declared as it is.

    Attributes:
        kind: One of choice, integer, number, text, flag, pair, seed, other.
        label: What people call it.
        unit: Behind its number, or empty.
        help: What its class says of it, or empty.
        words: All that a choice allows, or texts that may stand in place of a number or to begin with.
        table: What a choice allows where that is read when it is asked.
        minimum: Least that is allowed; of numbers that have to be above something, that. None where there is none; likewise `maximum`.
        maximum: Most that is allowed.
        soft: The range of a slider, or None for no slider.
        step: Between two of its positions, or None.
        is_odd: Whether even numbers are refused.
        parts: What the numbers of a pair are called.
        is_optional: Whether None is a value of its own.
        none: What that is called.
        is_shown: Whether it is always in view.
    """

    kind: str
    label: str
    unit: str = ""
    help: str = ""
    words: tuple[Any, ...] = ()
    table: Mapping[str, Any] | None = None
    minimum: float | None = None
    maximum: float | None = None
    soft: tuple[float, float] | None = None
    step: float | None = None
    is_odd: bool = False
    parts: tuple[str, str] | None = None
    is_optional: bool = False
    none: str = "none"
    is_shown: bool = False


@lru_cache(maxsize=64)
def traits_in(section: type[BaseModel]) -> Mapping[str, Traits]:
    """What a section's declaration tells of each of its settings, by name.

    Args:
        section: The section, or whatever model holds settings.
    """
    return {name: _traits(name, field, section) for name, field in section.model_fields.items()}


def _traits(name: str, field: FieldInfo, section: type[BaseModel]) -> Traits:
    mark = next((each for each in field.metadata if isinstance(each, Knob)), Knob())
    every = list(_members(field.annotation, tuple(field.metadata)))
    members = [(kind, marks) for kind, marks in every if kind is not type(None)]
    words = tuple(word for kind, _ in members if get_origin(kind) is Literal for word in get_args(kind))
    others = [(kind, marks) for kind, marks in members if get_origin(kind) is not Literal]
    stem, _, suffix = name.rpartition("_")
    unit = UNITS.get(suffix, "") if stem else ""
    return Traits(
        label=mark.label or (stem if unit else name).replace("_", " ").capitalize(),
        unit=mark.unit or unit,
        help=_help(name, section),
        words=words or mark.suggested,
        is_optional=len(members) < len(every),
        none=mark.none,
        is_shown=mark.is_shown,
        **_shape(others, mark),
    )


def _shape(members: Sequence[Member], mark: Knob) -> dict[str, Any]:
    """Kind and limits, of what is neither None nor a fixed word."""
    if not members:
        return {"kind": "choice"}
    if len(members) > 1:
        return {"kind": "other"}
    [(kind, marks)] = members
    if mark.is_seed:
        return {"kind": "seed"} | _limits(marks, is_whole=True)
    if offers := [each for each in marks if isinstance(each, OneOf)]:
        return {"kind": "choice", "table": offers[0].table}
    if get_origin(kind) is tuple:
        return _shape_of_pair(get_args(kind), mark)
    if kind in (int, float):
        limits, is_odd = _limits(marks, is_whole=kind is int), ODD in marks
        return {"kind": KINDS[kind], "is_odd": is_odd} | limits | _slider(limits, marks, mark, is_whole=kind is int, is_odd=is_odd)
    return {"kind": KINDS.get(kind, "other")}


def _shape_of_pair(kinds: Sequence[Any], mark: Knob) -> dict[str, Any]:
    members = [next(_members(kind, ())) for kind in kinds]
    if len(members) != 2 or any(kind not in (int, float) for kind, _ in members) or members[0][0] is not members[1][0]:
        return {"kind": "other"}
    is_whole = members[0][0] is int
    return {"kind": "pair", "parts": mark.parts or ("first", "second"), "step": 1 if is_whole else None} | _limits(members[0][1], is_whole=is_whole)


def _limits(marks: Sequence[Any], *, is_whole: bool) -> dict[str, Any]:
    found, nearest = _said(marks), 1 if is_whole else 0
    above, below = found.get("gt"), found.get("lt")
    return {
        "minimum": found.get("ge") if above is None else above + nearest,
        "maximum": found.get("le") if below is None else below - nearest,
    }


def _slider(limits: Mapping[str, Any], marks: Sequence[Any], mark: Knob, *, is_whole: bool, is_odd: bool) -> dict[str, Any]:
    low, high = mark.soft or (limits["minimum"], limits["maximum"])
    step = mark.step or _said(marks).get("multiple_of") or (2 if is_odd else 1 if is_whole else None)
    if low is None or high is None or low >= high:
        return {"step": step}
    step = step or _round_step((high - low) / POSITIONS)
    if mark.soft is None and not is_whole:  # an end that is not allowed itself is left by a step
        low, high = (round(end + step * way, 12) if name in _said(marks) else end for end, way, name in ((low, 1, "gt"), (high, -1, "lt")))
    return {"step": step, "soft": (low, high)}


def _said(marks: Sequence[Any]) -> dict[str, Any]:
    """Limits that annotate a type, by the names that pydantic's `Field` has for them."""
    names = ("ge", "gt", "le", "lt", "multiple_of")
    return {name: value for mark in marks for name in names if (value := getattr(mark, name, None)) is not None}


def _round_step(step: float) -> float:
    """1, 2 or 5 of some power of ten, the next below."""
    power = 10.0 ** floor(log10(step))
    return round(next(digit for digit in (5, 2, 1) if digit * power <= step * (1 + 1e-9)) * power, 12)


def _members(annotation: Any, marks: tuple[Any, ...]) -> Iterator[Member]:
    """What a union is made of, each with all that annotates it."""
    if get_origin(annotation) is Annotated:
        kind, *more = get_args(annotation)
        inner = [each for mark in more for each in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]
        yield from _members(kind, (*marks, *inner))
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member, marks)
    else:
        yield annotation, marks


def _help(name: str, section: type[BaseModel]) -> str:
    """What the docstring of a section, or of what it grew from, says of a setting; of one that is like another, what it says of that."""
    for model in section.__mro__:
        said = _attributes(model.__doc__ or "")
        alike = next((text for text in said.values() if "likewise" in text and f"`{name}`" in text), "")
        if text := said.get(name) or alike:
            return text.replace("`", "")
    return ""


def _attributes(docstring: str) -> dict[str, str]:
    """The entries below `Attributes:`, each on one line."""
    _, _, below = inspect.cleandoc(docstring).partition("\nAttributes:\n")
    below = re.split(r"\n(?=\S)", below)[0]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", below, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
