"""A comparison on a terminal, 80 columns wide if need be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdxl_lab.files.disk import write_whole
from sdxl_lab.records.distances import KeptDistance, kept
from sdxl_lab.tables import Column, apart, laid_out, width_of, wrapped
from sdxl_lab.viewing.compare.comparison import Comparison
from sdxl_lab.viewing.compare.costs import SPENT, named, number_of, telling_names, words_of
from sdxl_lab.viewing.compare.intervals import Interval
from sdxl_lab.viewing.compare.rows import Row, shown
from sdxl_lab.wording import printable

if TYPE_CHECKING:
    from rich.console import Console

LONGEST_NAME = 26
LONGEST_VALUE = 22
ENDS = "[low, high]"
MOST_ROWS = 24
"""How many rows are printed, at most: of a session with hundreds of pictures nobody reads a line each."""

STAR = "*"
ROUNDING = 1e-9
"""Share of a number below which an interval is as wide as the numbers were rounded, and asks for no decimals."""


def print_comparison(comparison: Comparison, *, metrics: Sequence[str] = (), console: Console | None = None) -> None:
    """Print what differs, what it costs, and each metric's means and differences.

    Args:
        comparison: What to print.
        metrics: Names of metrics; a telling one of each kind if left out, and the names of the others.
        console: Where to print; stdout when left out.
    """
    from rich.console import Console
    from rich.text import Text

    console = console or Console(highlight=False)
    rows = _shown(comparison)
    _print_settings(comparison, rows, console)
    printed = tuple(named(metrics, comparison.metrics)) or telling(comparison)
    level = {metric: number for metric in printed if (number := _of_all(rows, metric)) is not None}
    tables = {metric: _columns(comparison, rows, metric) for metric in printed if metric not in level}
    is_named = all(_fits(columns, console) for columns in tables.values())
    for metric in printed:
        if metric in level:
            _print_title(f"{_title(metric)}: {_short(level[metric] / _unit(metric))} in every picture", console)
            continue
        columns = tables[metric]
        _print_title(_title(metric), console)
        _print_table(columns if is_named else [columns[0], *columns[2:]], console, left=2 if is_named else 1)
    distances = _distances(comparison, rows)
    for about, columns in distances.items():
        _print_title(about, console)
        _print_table(columns, console, left=2)
    lines = [*_left_out(comparison, rows, printed), *comparison.notes]
    names = [name for columns in tables.values() for name, _ in columns]
    if "difference" in names:
        lines.append(f"differences are to {_number(comparison, comparison.reference)} ({comparison.reference.name}), over n pairs of pictures")
    if ENDS in names:
        lines.append(f"{ENDS}: 95%, resampling samples")
    others = [metric for metric in comparison.metrics if metric not in printed]
    if others:
        lines.append(f"also measured, see --metric and --csv: {', '.join(others)}")
    if any(name == ENDS for columns in distances.values() for name, _ in columns):
        lines.append(f"{ENDS} of distances: 95%, by leaving out parts of the pictures")
    console.print()
    for line in lines:
        console.print(Text(wrapped(line, console.width)), soft_wrap=True)


def write_csv(comparison: Comparison, path: Path) -> Path:
    """Write `Comparison.table` as CSV.

    Args:
        comparison: What to write.
        path: The file; its folder is made.

    Returns:
        `path`.

    Raises:
        DiskError: The disk is full or not writable.
    """
    write_whole(path, comparison.table().to_csv(lineterminator="\n").encode())
    return path


def telling(comparison: Comparison) -> tuple[str, ...]:
    """Choose the metrics that are printed unless others are asked for; all if a comparison has few.

    Examples:
        >>> telling(comparison)[0]
        'seam_delta_e'
    """
    names = telling_names(comparison.metrics)
    known = tuple(metric for metric in names if metric in comparison.metrics)
    return known if len(known) > 1 else comparison.metrics[: len(names)]


def _shown(comparison: Comparison) -> Sequence[Row]:
    """The rows that are printed: all, or of many the reference, those with a star, and the last ones."""
    rows = comparison.rows
    if len(rows) <= MOST_ROWS:
        return rows
    first = [comparison.reference, *(row for row in reversed(rows) if row.is_starred), *reversed(rows)]
    chosen = {id(row) for row in list(dict.fromkeys(first))[:MOST_ROWS]}
    return [row for row in rows if id(row) in chosen]


def _left_out(comparison: Comparison, rows: Sequence[Row], metrics: Sequence[str]) -> list[str]:
    """What is to be said where not all rows are printed: where the others are, and the best of all."""
    if len(rows) == len(comparison.rows):
        return []
    with_stars = any(row.is_starred for row in comparison.rows)
    kinds = "the reference, those with a star and the last ones" if with_stars else "the reference and the last ones"
    alone = ", --starred has those with a star alone" if with_stars else ""
    lines = [f"{len(rows)} of {len(comparison.rows)} rows are printed, {kinds}; --csv has all of them{alone}, and the report shows their pictures"]
    for metric in metrics:
        means = [(found.mean, row.name) for row in comparison.rows if (found := comparison.mean(row, metric))]
        better = words_of(metric).better
        if better and len({mean for mean, _ in means}) > 1:
            best = sorted(means, key=lambda mean: mean[0], reverse=better == "higher")[:3]
            lines.append(f"best {metric} of all {len(means)}: {', '.join(f'{name} ({_short(mean)})' for mean, name in best)}")
    return lines


def _print_settings(comparison: Comparison, rows: Sequence[Row], console: Console) -> None:
    """Print the runs, all settings that differ, and what was made; columns that have no room stand in further tables, by the rows' numbers."""
    numbers = ("", [_number(comparison, row) for row in rows])
    words = [("run", apart([row.name for row in rows], LONGEST_NAME))]
    if any(row.is_starred for row in rows):
        words.append(("star", [STAR if row.is_starred else "" for row in rows]))
    chosen = [index for index, row in enumerate(comparison.rows) if row in rows]
    for path, values in comparison.differing.items():
        words.append((path.replace(".", ".\n"), apart([shown(values[index]) for index in chosen], LONGEST_VALUE)))
    measured = [
        ("pictures", [str(len(row.pictures)) for row in rows]),
        ("steps", [_steps(row) for row in rows]),
        ("seconds\nspent", [_short(_mean([picture.seconds for picture in row.pictures])) for row in rows]),
    ]
    tables: list[list[tuple[str, list[str]]]] = [[numbers]]
    for columns in [*([column] for column in words), measured]:
        if len(tables[-1]) > 1 and sum(map(width_of, [*tables[-1], *columns])) > console.width:
            tables.append([numbers])
        tables[-1] += columns
    for index, columns in enumerate(tables):
        if index:
            console.print()
        _print_table(columns, console, left=1 + sum(column in words for column in columns))


