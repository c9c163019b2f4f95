"""What was found of one part: how it is, in a line, and where something is wrong, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sdxl_lab.errors import LabError

Verdict = Literal["ok", "attention", "broken"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""From good to bad: as it should be; it works, but something is to be known; it does not work."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found of a part.

    Attributes:
        part: What people call it: `torch`, `disk`.
        verdict: How it is.
        line: What was found, without a full stop at its end.
        advice: What to do; empty where nothing is.
    """

    part: str
    verdict: Verdict
    line: str
    advice: str = ""


def ok(part: str, line: str) -> Finding:
    """A part that is as it should be."""
    return Finding(part=part, verdict="ok", line=line)


def attention(part: str, line: str, advice: str = "") -> Finding:
    """A part that works, of which something is to be known."""
    return Finding(part=part, verdict="attention", line=line, advice=advice)


def broken(part: str, line: str, advice: str = "") -> Finding:
    """A part that does not work."""
    return Finding(part=part, verdict="broken", line=line, advice=advice)


def quoted(error: BaseException, most: int = 300) -> str:
    """What an exception says, in one line of so many characters at most; its kind where it says nothing, or is none of the lab's own."""
    said = " ".join(str(error).split())
    kind = "" if isinstance(error, LabError) and said else f"{type(error).__name__}{': ' if said else ''}"
    text = f"{kind}{said}"
    return (text if len(text) <= most else f"{text[: most - 3]}...").rstrip(".")
