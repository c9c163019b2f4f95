"""What a metric is: a number of a finished picture, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sdxl_lab.spec.generated import Generated

Better = Literal["lower", "higher"]

Expected = Mapping[str, Any]
"""What the dataset says that a picture should show, such as `{"colour": "red"}`; empty where it says nothing."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What is said of a number that pictures have.

    Attributes:
        sentence: What it measures.
        unit: Of the number; "" where it has none.
        better: Which way is better; None where neither is.
    """

    sentence: str
    unit: str = ""
    better: Better | None = None


@dataclass(frozen=True, kw_only=True)
class Metric(Words):
    """One number of a finished picture.

    Attributes:
        name: As records have it, for ever.
        of: Takes the picture, and what is expected of it; gives a finite number, or None where it is not defined, as without a mask or an input.
        telling: Its place among those that are shown unless others are asked for, the least first; None where it waits to be asked for.
    """

    name: str
    of: Callable[[Generated, Expected], float | None]
    telling: int | None = None
