"""Archives that somebody asks for, whatever the tracking of the records says."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from sdxl_lab import progress
from sdxl_lab.comet.errors import CometError
from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import make_folder
from sdxl_lab.files.locks import locked
from sdxl_lab.progress.signs import shown
from sdxl_lab.records.finding import Recorded, recorded_at
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.records.study_result import ResultFolder
from sdxl_lab.tracking import archive as archives
from sdxl_lab.tracking import pages
from sdxl_lab.tracking.tracker import short
from sdxl_lab.wording import counted


def archive(paths: Sequence[Path]) -> None:
    """Build the archive of each run and sweep, and print how it is sent. One that is there already and still whole is left.

    Args:
        paths: Folders of runs and sweeps that are done, or folders above some.

    Raises:
        RecordError: A path holds no record.
        CometError: Something was not archived. Why was said on stderr, one line each.
    """
    records, built, failed = recorded_at(paths), [], 0
    with shown():
        for number, record in enumerate(records, 1):
            progress.tell(f"archiving {record.path.name}", done=number, total=len(records), unit="record")
            try:
                built.append((record.path.name, _built(record)))
            except LabError as error:
                failed += 1
                print(f"sdxl-lab: {error}", file=sys.stderr, flush=True)
    for name, path in built:
        print(f"{name} is archived; with an API key, this sends it: comet upload {short(path)}")
    if failed:
        raise CometError(f"{failed} of {counted(len(records), 'record is', 'records are')} not archived; the lines above say why")


def _built(record: Recorded) -> Path:
    if isinstance(record, SessionFolder):
        raise CometError(f"{record.path} is a session, which grows, and an archive is sent once; send it with: sdxl-lab push {short(record.path)}")
    if isinstance(record, ResultFolder):
        raise CometError(f"{record.path} is the answer of a study, of which there is no archive; send it with: sdxl-lab push {short(record.path)}")
    archives.require_done(record)
    pages.renew(record)
    make_folder(record.comet_folder)
    with locked(record.comet_folder):  # who sends it meanwhile clears up there
        return archives.build(record)
