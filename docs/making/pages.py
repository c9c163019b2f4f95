"""What the code tells on the pages of `docs/`: three whole pages, and tables between two marks in pages that are written by hand."""

from __future__ import annotations

import re
from pathlib import Path

from docs.making import commands, elsewhere, names, settings

DOCS = Path(__file__).parents[1]
MADE = {"settings.md": settings.page, "commands.md": commands.page, "names.md": names.page}
"""Pages that nobody writes by hand."""

TABLES = {
    "schedulers": elsewhere.schedulers,
    "defaults": settings.defaults,
    "distilled": settings.distilled,
    "checkpoints": settings.checkpoints,
}
BETWEEN = re.compile(r"(<!-- made: ([\w-]+) -->\n).*?(<!-- end of made -->)", re.DOTALL)


def as_made() -> dict[Path, str]:
    """Each page that the code tells something on, as it should be now."""
    whole = {DOCS / name: made() for name, made in MADE.items()}
    others = {path: path.read_text("utf-8") for path in sorted(DOCS.glob("*.md")) if path not in whole}
    return whole | {path: BETWEEN.sub(_filled, text) for path, text in others.items() if BETWEEN.search(text)}


def _filled(block: re.Match[str]) -> str:
    return f"{block[1]}\n{TABLES[block[2]]()}\n{block[3]}"
