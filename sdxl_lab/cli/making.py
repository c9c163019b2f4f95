"""The commands that make something: runs, sweeps, datasets that are here or published, and pictures made again."""

from __future__ import annotations

import gc
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdxl_lab.cli import completion
from sdxl_lab.cli.fetching import Fetch, bring
from sdxl_lab.cli.usage import in_pairs, print_described
from sdxl_lab.files import places
from sdxl_lab.wording import counted

if TYPE_CHECKING:
    from sdxl_lab.sweeps.plan import Plan
    from sdxl_lab.sweeps.sweep_file import SweepFile


def demo() -> None:
    """Inpaint and outpaint five pictures in three ways: base, base and refiner, the same with dilated masks."""
    from sdxl_lab.demo import demo

    demo()


def run(
    notebook: Annotated[
        str,
        typer.Argument(
            help="An .ipynb file, or one that comes with the lab, such as inpaint_outpaint or text_to_image.",
            metavar="NOTEBOOK",
            autocompletion=completion.notebooks,
        ),
    ],
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            *("-p", "--parameters", "--parameter"),
            metavar="NAME VALUE",
            help="A dotted path and its value: a text as it is, anything else as YAML.",
            callback=in_pairs,
            autocompletion=completion.parameters,
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
    fetch: Fetch = False,
) -> None:
    """Run a notebook through papermill, resumably: -p hyperparameters.denoising.guidance_scale 5.

    All options are papermill's and repeatable. -r wins over -p, -p over -y, -y over -f, -f over -b, and the later over the earlier of a kind.
    """
    from sdxl_lab.kernels import notebooks
    from sdxl_lab.runs.early import started
    from sdxl_lab.settings.arguments import laid_over, pairs
    from sdxl_lab.spec.homes import place_of
    from sdxl_lab.spec.parameters import takes_none, takes_text
    from sdxl_lab.spec.run_spec import RunSpec

    path = notebooks.find(notebook)
    parameters = laid_over(
        notebooks.parameters_of(path),
        encoded=encoded or (),
        files=file or (),
        texts=text or (),
        values=pairs(parameter or ()),
        raw=pairs(raw or ()),
        takes_text=lambda name: takes_text(name, RunSpec),
        takes_none=lambda name: takes_none(name, RunSpec),
        place_of=place_of,
    )
    if fetch:
        bring(parameters)
    with started(path, RunSpec.from_parameters(**parameters)):
        from sdxl_lab.progress.bars import following
        from sdxl_lab.runs.experiment import execute
        from sdxl_lab.tracking.tracker import short, where

        with following() as follow:
            resolved = execute(path, parameters, follow, say=lambda line: print(f"sdxl-lab: {line}", file=sys.stderr, flush=True))
    print(f"{counted(len(resolved.spec.edits), 'picture')} in {short(resolved.folder.path)}", *where(resolved.folder), sep="\n")


def notebook(
    name: Annotated[
        str | None, typer.Argument(help="One of those that are listed if it is left out.", metavar="NAME", autocompletion=completion.examples)
    ] = None,
    folder: Annotated[Path, typer.Argument(help="Where to copy it.", metavar="FOLDER", show_default="here")] = Path(),
) -> None:
    """Copy a notebook or a sweep file that comes with the lab, to change and run it; without a name, list them."""
    from sdxl_lab.kernels import examples

    if name is not None:
        print(f"written: {examples.copy(name, folder)}")
        return
    print_described({path.name: examples.title(path) for path in examples.examples().values()})


def plan_of(file: SweepFile, *, only_failed: bool = False, limit: int | None = None) -> Plan:
    """Plan a sweep, or some of its points, and show that it is being planned."""
    from sdxl_lab import progress
    from sdxl_lab.process.imports import importing
    from sdxl_lab.progress.signs import shown

    with shown():
        progress.tell("starting PyTorch")
        with importing:
            from sdxl_lab.sweeps.planner import plan
        from sdxl_lab.sweeps.attempts import has_failed

        return plan(file).limited(has_failed if only_failed else None, limit)


