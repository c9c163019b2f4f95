"""Numbers of things, in words that fit."""

from __future__ import annotations


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
