"""What the file of a LoRA says of itself, which trainers write or leave out, and which changes no picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from sdxl_lab.wording import printable

TRIGGER = "modelspec.trigger_phrase"
TITLES = ("modelspec.title", "ss_output_name")
"""As Stability AI's ModelSpec names them (github.com/Stability-AI/ModelSpec), and kohya's scripts."""

LONGEST = 120


@dataclass(frozen=True, kw_only=True)
class Said:
    """What is taken of it.

    Attributes:
        trigger: Words that it was trained with, None if it says none.
        titles: What it is called.
    """

    trigger: str | None = None
    titles: tuple[str, ...] = ()

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Self:
        """That of a file's metadata, which may be anybody's."""
        titles = (_line(metadata.get(key)) for key in TITLES)
        return cls(trigger=_line(metadata.get(TRIGGER)), titles=tuple(title for title in titles if title))


def _line(text: str | None) -> str | None:
    line = " ".join(printable(text or "").split())
    return (line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…") or None
