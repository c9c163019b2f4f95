"""Texts in columns, as wide as a terminal: what has no room is shortened so that it can still be told apart, or goes on in the next line."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import groupby, zip_longest
from typing import TypeAlias

from sdxl_lab.wording import printable

Column: TypeAlias = tuple[str, Sequence[str]]
"""A heading and the cells below it, each of one or more lines."""

GAP = "..."
BETWEEN = 2
"""Spaces between columns."""


def apart(texts: Sequence[str], longest: int) -> list[str]:
    """Shorten texts so that those that differ do not look alike.

    Args:
        texts: Names, or values of a setting.
        longest: Most characters of a line.

    Returns:
        Their beginnings if these tell them apart; else the words that not all of them have; else all of each, in several lines, which end
        after a space where they can, and within a word that has no room after `-` or `_`.
    """
    whole = [printable(" ".join(text.split())) for text in texts]
    for candidates in (whole, _differing_parts(whole)):
        cut = [text if len(text) <= longest else text[: longest - len(GAP)].rstrip(".") + GAP for text in candidates]
        if len(set(cut)) == len(set(whole)):
            return cut
    return ["\n".join(_lines(text, longest)) for text in whole]


def width_of(column: Column) -> int:
    """How much room a column takes, with the space after it."""
    name, cells = column
    return max(_cells(line) for text in (name, *cells) for line in text.split("\n")) + BETWEEN


def laid_out(columns: Sequence[Column], *, left: int) -> list[str]:
    """Lay columns beside each other.

    Args:
        columns: All with as many cells.
        left: How many columns, from the left, stand flush left; the others are numbers, flush right, unless they have no heading.

    Returns:
        The headings, then each row; each of one or more lines, without spaces at their ends. Headings end in one line, rows begin in one.
    """
    widths = [width_of(column) - BETWEEN for column in columns]
    is_left = [index < left or not name for index, (name, _) in enumerate(columns)]
    head = [name.split("\n") for name, _ in columns]
    highest = max(map(len, head), default=0)
    rows = [[[""] * (highest - len(lines)) + lines for lines in head]]
    rows += [[cell.split("\n") for cell in cells] for cells in zip(*(cells for _, cells in columns), strict=True)]
    return ["\n".join(_line(texts, widths, is_left) for texts in zip_longest(*row, fillvalue="")) for row in rows]


def wrapped(sentence: str, width: int) -> str:
    """A sentence in lines that fit, broken between words alone, so that paths and names stay whole; lines but the first are indented."""
    return textwrap.fill(printable(sentence), width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)


def _lines(text: str, longest: int) -> list[str]:
    """Part a text, so that its lines in a row are the text again."""
    lines = [""]
    for word in re.findall(r"[^ ]+ *| +", text):
        parts = [word] if len(word) <= longest else re.findall(r"[^-_ ]+[-_ ]*|[-_ ]+", word)
        for part in parts:
            if len(lines[-1] + part) > longest and lines[-1]:
                lines.append("")
            whole = lines.pop() + part
            lines += [whole[start : start + longest] for start in range(0, len(whole), longest)]
    return lines


def _line(texts: Sequence[str], widths: Sequence[int], is_left: Sequence[bool]) -> str:
    padded = [_padded(text, width, is_left=at_left) for text, width, at_left in zip(texts, widths, is_left, strict=True)]
    return (" " * BETWEEN).join(padded).rstrip()


def _padded(text: str, width: int, *, is_left: bool) -> str:
    room = " " * (width - _cells(text))
    return text + room if is_left else room + text


def _cells(text: str) -> int:
    """How many columns of a terminal a text takes: a Chinese letter takes two."""
    from rich.cells import cell_len

    return cell_len(text)


def _differing_parts(texts: Sequence[str]) -> list[str]:
    """Texts with a gap for all words that every one of them has."""
    split = [re.findall(r"[^-_ ]+[-_ ]*|[-_ ]+", text) for text in texts]
    common = set.intersection(*map(set, split)) if split else set()
    return ["".join(GAP if is_common else "".join(words) for is_common, words in groupby(parts, common.__contains__)) for parts in split]
