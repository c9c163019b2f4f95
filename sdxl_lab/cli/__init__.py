"""The `sdxl-lab` command: a thin shell over the rooms, quick to start because each command imports what it needs."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
from typing import Annotated

import typer

from sdxl_lab.cli import looking, making, painting, usage
from sdxl_lab.errors import LabError

INTERRUPTED = 130
"""How typer leaves after ctrl-C, and every shell expects it."""


app = typer.Typer(
    cls=usage.Commands,
    help="A lab bench for Stable Diffusion XL: pictures from words, pictures and masks, and every picture kept.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=usage.version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    """Options of no command."""


# In the order in which the help lists them.
app.command()(making.demo)
app.command(cls=usage.Paints)(painting.paint)
app.command(cls=usage.Pairs)(making.run)
app.command()(making.notebook)
app.command()(making.plan)
app.command()(making.sweep)
app.command(cls=usage.with_help("dataset", usage.datasets))(making.fetch)
app.command()(making.publish)
app.command()(looking.show)
app.command()(looking.push)
app.command()(looking.archive)
app.command()(looking.status)
app.command()(looking.report)
app.command(cls=usage.with_help("task", usage.tasks))(looking.compare)
app.command()(making.reproduce)
app.command()(looking.doctor)


def main() -> None:
    """Run the command; leave with 0 (done), 1 (an error, or a picture that came out differently), 2 (wrong usage) or 130 (ctrl-C)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a terminal cannot show is no reason to stop
    try:
        try:
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
