"""A record as one Comet experiment shows it: a run, finished or not, a session, a sweep, or the answer of a study."""

from __future__ import annotations

from pathlib import Path

from sdxl_lab.records.finding import Recorded
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.records.study_result import ResultFolder
from sdxl_lab.records.sweep import SweepFolder
from sdxl_lab.tracking.experiment import Projection
from sdxl_lab.tracking.of_run import of_run
from sdxl_lab.tracking.of_session import of_session
from sdxl_lab.tracking.of_study import of_study
from sdxl_lab.tracking.of_sweep import of_sweep

VERSION = 3
"""Of what a record is projected to. What was confirmed under another one is left as it is; 1 is 0.1.0's, whose notes do not say so.

A record that has grown since, or of which only a part was confirmed, is brought up to this one: what it lacks is added under the steps that its
lines have, and parameters by which an earlier one told the same are taken away.
"""


def project(record: Recorded, scratch: Path) -> Projection:
    """Read a record as an experiment.

    Args:
        record: A run, done or not, a session, a sweep, or the answer of a study.
        scratch: An existing folder for files that are made to be sent.

    Returns:
        The experiment, the same for the same record wherever it lies.

    Raises:
        RecordError: The folder holds no such thing.
        DiskError: The key cannot be written.
    """
    if isinstance(record, SweepFolder):
        return of_sweep(record, scratch)
    if isinstance(record, ResultFolder):
        return of_study(record)
    return of_session(record, scratch) if isinstance(record, SessionFolder) else of_run(record, scratch)
