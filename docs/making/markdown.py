"""Tables of Markdown, and Google's docstrings as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from html import escape

SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Examples", "Source")
ENTRY = re.compile(r"(\*{0,2}[\w, *]+): (.*)")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out a table; what would end a cell is written otherwise."""
    lines = [[_cell(value) for value in row] for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(value: object) -> str:
    parts = re.split(r"(`[^`]*`)", re.sub(r"\s*\n\s*", " ", str(value)))
    return "".join(_code(part[1:-1]) if part.startswith("`") else escaped(part).replace("|", "\\|") for part in parts)


def escaped(text: str) -> str:
    """Text in which a star between letters or digits, such as of a power, and two underscores around a word are what they are for Markdown too."""
    return re.sub(r"(?<=\w)\*+(?=\w)|__", lambda signs: "".join(f"\\{sign}" for sign in signs[0]), text)


def coded(text: str) -> str:
    """Text in which names with an underscore or a dot are code."""
    return re.sub(r"(?<![\w`.])[a-z]+(?:[._][a-z\d]+)+(?![\w`])", r"`\g<0>`", text)


def _code(text: str) -> str:
    """Code in a cell: a bar in backquotes ends the cell for GitHub and does not for the site, a bar escaped there is wrong for the other."""
    return f"<code>{escape(text).replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def parts(docstring: str) -> dict[str, str]:
    """A docstring by its sections; what comes before the first is under the empty name."""
    found, current = {"": ""}, ""
    for line in inspect.cleandoc(docstring).splitlines():
        if line.rstrip(":") in SECTIONS and line.endswith(":"):
            current = line.rstrip(":")
            found[current] = ""
        else:
            found[current] += f"{line}\n"
    return {name: inspect.cleandoc(text) for name, text in found.items()}


def entries(text: str) -> list[tuple[str, str]]:
    """The entries of a section such as `Args`: each name with what is said of it."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if not line.startswith(" ") and (entry := ENTRY.fullmatch(line)):
            found.append((entry[1], entry[2]))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}".strip())
    return found


def attributes(described: type) -> dict[str, str]:
    """What a class says of its attributes, by name."""
    return dict(entries(parts(described.__doc__ or "").get("Attributes", "")))


def first_paragraph(described: object) -> str:
    """The summary of a docstring."""
    return " ".join((inspect.getdoc(described) or "").partition("\n\n")[0].split())
