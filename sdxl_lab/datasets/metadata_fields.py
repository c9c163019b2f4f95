"""The fields of a dataset's metadata.json, or columns of a .csv file: which are read, and which unknown ones were meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

from sdxl_lab.settings.sections import Denoising, Mask
from sdxl_lab.tasks import TASKS

WORDS = ("prompt", "negative_prompt", "seed")
"""What a sample says of one task."""

TOP_FIELDS = ("samples",)

CUTOFF = 0.87
"""How alike two long names are, by difflib's ratio: two slips in `negativ_promt` make 0.92."""

ALIKE_BY_CHANCE = ("ask", "task", "speed", "feed", "need")
"""Words that are one slip away from ours."""

ELSEWHERE = {
    "prompt": ("caption", "text", "positive", "positive_prompt", "instruction"),
    "negative_prompt": ("negative", "neg", "neg_prompt", "uncond", "uncond_prompt"),
    "seed": ("random_seed", "manual_seed", "noise_seed"),
    "image": ("image_path", "image_file", "file_name", "filename", "init_image", "input_image", "source_image"),
    "mask": ("mask_path", "mask_file", "mask_image", "mask_img", "segmentation_mask"),
}
"""What other tools and dataset formats call our fields."""

SETTINGS = {key: f"{name}.{key}" for name, section in (("denoising", Denoising), ("mask", Mask)) for key in section.model_fields}
"""Settings that are looked for at each level, by the last part of their dotted path; in a task, the sections too."""


def sample_fields() -> tuple[str, ...]:
    """The fields that are read of a sample."""
    return ("name", "image", "mask", *TASKS)


@dataclass(frozen=True)
class _Meaning:
    """What an unknown field may have been meant to be.

    Attributes:
        field: Its name.
        home: Where it is read, in words.
        is_said: Whether what it would say is said there: then a field like it is its author's own.
    """

    field: str
    home: str
    is_said: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        elsewhere = (f"{self.field}ing", *TASKS[self.field].elsewhere) if self.field in TASKS else ELSEWHERE.get(self.field, ())
        return (self.field, *elsewhere)


def misplaced(written: Mapping[str, Any], valid: tuple[str, ...], task: str = "") -> str | None:
    """Find a field that is passed over although it was meant to be read.

    Fields that resemble none of ours are their author's own, and so are those beside the field that they resemble.

    Args:
        written: An object of metadata.json.
        valid: The fields that are read there: `TOP_FIELDS`, `sample_fields()` or `WORDS`.
        task: Which one `WORDS` are of.

    Returns:
        What to say of the first such field; None if there is none.
    """
    settings = SETTINGS | _sections_of_tasks() if valid == WORDS else SETTINGS
    meanings = list(_meanings(written, valid, task))
    for key in (key for key in written if key not in valid):
        if path := settings.get(key):
            where = f"hyperparameters.{task}.{path}" if task else f"hyperparameters.{path}"
            return f"the field {key!r} is a setting, and not read from metadata.json: give it to the run, as {where}"
        found = next((meaning for meaning in meanings if any(_resemble(key, name) for name in meaning.names)), None)
        if found and not found.is_said:
            advice = " A field of your own needs a name less like it" if found.home in valid else ""
            return f"the field {key!r} is not read here. Did you mean {found.home}?{advice}"
    return None


def meant(field: str, written: Iterable[str]) -> str | None:
    """Find what was meant to be a field of ours that is not there.

    Args:
        field: Such as `prompt`.
        written: Names that are there.

    Returns:
        The first that is like the field, or what other tools call it; None if there is none.
    """
    return next((key for key in written if any(_resemble(key, name) for name in _Meaning(field, field).names)), None)


def _meanings(written: Mapping[str, Any], valid: tuple[str, ...], task: str) -> Iterator[_Meaning]:
    yield from (_Meaning(field, field, written.get(field) is not None) for field in valid)
    if valid == TOP_FIELDS:
        samples = _mappings(written.get("samples"))
        for field in sample_fields():
            yield _Meaning(field, f"{field} of each sample in samples", _all_say(field, samples))
        for word in WORDS:
            yield _Meaning(word, f"{word} of each sample in samples", _all_say(word, [words for sample in samples for words in _tasks(sample)]))
    elif valid == sample_fields():
        for word in WORDS:
            yield _Meaning(word, f"{word} in the sample's {' or '.join(TASKS)}", _all_say(word, _tasks(written)))
        for other in TASKS:
            for word in WORDS:
                yield _Meaning(f"{other}_{word}", f"{word} in the sample's {other}", _all_say(word, _mappings([written.get(other)])))
            yield from (_Meaning(f"{other}_{field}", field, written.get(field) is not None) for field in ("image", "mask"))
    else:
        yield from (_Meaning(f"{task}_{word}", word, written.get(word) is not None) for word in WORDS)
        yield from (_Meaning(field, f"{field} of the sample, beside its name") for field in ("image", "mask", *TASKS))


def _sections_of_tasks() -> dict[str, str]:
    return {key: key for task in TASKS.values() for key in task.takes.model_fields if key not in (*WORDS, "mask")}


def _tasks(sample: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return _mappings([sample.get(task) for task in TASKS])


def _mappings(values: Any) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []


def _all_say(field: str, objects: list[Mapping[str, Any]]) -> bool:
    return bool(objects) and all(found.get(field) is not None for found in objects)


@lru_cache(maxsize=4096)
def _resemble(key: str, name: str) -> bool:
    """Whether a key is a name but for case, separators and slips of the hand."""
    if key.casefold() in ALIKE_BY_CHANCE:
        return False
    one, other = _folded(key), _folded(name)
    return one == other or _is_one_slip(one, other) or SequenceMatcher(None, one, other).ratio() >= CUTOFF


def _is_one_slip(one: str, other: str) -> bool:
    """Whether one character is missing, added or another, or two neighbors are exchanged."""
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return max(len(one), len(other)) <= 1 or (len(one) == 2 and one == other[::-1])


def _folded(key: str) -> str:
    return "".join(filter(str.isalnum, key.casefold()))
