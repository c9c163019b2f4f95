"""What was measured, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from sdxl_lab.measures.measuring import Measured
from sdxl_lab.tables import laid_out
from sdxl_lab.wording import counted, printable


def lines_of(found: Sequence[Measured]) -> list[str]:
    """A table of one row a metric, and what is to be said of them.

    Args:
        found: What `measure` found.
    """
    columns = [
        ("metric", [each.column for each in found]),
        ("better", [each.words.better or "-" for each in found]),
        ("mean", [f"{fmean(each.numbers.values()):.4g}" if each.numbers else "-" for each in found]),
        ("n", [str(len(each.numbers)) for each in found]),
        ("measured now", [str(each.computed) for each in found]),
        ("known", [str(each.known) for each in found]),
    ]
    lines = laid_out(columns, left=2)
    lines += [f"{each.name}: {counted(each.undefined, 'picture has', 'pictures have')} no such number" for each in found if each.undefined]
    lines += dict.fromkeys(note for each in found for note in each.notes)
    if places := dict.fromkeys(file.parent for each in found for file in each.files):
        lines.append(f"kept beside {counted(len(places), 'record')}, in the folder {next(iter(places)).name}; compare, report and push have it now")
    return list(map(printable, lines))
