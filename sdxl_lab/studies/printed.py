"""The answer of a study on a terminal, 80 columns wide if need be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sdxl_lab.records.preferred import Estimate
from sdxl_lab.studies.measured import Agreement
from sdxl_lab.studies.ranking import Ranking
from sdxl_lab.studies.result import StudyResult
from sdxl_lab.tables import Column, apart, laid_out, width_of, wrapped
from sdxl_lab.viewing.estimates import ends, ends_columns, number, number_ends, percent, share_columns, title_of
from sdxl_lab.wording import printable

if TYPE_CHECKING:
    from rich.console import Console

LONGEST_NAME = 30
LONGEST_PAIRED = 19
TITLES = {
    "pairs": "one against another: wins and half of the ties",
    "judges": "judges: how often an answer was the same again, and as others'",
    "metrics": "which number agrees with people",
}
"""What the other tables say, printed and on the page."""


def print_result(result: StudyResult, *, console: Console | None = None) -> None:
    """Print shares, pairs, judges, metrics, and what has to be known to read them.

    Args:
        result: What to print.
        console: Where to print; stdout when left out.
    """
    from rich.console import Console
    from rich.text import Text

    console = console or Console(highlight=False)

    def table(title: str, columns: Sequence[Column], *, left: int) -> None:
        console.print()
        console.print(Text(title, style="bold"))
        while sum(map(width_of, columns)) > console.width and len(columns) > left + 1:
            columns = columns[:-1]
        for line in laid_out(columns, left=left):
            console.print(Text(line))

    console.print(Text(result.title, style="bold"))
    console.print(Text(printable(result.summary)))
    for ranking in result.rankings:
        table(title_of(is_counted=ranking.is_counted), share_columns(ranking.standings, longest=LONGEST_NAME), left=1)
        if ranking.pairings:
            table(TITLES["pairs"], pair_columns(ranking), left=2)
        console.print(Text(f"ties {estimate(ranking.ties)} of all answers"))
    for place in result.places:
        console.print(Text(f"{place.name} was chosen {estimate(place.share)} of the time; {percent(place.expected)} is fair"))
    table(TITLES["judges"], judge_columns(result, named=True), left=1)
    if result.mutual_agreement is not None:
        console.print(Text(f"two judges gave one question the same answer {percent(result.mutual_agreement)} of the time"))
    if result.agreements:
        table(TITLES["metrics"], metric_columns(result.agreements), left=1)
    console.print()
    for note in result.notes:
        console.print(Text(wrapped(note, console.width)), soft_wrap=True)


def pair_columns(ranking: Ranking, *, longest: int = LONGEST_PAIRED) -> list[Column]:
    """One system against another."""
    rows = ranking.pairings
    labels = [standing.system for standing in ranking.standings]
    short = dict(zip(labels, apart(labels, longest), strict=True))
    return [
        ("system", [short[row.first] for row in rows]),
        ("against", [short[row.second] for row in rows]),
        ("rate", [percent(row.rate.value) for row in rows]),
        *ends_columns([ends(row.rate) for row in rows]),
        ("won", [str(row.wins) for row in rows]),
        ("lost", [str(row.losses) for row in rows]),
        ("tied", [str(row.ties) for row in rows]),
    ]


def judge_columns(result: StudyResult, *, named: bool) -> list[Column]:
    """Those who voted, by their names or by numbers."""
    rows = result.judges
    columns: list[Column] = [
        ("judge", apart([row.judge for row in rows], LONGEST_NAME) if named else [str(number) for number in range(1, len(rows) + 1)]),
        ("votes", [str(row.votes) for row in rows]),
        ("again", [_share(row.self_agreement) for row in rows]),
        ("of", [str(row.repeats) for row in rows]),
        ("others", [_share(row.agreement) for row in rows]),
    ]
    return [*columns, ("", ["left out" if row.is_left_out else "" for row in rows])] if any(row.is_left_out for row in rows) else columns


def metric_columns(agreements: Sequence[Agreement]) -> list[Column]:
    """Metrics, the one that agrees most first."""
    return [
        ("metric", [each.metric for each in agreements]),
        ("agreed", [percent(each.agreed.value) if each.agreed else "-" for each in agreements]),
        *ends_columns([ends(each.agreed) for each in agreements]),
        ("SROCC", [number(each.srocc) for each in agreements]),
        *ends_columns([number_ends(each.srocc) for each in agreements]),
        ("KROCC", [number(each.krocc) for each in agreements]),
        *ends_columns([number_ends(each.krocc) for each in agreements]),
        ("better", [each.better or "-" for each in agreements]),
        ("pairs", [str(each.pairs) for each in agreements]),
    ]


def estimate(found: Estimate) -> str:
    """A share and its interval, in a sentence."""
    return " ".join(filter(None, [percent(found.value), ends(found)]))


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
