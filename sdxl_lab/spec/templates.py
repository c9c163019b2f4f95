"""Prompts before words of them were replaced or drawn: what is kept of them, and what of them cannot be done as asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from sdxl_lab.prompts.variants import Variation
from sdxl_lab.prompts.wildcards import WildcardError
from sdxl_lab.settings.sections import Settings, Text
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.task_names import TaskName
from sdxl_lab.wording import printable

LONGEST_QUOTE = 200
"""Characters of a prompt that an error quotes."""


class Template(Settings):
    """What the prompts of a sample and task were before words of them were replaced or drawn.

    Attributes:
        sample: The sample's name.
        task: One of `sdxl_lab.tasks.TASKS`.
        prompt: As it was given; None where that is what the pictures were made of. Likewise `negative_prompt`.
    """

    sample: Text
    task: TaskName
    prompt: Text | None = None
    negative_prompt: Text | None = None

    @classmethod
    def of(cls, edits: Iterable[Edit], given: Mapping[str, str | None]) -> tuple[Self, ...]:
        """Keep what became another prompt.

        Args:
            edits: The pictures of one sample and task.
            given: `prompt` and `negative_prompt` as they were given.

        Returns:
            One, or none.
        """
        listed = tuple(edits)
        changed = {name: text for name, text in given.items() if any(getattr(edit, name) != text for edit in listed)}
        return (cls(sample=listed[0].sample, task=listed[0].task, **changed),) if changed else ()

    def is_of(self, edit: Edit) -> bool:
        """Whether it became a picture's prompts."""
        return (self.sample, self.task) == (edit.sample, edit.task)

    @property
    def given(self) -> dict[str, str]:
        """The prompts that became others, by `prompt` and `negative_prompt`."""
        return {name: text for name, text in (("prompt", self.prompt), ("negative_prompt", self.negative_prompt)) if text is not None}


def problems_of(varied: Variation, given: Mapping[str, Any]) -> Iterator[str]:
    """Say what of prompts that are given for all samples cannot be varied as asked; of a dataset's own, resolving says it.

    Args:
        varied: What is to be done to them.
        given: Prompts by name; those that are absent are the dataset's.
    """
    texts = {name: given.get(name) for name in ("prompt", "negative_prompt")}
    yield from (nothing_replaced(name, word, text) for name, word in varied.unreplaced(texts) if (text := texts[name]) is not None)
    try:
        varied.check(texts)
    except WildcardError as error:
        yield f"hyperparameters.wildcards: {error}"


def nothing_replaced(name: str, word: str, text: str | None, whose: str = "") -> str:
    """Say that a word is to be replaced and is not there, and what to do.

    Args:
        name: `prompt` or `negative_prompt`.
        word: It.
        text: The prompt; None where there is none.
        whose: The samples that have it; empty for one that is given for all.
    """
    path, of = f"hyperparameters.{name}_replace", f" of {whose}" if whose else ""
    advice = ", or name in samples and tasks those that have it" if whose else ""
    if text is None:
        return f"{path}: got {word!r}, and there is no {name}{of}; give one, or leave the word out{advice}"
    other = next((found for found in re.findall(re.escape(word), text, re.IGNORECASE) if found != word), None)
    why = " (there it is part of another)" if word in text else f" (there is {other!r})" if other else ""
    shown = text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 1]}…"
    return f"{path}: got {word!r}, which is no word of the {name}{of}, “{printable(shown)}”{why}; write a word that stands in it{advice}"
