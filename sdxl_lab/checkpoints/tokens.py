"""How much of a prompt is read: text encoders take so many tokens, and the pipelines drop the rest without a word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sdxl_lab.adapters.embeddings import taught, written_out
from sdxl_lab.checkpoints.configurations import read_json
from sdxl_lab.checkpoints.locating import configuration, locate
from sdxl_lab.prompts.cut import note_of
from sdxl_lab.prompts.reading import Fits, parts_of
from sdxl_lab.spec.identities import CheckpointIdentity

MARKS = 2
"""Tokens of the beginning and the end."""
CLIP_TOKENS = 77
"""What every CLIP tokenizer of the hub reads."""
FEWEST_TOKENS = 32
"""What the pocket checkpoint's reads."""
TOO_LONG = "sequence-length-is-longer-than-the-specified-maximum"


@dataclass(frozen=True, kw_only=True)
class Count:
    """How long a text is for a tokenizer.

    Attributes:
        tokens: With the marks of its beginning and end.
        limit: How many are read.
        unread: What comes after those, as it was written; empty if all is read.
    """

    tokens: int
    limit: int
    unread: str


def tokenizers(identity: CheckpointIdentity) -> tuple[Path, ...]:
    """Find the tokenizers that a checkpoint's prompts go through; the refiner shares what they make of them.

    Args:
        identity: What `identify` made of its name.

    Returns:
        Their folders.

    Raises:
        CheckpointError: Its configuration is not there.
    """
    source = locate(identity.name, identity.revision)
    base = configuration(source.base, source.family)
    return tuple(folder for name in ("tokenizer", "tokenizer_2") if (folder := base / name).is_dir())


def may_be_cut(text: str | None, *, limit: int) -> bool:
    """Whether a text is long enough to be cut by a tokenizer that reads so many tokens, of which each stands for at least one byte."""
    return len((text or "").lower().encode("utf-8", "replace")) + MARKS > limit


@lru_cache(maxsize=10_000)
def count(text: str, tokenizer: Path, learned: tuple[str, ...] = ()) -> Count | None:
    """Count the tokens of a text, if it may have more than are read.

    Args:
        text: A prompt.
        tokenizer: Folder of a CLIP tokenizer in diffusers' layout.
        learned: Tokens of embeddings that it knows besides.

    Returns:
        The count; None for a text too short to be worth it. A token stands for at least one byte.
    """
    limit = _limit(tokenizer)
    text = written_out(text, learned)
    if not may_be_cut(text, limit=limit):
        return None
    encoded = _taught(tokenizer, learned)(text, truncation=False, return_offsets_mapping=True)
    tokens, offsets = len(encoded["input_ids"]), encoded["offset_mapping"]
    return Count(tokens=tokens, limit=limit, unread=text[offsets[limit - 1][0] :] if tokens > limit else "")


def fits_in(tokenizers: Callable[[], Sequence[Path]], learned: tuple[str, ...] = ()) -> Fits:
    """See whether texts fit into a chunk of each of some tokenizers.

    Args:
        tokenizers: Finds their folders, once a text is long enough to ask.
        learned: Tokens of embeddings that they know besides.
    """

    def fits(texts: Sequence[str]) -> bool:
        is_short = not may_be_cut(written_out("".join(texts), learned), limit=FEWEST_TOKENS)
        return is_short or all(_length(tuple(texts), folder, learned) + MARKS <= _limit(folder) for folder in tokenizers())

    return fits


def notes(
    words: dict[str, str | None], tokenizers: Sequence[Path], learned: tuple[str, ...] = (), *, syntax: str = "plain", long_prompt: str = "cut"
) -> list[str]:
    """Say which words no encoder, or not every encoder, reads. Marks are no words.

    Args:
        words: Name of a setting, such as `negative_prompt`, to its text.
        tokenizers: Folders of the tokenizers that each text goes through.
        learned: Tokens of embeddings that they know besides.
        syntax: One of `prompt_syntax`.
        long_prompt: `cut`; with `chunks` nothing is left out.

    Returns:
        One line for each text that is cut, and for each part of one between breaks.
    """
    found: list[str] = []
    read = {name: parts_of(text, syntax) for name, text in words.items() if text and long_prompt == "cut"}
    parts = [(f"part {place} of {name}" if len(of) > 1 else name, part) for name, of in read.items() for place, part in enumerate(of, 1)]
    for name, part in parts:
        text = "".join(fragment.text for fragment in part)
        counts = [counted for folder in tokenizers if text and (counted := count(text, folder, learned)) and counted.unread]
        if counts:
            worst = min(counts, key=lambda counted: counted.limit)
            found.append(note_of(name, tokens=worst.tokens - MARKS, read=worst.limit - MARKS, unread=worst.unread))
    return found


@lru_cache(maxsize=10_000)
def _length(texts: tuple[str, ...], tokenizer: Path, learned: tuple[str, ...]) -> int:
    """Tokens of texts, one behind another, without those of beginning and end."""
    read = _taught(tokenizer, learned)
    return sum(len(read(written_out(text, learned), add_special_tokens=False, truncation=False).input_ids) for text in texts)


def _taught(tokenizer: Path, learned: tuple[str, ...]) -> Any:
    return taught(loaded(tokenizer), learned) if learned else loaded(tokenizer)


@lru_cache(maxsize=8)
def _limit(tokenizer: Path) -> int:
    return int(read_json(tokenizer / "tokenizer_config.json")["model_max_length"])


@lru_cache(maxsize=8)
def loaded(tokenizer: Path) -> Any:
    """A tokenizer in this process, the same each time. Do not change it.

    Args:
        tokenizer: Its folder.
    """
    from transformers import CLIPTokenizer

    read = CLIPTokenizer.from_pretrained(tokenizer)
    read.deprecation_warnings[TOO_LONG] = True  # its own warning, which it then takes for given
    return read
