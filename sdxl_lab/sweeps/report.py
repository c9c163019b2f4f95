"""What a sweep leaves beside its runs: which points it has, and a report of what is recorded, what failed, and what is still to be made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from sdxl_lab import progress
from sdxl_lab.checkpoints import locating
from sdxl_lab.errors import LabError
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.run_files import RecordError
from sdxl_lab.records.sweep import RecordedPoint, SweepFolder
from sdxl_lab.runs import resolution
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.attempts import begun, has_failed
from sdxl_lab.sweeps.plan import Plan, PlannedRun
from sdxl_lab.tracking import tracker
from sdxl_lab.viewing.report import Gallery, Missing, write_report
from sdxl_lab.viewing.sweep_sheets import sheets_of, write_sheet


class Ahead:
    """What takes longest of a sweep's report, reading and encoding its pictures: done run by run, while others are still being made.

    Args:
        plan: All of the sweep.
    """

    def __init__(self, plan: Plan) -> None:
        self.gallery = Gallery()
        self._left = list(plan.runs)

    def go_on(self) -> bool:
        """Take in the pictures of one more run that is done.

        Returns:
            Whether there was one.
        """
        run = next((run for run in self._left if RunFolder(run.folder).is_done), None)
        if run is None:
            return False
        self._left.remove(run)
        with suppress(LabError, OSError):  # the report says so
            for picture in RunFolder(run.folder).pictures():
                for file in picture.files.values():
                    self.gallery.add(file)
        return True


def begin(plan: Plan, *, command: str = "") -> None:
    """Write which points a sweep has, before any is made, unless its folder holds another sweep.

    Args:
        plan: All of the sweep.
        command: What makes it again, without paths.

    Raises:
        DiskError: The disk is full or not writable.
    """
    with suppress(RecordError):  # its end says so
        record(plan, command=command)


def end(plan: Plan, failed: Mapping[str, str] | None = None, *, command: str = "", ahead: Ahead | None = None) -> list[str]:
    """Write the report of a sweep, its sheets and which points it has, as it ended, and tell Comet of it.

    Args:
        plan: All of the sweep.
        failed: Label of each run that failed to why.
        command: What makes it again, without paths.
        ahead: What was done of the report before.

    Returns:
        Lines for people: where to look, and what Comet has.

    Raises:
        LabError: A run that has no folder can no longer be resolved, something cannot be written, or an archive not be built.
    """
    page = report(plan, failed, ahead)
    seen = f"to look at them: {page}"
    try:
        sweep = record(plan, failed, command=command)
    except RecordError as error:
        return [seen, *of_comet(plan), f"the sweep gets no experiment of its own: {error}"]
    sheets = [write_sheet(sheet, f"{sweep.name}: {sheet.task}", sweep.sheet_file(sheet.task)) for sheet in sheets_of(sweep)]
    return [", ".join([seen, *(sheet.name for sheet in sheets)]), *of_comet(plan), *tracker.end_sweep(sweep)]


def report(plan: Plan, failed: Mapping[str, str] | None = None, ahead: Ahead | None = None) -> Path:
    """Write the report of a sweep beside its runs, those included that other sweeps recorded.

    Args:
        plan: What the sweep was to do.
        failed: Label of each run that failed to why.
        ahead: What was done of it before.

    Returns:
        The page.

    Raises:
        LabError: A run that has no folder can no longer be resolved, or the page cannot be written.
    """
    progress.tell("writing the report")
    fetch, identify = cache(resolution.fetch), cache(locating.identify)

    def resolve(run: PlannedRun) -> ResolvedSpec:
        spec = RunSpec.from_parameters(**run.parameters)
        return resolution.resolve(spec, dataset=fetch(spec.dataset), identity=identify(spec.checkpoint)).spec

    folders: list[RunFolder] = []
    missing: list[Missing] = []
    for run in plan.runs:
        folder = begun(run.folder.parent, run.run_id)
        message = (failed or {}).get(run.label)
        if folder is not None:
            folders.append(folder)
        if folder is None or message is not None:
            missing.append(Missing(resolved=folder.resolved if folder is not None else resolve(run), message=message))
    return write_report(folders, SweepFolder(plan.runs_folder).report_file, missing=missing, title=plan.name, ahead=ahead and ahead.gallery)


def record(plan: Plan, failed: Mapping[str, str] | None = None, *, command: str = "") -> SweepFolder:
    """Write beside a sweep's runs which of them are its points: for people, and for the sweep's own experiment in Comet.

    Args:
        plan: All of the sweep.
        failed: As for `report`.
        command: What makes it again, without paths.

    Returns:
        The sweep.

    Raises:
        RecordError: The folder holds another sweep.
        DiskError: The disk is full or not writable.
    """
    points = [
        RecordedPoint(
            label=run.label,
            run_id=run.run_id,
            folder=Path(os.path.relpath(run.folder, plan.runs_folder)).as_posix(),
            pictures=len(run.works),
            values=run.overrides,
            failed=run.label in (failed or {}) or has_failed(run),
        )
        for run in sorted(plan.runs, key=lambda run: run.place)
    ]
    tracking = plan.runs[0].parameters["tracking"]
    return SweepFolder(plan.runs_folder).write(name=plan.name, tracking=tracking, command=command, points=points)


def of_comet(plan: Plan) -> list[str]:
    """Say what Comet has of a sweep's runs, as far as they are recorded.

    Args:
        plan: What the sweep was to do.

    Returns:
        A line, or none.
    """
    folders = [folder for run in plan.runs if (folder := begun(run.folder.parent, run.run_id)) and folder.is_done]
    return [tracker.of_comet(folders, plan.runs_folder)] if folders else []
