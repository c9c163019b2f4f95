"""What people preferred, as a part of a report's page: HTML without a script or a style, all texts escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from sdxl_lab.records.preferred import Shares, StudyAnswer
from sdxl_lab.viewing.estimates import number, number_ends, share_columns, shares_figure, title_of
from sdxl_lab.viewing.report.content import exact

MOST_METRICS = 3
WHOLE = 10_000
"""Longest label of a system: none is shortened."""


def preferred(answers: Iterable[StudyAnswer]) -> str:
    """Write what people preferred.

    Args:
        answers: One a study.

    Returns:
        An element for each; empty if nobody was asked. A system's label is a button that says with which filters, as links have them, the page's
        script leaves that system's pictures; of one that no filters tell, it is text.
    """
    return "".join(map(_answer, answers))


def _answer(answer: StudyAnswer) -> str:
    parts = [*(_shares(ranking, answer) for ranking in answer.rankings), *_agreeing(answer), *_to_read(answer)]
    title = f"<summary>What people preferred: <strong>{escape(answer.question)}</strong> <span>{escape(answer.summary)}</span></summary>"
    return f'\n<details class="preferred" open>{title}{"".join(parts)}</details>'


def _shares(ranking: Shares, answer: StudyAnswer) -> str:
    columns = share_columns(ranking.standings, longest=WHOLE)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name, _ in columns)
    rows = []
    for standing, cells in zip(ranking.standings, zip(*(cells for _, cells in columns[1:]), strict=True), strict=True):
        label = _label(standing.system, answer.systems.get(standing.system, {}))
        rows.append(f'<tr><th scope="row">{label}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>')
    title = title_of(is_counted=ranking.is_counted)
    caption = f"<caption>{title[0].upper()}{title[1:]}</caption>"
    table = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="shares">{shares_figure(ranking.standings, answer.question)}<div class="scrolls">{table}</div></div>'


def _label(system: str, settings: Mapping[str, Any]) -> str:
    """A system's label; one setting with a value for each task is no filter."""
    label = re.sub(r"(?<=[._])", "<wbr>", escape(system))
    if not settings or any(isinstance(value, Mapping) for value in settings.values()):
        return label
    filters = [f"{path}={_json(exact(value))}" for path, value in settings.items()]
    return f'<button type="button" data-only="{escape(_json(filters))}" title="Only the pictures of this one">{label}</button>'


def _agreeing(answer: StudyAnswer) -> Iterator[str]:
    along = sorted((each for each in answer.agreements if each.srocc.value > 0), key=lambda each: -each.srocc.value)
    told = [f"{each.metric} {number(each.srocc)} {number_ends(each.srocc)}".strip() for each in along[:MOST_METRICS]]
    if told:
        yield f"<p>Numbers that go with the votes, by rank correlation (SROCC, 1 where they agree with people): {escape(', '.join(told))}.</p>"
    elif answer.agreements:
        yield "<p>No recorded number goes with the votes, by rank correlation (SROCC).</p>"


def _to_read(answer: StudyAnswer) -> Iterator[str]:
    yield f"<p>Each picture that was judged has its share of votes as <code>{escape(answer.column)}</code>, to filter and sort by.</p>"
    yield f"<details><summary>How to read this</summary>{_list(answer.notes)}</details>" if answer.notes else ""


def _list(texts: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
