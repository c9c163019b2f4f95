"""What looks like a mark in a prompt and is none in its syntax, and marks that spoil a picture."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice

from sdxl_lab.prompts import compel_marks
from sdxl_lab.prompts.marks import EMPHASIS, MARKS, NUMBER, unclosed

MOST = 2.0
"""Weights beyond it burn the picture, or what is weighed."""

LONGEST_QUOTE = 60

_FULL = "\uff08\uff1a\uff09"
_HALF_WIDTH = str.maketrans(_FULL, "(:)")

LIKELY = r"[+-]?(?:\d?\.\d+|[0-2])"
"""A number that is meant to be a weight, and no time of day or proportion."""

_WEIGHED = re.compile(rf"(?<!\\)\([^()]*:\s*{LIKELY}\s*\)")
_DOUBLED = re.compile(r"(?<!\\)\(\([^()]+\)\)")
_SQUARE = re.compile(r"(?<!\\)\[[^\[\]]+\]")
_BREAK = re.compile(r"\bBREAK\b")
_PLUS = re.compile(r"(?<=[^\s+()-])(?:\+\++|--+)(?=[\s,.)]|$)")
_BEHIND = re.compile(rf"(?<!\\)\([^()]+\)(?:[+-]+(?=[\s,.)]|$)|{LIKELY}(?=[\s,)]|$))|\.(?:and|add|blend)\([^()]*\)")
_NETWORK = re.compile(r"<(lora|lyco|hypernet):[^<>]+>", re.IGNORECASE)
MOST_NETWORKS = 10
_IN_TURN = r"\[[^\[\]|]*\|[^\[\]]*\]"
_EDITING = re.compile(rf"\[[^\[\]]*:\s*{NUMBER}\s*\]|{_IN_TURN}")
_CLEAR_EDITING = re.compile(rf"\[(?=[^\[\]]*[^\W\d_])[^\[\]:]*:[^\[\]:]*:\s*{NUMBER}\s*\]|{_IN_TURN}")
_WILDCARD = re.compile(r"\{[^{}|]*\|[^{}]*\}|(?<!\w)__[^\W_][\w/-]{0,60}__(?!\w)")
_AND = re.compile(r"\bAND\b")
_CLEAR_AND = re.compile(r"[^\W\dA-Z_][,.)\]]?\s{1,9}AND\s{1,9}(?!gate|[A-Z]{2})\S")
_NO_NUMBER = re.compile(r"(?<!\\)\([^()]*:\s*(\d+,\d+|\d+(?:\.\d+)?\s*%)\s*\)")
_FULL_WIDTH = re.compile(rf"[({_FULL[0]}][^(){_FULL[0]}{_FULL[2]}]*[:{_FULL[1]}]\s*{LIKELY}\s*[){_FULL[2]}]")
_OF_FILE = re.compile(r"\bembedding:([\w.-]*\w)")
_SWAP = re.compile(r"\.swap\([^()]*\)|\b(?:use|with)Lora\([^()]*\)")


@lru_cache(maxsize=10_000)
def cautions_of(name: str, text: str, syntax: str, networks: tuple[tuple[str, str], ...] = ()) -> tuple[str, ...]:
    """Say what of a prompt is not read as its writer may think.

    Args:
        name: Of the setting: `prompt` or `negative_prompt`.
        text: The prompt.
        syntax: One of `prompt_syntax`.
        networks: What is set already of all that `<lora:...>` may ask for: how it may be called there, and where and how it is set.

    Returns:
        A sentence each; for most prompts none.
    """
    return tuple(
        f"{name}: {line}."
        for line in (*_of_other_syntaxes(text, syntax), *_of_networks(text, dict(networks)), *_not_done(text, syntax), *_of_weights(text, syntax))
    )


def _of_other_syntaxes(text: str, syntax: str) -> Iterator[str]:
    is_text = f"is text: prompt_syntax is {syntax}; set it to"
    if syntax in ("plain", "compel") and (found := _WEIGHED.search(text) or (syntax == "plain" and _DOUBLED.search(text))):
        own = ", or write (word)1.3" if syntax == "compel" else ""
        yield f"“{_quoted(found[0])}” {is_text} a1111 or comfy if that is to be a weight{own}"
    if syntax in ("plain", "compel") and (found := _BREAK.search(text)):
        yield f"“BREAK” {is_text} a1111 or comfy if a new chunk is to begin there"
    if found := _full_width(text):
        yield f"“{_quoted(found)}” is text, since its brackets or colon are full-width; write {_quoted(found.translate(_HALF_WIDTH))}"
    if syntax == "compel" and (found := _DOUBLED.search(text)):
        yield f"“{_quoted(found[0])}” weighs nothing in compel's syntax; write word++ or (word)1.3"
    if syntax == "comfy" and (found := _SQUARE.search(text)) and not _EDITING.search(text):
        yield f"“{_quoted(found[0])}” is text: prompt_syntax is comfy, which has no square brackets; write (word:0.9)"
    if syntax != "compel" and (quoted := _of_compel(text)):
        yield f"“{_quoted(quoted)}” {is_text} compel if that is to be read by it"


def _full_width(text: str) -> str:
    """What would be a weight, were its brackets and colon those of marks."""
    return next((found[0] for found in islice(_FULL_WIDTH.finditer(text), 10) if found[0] != found[0].translate(_HALF_WIDTH)), "")


def _of_compel(text: str) -> str:
    """What compel would read in a prompt; a programming language is none of it."""
    if found := _BEHIND.search(text):
        return found[0]
    words = (text[: found.end()].split()[-1] for found in islice(_PLUS.finditer(text), 10))
    return next((word for word in words if word.casefold() != "c++"), "")


def _of_networks(text: str, known: Mapping[str, str]) -> Iterator[str]:
    """All marks by which the web UI asks for files, and what to do with each, in one line."""
    found = dict.fromkeys((match[0], match[1].lower()) for match in islice(_NETWORK.finditer(text), MOST_NETWORKS))
    if found:
        yield "; ".join(f"“{_quoted(mark)}” is text: {_instead_of(mark, kind, known)}" for mark, kind in found)


def _instead_of(mark: str, kind: str, known: Mapping[str, str]) -> str:
    if kind == "hypernet":
        return "hypernetworks are not there; leave it out"
    called = mark.split(":")[1].strip(" >").casefold()
    return f"{known[called]}: take it out" if called in known else _lora_asked_for(mark)


def _not_done(text: str, syntax: str) -> Iterator[str]:
    if found := _OF_FILE.search(text):
        yield f"“{_quoted(found[0])}” is text: an embedding is named under embeddings, and in a prompt stands its word alone"
    if found := (_EDITING if syntax in ("a1111", "comfy") else _CLEAR_EDITING).search(text):
        weight = f" that weighs {1 / EMPHASIS:.3g}" if syntax == "a1111" else ""
        yield f"“{_quoted(found[0])}” is no change of words between steps here, but text{weight}; write one of the words"
    if found := _WILDCARD.search(text):
        yield f"“{_quoted(found[0])}” is text: set wildcards to draw if words are to be drawn there"
    if (syntax == "a1111" and _AND.search(text)) or (syntax == "plain" and _CLEAR_AND.search(text)):
        near = "a comma, or BREAK, is" if syntax == "a1111" else "a comma is"
        yield f"“AND” is text: prompts are not composed here; {near} as near as it gets"
    if syntax == "compel" and (found := _SWAP.search(text)):
        yield f"“{_quoted(found[0])}” changes nothing here: of compel, weights, .blend() and .and() are read"


def _lora_asked_for(mark: str) -> str:
    """The settings that ask for what the web UI's mark asks for, which has the text encoders' weight first."""
    _, file, *rest = (part.strip() for part in mark.strip("<>").split(":"))
    name = re.sub(r"[^A-Za-z0-9]+", "-", file).strip("-")[:60] or "NAME"
    weights = [weight for part in rest[:2] if re.fullmatch(NUMBER, weight := part.removeprefix("te=").removeprefix("unet="))] or ["1"]
    asked = [f"loras.{name}.file {shlex.quote(f'{file}.safetensors')}", f"loras.{name}.weight {weights[-1]}"]
    asked += [f"loras.{name}.text_encoder_weight {weights[0]}"] if weights[0] != weights[-1] else []
    *first, last = asked
    return f"a LoRA is asked for by {', '.join(first)} and {last}"


def _of_weights(text: str, syntax: str) -> Iterator[str]:
    if syntax == "compel":
        if compel_marks.has_marks(text):
            yield "compel makes the pooled embedding from the text with its marks"
        return
    if syntax != "plain" and (found := _NO_NUMBER.search(text)):
        share = float(found[1].rstrip("% ")) / 100 if "%" in found[1] else float(found[1].replace(",", "."))
        yield f"“{_quoted(found[0])}” weighs 1.1 like any bracket, since {found[1]} is no number here; write {share:g}"
    if syntax == "a1111" and (opened := unclosed(text)):
        weighs = EMPHASIS if opened[0] == "(" else 1 / EMPHASIS
        yield f"“{_quoted(opened)}” is never closed, so that all behind the bracket weighs {weighs:.3g}; close it, or write \\{opened[0]}"
    heaviest = max((fragment for part in MARKS[syntax](text) for fragment in part), key=lambda fragment: abs(fragment.weight))
    if abs(heaviest.weight) > MOST:
        yield f"“{_quoted(heaviest.text)}” weighs {heaviest.weight:.3g}; beyond {MOST:g} pictures burn: choose weights from 0.5 to 1.5"
    elif negative := next((fragment for part in MARKS[syntax](text) for fragment in part if fragment.weight < 0), None):
        yield f"“{_quoted(negative.text)}” weighs {negative.weight:.3g}, and a weight below 0 does not take a word away; the other prompt does"


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_QUOTE else f"{line[: LONGEST_QUOTE - 1]}…"
