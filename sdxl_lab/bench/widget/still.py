"""What a saved notebook shows of a bench: its session's pictures, small, and how to go on. Plain HTML that nothing has to bring to life."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from sdxl_lab.bench.widget.history import THUMBNAIL_PX, entries, thumbnail
from sdxl_lab.records.session_files import SessionFiles
from sdxl_lab.runs.early import home
from sdxl_lab.viewing.display import source
from sdxl_lab.wording import counted, printable

MOST = 48
"""Pictures that are shown."""
MOST_BYTES = 600_000
"""Of all pictures together, before they are written as text, which takes a third more: a saved notebook stays below 1 MB."""
LONGEST = 60
"""Characters of a prompt, or of a setting's value."""


def still(session: SessionFiles) -> str:
    """Write the pictures of a session as HTML, the starred ones first and then the latest.

    Args:
        session: The session, perhaps without a picture yet.

    Returns:
        HTML without a script, in the colors of whatever it stands in.
    """
    pictures = entries(session)
    shown = list(_that_fit(sorted(pictures, key=lambda one: (not one["starred"], -one["number"]))[:MOST]))
    figures = "".join(_figure(one, file) for one, file in shown)
    return f'<div style="line-height:1.4"><p style="margin:4px">{_said(session, len(pictures), len(shown))}</p>{figures}</div>'


def _that_fit(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], bytes]]:
    room = MOST_BYTES
    for one in entries:
        file = _small(Path(one["file"]), one["thumbnail"])
        room -= len(file)
        if room < 0:
            return
        yield one, file


@lru_cache(maxsize=2 * MOST)
def _small(file: Path, kept_small: str | None) -> bytes:
    return Path(kept_small).read_bytes() if kept_small and kept_small != str(file) else thumbnail(file)


def _said(session: SessionFiles, count: int, shown: int) -> str:
    few = f"; here are {shown}, starred ones first, then the latest" if shown < count else ""
    return (
        f"The bench <b>{_text(session.name)}</b> as it was: {counted(count, 'picture')}{few}. Its session lies in "
        f"<code>{_text(str(_short(session.path)))}</code>. Run this cell again in JupyterLab to have it live; "
        f"<code>Bench.resume({_text(json.dumps(session.path.name))})</code> goes on with it anywhere."
    )


def _short(path: Path) -> Path:
    """As seen from the folder with the lab's artifacts, which is what a repository has in common on any machine."""
    path, top = path.absolute(), home().absolute()
    return path.relative_to(top) if path.is_relative_to(top) else path


def _figure(one: Mapping[str, Any], file: bytes) -> str:
    prompt, star = _text(_cut(one["prompt"])), " ★" if one["starred"] else ""
    # JupyterLab shows a notebook that it does not trust without the properties that it does not know, `min-content` among them.
    width = max(96, round(THUMBNAIL_PX * min(1, one["width"] / one["height"], one["width"] / THUMBNAIL_PX)))
    lines = [f"<b>{one['number']}{star}</b> {prompt}", *map(_change, one["changed"]), *([f"<i>{_text(one['note'])}</i>"] if one["note"] else [])]
    return (
        f'<figure style="display:inline-block;vertical-align:top;margin:4px;width:{width}px">'
        f'<img src="{source(file)}" alt="{prompt}"><figcaption style="font-size:smaller;overflow-wrap:anywhere">{"<br>".join(lines)}</figcaption>'
        "</figure>"
    )


def _change(change: Mapping[str, Any]) -> str:
    path, values = change["path"], [change["before"], change["after"]]
    if path in ("image", "mask"):
        return "another picture" if path == "image" else "another mask"
    if path == "prompt":
        return "other words"
    before, after = ("default" if value is None else _cut(value if isinstance(value, str) else json.dumps(value)) for value in values)
    return _text(f"{path.rpartition('.')[2]}: {before} → {after}")


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _text(text: str) -> str:
    return html.escape(printable(text))