OnlyFailed = Annotated[bool, typer.Option("--only-failed", help="Only points whose last attempt failed.")]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", help="At most N of the points that are not done, the first ones of the plan.", min=1)
]


def plan(
    file: Annotated[Path, typer.Argument(help="A sweep file.", metavar="FILE")],
    only_failed: OnlyFailed = False,
    limit: Limit = None,
    fetch: Fetch = False,
) -> None:
    """Say what a sweep would do: its points in order, which are done, and what they cost. Runs nothing."""
    from sdxl_lab.settings.arguments import read_file
    from sdxl_lab.sweeps.sweep_file import SweepFile

    if fetch:
        bring(read_file(file))
    print(plan_of(SweepFile.read(file), only_failed=only_failed, limit=limit))


def sweep(
    file: Annotated[Path, typer.Argument(help="A sweep file.", metavar="FILE")],
    workers: Annotated[int, typer.Option("--workers", metavar="N", help="Worker processes on this machine.", min=1)] = 1,
    parsl: Annotated[
        Path | None, typer.Option("--parsl", metavar="SITE.py", help="Run where this file's Parsl configuration says, instead of here.")
    ] = None,
    only_failed: OnlyFailed = False,
    limit: Limit = None,
    fetch: Fetch = False,
) -> None:
    """Run all points of a sweep that are not recorded yet, resumably; leave with 1 if one failed."""
    from sdxl_lab.progress.signs import shown
    from sdxl_lab.settings.arguments import read_file
    from sdxl_lab.sweeps.sweep_file import SweepFile

    if fetch:
        bring(read_file(file))
    read = SweepFile.read(file)  # what is wrong with it shows before PyTorch is imported
    from sdxl_lab.sweeps.executors import opened, prepare, remarks

    command = f"sdxl-lab sweep {shlex.quote(file.name)}"
    with ExitStack() as until_told:
        executor = None if parsl else until_told.enter_context(opened(workers))
        if executor:
            prepare(executor, read, min(workers, limit or workers))
        planned = plan_of(read, only_failed=only_failed, limit=limit)
        from sdxl_lab.sweeps import board
        from sdxl_lab.sweeps.report import Ahead, begin, end
        from sdxl_lab.sweeps.sweep import Summary, sweep

        groups = sum(bool(group.pending) for group in planned.groups)
        for line in (*planned.notes, *(remarks(workers, groups, parsl) if planned.pending else ())):
            print(f"sdxl-lab: {line}", file=sys.stderr, flush=True)
        summary, ahead = Summary(before=len(planned.done)), Ahead(planned)
        if planned.pending:
            begin(planned, command=command)
            gc.freeze()  # else looking for garbage, while the report is written, begins with all that was imported
            summary = sweep(planned, executor or until_told.enter_context(opened(workers, parsl)), board.following, ahead.go_on)
        if executor:
            executor.shutdown(wait=False)  # kernels end while the report is written
        print(*_standing(planned, summary.before + summary.made), sep="\n")
        try:
            with shown():
                said = end(planned, {failure.label: failure.message for failure in summary.failed}, command=command, ahead=ahead)
            print(*said, sep="\n")
        finally:
            summary.check()


def _standing(planned: Plan, done: int) -> Iterator[str]:
    """How far a sweep is."""
    of = f"{done} of " if done < len(planned.runs) or planned.pending else ""
    yield f"{of}{counted(len(planned.runs), 'run is', 'runs are')} done: {planned.runs_folder}"
    if planned.left:
        yield f"{counted(len(planned.left), 'run was', 'runs were')} left for later; without --only-failed and --limit the same command makes them"


def fetch(
    dataset: Annotated[str, typer.Argument(metavar="DATASET")],
) -> None:
    """Fetch a dataset, check all of it and list what it holds."""
    from sdxl_lab.progress.signs import shown
    from sdxl_lab.runs.resolution import fetch
    from sdxl_lab.viewing.show import print_dataset

    with shown():
        fetched = fetch(dataset)
    print_dataset(fetched)


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
    """Make a picture again from its own description, and say whether it is identical.

    Leave with 0 if it is identical, and with 1 if it is not, or if it could not be tried, which leaves stdout empty and one error on stderr.
    """
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
