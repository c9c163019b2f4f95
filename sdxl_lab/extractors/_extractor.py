"""What an extractor is: pictures to rows of numbers, by a network that is loaded with the first of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from sdxl_lab import progress
from sdxl_lab.errors import LabError
from sdxl_lab.images.pictures import rgb
from sdxl_lab.process.imports import importing
from sdxl_lab.process.quiet import quiet_libraries

BATCH = 16
"""Pictures that a network sees at once."""


class ExtractorError(LabError):
    """An extractor isn't there, isn't what it should be, or gives what can't be used."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which extractor somebody asks for; as `open_extractor` takes it."""

    name: str
    model: str
    fetch: bool = False
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of extractor, as a row of `EXTRACTORS`.

    Attributes:
        sentence: What its features are, and by whom.
        open: Finds the files, and says what they are.
        model: What is taken unless another is named; None where one has to be.
        advice: What to do where none is named.
        classifies: Whether it also says of which class a picture is, which the Inception Score asks for.
    """

    sentence: str
    open: Callable[[Asked], Extractor]
    model: str | None = None
    advice: str = ""
    classifies: bool = False


class Extractor(ABC):
    """One network with its weights, and how a picture is brought to it.

    Args:
        name: Of its kind, one of `EXTRACTORS`.
        model: Where its weights come from, as people write it; no part of what it is.

    Attributes:
        version: Of how the lab uses it; another one gives other features.
    """

    version: ClassVar[int] = 1

    def __init__(self, name: str, model: str) -> None:
        self.name = name
        self.model = model

    @property
    @abstractmethod
    def weights(self) -> str:
        """SHA-256 of its weights and of what says how they are put together."""

    @abstractmethod
    def preprocessing(self) -> dict[str, Any]:
        """What is done to an RGB picture before the network sees it, as JSON."""

    @abstractmethod
    def load(self) -> Any:
        """Read the network; torch may be imported for that.

        Raises:
            ExtractorError: It can't be read, or weights are missing.
        """

    @abstractmethod
    def embed(self, images: list[Image.Image]) -> np.ndarray:
        """The features of a few RGB pictures of one size: shape (n, d)."""

    def classify(self, images: list[Image.Image]) -> np.ndarray:
        """The probabilities of the classes for a few RGB pictures of one size: shape (n, classes)."""
        raise ExtractorError(f"{self.name} knows no classes")

    def identity(self) -> dict[str, Any]:
        """What it is by content: whatever gives the same features has the same. JSON; torch is not imported."""
        return {"extractor": self.name, "version": self.version, "weights": self.weights, "preprocessing": self.preprocessing()}

    @property
    def label(self) -> str:
        """What a column or a line calls it: its name, and of weights that somebody chose the first digits of their digest."""
        return f"{self.name} {self.weights[:8]}"

    @cached_property
    def network(self) -> Any:
        """What `load` gives, once."""
        quiet_libraries()
        progress.tell(f"loading {self.name}")
        with importing:
            return self.load()

    def features(self, images: Iterable[Image.Image]) -> np.ndarray:
        """Look at pictures.

        Args:
            images: Of any size and mode; read as RGB, transparent pixels over white.

        Returns:
            Float32 of shape (n, d): a row for each, in order.

        Raises:
            ExtractorError: The network can't be read, or gives something else than finite numbers.
        """
        return self._rows(images, self.embed, "features")

    def probabilities(self, images: Iterable[Image.Image]) -> np.ndarray:
        """Say of which class pictures are.

        Args:
            images: As `features` takes them.

        Returns:
            Float32 of shape (n, classes), whose rows add up to 1.

        Raises:
            ExtractorError: It knows no classes; and as in `features`.
        """
        return self._rows(images, self.classify, "classes")

    def _rows(self, images: Iterable[Image.Image], look: Callable[[list[Image.Image]], np.ndarray], what: str) -> np.ndarray:
        total = len(images) if isinstance(images, Sized) else None
        rows: list[np.ndarray] = []
        for batch in _batches(map(rgb, images)):
            rows.append(np.asarray(look(batch), np.float32).reshape(len(batch), -1))
            progress.tell(f"{self.name}: {what}", done=sum(map(len, rows)), total=total, unit="picture")
        whole = np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)
        if not np.isfinite(whole).all():
            raise ExtractorError(f"{self.name} ({self.model}) gives something else than finite numbers; its weights may be broken: get them again")
        return whole


def _batches(images: Iterable[Image.Image]) -> Iterator[list[Image.Image]]:
    """Consecutive pictures of one size, `BATCH` at most."""
    rest = iter(images)
    held: list[Image.Image] = []
    while held or (held := list(islice(rest, 1))):
        while len(held) < BATCH and (another := next(rest, None)) is not None:
            held.append(another)
            if another.size != held[0].size:
                break
        count = len(held) - (held[-1].size != held[0].size)
        yield held[:count]
        held = held[count:]
