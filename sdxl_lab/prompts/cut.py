"""What is said of a prompt that is too long, and what can be told from that: records keep these sentences, and no tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST_QUOTE = 200
"""Characters of what is not read that a note quotes."""

_CUT = "..."
_NOTE = re.compile(r"(?:part (?P<part>\d+) of )?(?P<name>\w+) has \d+ tokens and \d+ are read: “(?P<unread>.*)” is left out; ")


def note_of(name: str, *, tokens: int, read: int, unread: str) -> str:
    """Say of a prompt what of it is not read.

    Args:
        name: Of the setting, with the part of it if it has several: `prompt`, `part 2 of negative_prompt`.
        tokens: How many it has, without beginning and end; likewise `read`.
        read: How many of them are read.
        unread: What comes after those.
    """
    line = " ".join(unread.split())
    quoted = line if len(line) <= LONGEST_QUOTE else f"{line[: LONGEST_QUOTE - len(_CUT)]}{_CUT}"
    return f"{name} has {tokens} tokens and {read} are read: “{quoted}” is left out; shorten it, or set long_prompt to chunks"


def unread_of(name: str, notes: Iterable[str]) -> dict[int, str]:
    """What of a prompt is not read, as the notes of its picture quote it.

    Args:
        name: `prompt` or `negative_prompt`.
        notes: What was said of its picture.

    Returns:
        By the place of a part between breaks, from 0: the beginning of what is left out of it, with one space between words.
    """
    found = [said for note in notes if (said := _NOTE.match(note)) and said["name"] == name]
    return {int(said["part"] or 1) - 1: _quote(said["unread"]) for said in found}


def _quote(unread: str) -> str:
    return unread.removesuffix(_CUT) if len(unread) == LONGEST_QUOTE else unread
