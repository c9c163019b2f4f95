"""Values of settings in the labels of a sweep's points: short, and never so short that two points look alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sdxl_lab.files.addresses import is_address, name_in
from sdxl_lab.tables import GAP, apart
from sdxl_lab.wording import stems

LONGEST = 24
"""Characters of a value, unless more are needed to tell it from another."""


def told_apart(values: Sequence[Any]) -> dict[str, str]:
    """Shorten the values that a sweep gives to one setting.

    Args:
        values: Plain ones, nested perhaps; some may come twice.

    Returns:
        The `whole` text of each, and the short one that stands for it and for no other: of a file or an address the file's name, if that does.
    """
    texts = [whole(value) for value in values]
    called = stems([(is_address(text) and name_in(text)) or text for text in texts])
    if len(set(called)) < len(set(texts)):
        called = texts
    return {text: cut.replace("\n", "") for text, cut in zip(texts, apart(called, LONGEST), strict=True)}


def short(value: Any) -> str:
    """A value by itself, cut where it is long."""
    text = whole(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - len(GAP)]}{GAP}"


def whole(value: Any) -> str:
    """A value as a text: `none`, `0.5`, `a+b`, `mask.kernel_size=9`."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "+".join(f"{path}={whole(leaf)}" for path, leaf in leaves(value))
    if isinstance(value, list):
        return "+".join(map(whole, value))
    return str(value)


def leaves(nested: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths of a nested dictionary, and what is there; an empty dictionary is a leaf."""
    for key, value in nested.items():
        path = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value
