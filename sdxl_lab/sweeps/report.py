"""The report of a sweep: what is recorded, what failed, and what is still to be made."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from sdxl_lab import progress
from sdxl_lab.checkpoints import locating
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs import resolution
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.attempts import begun
from sdxl_lab.sweeps.plan import Plan, PlannedRun
from sdxl_lab.tracking import tracker
from sdxl_lab.viewing.report import Missing, write_report

REPORT_NAME = "report.html"


def report(plan: Plan, failed: Mapping[str, str] | None = None) -> Path:
    """Write the report of a sweep beside its runs, those included that other sweeps recorded.

    Args:
        plan: What the sweep was to do.
        failed: Label of each run that failed to why.

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
    return write_report(folders, plan.runs_folder / REPORT_NAME, missing=missing, title=plan.name)


def of_comet(plan: Plan) -> list[str]:
    """Say what Comet has of a sweep's runs, as far as they are recorded: a line, or none.

    Args:
        plan: What the sweep was to do.
    """
    folders = [folder for run in plan.runs if (folder := begun(run.folder.parent, run.run_id)) and folder.is_done]
    return [tracker.of_comet(folders, plan.runs_folder)] if folders else []
