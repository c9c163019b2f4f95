"""The words of CLIP's tokenizers, which follow from the merges of their byte-pair encoding (arXiv:1508.07909, arXiv:2103.00020)."""

from __future__ import annotations

import json

from sdxl_lab.families import CONFIGURATIONS

MERGES = CONFIGURATIONS / "clip" / "merges.txt"
"""One a line, the most frequent first, below a line of its version."""

END = "</w>"
"""What the last part of a word ends with."""

MARKS = ("<|startoftext|>", "<|endoftext|>")


def files() -> dict[str, bytes]:
    """What lies in the folder of a CLIP tokenizer beside its configuration, by name and byte for byte as the hub's repositories have it."""
    merges = MERGES.read_text("utf-8")
    words = vocabulary(merges.splitlines()[1:])
    text = json.dumps(dict(sorted(words.items())), ensure_ascii=False, indent=2)
    return {"merges.txt": merges.encode(), "vocab.json": f"{text}\n".encode()}


def vocabulary(merges: list[str]) -> dict[str, int]:
    """Number the words of a byte-pair encoding as CLIP does: every byte, every byte that ends a word, each pair that is merged, and the marks.

    Args:
        merges: Two parts each, with a space between them.
    """
    symbols = _symbols()
    words = [*symbols, *(f"{symbol}{END}" for symbol in symbols), *("".join(merge.split()) for merge in merges), *MARKS]
    return {word: number for number, word in enumerate(words)}


def _symbols() -> list[str]:
    """A character for each byte: itself where it can be seen, else one beyond all bytes, as GPT-2's encoder has them."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [*map(chr, seen), *(chr(0x100 + number) for number in range(0x100 - len(seen)))]
