"""How a prompt becomes another one before it is read: words are replaced, then words are drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdxl_lab.prompts import wildcards
from sdxl_lab.prompts.replacing import replaced
from sdxl_lab.prompts.wildcards import LinesOf, Place, WildcardError


def no_lists(name: str) -> tuple[str, ...]:
    """Refuse a list, where nobody said where lists are.

    Raises:
        WildcardError: Always.
    """
    raise WildcardError(f"got “__{name}__”; there are no lists here, write the words, as {{red|blue}}")


@dataclass(frozen=True, kw_only=True)
class Variation:
    """What is done to the prompts of one task.

    Attributes:
        words: By `prompt` and `negative_prompt`: word to what stands in its place.
        draws: Whether words are drawn.
    """

    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    draws: bool = False

    def unreplaced(self, texts: Mapping[str, str | None]) -> list[tuple[str, str]]:
        """The words that are to be replaced and stand nowhere.

        Args:
            texts: `prompt` and `negative_prompt`, None where there is none.

        Returns:
            The name of the prompt, and the word.
        """
        return [(name, word) for name, words in self.words.items() for word in replaced(texts[name] or "", words)[1]]

    def check(self, texts: Mapping[str, str | None]) -> None:
        """See whether words can be drawn, as far as that shows without lists.

        Args:
            texts: As for `unreplaced`.

        Raises:
            WildcardError: They cannot.
        """
        for name, text in texts.items():
            if self.draws and text:
                wildcards.check(self._replaced(name, text))

    def of(self, texts: Mapping[str, str | None], *, sample: str, seed: int, lines_of: LinesOf = no_lists) -> dict[str, Any]:
        """The prompts of one picture.

        Args:
            texts: As for `unreplaced`.
            sample: The sample's name.
            seed: Of the picture.
            lines_of: Of a list.

        Returns:
            The same names. What is drawn depends on sample, seed, and the place in a prompt, alone: neither on other words, nor on machine or Python.

        Raises:
            WildcardError: Words cannot be drawn.
        """
        return {name: text and self._of(name, text, sample=sample, seed=seed, lines_of=lines_of) for name, text in texts.items()}

    def _of(self, name: str, text: str, *, sample: str, seed: int, lines_of: LinesOf) -> str:
        def draw(place: Place) -> int:
            # A hash, since the generators of Python's library may give other numbers in another version.
            named = json.dumps(["sdxl_lab wildcards", sample, seed, name, *place])
            return int.from_bytes(hashlib.sha256(named.encode()).digest()[:8], "big")

        text = self._replaced(name, text)
        return wildcards.drawn(text, draw, lines_of) if self.draws else text

    def _replaced(self, name: str, text: str) -> str:
        return replaced(text, self.words.get(name, {}))[0]
