"""What Comet is told of a run or a session, and when: live with an account, later without, of a run also as an archive beside the record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdxl_lab import comet, progress
from sdxl_lab.files.disk import DiskError, make_folder, write_whole
from sdxl_lab.files.locks import LockError, locked, once_free
from sdxl_lab.images.png import png
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.records.sweep import SweepFolder
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.tasks import RESULT
from sdxl_lab.tracking import archive, confirmed, live
from sdxl_lab.tracking.pages import renew
from sdxl_lab.viewing.report import write_report
from sdxl_lab.wording import counted

if TYPE_CHECKING:
    from PIL import Image

FOLLOWED = ".followed"
"""The lock in a run's Comet folder that is held by whoever follows the run for the process that makes it."""

LOCK_WAIT_S = 10.0
"""As long as a run's own lock is waited for."""


@contextmanager
def following(run: RunFolder, spec: RunSpec) -> Iterator[None]:
    """Tell Comet of a run for another process, which makes it while the block lasts and starts nothing itself; after that comes `add_notebook`.

    Args:
        run: The run, begun or not.
        spec: Of the run.
    """
    way = comet.way(spec.tracking)
    if way == "offline":
        archive.prepare()
    if way != "online":
        yield
        return
    make_folder(run.comet_folder)
    with once_free(lambda: locked(run.comet_folder, FOLLOWED), patience_s=LOCK_WAIT_S):
        live.follow(run)
        try:
            yield
        except BaseException:
            live.let_go(run)
            raise


def begin(run: RunFolder) -> None:
    """Let Comet follow a run, if it is tracked live and nobody does so for this process. Nothing waits for it.

    Args:
        run: The run, open for writing.
    """
    way = _way(run)
    if way == "offline" and not run.is_done:
        archive.prepare()
    if way == "online" and not _is_followed(run):
        live.follow(run)


def end(run: RunFolder) -> list[str]:
    """Lay a run out for people, and tell Comet the rest of it or build the archive that can be sent by hand.

    Args:
        run: The run, done and open for writing.

    Returns:
        Lines for people: where to look, and what Comet has of it.

    Raises:
        CometError: The archive cannot be built.
        DiskError: The disk is full or not writable.
    """
    if not _is_laid_out(run):
        progress.tell("laying out the contact sheet and the report")
        write_whole(run.contact_sheet, png(_contact_sheet(run)))
        write_report([run], run.report_file)
    renew(run)
    way = _way(run)
    if way == "offline":
        progress.tell("building the archive for Comet")
        archive.build(run)
    elif way == "online" and not _is_followed(run):
        progress.tell("waiting for Comet")
        live.finish(run)
    return where(run)


def where(run: RunFolder) -> list[str]:
    """Say where to look at a run, and what Comet has of it, one line each.

    Args:
        run: The run, laid out by `end`.
    """
    return [f"to look at: {run.contact_sheet.name} there, or in a browser {short(run.report_file)}", of_comet([run], run.path)]


def of_comet(runs: Sequence[RunFolder], folder: Path) -> str:
    """Say what Comet has of runs, and how it gets the rest.

    Args:
        runs: The runs, one or more, done.
        folder: The one that holds them all; of one run its own.
    """
    ways = {_way(run) for run in runs}
    if ways == {"off"}:
        return "Comet was told nothing: tracking is off"
    pushed = f"sdxl-lab push {short(folder)}"
    if "online" in ways:
        lacking = [run for run in runs if not confirmed.standing(run).is_whole]
        urls = " ".join(filter(None, (confirmed.standing(run).url for run in runs[:3]))) + (" ..." if len(runs) > 3 else "")
        if not lacking:
            return f"in Comet: {urls}"
        if all(map(_is_followed, lacking)):
            return f"on its way to Comet: {urls}".rstrip(": ")
        return f"Comet lacks some of {len(lacking)} of {counted(len(runs), 'run')}; the rest is sent by: {pushed}"
    if "later" in ways:
        return f"Comet: no API key; with one, {pushed} sends {'it' if len(runs) == 1 else 'them'}"
    archives = folder / ("" if runs[0].path == folder else "*") / runs[0].comet_folder.name / "*.zip"
    return f"for Comet, with an API key: {pushed}, or comet upload {short(archives)}"


