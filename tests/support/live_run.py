"""A run without a model, in a process of its own that can be killed: told by lines on stdin, it answers each with the seconds it took."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.tracking import tracker
from tests.support.runs import made_for, resolved_run


def main(runs_folder: str, tracking: str) -> None:
    """Do what the loop of a notebook does, one step a line: begin, picture, end."""
    resolved = resolved_run(Path(runs_folder), tracking=tracking)
    with RunFolder.of(resolved).open(resolved) as run:
        for line in sys.stdin:
            started = time.monotonic()
            match line.strip():
                case "begin":
                    tracker.begin(run)
                case "picture":
                    edit = run.pending()[0]
                    run.add_picture(edit, made_for(edit), {"change_outside_max": 2.5})
                case "end":
                    run.finish()
                    tracker.end(run)
            print(time.monotonic() - started, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
