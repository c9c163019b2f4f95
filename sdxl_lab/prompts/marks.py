"""The marks that AUTOMATIC1111's web UI and ComfyUI read in a prompt: texts with weights, and breaks between them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise

EMPHASIS = 1.1
"""What a pair of brackets without a number weighs."""

DEEPEST = 100
"""Brackets within brackets that are read; what is deeper is text."""

Parts = tuple[tuple["Fragment", ...], ...]
"""What stands between breaks, each as texts with weights; at least one part, of at least one text."""


@dataclass(frozen=True)
class Fragment:
    """A piece of a prompt.

    Attributes:
        text: Without marks.
        weight: 1.0 as it stands.
    """

    text: str
    weight: float = 1.0


NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_BREAK = re.compile(r"\bBREAK\b")
_A1111 = re.compile(
    rf"\\(?P<literal>[()\[\]\\]?)|(?P<opened>[(\[])|:\s*(?P<weight>{NUMBER})\s*\)|(?P<closed>[)\]])|(?P<broken>\bBREAK\b)|[^\\()\[\]:B]+|.",
    re.DOTALL,
)
_COMFY = re.compile(r"\\[()]|.", re.DOTALL)


def plain(text: str) -> Parts:
    """Read a text that has no marks."""
    return ((Fragment(text),),)


def a1111(text: str) -> Parts:
    r"""Read the marks of AUTOMATIC1111's web UI.

    `(word:1.3)` multiplies the weight of what is in it by 1.3, `(word)` by 1.1 and `[word]` by 1/1.1, also within each other. An opened bracket
    that is never closed counts to the end; one that closes nothing is text. `\(`, `\)`, `\[`, `\]` and `\\` are text, a backslash before anything
    else is nothing. `BREAK` begins a new chunk.

    Args:
        text: The prompt.

    Returns:
        What stands between breaks.

    Examples:
        >>> a1111("a (red:1.3) star")
        ((Fragment(text='a ', weight=1.0), Fragment(text='red', weight=1.3), Fragment(text=' star', weight=1.0)),)
    """
    return _a1111(text)[0]


def unclosed(text: str) -> str:
    """What stands from the first bracket on that the web UI's marks open and never close.

    Args:
        text: The prompt.

    Returns:
        Bracket and words; empty where each bracket is closed, or none has words behind it.
    """
    return _a1111(text)[1]


@lru_cache(maxsize=1_000)
def _a1111(text: str) -> tuple[Parts, str]:
    said: list[tuple[str, list[float]] | None] = []  # None for a break
    opened: dict[str, list[tuple[int, int]]] = {"(": [], "[": []}  # where in what was said, and where in the text

    def weigh(start: int, factor: float) -> None:
        for piece in said[start:]:
            if piece:
                piece[1][0] *= factor

    for found in _A1111.finditer(text):
        literal, bracket, weight, closed = (found[name] for name in ("literal", "opened", "weight", "closed"))
        if bracket and len(opened[bracket]) < DEEPEST:
            opened[bracket].append((len(said), found.start()))
        elif weight and opened["("]:
            weigh(opened["("].pop()[0], float(weight))
        elif closed == ")" and opened["("]:
            weigh(opened["("].pop()[0], EMPHASIS)
        elif closed == "]" and opened["["]:
            weigh(opened["["].pop()[0], 1 / EMPHASIS)
        elif found["broken"]:
            said.append(None)
        else:
            said.append((found[0] if literal is None else literal, [1.0]))
    for bracket, factor in (("(", EMPHASIS), ("[", 1 / EMPHASIS)):
        for start, _ in opened[bracket]:
            weigh(start, factor)
    unclosed = [place for places in opened.values() for start, place in places if any(piece and piece[0].strip() for piece in said[start:])]
    return _parts(Fragment(piece[0], piece[1][0]) if piece else None for piece in said), text[min(unclosed) :] if unclosed else ""


def comfy(text: str) -> Parts:
    r"""Read the marks of ComfyUI.

    `(word:1.3)` weighs 1.3 whatever it stands in, `(word)` 1.1 times as much as what it stands in. Brackets that do not pair are text, as are square
    ones; `\(` and `\)` are text. `BREAK` begins a new chunk, as several of its nodes have it.

    Args:
        text: The prompt.

    Returns:
        What stands between breaks.

    Examples:
        >>> comfy("a ((red:1.3) star)")
        ((Fragment(text='a ', weight=1.0), Fragment(text='red', weight=1.3), Fragment(text=' star', weight=1.1)),)
    """
    said: list[Fragment | None] = []
    waiting: list[tuple[Sequence[str], float, int]] = [(_COMFY.findall(text), 1.0, 0)]  # innermost last, so that no text is nested too deeply
    while waiting:
        signs, weight, depth = waiting.pop()
        groups = list(_groups(signs)) if depth < DEEPEST else [signs]
        if len(groups) > 1 or (groups and depth < DEEPEST and _is_bracketed(groups[0])):
            waiting += [(*_opened(group, weight), depth + 1) if _is_bracketed(group) else (group, weight, DEEPEST) for group in reversed(groups)]
            continue
        words = _BREAK.split("".join(sign[-1] if sign[1:] else sign for sign in signs))
        for index, word in enumerate(words):
            said += [None] * (index > 0) + [Fragment(word, weight)]
    return _parts(said)


def _groups(signs: Sequence[str]) -> Iterator[Sequence[str]]:
    """What stands in brackets, with them, and what stands between."""
    level, start = 0, 0
    for index, sign in enumerate(signs):
        if sign == "(":
            if level == 0 and index > start:
                yield signs[start:index]
                start = index
            level += 1
        elif sign == ")":
            level -= 1
            if level == 0:
                yield signs[start : index + 1]
                start = index + 1
    if start < len(signs):
        yield signs[start:]


def _is_bracketed(signs: Sequence[str]) -> bool:
    return len(signs) > 1 and signs[0] == "(" and signs[-1] == ")"


def _opened(signs: Sequence[str], weight: float) -> tuple[Sequence[str], float]:
    """What stands in a pair of brackets, and what it weighs in a text of some weight."""
    inner = signs[1:-1]
    colon = next((index for index in reversed(range(len(inner))) if inner[index] == ":"), 0)
    if colon:
        try:
            stated = float("".join(inner[colon + 1 :]))
        except ValueError:
            stated = math.nan
        if math.isfinite(stated):
            return inner[:colon], stated
    return inner, weight * EMPHASIS


def _parts(said: Iterable[Fragment | None]) -> Parts:
    """Join what weighs the same, and part it at breaks, which take the spaces around them; after the last one an empty part is none."""
    parts: list[list[Fragment]] = [[]]
    for fragment in said:
        if fragment is None:
            parts.append([])
        elif fragment.text:
            parts[-1].append(fragment)
    for before, after in pairwise(parts):
        before[-1:] = [Fragment(each.text.rstrip(), each.weight) for each in before[-1:]]
        after[:1] = [Fragment(each.text.lstrip(), each.weight) for each in after[:1]]
    if len(parts) > 1 and not any(fragment.text for fragment in parts[-1]):
        parts.pop()
    joined = [[Fragment("".join(each.text for each in alike), weight) for weight, alike in groupby(part, lambda each: each.weight)] for part in parts]
    return tuple(tuple(each for each in part if each.text) or (Fragment(""),) for part in joined)


MARKS: dict[str, Callable[[str], Parts]] = {"plain": plain, "a1111": a1111, "comfy": comfy}
"""By `prompt_syntax`; compel reads its own."""
