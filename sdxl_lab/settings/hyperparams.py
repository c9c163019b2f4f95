"""Nested dictionaries as people write hyperparameters: deep merge, dotted paths, flatten, difference.

Every function is pure: it returns new dictionaries that share no list and no dictionary with what it was given.
A dotted path such as `denoising.guidance_scale` names one key of a nested dictionary, so keys are texts without dots.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from difflib import get_close_matches
from typing import Any, Final

from sdxl_lab.errors import LabError


class HyperparameterError(LabError):
    """A dotted path leads nowhere, or a dictionary has a key that no dotted path can name."""


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""Stands in a `difference` for the side that lacks a path: None is a value like any other."""


def merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one nested dictionary over another.

    Args:
        base: The values to start from.
        overrides: The values that win. A dictionary is laid over a dictionary key by key; anything else, None and lists
            included, replaces what was there.

    Returns:
        A new dictionary with the keys of both: those of `base` in their order, then the new ones.
    """
    merged = _copy(base)
    for key, value in overrides.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else _copy(value)
    return merged


def get(nested: Mapping[str, Any], path: str) -> Any:
    """Read the value at a dotted path.

    Args:
        nested: The dictionary to read.
        path: Keys joined with dots, such as `denoising.guidance_scale`.

    Returns:
        The value itself, not a copy: a leaf or a whole dictionary.

    Raises:
        HyperparameterError: A key of the path is not there, or the path goes on below a leaf.
    """
    value: Any = nested
    walked: list[str] = []
    for key in split(path):
        if not isinstance(value, Mapping):
            raise HyperparameterError(f"{path}: {'.'.join(walked)} is {value!r}, not a dictionary: end the path there")
        if key not in value:
            raise HyperparameterError(unknown_key(".".join([*walked, key]), value))
        value = value[key]
        walked.append(key)
    return value


def replace(nested: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Copy a nested dictionary with another value at a dotted path.

    Args:
        nested: The dictionary to start from.
        path: Keys joined with dots. Dictionaries missing on the way are made.
        value: The new value; a dictionary replaces, it is not merged.

    Returns:
        A new dictionary.

    Raises:
        HyperparameterError: The path goes on below a leaf, or has an empty key.
    """
    return _replaced(nested, split(path), value, path)


def flatten(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Write a nested dictionary as one level of dotted paths.

    Args:
        nested: A dictionary whose keys, at every level, are texts without dots.

    Returns:
        `{"a.b": leaf}` in the order of the nested keys. An empty dictionary counts as a leaf, so that replacing each path
        in turn in `{}` gives the nested dictionary back.

    Raises:
        HyperparameterError: A key is not a text, is empty, or contains a dot.
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if not isinstance(key, str) or not key or "." in key:
            raise HyperparameterError(f"got the key {key!r}; allowed are texts without dots, since dots join the keys of a path: rename it")
        if isinstance(value, Mapping) and value:
            flat |= {f"{key}.{path}": leaf for path, leaf in flatten(value).items()}
        else:
            flat[key] = _copy(value)
    return flat


def without(nested: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Leave values out.

    Args:
        nested: The dictionary.
        paths: Dotted paths, which need not be there.

    Returns:
        A copy without them, and without the dictionaries that held nothing else.
    """
    left = _copy(nested)
    for path in paths:
        _remove(left, path.split("."))
    return left


def difference(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Find where two nested dictionaries differ.

    Args:
        left: One dictionary.
        right: The other.

    Returns:
        `{"a.b": (left's leaf, right's leaf)}` for each path whose leaves differ, with `ABSENT` on the side that lacks it;
        sorted by path. True is not 1, but 7 is 7.0 and a tuple is the list of its items, as JSON has them.

    Raises:
        HyperparameterError: A key is not a text, is empty, or contains a dot.
    """
    ours, theirs = flatten(left), flatten(right)
    pairs = {path: (ours.get(path, ABSENT), theirs.get(path, ABSENT)) for path in sorted(ours.keys() | theirs.keys())}
    return {path: (a, b) for path, (a, b) in pairs.items() if not _same(a, b)}


def closest(word: str, words: Iterable[str]) -> str | None:
    """Find the word that was probably meant.

    Args:
        word: What was written.
        words: What may be written.

    Returns:
        The most similar of `words`, capitals ignored, first among those of which it is the first part (`clip` of `clip_score`); None if none
        resembles it.
    """
    by_folded = {other.casefold(): other for other in words}
    folded = word.casefold()
    begun = [other for other in by_folded if folded and other.startswith(folded) and other[len(folded) :][:1] in "_-."]
    matches = get_close_matches(folded, begun or by_folded, n=1, cutoff=0 if begun else 0.55)
    return by_folded[matches[0]] if matches else None


def unknown_key(path: str, valid: Iterable[str]) -> str:
    """Say in one line that a key is unknown, which keys are valid there, and which one was probably meant.

    Args:
        path: The dotted path of the unknown key.
        valid: The keys that are valid in its place.

    Returns:
        One line, to be raised or listed by the caller.
    """
    names = list(valid)
    meant = closest(path.rpartition(".")[2], names)
    line = f"{path}: unknown key; valid here are {', '.join(names) or '(none)'}"
    return f"{line}. Did you mean {meant}?" if meant else line


def split(path: str) -> list[str]:
    """Cut a dotted path into its keys.

    Args:
        path: Keys joined with dots.

    Returns:
        At least one key.

    Raises:
        HyperparameterError: A key between two dots is empty.
    """
    keys = path.split(".")
    if not all(keys):
        raise HyperparameterError(f"got the path {path!r}; allowed are keys joined with single dots, such as denoising.guidance_scale")
    return keys


def shortest(path: str, paths: Iterable[str]) -> str:
    """Name a dotted path by as few of its last keys as set it apart.

    Args:
        path: For example `denoising.seed`.
        paths: Those it stands among, itself included.

    Returns:
        Its end, such as `seed`; all of it if nothing shorter is its alone.
    """
    among, keys = tuple(paths), path.split(".")
    ends = (".".join(keys[-count:]) for count in range(1, len(keys)))
    return next((end for end in ends if sum(other == end or other.endswith(f".{end}") for other in among) == 1), path)


def _replaced(nested: Any, keys: list[str], value: Any, path: str) -> dict[str, Any]:
    if not isinstance(nested, Mapping):
        raise HyperparameterError(f"{path}: {nested!r} is in the way, where a dictionary has to be: replace that first")
    first, *rest = keys
    copy = _copy(nested)
    copy[first] = _replaced(nested.get(first, {}), rest, value, path) if rest else _copy(value)
    return copy


def _remove(nested: dict[str, Any], keys: list[str]) -> None:
    first, *rest = keys
    if rest and isinstance(nested.get(first), dict):
        _remove(nested[first], rest)
    if not rest or nested.get(first) == {}:
        nested.pop(first, None)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(below) for key, below in value.items()}
    return value if value is None or isinstance(value, str | int | float) else deepcopy(value)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)
