"""Words of a prompt replaced by others, as AUTOMATIC1111's script Prompt S/R does, but whole words alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

# Letters of scripts that write spaces between words; an underscore parts words, as in tags.
_LETTER = r"[^\W_\u0e00-\u0eff\u1780-\u17ff\u2e80-\U0003ffff]"


def replaced(text: str, words: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Put words in place of others, all at the same time.

    A word, which may be several, is replaced wherever it stands by itself, capitals as they are: `red` in `a red, red-hot star`, not in `a covered
    star` or `a Red star`. Where two fit, the longer one counts, and what was put in is not read again: `red` and `blue` may be exchanged.

    Args:
        text: The prompt, marks and all.
        words: Word to what stands in its place.

    Returns:
        The prompt, and the words that stand nowhere in it.

    Examples:
        >>> replaced("a red star on a covered, red boat", {"red": "blue", "boat": "raft", "sea": "lake"})
        ('a blue star on a covered, blue raft', ('sea',))
    """
    found: set[str] = set()

    def put(match: re.Match[str]) -> str:
        found.add(match[0])
        return words[match[0]]

    new = _pattern(tuple(sorted(words, key=len, reverse=True))).sub(put, text) if words else text
    return new, tuple(word for word in words if word not in found)


@lru_cache(maxsize=256)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_by_itself, words)))


def _by_itself(word: str) -> str:
    before = rf"(?<!{_LETTER})" if re.match(_LETTER, word) else ""
    behind = rf"(?!{_LETTER})" if re.match(_LETTER, word[-1]) else ""
    return f"{before}{re.escape(word)}{behind}"
