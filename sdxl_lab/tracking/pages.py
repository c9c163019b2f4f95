"""The pages of runs and sweeps, which Comet shows, with what was kept beside their records since they were written."""

from __future__ import annotations

from sdxl_lab.records import measures
from sdxl_lab.records.finding import Recorded
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.sweep import SweepFolder
from sdxl_lab.tracking.of_run import is_one_page
from sdxl_lab.viewing.report import write_report


def renew(record: Recorded) -> str:
    """Write the page that Comet shows of a record anew, if numbers were measured or people asked since. Others stay as their version wrote them.

    Args:
        record: A run, a sweep, or what has no such page.

    Returns:
        What is to be said of a page that stays behind; empty if none does. A sweep's page shows what was not made, which only the sweep knows.

    Raises:
        DiskError: The page cannot be written.
        RecordError: The folder holds no such record.
    """
    if not isinstance(record, RunFolder | SweepFolder) or not is_one_page(record):
        return ""
    runs = [record] if isinstance(record, RunFolder) else [run for run in record.runs if run]
    written = record.report_file.stat().st_mtime_ns
    if all(file.stat().st_mtime_ns <= written for run in runs for file in measures.files_of(run.path)):
        return ""
    if isinstance(record, SweepFolder) and record.is_unfinished:
        return f"{record.path.name} is not done, and its page lacks what was measured or asked since; going on with the sweep writes it anew"
    write_report(runs, record.report_file, title=record.name if isinstance(record, SweepFolder) else None)
    return ""
