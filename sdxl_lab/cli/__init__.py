"""The `sdxl-lab` command: a thin shell over the rooms, quick to start because each command imports what it needs."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdxl_lab.cli import usage
from sdxl_lab.cli.usage import Commands, Pairs, in_pairs
from sdxl_lab.errors import LabError
from sdxl_lab.files import places
from sdxl_lab.wording import counted

if TYPE_CHECKING:
    from sdxl_lab.sweeps.plan import Plan

INTERRUPTED = 130
"""How typer leaves after ctrl-C, and every shell expects it."""


app = typer.Typer(
    cls=Commands,
    help="A lab bench for Stable Diffusion XL image editing: inpaint and outpaint a dataset, keep every picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command; leave with 0 (done), 1 (an error, or a picture that came out differently), 2 (wrong usage) or 130 (ctrl-C)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a terminal cannot show is no reason to stop
    try:
        try:
            app(prog_name="sdxl-lab")
        finally:
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


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=usage.version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    """Options of no command."""


@app.command()
def demo() -> None:
    """Inpaint and outpaint five pictures in three ways: base, base and refiner, the same with dilated masks."""
    from sdxl_lab.demo import demo

    demo()


@app.command(cls=Pairs)
def run(
    notebook: Annotated[str, typer.Argument(help="An .ipynb file, or inpaint_outpaint for the built-in one.", metavar="NOTEBOOK")],
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            *("-p", "--parameters", "--parameter"),
            metavar="NAME VALUE",
            help="A dotted path and its value: a text as it is, anything else as YAML.",
            callback=in_pairs,
        ),
    ] = None,
    raw: Annotated[
        list[str] | None,
        typer.Option("-r", "--parameters_raw", metavar="NAME VALUE", help="The same, always a text as it is.", callback=in_pairs),
    ] = None,
    file: Annotated[list[Path] | None, typer.Option("-f", "--parameters_file", metavar="FILE", help="A YAML file of parameters.")] = None,
    text: Annotated[
        list[str] | None, typer.Option("-y", "--parameters_yaml", "--yaml", metavar="TEXT", help="A YAML text of parameters: 'checkpoint: sdxl'.")
    ] = None,
    encoded: Annotated[
        list[str] | None, typer.Option("-b", "--parameters_base64", metavar="TEXT", help="The same, in base64, as scripts pass it on.")
    ] = None,
) -> None:
    """Run a notebook through papermill, resumably: -p hyperparameters.denoising.guidance_scale 5.

    All options are papermill's and repeatable. -r wins over -p, -p over -y, -y over -f, -f over -b, and the later over the earlier of a kind.
    """
    from sdxl_lab.kernels import notebooks
    from sdxl_lab.progress.bars import following
    from sdxl_lab.runs.experiment import execute
    from sdxl_lab.settings.arguments import laid_over, pairs
    from sdxl_lab.spec.parameters import takes_text
    from sdxl_lab.spec.run_spec import RunSpec
    from sdxl_lab.tracking.tracker import short, where

    path = notebooks.find(notebook)
    parameters = laid_over(
        notebooks.parameters_of(path),
        encoded=encoded or (),
        files=file or (),
        texts=text or (),
        values=pairs(parameter or ()),
        raw=pairs(raw or ()),
        takes_text=lambda name: takes_text(name, RunSpec),
    )
    with following() as follow:
        resolved = execute(path, parameters, follow, say=lambda line: print(f"sdxl-lab: {line}", file=sys.stderr, flush=True))
    print(f"{counted(len(resolved.spec.edits), 'picture')} in {short(resolved.folder.path)}", *where(resolved.folder), sep="\n")


def _planned(file: Path) -> Plan:
    from sdxl_lab import progress
    from sdxl_lab.progress.signs import shown

    with shown():
        progress.tell("starting PyTorch")
        from sdxl_lab.sweeps.planner import plan
        from sdxl_lab.sweeps.sweep_file import SweepFile

        return plan(SweepFile.read(file))


@app.command()
def plan(
    file: Annotated[Path, typer.Argument(help="A sweep file.", metavar="FILE")],
) -> None:
    """Say what a sweep would do: its points in order, which are done, and what they cost. Runs nothing."""
    print(_planned(file))


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="A sweep file.", metavar="FILE")],
    workers: Annotated[int, typer.Option("--workers", metavar="N", help="Worker processes on this machine.", min=1)] = 1,
    parsl: Annotated[
        Path | None, typer.Option("--parsl", metavar="SITE.py", help="Run where this file's Parsl configuration says, instead of here.")
    ] = None,
) -> None:
    """Run all points of a sweep that are not recorded yet, resumably; leave with 1 if one failed."""
    from sdxl_lab.progress.signs import shown
    from sdxl_lab.sweeps import board
    from sdxl_lab.sweeps.executors import opened, remarks

    planned = _planned(file)
    from sdxl_lab.sweeps.report import of_comet, report
    from sdxl_lab.sweeps.sweep import sweep

    groups = sum(bool(group.pending) for group in planned.groups)
    for line in (*planned.notes, *(remarks(workers, groups, parsl) if planned.pending else ())):
        print(f"sdxl-lab: {line}", file=sys.stderr, flush=True)
    if not planned.pending:
        print(f"{counted(len(planned.runs), 'run is', 'runs are')} done: {planned.runs_folder}")
        with shown():
            page = report(planned)
        print(f"to look at them: {page}", *of_comet(planned), sep="\n")
        return
    with opened(workers, parsl) as executor:
        summary = sweep(planned, executor, board.following)
    print(f"{summary.before + summary.made} of {counted(len(planned.runs), 'run is', 'runs are')} done: {planned.runs_folder}")
    try:
        failed = {failure.label: failure.message for failure in summary.failed}
        with shown():
            page = report(planned, failed)
        print(f"to look at them: {page}", *of_comet(planned), sep="\n")
    finally:
        summary.check()


@app.command()
def fetch(
    dataset: Annotated[
        str, typer.Argument(help="A folder, pocket-scenes, pocket-forty, or a Comet artifact workspace/name:version.", metavar="DATASET")
    ],
) -> None:
    """Fetch a dataset, check all of it and list what it holds."""
    from sdxl_lab.progress.signs import shown
    from sdxl_lab.runs.resolution import fetch
    from sdxl_lab.viewing.show import print_dataset

    with shown():
        fetched = fetch(dataset)
    print_dataset(fetched)


@app.command()
def publish(
    folder: Annotated[Path, typer.Argument(help="A dataset: a folder with a metadata.json.", metavar="FOLDER")],
    name: Annotated[str, typer.Argument(help="The Comet artifact that gets a new version: workspace/name.", metavar="WORKSPACE/NAME")],
) -> None:
    """Check a dataset and upload it to Comet as a new version, which `fetch` and the parameter `dataset` take."""
    from sdxl_lab.datasets import sources
    from sdxl_lab.progress.signs import shown

    with shown():
        published = sources.publish(folder, name)
    print(f"published {published}")


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="A run's folder, or a picture that sdxl_lab made.", metavar="RUN-or-PICTURE")],
    as_parameters: Annotated[bool, typer.Option("--as-parameters", help="Print the YAML that continues from it: sdxl-lab run ... -f FILE.")] = False,
) -> None:
    """Show what a run holds, or how a picture was made."""
    from sdxl_lab.viewing.show import parameters_of, print_path

    if as_parameters:
        from sdxl_lab.settings.arguments import written

        is_utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
        print(written(parameters_of(path), is_ascii=not is_utf8), end="")
    else:
        print_path(path)


@app.command()
def push(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, or folders of runs; all that Comet lacks if left out.", metavar="[RUN ...]")
    ] = None,
) -> None:
    """Bring Comet up to the records on this disk, and read back that it is; twice changes nothing."""
    from sdxl_lab.runs.resolution import home
    from sdxl_lab.tracking import pushing

    pushing.push(runs or [], home())


@app.command()
def status(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run folders, or folders of runs; all if left out.", metavar="[RUN ...]")] = None,
) -> None:
    """List runs: how many pictures are made, and what Comet lacks. Offline."""
    from sdxl_lab.runs.resolution import home
    from sdxl_lab.tracking.pushing import print_status

    print_status(runs or [], home())


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of runs.", metavar="RUN|FOLDER ...")],
    output: Annotated[
        Path | None,
        typer.Option(
            *("-o", "--output"), parser=places.output, help="The page; report.html in the folder if one is given, else here.", metavar="FILE"
        ),
    ] = None,
) -> None:
    """Write one HTML page that shows runs side by side: no server, no network."""
    from sdxl_lab.records.folder import RunFolder
    from sdxl_lab.runs.resolution import home
    from sdxl_lab.tracking.pushing import runs_of
    from sdxl_lab.viewing.report import write_report

    path = output or (runs[0] if len(runs) == 1 else Path()) / "report.html"
    is_folder_of_runs = len(runs) == 1 and not RunFolder(runs[0]).spec_file.is_file()
    print(f"written: {write_report(runs_of(runs, home()), path, title=runs[0].resolve().name if is_folder_of_runs else None)}")


def _recorded(sweep: Path) -> list[Path]:
    """The folders of a sweep's runs, as far as it has been run."""
    from sdxl_lab.sweeps.attempts import begun
    from sdxl_lab.viewing.compare import CompareError

    planned = _planned(sweep).runs
    folders = [folder.path for run in planned if (folder := begun(run.folder.parent, run.run_id))]
    if not folders:
        raise CompareError(f"no run of {sweep} is recorded yet, of {len(planned)} planned; make them with: sdxl-lab sweep {sweep}")
    return folders


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, folders of runs, or sweep files.", metavar="RUN|SWEEP ...")],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="A metric to print; a telling one of each kind if left out. Repeatable.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="RUN", help="The run that others are compared with: folder, name or number; else the first.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="TASK", help="inpaint or outpaint, to look at one alone.")] = None,
    each_seed: Annotated[bool, typer.Option("--each-seed", help="A row for each run, also where runs differ in nothing but seeds.")] = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", parser=places.output, metavar="FILE", help="Write all numbers as a table, one row a run.")
    ] = None,
    notebook: Annotated[
        Path | None,
        typer.Option("--notebook", parser=places.output, metavar="FILE.ipynb", help="Run the built-in notebook compare, and keep it."),
    ] = None,
) -> None:
    """Compare runs: what differs, and each metric's mean and paired differences with 95% intervals."""
    from sdxl_lab.viewing.compare import compare, print_comparison, write_csv

    folders = [folder for path in runs for folder in (_recorded(path) if path.suffix in (".yaml", ".yml") else [path])]
    compared = compare(folders, metrics=metric or (), reference=reference, task=task, pool_seeds=not each_seed)
    print_comparison(compared, metrics=metric or ())
    if csv:
        print(f"written: {write_csv(compared, csv)}")
    if notebook:
        from sdxl_lab.kernels import notebooks
        from sdxl_lab.progress.signs import shown

        parameters = {"runs": [str(folder.absolute()) for folder in folders], "metrics": metric or [], "reference": reference, "task": task}
        with shown():
            notebooks.run(notebooks.find(notebooks.COMPARE), parameters | {"pool_seeds": not each_seed}, notebook)
        print(f"written: {notebook}")


@app.command()
def reproduce(
    picture: Annotated[Path, typer.Argument(help="A PNG that sdxl_lab made.", metavar="PICTURE")],
    dataset: Annotated[str | None, typer.Option(help="Its dataset, where it is not found by itself.", metavar="DATASET")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Its checkpoint, where it is not found by itself.", metavar="CHECKPOINT")] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Allow to download the dataset or checkpoint that the picture names.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads, instead of as many as it was made with.", min=1, max=1024)] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            *("-o", "--output"),
            parser=places.output,
            help="Where to write what was made; else only if it differs, <name>-again.png here.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Make a picture again from its own description, and say whether it is identical; leave with 1 if not."""
    from sdxl_lab import progress
    from sdxl_lab.progress.signs import shown

    with shown():
        progress.tell("starting PyTorch")
        from sdxl_lab.runs.reproduce import output_for, reproduce

        path = output_for(picture, output)
        made = reproduce(picture, dataset=dataset, checkpoint=checkpoint, threads=threads, fetch=fetch)
    print(made)
    if output or not made.is_identical:
        print(f"written: {made.save(path)}")
    if not made.is_identical:
        raise typer.Exit(1)
