"""Findings on one page of plain text, eighty columns wide, to be read, pasted and sent."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from sdxl_lab.doctor.findings import VERDICTS, Finding
from sdxl_lab.doctor.private import Discretion
from sdxl_lab.wording import counted, printable

WIDTH = 80
_SIGN, _PART = max(map(len, VERDICTS)) + 1, 15
TO_SEND = "When you ask for help, send all of this page: it holds no names, paths or keys."
_INDENT = " " * (_SIGN + _PART)


def page(findings: Sequence[Finding], checkpoint: str | None = None) -> str:
    """Write what was found.

    Args:
        findings: In their order.
        checkpoint: What was given, or None.

    Returns:
        The page, without what is personal.
    """
    from sdxl_lab.families import names

    discretion = Discretion(checkpoint)
    of = "" if checkpoint is None else f", with {checkpoint}" if checkpoint in names() else ", with a checkpoint"
    verdict = _verdict(findings)
    lines = [f"sdxl-lab doctor: this machine{of}", *textwrap.wrap(verdict, WIDTH), ""]
    for finding in findings:
        lines += _folded(discretion.without(finding.line), f"{finding.verdict:<{_SIGN}}{finding.part:<{_PART}}")
        if finding.advice:
            lines += _folded(discretion.without(finding.advice), f"{_INDENT}-> ")
    return "\n".join([*lines, "", *textwrap.wrap(f"{verdict} {TO_SEND}", WIDTH)])


def is_broken(findings: Sequence[Finding]) -> bool:
    """Whether anything is broken."""
    return any(finding.verdict == "broken" for finding in findings)


def _folded(text: str, first: str) -> list[str]:
    """Lines of the page; a path that is longer than a line is cut before its last name."""
    words = [re.sub("/(?=[^/]+$)", "/ ", word) if len(word) > WIDTH - len(first) else word for word in printable(text).split()]
    return textwrap.wrap(" ".join(words), WIDTH, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False)


def _verdict(findings: Sequence[Finding]) -> str:
    parts = {verdict: list(dict.fromkeys(finding.part for finding in findings if finding.verdict == verdict)) for verdict in VERDICTS}
    said = [
        f"Broken: {', '.join(parts['broken'])}." if parts["broken"] else "Nothing is broken.",
        f"{counted(len(parts['attention']), 'part asks', 'parts ask')} for attention: {', '.join(parts['attention'])}." if parts["attention"] else "",
    ]
    return " ".join(filter(None, said))