def _of_all(rows: Sequence[Row], metric: str) -> float | None:
    """The number that every picture of several rows has; None where they differ, or one of them has none."""
    numbers = {number_of(picture, metric) for row in rows for picture in row.pictures}
    return numbers.pop() if len(numbers) == 1 and len(rows) > 1 and all(row.pictures for row in rows) else None


def _fits(columns: Sequence[Column], console: Console) -> bool:
    """Whether a table has room, its rows' names in one line each."""
    _, (_, names), *_ = columns
    return sum(map(width_of, columns)) <= console.width and not any("\n" in name for name in names)


def _title(metric: str) -> str:
    words, spent = words_of(metric), SPENT.get(metric)
    judged = f", {words.better} is better" if words.better else f", not judged: {spent}" if spent else ""
    return f"{metric}{judged}{'; in MiB' if _unit(metric) > 1 else ''}"


def _print_title(title: str, console: Console) -> None:
    console.print()
    console.print(printable(title), markup=False, highlight=False, style="bold")


def _columns(comparison: Comparison, rows: Sequence[Row], metric: str) -> list[tuple[str, list[str]]]:
    means = [_readable(comparison.mean(row, metric), metric) for row in rows]
    columns = [("", [_number(comparison, row) for row in rows]), ("run", apart([row.name for row in rows], LONGEST_NAME))]
    columns += _interval_columns("mean", means)
    differences = [_readable(comparison.difference(row, metric), metric) for row in rows]
    if any(differences):
        columns += _interval_columns("difference", differences, sign="+")
        columns.append(("n", [str(found.n) if found else "" for found in differences]))
        columns.append(("", [_verdict(comparison, row, metric) for row in rows]))
    else:
        columns.append(("n", [str(mean.n) if mean else "0" for mean in means]))
    return columns


