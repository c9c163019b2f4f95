"""What people write in place of an adapter's settings, and what they mean by it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from sdxl_lab.adapters import ADAPTERS, NO_DOTS, SUFFIX, FromFile, without_dots
from sdxl_lab.settings.hyperparams import closest


def parted_name(path: str, loc: Sequence[int | str], value: Any, keys: Collection[str]) -> str | None:
    """Say of an unknown key that it is the rest of a name with dots, which dotted paths part: `v1.0` became `v1` and `0`.

    Args:
        path: Of the key.
        loc: The keys that lead to it, itself included.
        value: What it holds.
        keys: What is known in its place.

    Returns:
        A line; None if it is none.
    """
    if len(loc) < 3 or loc[-3] not in ADAPTERS or closest(str(loc[-1]), sorted(keys)):
        return None
    kind, *rest = map(str, loc[-3:])
    while isinstance(value, Mapping) and len(value) == 1 and not value.keys() & keys:
        [(key, value)] = value.items()
        rest.append(str(key))
    is_asked = bool(value.keys() & keys) if isinstance(value, Mapping) else isinstance(value, str) and value.endswith(SUFFIX)
    name = ".".join(rest)
    return f"{path}: got the name {name!r}; {NO_DOTS}: write {kind}.{without_dots(name)}" if is_asked else None


def lacking_for(lines: Mapping[str, str]) -> set[str]:
    """Paths of files that are missing since `parted_name` has them elsewhere.

    Args:
        lines: By path.
    """
    return {f"{path.rpartition('.')[0]}.file" for path, line in lines.items() if NO_DOTS in line}


def weight_meant(section: type[BaseModel], path: str, value: Any) -> str:
    """Where a number belongs that stands in an adapter's place; empty for anything else.

    Args:
        section: What stands there.
        path: Where.
        value: What was given.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    takes = issubclass(section, FromFile) and "weight" in section.model_fields
    return f". For a weight, write {path.removeprefix('hyperparameters.')}.weight {value:g}" if is_number and takes else ""
