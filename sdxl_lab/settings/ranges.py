"""Ranges as users of image tools write them: `1-10 (3)` by distance, `1-10 [4]` by count, `random(8)` for seeds."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from fractions import Fraction
from typing import Any

from sdxl_lab.errors import LabError

MOST_VALUES = 1000
"""More values than this on one axis are a slip of the keyboard."""

MOST_SEEDS = 100
"""Pictures of one sample and task in one run."""

SEED_LIMITS = (-(2**63), 2**64 - 1)
"""The smallest and the largest seed, as torch takes them."""

LARGEST_SEED = 1000
"""`random` draws from `-LARGEST_SEED` to `LARGEST_SEED`."""

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_RANGE = re.compile(rf"\s*([-+]?{_NUMBER})\s*-\s*([-+]?{_NUMBER})\s*(?:\(\s*([-+]?{_NUMBER})\s*\)|\[\s*([0-9]+)\s*\])?\s*")
_RANDOM = re.compile(r"\s*random\s*\(\s*([0-9]+)\s*(?:,\s*([0-9]+)\s*)?\)\s*")


class RangeError(LabError):
    """A range that stands for no values, or for too many."""


def is_range(text: str) -> bool:
    """Whether a text is written as a range of numbers, such as `1-10`, `1-10 (3)` or `0.5-0.9 [5]`."""
    return bool(_RANGE.fullmatch(text))


def is_random(text: str) -> bool:
    """Whether a text asks for random seeds, such as `random(8)` or `random(8, 7)`."""
    return bool(_RANDOM.fullmatch(text))


def whole_numbers(text: str, most: int = MOST_VALUES) -> list[int]:
    """Expand a range on a setting that takes whole numbers.

    Args:
        text: `FIRST-LAST`, in steps of 1; `FIRST-LAST (DISTANCE)`; or `FIRST-LAST [COUNT]`, evenly spread with both ends among them.
        most: How many values are allowed.

    Returns:
        The values in order, each once. With a count, fractions are cut off, as other image tools do: `1-10 [5]` is 1, 3, 5, 7, 10.

    Raises:
        RangeError: An end or the distance is not whole, the distance leads nowhere, there are fewer whole numbers than are asked for, or more
            values than are allowed.
    """
    values = _expanded(text, whole=True, most=most)
    numbers = [int(value) for value in values]
    if len(set(numbers)) != len(numbers):
        raise RangeError(f"got {text!r}, but there are only {len(set(numbers))} whole numbers so spread; ask for at most so many")
    return numbers


def numbers(text: str) -> list[float]:
    """Expand a range on a setting that takes any number.

    Args:
        text: As for `whole_numbers`, with decimal fractions.

    Returns:
        The values in order, each the number nearest to the exact decimal: `0.5-0.9 (0.1)` is 0.5, 0.6, 0.7, 0.8, 0.9 as one writes them.

    Raises:
        RangeError: The distance leads nowhere, or the range stands for too many values.
    """
    return [float(value) for value in _expanded(text, whole=False, most=MOST_VALUES)]


def random_seeds(text: str, most: int = MOST_VALUES) -> list[int]:
    """Draw seeds that are always the same.

    Args:
        text: `random(COUNT)`, or `random(COUNT, WHICH)` for others; `random(COUNT, 0)` is `random(COUNT)`.
        most: The largest count that is allowed.

    Returns:
        COUNT different whole numbers from -1000 to 1000. They don't depend on the machine or on Python's version, and those of a smaller
        count are the first of a larger one's.

    Raises:
        RangeError: None are asked for, or more than are allowed.
    """
    match = _RANDOM.fullmatch(text)
    if match is None:
        raise RangeError(f"got {text!r}; allowed is random(COUNT) or random(COUNT, WHICH), such as random(8) or random(8, 7)")
    count, which = int(match[1]), int(match[2] or 0)
    if not 1 <= count <= most:
        raise RangeError(f"got {text!r}; allowed is a count from 1 to {most}")
    seeds: dict[int, None] = {}
    draw = 0
    while len(seeds) < count:
        # A hash, since the generators of Python's library may give other numbers in another version.
        digest = hashlib.sha256(f"sdxl_lab seeds {which} {draw}".encode()).digest()
        seeds[int.from_bytes(digest[:8], "big") % (2 * LARGEST_SEED + 1) - LARGEST_SEED] = None
        draw += 1
    return list(seeds)


def seeds(asked: Any) -> tuple[int, ...]:
    """Expand the seeds that are asked for in one run.

    Args:
        asked: A list of them, or the text of a range or of random seeds.

    Returns:
        From 1 to 100 seeds in the order in which they were asked for, each once.

    Raises:
        RangeError: It is neither, or holds no seed, one twice, too many, or what is no seed. The message says what to do.
    """
    if isinstance(asked, str) and is_random(asked):
        return tuple(random_seeds(asked, MOST_SEEDS))
    expanded = whole_numbers(asked, MOST_SEEDS) if isinstance(asked, str) and is_range(asked) else asked
    if not isinstance(expanded, list | tuple):
        raise RangeError("write one seed as seed, and several as a list, such as [1, 2], or as a text, such as 1-4 or random(4)")
    lowest, highest = SEED_LIMITS
    for item in expanded:
        if isinstance(item, bool) or not isinstance(item, int) or not lowest <= item <= highest:
            advice = "; ranges and random(4) stand alone, as texts" if isinstance(item, str) else ""
            raise RangeError(f"{item!r} is no seed" + (f": write {int(item)}" if isinstance(item, float) and item.is_integer() else advice))
    if twice := [str(seed) for seed, times in Counter(expanded).items() if times > 1]:
        raise RangeError(f"given twice: {', '.join(twice[:5])}; name each seed once")
    if not 1 <= len(expanded) <= MOST_SEEDS:
        raise RangeError(
            f"these are {len(expanded)}; " + ("leave seeds out, or give at least one" if not expanded else "give fewer, or sweep over seed")
        )
    return tuple(expanded)


def _expanded(text: str, *, whole: bool, most: int) -> list[Fraction]:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise RangeError(f"got {text!r}; allowed is FIRST-LAST, FIRST-LAST (DISTANCE) or FIRST-LAST [COUNT], such as 1-10 (3) or 1-10 [4]")
    first, last = Fraction(match[1]), Fraction(match[2])
    if whole and (first.denominator != 1 or last.denominator != 1):
        raise RangeError(f"got {text!r}; this setting takes whole numbers: write whole ends")
    if match[4] is not None:
        return _spread(text, first, last, int(match[4]), most)
    return _stepped(text, first, last, match[3], whole=whole, most=most)


def _spread(text: str, first: Fraction, last: Fraction, count: int, most: int) -> list[Fraction]:
    if not 2 <= count <= most or first == last:
        raise RangeError(f"got {text!r}; allowed is a count from 2 to {most} between two different ends: both are among the values")
    return [first + (last - first) * index / (count - 1) for index in range(count)]


def _stepped(text: str, first: Fraction, last: Fraction, distance: str | None, *, whole: bool, most: int) -> list[Fraction]:
    upwards = 1 if last >= first else -1
    step = Fraction(distance) if distance else Fraction(1)
    if whole and step.denominator != 1:
        raise RangeError(f"got {text!r}; this setting takes whole numbers: write a whole distance")
    if distance is None or distance[0] not in "+-":
        step *= upwards
    if step * upwards <= 0:
        raise RangeError(f"got {text!r}, whose distance does not lead from {_short(first)} to {_short(last)}; write it without sign, above 0")
    count = int((last - first) / step) + 1
    if count > most:
        raise RangeError(f"got {text!r}, which is {count} values; allowed are {most}: write a larger distance")
    return [first + step * index for index in range(count)]


def _short(value: Fraction) -> str:
    return f"{float(value):g}"
