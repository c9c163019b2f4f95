"""What people preferred, as text and drawn: numbers with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from sdxl_lab.records.preferred import Estimate, Standing
from sdxl_lab.tables import Column, apart

ROW_PX = 28
LETTER_PX = 7.5
SCALE_PX = 380
END_PX = 60
TOP_PX = 8
AXIS_PX = 26
LONGEST_NAME = 32
ENDS = "[low, high]"
STYLE = "svg{color:#1d1f21;background:#fcfcfb}@media(prefers-color-scheme:dark){svg{color:#e7e8e9;background:#17191b}}"
"""Of a drawing that is a file of its own; in a page it takes the page's colors."""


def percent(share: float) -> str:
    """A share in percent, with one decimal."""
    return f"{100 * share:.1f}%"


def ends(found: Estimate | None) -> str:
    """An interval of a share; empty where there is none."""
    return f"[{100 * found.low:.1f}, {100 * found.high:.1f}]" if found and found.low is not None and found.high is not None else ""


def number(found: Estimate | None) -> str:
    """A number with its sign."""
    return f"{found.value:+.2f}" if found else "-"


def number_ends(found: Estimate | None) -> str:
    """An interval of a number with signs; empty where there is none."""
    return f"[{found.low:+.2f}, {found.high:+.2f}]" if found and found.low is not None and found.high is not None else ""


def ends_columns(texts: list[str]) -> list[Column]:
    """The column of intervals; none where no row has one."""
    return [(ENDS, texts)] if any(texts) else []


def title_of(*, is_counted: bool) -> str:
    """What shares are, over a table of them."""
    return f"how often each would be chosen, {'counted' if is_counted else 'derived'}"


def share_columns(standings: Sequence[Standing], *, longest: int) -> list[Column]:
    """Systems and their shares.

    Args:
        standings: In the order of the table.
        longest: Most letters of a system's label; longer ones are shortened.
    """
    return [
        ("system", apart([row.system for row in standings], longest)),
        ("share", [percent(row.share.value) if row.share else "-" for row in standings]),
        *ends_columns([ends(row.share) for row in standings]),
        ("chosen", [str(row.chosen) for row in standings]),
        ("shown", [str(row.shown) for row in standings]),
    ]


def shares_drawn(standings: Sequence[Standing], question: str, *, is_file: bool = False) -> str:
    """Draw shares, with a dashed line where all would have the same.

    Args:
        standings: From the top; without a share they are left out.
        question: What was asked.
        is_file: As for `drawn`.
    """
    rows = [(row.system, row.share) for row in standings if row.share]
    return drawn(rows, title=f"{question} Shares with 95% intervals", fair=1 / len(standings), is_file=is_file)


def shares_figure(standings: Sequence[Standing], question: str) -> str:
    """The drawing of shares in a page, which scrolls where there is no room; empty where every answer was a tie.

    Args:
        standings: As for `shares_drawn`.
        question: Likewise.
    """
    return f'<div class="scrolls">{shares_drawn(standings, question)}</div>' if any(row.share for row in standings) else ""


def drawn(rows: Sequence[tuple[str, Estimate]], *, title: str, fair: float | None = None, is_file: bool = False) -> str:
    """Draw shares.

    Args:
        rows: Name and share, from 0 to 1, from the top.
        title: What is shown, for those who do not see it.
        fair: Where a dashed line stands, such as the share that all would have if none were better.
        is_file: Whether it stands alone, with its own colors.

    Returns:
        An `svg` element, as wide as its longest name asks for.
    """
    top = _top(rows, fair)
    short = _short([name for name, _ in rows])
    names_px = 16 + LETTER_PX * max(map(len, short), default=0)
    height = TOP_PX + ROW_PX * len(rows) + AXIS_PX
    bottom = height - AXIS_PX

    def x(share: float) -> float:
        return round(names_px + SCALE_PX * share / top, 1)

    parts = [f"<title>{escape(title)}</title>"]
    if is_file:
        parts.append(f"<style>{STYLE}</style>")
    for index in range(5):
        share = top * index / 4
        parts.append(_line(x(share), TOP_PX, x(share), bottom, opacity=0.18))
        parts.append(_text(x(share), height - 8, f"{100 * share:g}%", anchor="middle", size=12))
    if fair is not None:
        parts.append(_line(x(fair), TOP_PX, x(fair), bottom, opacity=0.6, dashes="4 3"))
    for index, (name, found) in enumerate(rows):
        y = TOP_PX + ROW_PX * (index + 0.5)
        parts.append(_text(names_px - 10, y + 4, short[index], anchor="end", size=13, whole=name))
        if found.low is not None and found.high is not None:
            parts.append(_line(x(found.low), y, x(min(found.high, top)), y, width=2))
        parts.append(f'<circle cx="{x(found.value)}" cy="{y}" r="4.5" fill="currentColor"/>')
        parts.append(_text(names_px + SCALE_PX + END_PX - 4, y + 4, f"{100 * found.value:.1f}%", anchor="end", size=12))
    width = names_px + SCALE_PX + END_PX
    space = 'xmlns="http://www.w3.org/2000/svg" '
    return f'<svg {space}viewBox="0 0 {width} {height}" role="img" font-family="system-ui, sans-serif">{"".join(parts)}</svg>'


def _short(names: Sequence[str]) -> list[str]:
    """Names of one line each that still tell them apart."""
    half = LONGEST_NAME // 2
    return [cut if "\n" not in cut else f"{name[: half - 1]}…{name[-half:]}" for name, cut in zip(names, apart(names, LONGEST_NAME), strict=True)]


def _top(rows: Sequence[tuple[str, Estimate]], fair: float | None) -> float:
    """Where the scale ends: a fifth, two fifths and so on, beyond all that is drawn."""
    largest = max([fair or 0, *(found.high if found.high is not None else found.value for _, found in rows)])
    return min(1.0, max(0.2, math.ceil(largest * 5) / 5))


def _line(x1: float, y1: float, x2: float, y2: float, *, opacity: float = 1, width: float = 1, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="currentColor" stroke-width="{width}" stroke-opacity="{opacity}"{dashed}/>'


def _text(x: float, y: float, text: str, *, anchor: str, size: int, whole: str | None = None) -> str:
    title = f"<title>{escape(whole)}</title>" if whole not in (None, text) else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="currentColor">{escape(text)}{title}</text>'