def short(path: Path) -> Path:
    """A path as people would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


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
        progress.tell("adding the notebook to the archive for Comet")
        archive.build(run)
    elif way == "online":
        progress.tell("waiting for Comet")
        live.add_notebook(run)


def follow_session(session: SessionFolder) -> None:
    """Let Comet follow a session, if it is tracked live and has a picture. Nothing waits for it.

    Args:
        session: The session. It may have been sent before, and have grown since.
    """
    if _is_live(session):
        live.follow(session)


def end_session(session: SessionFolder) -> list[str]:
    """Send what is left of a session that is tracked live, and wait for it a little.

    Args:
        session: The session.

    Returns:
        What Comet has of it, and how it gets the rest, one line; none where tracking is off or there is no picture.
    """
    if not session.is_begun or session.tracking == "off":
        return []
    pushed = f"sdxl-lab push {short(session.path)}"
    if not _is_live(session):
        return [f"Comet: no API key; with one, {pushed} sends it"]
    progress.tell("waiting for Comet")
    if live.finish(session):
        return [f"in Comet: {confirmed.standing(session).url}"]
    return [f"Comet lacks some of the session; the rest is sent by: {pushed}"]


def end_sweep(sweep: SweepFolder) -> list[str]:
    """Send a sweep's own experiment, if it is tracked live, and wait for it a little; or build the archive of one that is done.

    Args:
        sweep: The sweep, written and reported as it ended.

    Returns:
        What Comet has of it, and how it gets the rest, one line; none where what is said of its runs says it.

    Raises:
        CometError: The archive cannot be built.
        DiskError: The disk is full or not writable.
    """
    way = comet.way(sweep.tracking)
    if way == "offline" and not sweep.is_unfinished:
        progress.tell("building the archive of the sweep for Comet")
        return [f"of the sweep itself: comet upload {short(archive.build(sweep))}"]
    if way != "online":
        return []
    progress.tell("waiting for Comet")
    if live.finish(sweep):
        return [f"the sweep itself in Comet: {confirmed.standing(sweep).url}"]
    return [f"Comet lacks some of the sweep itself; the rest is sent by: sdxl-lab push {short(sweep.path)}"]


def has_notebook(run: RunFolder) -> bool:
    """Whether nothing is left for `add_notebook` to add to the archive of a run, or it has no archive.

    Args:
        run: The run, done, its notebook executed.
    """
    return _way(run) != "offline" or archive.is_archived(run)


def _is_laid_out(run: RunFolder) -> bool:
    """Whether sheet and report are there since the run was done. They are not made anew: another version's would be sent to Comet again."""
    files = (run.contact_sheet, run.report_file)
    return all(file.is_file() and file.stat().st_mtime_ns >= run.record_file.stat().st_mtime_ns for file in files)


def _way(run: RunFolder) -> str:
    return comet.way(run.tracking)


def _is_followed(run: RunFolder) -> bool:
    """Whether another process tells Comet of a run, since it waits for the one that makes it."""
    try:
        with locked(run.comet_folder, FOLLOWED):
            return False
    except LockError:
        return True
    except DiskError:  # it cannot be written to, or nobody has told Comet of it yet
        return False


def _is_live(session: SessionFolder) -> bool:
    """Whether it is sent while it is made: a session may be gone on with where there is no account, and then nothing of it may fail."""
    return session.is_begun and session.tracking in ("auto", "online") and comet.has_key()


def _contact_sheet(run: RunFolder) -> Image.Image:
    from sdxl_lab.images.grid import captioned_sheet, contact_sheet

    pictures = run.pictures()
    roles = [*dict.fromkeys(role for picture in pictures for role in picture.files if role != RESULT.name), RESULT.name]
    rows = [f"{picture.title}: {picture.prompt}" for picture in pictures]
    if roles == [RESULT.name]:
        return captioned_sheet(captions=rows, pictures=[_read(picture.image) for picture in pictures])
    cells = [[_read(picture.files[role]) if role in picture.files else None for role in roles] for picture in pictures]
    return contact_sheet(rows=rows, columns=roles, cells=cells)


def _read(path: Path) -> Image.Image:
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB")
