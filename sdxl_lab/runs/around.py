"""What lies in the repository around the working folder, or where there is none, in that folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sdxl_lab.runs.early import home

DEEPEST = 4
"""How far below a repository files are looked for by their content."""


def folders_around(*, outside: int = 1, but: Path | None = None) -> Iterator[tuple[Path, list[str]]]:
    """Go through the folders there, hidden ones left out, and links to folders not followed.

    Args:
        outside: How far below the working folder, where there is no repository around it.
        but: A folder that is left out, too.

    Yields:
        A folder and the names of its files, sorted.
    """
    top = home()
    deepest = DEEPEST if (top / "artifacts" / "README.md").is_file() else outside
    for folder, below, files in os.walk(top):
        path = Path(folder)
        yield path, sorted(files)
        is_deep = len(path.relative_to(top).parts) >= deepest
        below[:] = [] if is_deep else sorted(name for name in below if not name.startswith(".") and path / name != but)
