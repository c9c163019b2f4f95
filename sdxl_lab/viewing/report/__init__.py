"""Records → one HTML file that needs no server: any two settings as axes or a gallery, before and after, synced zoom, every prompt and setting."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import write_changed
from sdxl_lab.records.finding import RunLike, each_of, runs_at
from sdxl_lab.records.kept import RunOfOne
from sdxl_lab.records.preferred import answers_on
from sdxl_lab.records.run_files import RunFiles
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.viewing.report.content import Missing, content_of, entries_of
from sdxl_lab.viewing.report.files import Gallery
from sdxl_lab.viewing.report.page import page_of
from sdxl_lab.viewing.report.preferred import preferred

__all__ = ["MOST_EMBEDDED_BYTES", "Gallery", "Missing", "ReportError", "pictures_folder", "write_report"]

MOST_EMBEDDED_BYTES = 24 * 2**20
"""Pictures that take more than this as WebP lie in a folder beside the page: browsers slow down on pages much larger than that."""


class ReportError(LabError):
    """There is nothing to report."""


def write_report(
    runs: Iterable[RunLike | Path | str] | RunLike | Path | str,
    path: Path | str,
    *,
    missing: Iterable[Missing] = (),
    title: str | None = None,
    most_embedded_bytes: int = MOST_EMBEDDED_BYTES,
    ahead: Gallery | None = None,
) -> Path:
    """Write the report of some runs and sessions: one HTML file, which opens from the disk and asks nothing of any network.

    Reads records alone. The same records give the same bytes, and a file that already holds them is left as it is.

    Args:
        runs: Folders of runs, done or not, and of sessions, or folders above some; and pictures of sessions, as runs of one or by their PNGs.
            One of these, or several. Pictures that a run lacks are shown as missing. A run or picture that was recorded twice is shown once.
        path: The HTML file.
        missing: Planned runs that have no folder, or that failed.
        title: Its headline; if left out the name of the folder that holds the runs, or that of the only run or session.
        most_embedded_bytes: Most bytes of pictures in the page. If they are more, they lie in `pictures_folder(path)`.
        ahead: Has encoded pictures of these runs before, which saves time; the bytes are the same.

    Returns:
        `path`.

    Raises:
        ReportError: No run is given, or none of them plans a picture.
        RecordError: A folder holds neither a run nor a session.
        DiskError: The disk is full or not writable.

    Examples:
        From `sdxl_lab` it is called `report`:

        >>> report([resolved.folder, longer.folder], runs / "report.html").name
        'report.html'
    """
    path = Path(path).expanduser()
    folders = [found for run in each_of(runs) for found in ([run] if isinstance(run, RunFiles) else runs_at([run]))]
    entries = entries_of(folders, missing)
    if not entries:
        raise ReportError("there is no run to report; give folders of runs (each holds a spec.json) or of sessions, or folders of these")
    gallery = Gallery(ahead)
    content = content_of(entries, gallery, title or _title(folders))
    embedded = gallery.size_bytes <= most_embedded_bytes
    folder = pictures_folder(path)
    if not embedded:
        for name, picture in gallery.named():
            write_changed(folder / name, picture)
    sources = gallery.data_uris() if embedded else {sha256: f"{folder.name}/{name}" for sha256, name in gallery.names().items()}
    answers = answers_on((entry.folder.top, entry.picture) for entry in entries if entry.folder and entry.picture)
    write_changed(path, page_of(content | {"files": sources}, embedded=embedded, preferred=preferred(answers)).encode("utf-8", "replace"))
    _forget_others(folder, set() if embedded else {name for name, _ in gallery.named()})
    return path


def pictures_folder(path: Path) -> Path:
    """Where the pictures of a report lie that has too many for one file.

    Args:
        path: The report's HTML file.
    """
    return path.with_name(f"{path.stem}-pictures")


def _title(folders: list[RunFiles]) -> str:
    tops = {folder.top.resolve() for folder in folders}
    if len(tops) == 1:
        only = folders[0]
        return SessionFolder(only.top).name if isinstance(only, RunOfOne) else only.resolved.spec.name
    return Path(os.path.commonpath(tops)).name or "Runs"


def _forget_others(folder: Path, kept: set[str]) -> None:
    """Remove the pictures of an earlier report, and nothing that was put there by anybody else."""
    if not folder.is_dir():
        return
    for file in folder.iterdir():
        if file.name not in kept and re.fullmatch(r"[0-9a-f]{64}\.webp", file.name):
            file.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
