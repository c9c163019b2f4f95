"""The `sdxl-lab` command: a thin shell over the rooms, quick to start because each command imports what it needs.

A sweep's workers import this module, since their command began in it, and nothing of it is for them: so the commands are imported by who runs one.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
from typing import TYPE_CHECKING, Any

from sdxl_lab.errors import LabError

if TYPE_CHECKING:
    from sdxl_lab.cli.commands import app as app

INTERRUPTED = 130
"""How typer leaves after ctrl-C, and every shell expects it."""


def __getattr__(name: str) -> Any:
    """Import the commands when `app` is asked for."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sdxl_lab.cli.commands import app

    return app


def main() -> None:
    """Run the command; leave with 0 (done), 1 (an error, or a picture that came out differently), 2 (wrong usage) or 130 (ctrl-C)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a terminal cannot show is no reason to stop
    try:
        try:
            from sdxl_lab.cli.commands import app

            app(prog_name="sdxl-lab")
        finally:
            gc.freeze()  # else Python, as it ends, walks through all that was imported, several times
            if sys.stdout:
                sys.stdout.flush()
    except LabError as error:
        print(f"sdxl-lab: {error}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("sdxl-lab: interrupted; pictures made so far are kept: the same command goes on from there", file=sys.stderr)
        raise
    except BrokenPipeError:  # the reader of a pipe left
        _forget_output()
        sys.exit(1)
    except (OSError, MemoryError) as error:
        _forget_output()
        print(f"sdxl-lab: the system refused something: {error or 'no memory is left'}; put that right and run again", file=sys.stderr)
        sys.exit(1)


def _forget_output() -> None:
    """Drop what could not be written: Python would complain again when it flushes at exit."""
    with contextlib.suppress(OSError, AttributeError):  # a closed output is none
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
