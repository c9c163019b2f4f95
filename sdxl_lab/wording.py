"""Numbers and lists of things, in words that fit; and words of unknown origin, made fit for a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

UNSEEN = r"\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""For a pattern: control characters but the line break, other line breaks, and what turns the direction of writing."""

WEIGHTS = ".safetensors"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Say how many there are.

    Args:
        number: How many.
        one: What one of them is called, perhaps with more words: `picture`, `picture has`.
        many: What several are called; `one` with an s if left out.

    Returns:
        Such as `1 picture`, `0 pictures`, `2 pictures have`.
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def few(words: Sequence[str], most: int = 50, *, between: str = ", ") -> str:
    """List words for a message.

    Args:
        words: Such as names.
        most: How many of them are listed.
        between: What parts them; semicolons where they may have commas in them.

    Returns:
        They, with commas between; of more the first, and how many more there are.
    """
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return between.join(words[:most]) + more


def printable(text: str) -> str:
    """Make a text of unknown origin fit for a terminal.

    Args:
        text: Any text.

    Returns:
        It, with a question mark in place of each character that moves the cursor or turns the writing; line breaks stay.
    """
    return re.sub(f"[{UNSEEN}]", "?", text)


def stems(texts: Sequence[str]) -> list[str]:
    """Call files of weights by their names alone, without folder and ending.

    Args:
        texts: Paths or addresses of .safetensors files, and other texts, which stay.

    Returns:
        One for each; the texts themselves where two that differ would be called the same.
    """
    called = [text.rpartition("/")[2][: -len(WEIGHTS)] or text if text.lower().endswith(WEIGHTS) else text for text in texts]
    return called if len(set(called)) == len(set(texts)) else list(texts)
