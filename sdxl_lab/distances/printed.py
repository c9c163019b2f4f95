"""Distances on a terminal."""

from __future__ import annotations

import math

from sdxl_lab.distances.jackknife import FEWEST_PARTS
from sdxl_lab.distances.results import Distances, Measured
from sdxl_lab.tables import apart, laid_out, wrapped
from sdxl_lab.wording import counted, printable

LONGEST_NAME = 34
ENDS = "[low, high]"


def lines_of(found: Distances, *, width: int) -> list[str]:
    """A table of one row a set and one block a number, and what is to be said of it.

    Args:
        found: What `distance` found.
        width: Of the terminal, for sentences; tables are as wide as they are.
    """
    names = apart([row.set.name for row in found.rows], LONGEST_NAME)
    lines: list[str] = []
    for metric in dict.fromkeys(name for row in found.rows for name in row.distances):
        numbers = [row.distances[metric] for row in found.rows]
        columns = [(f"{metric}, {_better(metric)} is better", names), ("n", [str(row.set.n or "?") for row in found.rows])]
        columns.append((metric, [short(number.value, number) for number in numbers]))
        if any(number.low is not None for number in numbers):
            columns.append((ENDS, [ends(number) for number in numbers]))
        lines += [*laid_out(columns, left=1), ""]
    tables, lines = lines, []
    if found.to:
        of = f" of {counted(found.to.n, 'picture')}" if found.to.n else ""
        lines.append(f"to {found.to.name}{of}, as {found.label} sees them")
    known = [number.low is not None for row in found.rows for number in row.distances.values()]
    if any(known):
        lines.append(f"{ENDS}: 95% for as many other pictures of the same kind, by leaving out parts of them; of another n it is another number")
        if not all(known):
            lines.append(f"there is none where leaving out parts changes nothing, nor of pictures of fewer than {FEWEST_PARTS} samples")
    elif known:
        lines.append(f"no intervals: they take pictures of {FEWEST_PARTS} samples or more")
    lines += found.notes
    kept = [row.file for row in found.rows if row.file]
    if kept:
        lines.append(f"kept beside the {counted(len(kept), 'record')}: {kept[0] if len(kept) == 1 else f'distances/{kept[0].name}'}")
    saved = [f"written: {found.saved}"] if found.saved else []
    return [*map(printable, tables), *(wrapped(line, width) for line in lines), *map(printable, saved)]


def short(value: float, number: Measured) -> str:
    """A value with as many decimals as its interval leaves meaning, or four digits.

    Args:
        value: It, or an end of its interval.
        number: What it belongs to.
    """
    width = number.high - number.low if number.low is not None and number.high is not None else abs(number.value) / 10
    digits = 3 if not width else max(0, min(8, 1 - math.floor(math.log10(width))))
    return f"{value:.{digits}f}"


def ends(number: Measured) -> str:
    """The interval of a number; empty where there is none."""
    if number.low is None or number.high is None:
        return ""
    return f"[{short(number.low, number)}, {short(number.high, number)}]"


def _better(metric: str) -> str:
    from sdxl_lab.distances import DISTANCES

    return DISTANCES[metric].better
