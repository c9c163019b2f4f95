"""Figures with intervals, and the table of the model card that shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

CARD = Path(__file__).parents[1] / "README.md"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number.

    Attributes:
        what: What was measured.
        value: Point estimate.
        low, high: 95% interval.
        count: How many pictures, or pairs of pictures, it rests on.
        unit: "%" for shares, else what follows the number.
        aim: What the checkpoint is meant to reach, in words, or "" where the figure only informs.
    """

    what: str
    value: float
    low: float
    high: float
    count: int
    unit: str = "%"
    aim: str = ""

    def row(self) -> str:
        """The figure as a row of a Markdown table."""
        digits = 1 if self.unit in ("%", " dB") else 2 if abs(self.value) >= 0.1 else 4
        value, low, high = (f"{number:.{digits}f}" for number in (self.value, self.low, self.high))
        return f"| {self.what} | {value}{self.unit} | {low} to {high} | {self.count} | {self.aim} |"

    def cell(self) -> str:
        """The figure as a cell of one: its value, and its interval in brackets."""
        return f"{self.value:.1f}{self.unit} ({self.low:.1f} to {self.high:.1f})"


def share(what: str, hits: Sequence[bool], aim: str = "") -> Figure:
    """A share in percent with Wilson's score interval (Wilson, JASA 22, 1927)."""
    n, p, z = len(hits), float(np.mean(hits)), 1.959964
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Figure(what=what, value=100 * p, low=100 * max(centre - half, 0.0), high=100 * (centre + half), count=n, aim=aim)


def mean(what: str, values: Sequence[float] | np.ndarray, unit: str, aim: str = "") -> Figure:
    """A mean with a percentile bootstrap interval of 2000 draws (Efron, Ann. Statist. 7, 1979), always the same draws."""
    numbers = np.asarray(values, np.float64)
    draws = np.random.RandomState(0).randint(len(numbers), size=(2000, len(numbers)))
    low, high = np.percentile(numbers[draws].mean(axis=1), (2.5, 97.5))
    return Figure(what=what, value=float(numbers.mean()), low=float(low), high=float(high), count=len(numbers), unit=unit, aim=aim)


def ratio(what: str, values: Sequence[float] | np.ndarray, others: Sequence[float] | np.ndarray, aim: str = "") -> Figure:
    """The geometric mean of the ratios of pairs, in percent, with the interval that `mean` gives their logarithms: 100 where neither is more."""
    logarithms = mean(what, np.log(values) - np.log(others), "%", aim)
    value, low, high = (100 * float(np.exp(number)) for number in (logarithms.value, logarithms.low, logarithms.high))
    return replace(logarithms, value=value, low=low, high=high)


def rewrite(figures: Sequence[Figure], card: Path = CARD) -> None:
    """Put the figures into the model card, between its two marks.

    Args:
        figures: The rows, in order.
        card: A Markdown file with the marks `<!-- figures -->` and `<!-- end of figures -->`.
    """
    put("\n".join(["| figure | value | 95% interval | n | aim |", "|---|---|---|---|---|", *(figure.row() for figure in figures)]), "figures", card)


def put(text: str, name: str, card: Path = CARD) -> None:
    """Put text into the model card, between the marks of a name.

    Args:
        text: What is to stand there.
        name: As in the marks `<!-- name -->` and `<!-- end of name -->`.
        card: A Markdown file.
    """
    between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    card.write_text(between.sub(lambda marks: f"{marks[1]}{text}\n{marks[2]}", card.read_text()))
