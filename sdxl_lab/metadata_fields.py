"""The fields of a dataset's metadata.json: which are read, and which unknown ones were meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

TASKS = ("inpaint", "outpaint")
WORDS = ("prompt", "negative_prompt", "seed")
"""What a sample says of one task."""

TOP_FIELDS = ("samples",)
SAMPLE_FIELDS = ("name", "image", "mask", *TASKS)

CUTOFF = 0.8
"""How alike a misspelling is to what was meant, by difflib's ratio: 0.89 for `seeds`, 0.75 for `game` and `name`."""

ALIKE_BY_CHANCE = ("ask", "speed")
"""Words that look like ours and are none."""

ELSEWHERE = {
    "prompt": ("caption", "text", "positive", "positive_prompt", "instruction"),
    "negative_prompt": ("negative", "neg", "neg_prompt", "uncond", "uncond_prompt"),
    "seed": ("random_seed", "manual_seed", "noise_seed"),
    "image": ("image_path", "image_file", "file_name", "filename", "init_image", "input_image", "source_image"),
    "mask": ("mask_path", "mask_file", "mask_image", "mask_img", "segmentation_mask"),
    "inpaint": ("inpainting",),
    "outpaint": ("outpainting",),
}
"""What other tools and dataset formats call our fields."""


def misplaced(written: Mapping[str, Any], valid: tuple[str, ...]) -> str | None:
    """Find a field that is passed over although it was meant to be read.

    Fields that resemble none of ours are their author's own, and so are other tools' names beside ours for the same.

    Args:
        written: An object of metadata.json.
        valid: The fields that are read there: `TOP_FIELDS`, `SAMPLE_FIELDS` or `WORDS`.

    Returns:
        What to say of the first such field; None if there is none.
    """
    unknown = [key for key in written if key not in valid]
    for key in unknown:
        meant = _misspelled(key, valid) or _named_elsewhere(key, written, valid)
        if meant:
            return f"the field {key!r} is not read here. Did you mean {meant}? A field of your own needs a name less like it"
        if home := _home(key, written, valid):
            return f"the field {key!r} is not read here. Did you mean {home}?"
    return None


def _misspelled(key: str, valid: Iterable[str]) -> str | None:
    if key.casefold() in ALIKE_BY_CHANCE or any(_folded(key) == _folded(other) for others in ELSEWHERE.values() for other in others):
        return None
    by_folded = {_folded(other): other for other in valid}
    matches = get_close_matches(_folded(key), by_folded, n=1, cutoff=CUTOFF)
    return by_folded[matches[0]] if matches else None


def _named_elsewhere(key: str, written: Mapping[str, Any], valid: Iterable[str]) -> str | None:
    found = (field for field in valid if field not in written for other in ELSEWHERE.get(field, ()) if _folded(key) == _folded(other))
    return next(found, None)


def _home(key: str, written: Mapping[str, Any], valid: tuple[str, ...]) -> str | None:
    """Where a field is read that stands on another level; None where what it says is said in its place too."""
    word = next((word for word in WORDS if _folded(key) in map(_folded, (word, *ELSEWHERE[word]))), None)
    if valid == SAMPLE_FIELDS and word and not _is_said(word, written):
        return f"{word} in the sample's inpaint or outpaint"
    if valid == WORDS and key in ("image", "mask", *TASKS):
        return f"{key} of the sample, beside its name"
    if valid == TOP_FIELDS and key in (*WORDS, *TASKS):
        return f"{key} of each sample in samples"
    return None


def _is_said(word: str, written: Mapping[str, Any]) -> bool:
    tasks = [written[task] for task in TASKS if isinstance(written.get(task), Mapping)]
    return bool(tasks) and all(task.get(word) is not None for task in tasks)


def _folded(key: str) -> str:
    return key.casefold().replace("_", "").replace("-", "").replace(" ", "")
