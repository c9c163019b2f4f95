"""What was measured, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from sdxl_lab.measures.measuring import Measured
from sdxl_lab.tables import laid_out, wrapped
from sdxl_lab.wording import counted, printable


def lines_of(found: Sequence[Measured], *, width: int) -> list[str]:
    """A table of one row a metric, and what is to be said of them.

    Args:
        found: What `measure` found.
        width: Of the terminal, for sentences.
    """
    columns = [
        ("metric", [each.column for each in found]),
        ("better", [each.words.better or "-" for each in found]),
        ("mean", [f"{fmean(each.numbers.values()):.4g}" if each.numbers else "-" for each in found]),
        ("n", [str(len(each.numbers)) for each in found]),
        ("measured now", [str(each.computed) for each in found]),
        ("known", [str(each.known) for each in found]),
    ]
    lines = []
    for each in found:
        if each.undefined:
            lacking = counted(each.undefined, "picture has", "pictures have")
            lines.append(f"{each.name}: {lacking} no such number" + (f": {each.words.sentence}" if each.words.sentence else ""))
    lines += dict.fromkeys(note for each in found for note in each.notes)
    if places := dict.fromkeys(file.parent for each in found for file in each.files):
        has_any = any(each.numbers for each in found if each.files)
        since = "compare, report and push have it from now on" if has_any else "these pictures are not looked at again"
        lines.append(f"kept beside {counted(len(places), 'record')}, in the folder {next(iter(places)).name}: {since}")
    return [*map(printable, laid_out(columns, left=2)), *(wrapped(line, width) for line in lines)]
