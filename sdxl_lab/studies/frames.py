"""The answer of a study as data frames, and as tables of LaTeX for a paper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sdxl_lab.wording import printable

if TYPE_CHECKING:
    import pandas as pd

    from sdxl_lab.studies.result import StudyResult

ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", **{letter: f"\\{letter}" for letter in "&%$#_{}"}}
"""What has a meaning in LaTeX, as it is written there to have none."""


def shares_of(result: StudyResult) -> pd.DataFrame:
    """The shares, one row a system: see `StudyResult.table`."""
    import pandas as pd

    rows = [
        {"group": number, "system": row.system, **_estimated("share", row.share), "chosen": row.chosen, "shown": row.shown}
        for number, ranking in enumerate(result.rankings, 1)
        for row in ranking.standings
    ]
    return pd.DataFrame(rows).set_index("system")


def pairs_of(result: StudyResult) -> pd.DataFrame:
    """One against another, one row a pair: see `StudyResult.pairs`."""
    import pandas as pd

    rows = [
        {"system": row.first, "against": row.second, **_estimated("rate", row.rate), "won": row.wins, "lost": row.losses, "tied": row.ties}
        for ranking in result.rankings
        for row in ranking.pairings
    ]
    return pd.DataFrame(rows, columns=["system", "against", "rate", "low", "high", "won", "lost", "tied"])


def latex_of(result: StudyResult) -> str:
    """Write shares and pairs as tables of LaTeX.

    Args:
        result: What they are of.

    Returns:
        A table of the shares and, where two were shown together, one of the pairs; what has to be known to read them stands above, in comments.
    """
    lines = [f"% {result.title} {result.summary}. Needs \\usepackage{{booktabs}}.", *(f"% {printable(note)}" for note in result.notes)]
    shares, pairs = shares_of(result).reset_index(), pairs_of(result)
    for _, group in shares.groupby("group"):
        lines += _tabular(group.drop(columns="group"), names=1)
    if len(pairs):
        lines += _tabular(pairs, names=2)
    return "\n".join(lines) + "\n"


def _estimated(name: str, found: Any) -> dict[str, float | None]:
    """An estimate in three columns, empty where there is none."""
    return {name: found.value, "low": found.low, "high": found.high} if found else {name: None, "low": None, "high": None}


def _tabular(frame: pd.DataFrame, *, names: int) -> Iterator[str]:
    """A frame with a share behind its names, whose ends become one column."""
    share = frame.columns[names]
    head = [*frame.columns[:names], share, "95% interval", *frame.columns[names + 3 :]]
    yield f"\n\\begin{{tabular}}{{{'l' * names}{'r' * (len(head) - names)}}}\n\\toprule\n{_row(head)}\n\\midrule"
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        cells = [str(row[name]) for name in frame.columns]
        cells[names] = "-" if row[share] is None else f"{100 * row[share]:.1f}%"
        interval = "" if row["low"] is None else f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
        yield _row([*cells[: names + 1], interval, *cells[names + 3 :]])
    yield "\\bottomrule\n\\end{tabular}"


def _row(cells: list[str]) -> str:
    return " & ".join("".join(ESCAPED.get(letter, letter) for letter in printable(cell)) for cell in cells) + r" \\"
