"""What a distance is: a number of two sets of pictures as an extractor saw them, and how it is estimated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from sdxl_lab.errors import LabError

Need = Literal["moments", "features", "classes"]


class DistanceError(LabError):
    """Sets that can't be compared as asked."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """A set of pictures as an extractor saw it.

    Attributes:
        name: What the set is called.
        n: How many pictures; None where a file doesn't say.
        features: Float64 of shape (n, d); None where a file has mean and covariance alone.
        classes: Probabilities of shape (n, classes); None where nobody asked for them, or there are none.
        samples: What each picture is of: pictures of one sample are alike. Empty without features.
        moments: Mean of shape (d,) and covariance of shape (d, d), of a file that has no features.
    """

    name: str
    n: int | None
    features: np.ndarray | None = None
    classes: np.ndarray | None = None
    samples: Sequence[str] = ()
    moments: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def dimensions(self) -> int:
        """How many numbers a picture has."""
        return int(self.features.shape[1] if self.features is not None else self.mean.shape[0])

    @cached_property
    def mean(self) -> np.ndarray:
        """Of the features, shape (d,)."""
        return self.moments[0] if self.moments else self._known.mean(axis=0)

    @cached_property
    def covariance(self) -> np.ndarray:
        """Of the features, shape (d, d), divided by n - 1."""
        if self.moments:
            return self.moments[1]
        centered = self._known - self.mean
        return centered.T @ centered / (len(centered) - 1)

    @property
    def _known(self) -> np.ndarray:
        if self.features is None:
            raise DistanceError(f"{self.name} holds neither features nor moments")
        return self.features


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A distance, and what becomes of it without each part of the pictures.

    Attributes:
        value: Over all pictures.
        without: Over all but those of each part; None where no interval is wanted.
        parameters: What was chosen for it, such as a bandwidth; as records have it.
    """

    value: float
    without: np.ndarray | None
    parameters: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Distance:
    """A distance, or a number of one set, as a row of `DISTANCES`.

    Attributes:
        name: As records have it, for ever.
        sentence: What it is, with its source.
        better: Which way is better.
        needs: What it is computed from.
        of: From what is seen of the set, and of the other, which part each of their pictures is in (-1 where a set has no parts), how many parts
            there are, and the options asked for, the estimate.
        fewest: Pictures of a set below which the number says nothing.
        exceeds_dimensions: Whether it also takes more pictures than a picture has features.
        why: Of `fewest`.
        has_reference: Whether it is to another set.
        limits: The least and the largest value that it can have.
    """

    name: str
    sentence: str
    better: Literal["lower", "higher"]
    needs: Need
    of: Callable[[Seen, Seen, Parts, dict[str, Any]], Estimate]
    fewest: int
    why: str
    exceeds_dimensions: bool = False
    has_reference: bool = True
    limits: tuple[float, float] = (-np.inf, np.inf)


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """Which pictures are left out together, of the set and of the other.

    Attributes:
        ours: The part of each picture of the set; empty where it has moments alone.
        others: The part of each picture of the other set; likewise.
        count: How many parts; 0 where no interval is wanted.
    """

    ours: np.ndarray
    others: np.ndarray
    count: int
