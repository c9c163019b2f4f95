"""The answer of a study as files: one self-contained page without scripts, its drawing, and all numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from sdxl_lab.files.disk import write_together
from sdxl_lab.records.study_result import ResultFolder
from sdxl_lab.studies.printed import TITLES, estimate, judge_columns, metric_columns, pair_columns
from sdxl_lab.studies.result import StudyResult
from sdxl_lab.tables import Column
from sdxl_lab.viewing.estimates import drawn, percent, share_columns, shares_drawn, shares_figure, title_of
from sdxl_lab.viewing.report.page import policy

_HERE = files("sdxl_lab.studies")
ALL = 10_000
"""Longest name on the page: none is shortened."""


def write_result(result: StudyResult, folder: Path | str) -> Path:
    """Keep the answer: the page `result.html`, the drawing `shares.svg`, the tables `shares.csv` and `shares.tex`, all numbers in `result.json`.

    Judges have names in `result.json` alone: the page is for everybody, and numbers them in the same order.

    Args:
        result: What to keep.
        folder: Where; it is made, and what an earlier count left there is replaced.

    Returns:
        The page.

    Raises:
        DiskError: The disk is full or not writable.
    """
    from sdxl_lab.studies.frames import latex_of

    kept = ResultFolder(folder)
    contents = {
        kept.table_file: csv_of(result),
        kept.latex_file: latex_of(result),
        kept.drawing_file: drawing_of(result),
        kept.page_file: page_of(result),
        kept.about_file: result.as_json(),
    }
    write_together({file: content.encode() for file, content in contents.items()})
    return kept.page_file


def page_of(result: StudyResult) -> str:
    """Write the page.

    Args:
        result: What it shows.

    Returns:
        HTML. Its content security policy allows its own style alone: no script, no request, no picture but what is drawn in it.
    """
    style = _HERE.joinpath("result.css").read_text("utf-8")
    parts = {
        "policy": policy([style], [], "'none'"),
        "title": escape(result.title),
        "summary": escape(result.summary),
        "style": style,
        "body": body_of(result),
        "study": escape(result.study),
        "version": escape(result.version),
    }
    # In one pass, so that what stands in a name is never taken for a part's.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _HERE.joinpath("result.html").read_text("utf-8"))


def body_of(result: StudyResult) -> str:
    """What the page shows, and a cell: drawings, tables and notes, judges by numbers.

    Args:
        result: What it shows.

    Returns:
        HTML without scripts.
    """
    notes = "".join(f"<li>{escape(note)}</li>" for note in result.notes)
    return "\n".join([*_sections(result), f"<h2>How to read this</h2>\n<ul>{notes}</ul>"])


def drawing_of(result: StudyResult) -> str:
    """Draw the shares as a file of its own: an SVG, in light colors or dark as the reader has them.

    Args:
        result: What is drawn; of several rankings the first.
    """
    return shares_drawn(result.rankings[0].standings, result.title, is_file=True)


def csv_of(result: StudyResult) -> str:
    """Write the shares as a table, a line a system."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["group", "system", "share", "low", "high", "chosen", "shown"])
    for number, ranking in enumerate(result.rankings, 1):
        for row in ranking.standings:
            share = (row.share.value, row.share.low, row.share.high) if row.share else (None, None, None)
            writer.writerow([number, row.system, *share, row.chosen, row.shown])
    return text.getvalue()


def _sections(result: StudyResult) -> Iterator[str]:
    for ranking in result.rankings:
        yield f"<h2>{_capital(title_of(is_counted=ranking.is_counted))}</h2>"
        yield shares_figure(ranking.standings, result.title)
        yield _table(share_columns(ranking.standings, longest=ALL), left=1)
        if ranking.pairings:
            yield f"<h2>{_capital(TITLES['pairs'])}</h2>"
            yield _table(pair_columns(ranking, longest=ALL), left=2)
        yield f"<p>Ties: {estimate(ranking.ties)} of all answers.</p>"
    for place in result.places:
        yield f"<p>{_capital(place.name)} was chosen {estimate(place.share)} of the time; {percent(place.expected)} is fair.</p>"
    if result.agreements:
        yield f"<h2>{_capital(TITLES['metrics'])}</h2>"
        rows = [(each.metric, each.agreed) for each in result.agreements if each.agreed]
        drawing = drawn(rows, title="How often the picture that was chosen has the better number", fair=0.5)
        yield f'<div class="scrolls">{drawing}</div>'
        yield _table(metric_columns(result.agreements), left=1)
    yield f"<h2>{_capital(TITLES['judges'])}</h2>"
    yield _table(judge_columns(result, named=False), left=1)
    if result.mutual_agreement is not None:
        yield f"<p>Two judges gave one question the same answer {percent(result.mutual_agreement)} of the time.</p>"


def _table(columns: Sequence[Column], *, left: int) -> str:
    """Columns as HTML; names flush left."""
    kinds = [' class="name"' if index < left else "" for index in range(len(columns))]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for kind, (name, _) in zip(kinds, columns, strict=True))
    rows = zip(*(cells for _, cells in columns), strict=True)
    body = "".join(f"<tr>{''.join(f'<td{kind}>{escape(cell)}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>" for row in rows)
    return f'<div class="scrolls"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _capital(text: str) -> str:
    return escape(text[0].upper() + text[1:])