def _distances(comparison: Comparison, rows: Sequence[Row]) -> dict[str, list[Column]]:
    """What each distance that is kept beside runs is about, to its columns: one row for each run that has it."""
    found: dict[str, list[tuple[Row, KeptDistance]]] = {}
    for row in rows:
        for each in kept(row.runs[0].path) if len(row.runs) == 1 else ():
            found.setdefault(each.about, []).append((row, each))
    tables: dict[str, list[Column]] = {}
    for about, own in found.items():
        intervals = [Interval(mean=each.value, low=each.low, high=each.high, n=each.n, samples=0) for _, each in own]
        tables[about] = [
            ("", [_number(comparison, row) for row, _ in own]),
            ("run", apart([row.name for row, _ in own], LONGEST_NAME)),
            *_interval_columns(own[0][1].name, intervals),
            ("n", [str(each.n) for _, each in own]),
        ]
    return tables


def _readable(found: Interval | None, metric: str) -> Interval | None:
    """An interval in the unit that people read."""
    if found is None:
        return None
    low, high = (None if end is None else end / _unit(metric) for end in (found.low, found.high))
    return replace(found, mean=found.mean / _unit(metric), low=low, high=high)


def _unit(metric: str) -> int:
    """By what its numbers are divided: those of bytes are told in MiB."""
    return 2**20 if words_of(metric).unit == "bytes" else 1


def _verdict(comparison: Comparison, row: Row, metric: str) -> str:
    is_alone = row is not comparison.reference and comparison.difference(row, metric) is None
    return "no pair" if is_alone else comparison.verdict(row, metric)


def _print_table(columns: Sequence[Column], console: Console, *, left: int) -> None:
    from rich.text import Text

    head, *rows = laid_out(columns, left=left)
    console.print(Text(head, style="bold"))
    for row in rows:
        console.print(Text(row))


def _number(comparison: Comparison, row: Row) -> str:
    return str(comparison.rows.index(row) + 1)


def _steps(row: Row) -> str:
    base, refiner = (_mean([getattr(picture, name) for picture in row.pictures]) for name in ("base_steps", "refiner_steps"))
    return f"{_short(base)}+{_short(refiner)}" if refiner else _short(base)


def _mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def _interval_columns(name: str, intervals: Sequence[Interval | None], *, sign: str = "") -> list[tuple[str, list[str]]]:
    """Numbers with as many decimals as tell the narrowest interval's ends apart by two digits."""
    widths = [found.high - found.low for found in intervals if found and found.low is not None and found.high is not None]
    largest = max((abs(found.mean) for found in intervals if found), default=0)
    told = [width for width in widths if width > ROUNDING * largest]
    decimals = min(8, max(0, 1 - math.floor(math.log10(min(told))))) if told else None

    def text(number: float) -> str:
        return _short(number, sign) if decimals is None or number == 0 or abs(number) >= 1e6 else f"{number:{sign}.{decimals}f}"

    numbers = [text(found.mean) if found else "" for found in intervals]
    ends = [f"[{text(found.low)}, {text(found.high)}]" if found and found.low is not None and found.high is not None else "" for found in intervals]
    return [(name, numbers), *([(ENDS, ends)] if any(ends) else [])]


def _short(number: float | None, sign: str = "") -> str:
    if number is None:
        return "-"
    if number == 0:
        return "0"
    return f"{number:{sign}.0f}" if 100 <= abs(number) < 1e6 else f"{number:{sign}.3g}"
