"""The page of the public names, made of their docstrings, so that a new name stands on it by itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from pydantic import BaseModel

import sdxl_lab
from docs.making.markdown import entries, parts, table
from sdxl_lab import _ROOMS as NAMES
from sdxl_lab.process.quiet import quiet_libraries

HEAD = """# In Python

All begins with `from sdxl_lab import ...`. Importing the package takes no time: what is heavy is imported when a name is first used.
What goes wrong is a `LabError`, whose message says what was got, what is allowed and what to do.

This page is made from the code, in the order in which one meets the names.
"""
PROPERTY = property | cached_property
LISTED = {"Args": "argument", "Attributes": "attribute", "Raises": "raises"}


def page() -> str:
    """All public names."""
    quiet_libraries()
    return "\n".join([HEAD, *(_described(name, getattr(sdxl_lab, name)) for name in NAMES)])


def _described(name: str, value: Any) -> str:
    shown = [f"## {name}\n", _signature(name, value), _documented(value)]
    if inspect.isclass(value):
        for method, member in _members(value):
            shown += [f"### {name}.{method}\n", _signature(f"{name}.{method}", member), _documented(member)]
    return "\n".join(part for part in shown if part)


def _members(described: type) -> Iterator[tuple[str, Any]]:
    """What a class has and documents, also by inheritance from others of the lab, but for what all settings share: how they are written."""
    met = set[str]()
    for of in described.__mro__:
        if of.__module__.partition(".")[0] != sdxl_lab.__name__ or (of is not described and issubclass(of, BaseModel)):
            continue
        for name, member in vars(of).items():
            value = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
            if name in met or name.startswith("_"):
                continue
            met.add(name)
            if (inspect.isfunction(value) or isinstance(value, PROPERTY)) and inspect.getdoc(value):
                yield name, value


def _signature(name: str, value: Any) -> str:
    """How it is called; nothing for what nobody calls."""
    if isinstance(value, PROPERTY) or (inspect.isclass(value) and "__init__" not in vars(value)):
        return ""
    given = inspect.signature(value)
    kept = [parameter.replace(annotation=_plain(parameter.annotation)) for key, parameter in given.parameters.items() if key not in ("self", "cls")]
    words = [str(parameter) for parameter in kept]
    keyword = next((index for index, each in enumerate(kept) if each.kind is each.KEYWORD_ONLY), None)
    if keyword is not None and not any(each.kind is each.VAR_POSITIONAL for each in kept):
        words.insert(keyword, "*")
    returned = "" if given.return_annotation in (given.empty, None, "None") or inspect.isclass(value) else f" -> {given.return_annotation}"
    line = f"{name}({', '.join(words)}){returned}"
    if len(line) > 100:
        line = "\n".join([f"{name}(", *(f"    {word}," for word in words), f"){returned}"])
    return f"```text\n{line}\n```\n"


class _Written(str):
    """An annotation, shown as it was written."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _plain(annotation: Any) -> Any:
    return _Written(annotation) if isinstance(annotation, str) else annotation


def _documented(value: Any) -> str:
    """A docstring, its lists as tables and its examples as blocks."""
    shown: list[str] = []
    for name, text in parts(inspect.getdoc(value) or "").items():
        if name in LISTED and (found := entries(text)):
            shown.append(table((LISTED[name], ""), [(f"`{word}`", about) for word, about in found]))
        elif name == "Examples":
            shown.append(f"```pycon\n{text}\n```\n")
        elif text:
            shown.append(f"**{name}:** {text}\n" if name else f"{text}\n")
    return "\n".join(shown)
