"""What a prompt says to the text encoders, whatever it is written in: equal readings give equal embeddings, to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sdxl_lab.errors import LabError
from sdxl_lab.prompts import compel_marks
from sdxl_lab.prompts.marks import MARKS, Parts, plain

Fits = Callable[[Sequence[str]], bool]
"""Whether the tokens of some texts, one behind another, fit into one chunk of each tokenizer they go through."""


SURE_TO_FIT = 30
"""Bytes of a text that is never too long: a token stands for one at least, and no tokenizer takes fewer."""


class PromptError(LabError):
    """A prompt cannot be read as asked."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a prompt says.

    Attributes:
        parts: Texts and their weights, each part in chunks of its own. What compel reads is one text, as it was written.
        weighting: How weights are applied, `a1111` or `comfy`; None where nothing is weighed.
        goes_on: Whether what does not fit into one chunk goes on in others; else it is left out.
        compel: The version of compel that reads it; None where it needs none.
    """

    parts: Parts
    weighting: str | None = None
    goes_on: bool = False
    compel: str | None = None

    @property
    def text(self) -> str | None:
        """All of it where it is one text that the pipeline itself encodes; None elsewhere."""
        is_plain = len(self.parts) == 1 and not (self.weighting or self.goes_on or self.compel)
        return self.parts[0][0].text if is_plain else None


EMPTY = Reading(parts=plain(""))


@dataclass(frozen=True, kw_only=True)
class Words:
    """What both prompts of a picture say.

    Attributes:
        prompt: What to paint.
        negative_prompt: What to lead away from; None where there is none, which is not the empty text.
    """

    prompt: Reading
    negative_prompt: Reading | None


def parts_of(text: str, syntax: str) -> Parts:
    """What a prompt consists of, to be counted or shown.

    Args:
        text: The prompt.
        syntax: One of `prompt_syntax`. Of what compel reads, the weights are not known without it.
    """
    if syntax != "compel":
        return MARKS[syntax](text)
    return tuple(part for prompt in compel_marks.prompts_in(text) for part in plain(compel_marks.bare(prompt)))


@dataclass(frozen=True)
class Weighed:
    """Words of a prompt that have a weight of their own.

    Attributes:
        text: Without marks.
        weight: Never 1.
        left_out: How much of it is not read: ` (left out)`, ` (in part left out)`, or empty.
    """

    text: str
    weight: float
    left_out: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.weight:.3g}{self.left_out}"


def weights_of(text: str, syntax: str, unread: Mapping[int, str] = MappingProxyType({})) -> list[Weighed]:
    """What of a prompt has a weight of its own, and which; nothing of what compel reads, which are not known without it.

    Args:
        text: The prompt.
        syntax: One of `prompt_syntax`.
        unread: What is left out of it, as `cut.unread_of` has it.
    """
    found: dict[Weighed, None] = {}
    for index, part in enumerate(() if syntax == "compel" else parts_of(text, syntax)):
        whole, begun = _signs("".join(fragment.text for fragment in part)), 0
        limit = whole.rfind(_signs(unread[index])) if index in unread else -1
        for fragment in part:
            begin, begun = begun, begun + len(_signs(fragment.text))
            if fragment.weight != 1.0 and begun > begin:
                left_out = "" if limit < 0 or begun <= limit else " (left out)" if begin >= limit else " (in part left out)"
                found[Weighed(fragment.text.strip(), fragment.weight, left_out)] = None
    return list(found)


def _signs(text: str) -> str:
    """A text without its spaces, which a note does not keep."""
    return "".join(text.split())


def read(text: str, *, syntax: str, long_prompt: str, fits: Fits) -> Reading:
    """Read a prompt.

    Args:
        text: The prompt.
        syntax: One of `prompt_syntax`.
        long_prompt: `cut` or `chunks`.
        fits: Asked only with `chunks`.

    Raises:
        PromptError: compel is needed, and is not installed.
    """
    by_compel = syntax == "compel"
    parts = plain(text) if by_compel else MARKS[syntax](text)
    goes_on = long_prompt == "chunks" and not all(fits([fragment.text for fragment in part]) for part in parts)
    if by_compel and (goes_on or compel_marks.has_marks(text)):
        return Reading(parts=parts, goes_on=goes_on, compel=require_compel())
    is_weighed = any(fragment.weight != 1.0 for part in parts for fragment in part)
    return Reading(parts=parts, weighting=syntax if is_weighed else None, goes_on=goes_on)


def words(prompt: str, negative_prompt: str | None, *, syntax: str, long_prompt: str, fits: Fits) -> Words:
    """Read both prompts of a picture. The arguments are those of `read`."""

    def said(text: str) -> Reading:
        return read(text, syntax=syntax, long_prompt=long_prompt, fits=fits)

    return Words(prompt=said(prompt), negative_prompt=None if negative_prompt is None else said(negative_prompt))


def may_need_compel(text: str, *, syntax: str, long_prompt: str) -> bool:
    """Whether compel may give anything but what the text encoders give; of a text that may be too long for some tokenizer, too.

    Args:
        text: The prompt.
        syntax: One of `prompt_syntax`.
        long_prompt: `cut` or `chunks`.
    """
    return syntax == "compel" and (compel_marks.has_marks(text) or (long_prompt == "chunks" and len(text.encode("utf-8", "replace")) > SURE_TO_FIT))


def require_compel() -> str:
    """The version of compel that is installed.

    Raises:
        PromptError: None is.
    """
    if (version := compel_marks.installed()) is None:
        raise PromptError(f"{compel_marks.MISSING}.")
    return version
