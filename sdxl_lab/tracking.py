"""What Comet is told of a run, and when: live with an account, else as an archive beside the record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdxl_lab import comet
from sdxl_lab.disk import write_whole
from sdxl_lab.records import RunFolder
from sdxl_lab.report import write_report
from sdxl_lab.spec import RunSpec
from sdxl_lab.stamps import png

if TYPE_CHECKING:
    from PIL import Image


def prepare(spec: RunSpec) -> None:
    """Start what will take seconds to be ready when a run is done. Nothing waits for it.

    Args:
        spec: Of the run.
    """
    if comet.way(spec.tracking) == "offline":
        comet.prepare()


def begin(run: RunFolder) -> None:
    """Let Comet follow a run, if it is tracked live. Nothing waits for it.

    Args:
        run: The run, open for writing.
    """
    if not run.is_done:
        prepare(run.resolved.spec)
    if _way(run) == "online":
        comet.follow(run)


def end(run: RunFolder) -> list[str]:
    """Lay a run out for people, and tell Comet the rest of it or build the archive that can be sent by hand.

    Args:
        run: The run, done and open for writing.

    Returns:
        A line for people on where it is, if it is somewhere.

    Raises:
        CometError: The archive cannot be built.
        DiskError: The disk is full or not writable.
    """
    if not _is_laid_out(run):
        write_whole(run.contact_sheet, _contact_sheet(run))
        write_report([run], run.report_file)
    way = _way(run)
    if way == "offline":
        return [f"for Comet: {comet.archive(run)}"]
    return [f"in Comet: {comet.standing(run).url}"] if way == "online" and comet.finish(run) else []


def add_notebook(run: RunFolder) -> None:
    """Tell Comet what was written after the end of a run: the executed notebook.

    Args:
        run: The run, done and open for writing.

    Raises:
        CometError: The archive cannot be built.
        DiskError: The disk is full or not writable.
    """
    way = _way(run)
    if way == "offline":
        comet.archive(run)
    elif way == "online":
        comet.add_notebook(run)


def has_notebook(run: RunFolder) -> bool:
    """Whether nothing is left for `add_notebook` to add to the archive of a run, or it has no archive.

    Args:
        run: The run, done, its notebook executed.
    """
    return _way(run) != "offline" or comet.is_archived(run)


def _is_laid_out(run: RunFolder) -> bool:
    """Whether sheet and report are there since the run was done. They are not made anew: another version's would be sent to Comet again."""
    files = (run.contact_sheet, run.report_file)
    return all(file.is_file() and file.stat().st_mtime_ns >= run.record_file.stat().st_mtime_ns for file in files)


def _way(run: RunFolder) -> str:
    return comet.way(run.resolved.spec.tracking)


def _contact_sheet(run: RunFolder) -> bytes:
    from sdxl_lab.grid import contact_sheet

    pictures = run.pictures()
    cells = [[_read(path) for path in (picture.input_image, picture.mask_image, picture.image)] for picture in pictures]
    rows = [f"{picture.sample} {picture.task}: {picture.prompt}" for picture in pictures]
    return png(contact_sheet(rows=rows, columns=["input", "mask", "result"], cells=cells))


def _read(path: Path) -> Image.Image:
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB")
