"""Words that stand in place of others in a prompt, as people write them and as dotted paths hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sdxl_lab.settings.hyperparams import HyperparameterError, flatten, replace

REPLACEMENTS = "a dictionary of words and what stands in their place, such as {red: blue}, each a text, or None to leave a word as it is"


def checked(given: Any) -> dict[str, Any]:
    """Take words and what stands in their place.

    Dots in a word part it like the keys of a dotted path, so that a word is a path among the settings and an axis of a sweep.

    Args:
        given: Word to text, or to None, which says nothing.

    Returns:
        The same, nested at the dots; `words_in` reads it.

    Raises:
        ValueError: It is no such dictionary. The message says what to do.
    """
    if not isinstance(given, Mapping):
        raise ValueError("write the word, and what is to stand there instead")
    nested: dict[str, Any] = {}
    for word, text in _leaves(given):
        if not isinstance(text, str | None):
            advice = "several are for the grid of a sweep" if isinstance(text, list) else "put quotes around a text"
            raise ValueError(f"{word!r} has {text!r} in its place: {advice}")
        if not word.strip():
            raise ValueError("an empty word stands nowhere in a prompt: write the word that is to be replaced")
        try:
            nested = replace(nested, word, text)
        except HyperparameterError:
            raise ValueError(f"{word!r} begins or ends with a dot, has two in a row, or goes on behind another word: take a longer one") from None
    return nested


def words_in(nested: Mapping[str, Any]) -> dict[str, str]:
    """Read what `checked` gives.

    Args:
        nested: Perhaps several of these, one laid over another.

    Returns:
        Word to what stands in its place, without those that are left as they are.
    """
    return {word: text for word, text in flatten(nested).items() if isinstance(text, str)}


def _leaves(nested: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in nested.items():
        if not isinstance(key, str):
            raise ValueError(f"got the word {key!r}, which is no text: put quotes around it")
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
