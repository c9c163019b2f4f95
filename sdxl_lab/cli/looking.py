"""The commands that look at records, and bring Comet up to them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdxl_lab.cli import completion
from sdxl_lab.cli.fetching import Fetch, bring
from sdxl_lab.cli.making import plan_of
from sdxl_lab.cli.usage import in_pairs, settings_given
from sdxl_lab.errors import LabError
from sdxl_lab.files import places

if TYPE_CHECKING:
    from sdxl_lab.records.run_files import RunFiles


def show(
    paths: Annotated[list[Path], typer.Argument(help="Folders of runs or sessions, or pictures that sdxl_lab made.", metavar="RUN|SESSION|PICTURE")],
    as_parameters: Annotated[bool, typer.Option("--as-parameters", help="Print the YAML that continues from it: sdxl-lab run ... -f FILE.")] = False,
) -> None:
    """Show what a run or a session holds, or how a picture was made.

    Of several, what is neither is left out, with a line that says so.
    """
    from sdxl_lab.viewing.show import print_path

    if as_parameters:
        from sdxl_lab.settings.arguments import written
        from sdxl_lab.viewing.onward import parameters_of

        if len(paths) > 1:
            raise typer.BadParameter(f"--as-parameters goes on from one of them; got {len(paths)}")
        is_utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
        print(written(parameters_of(paths[0]), is_ascii=not is_utf8), end="")
        return
    faults: list[LabError] = []
    for path in paths:
        try:
            print_path(path)
        except LabError as error:
            faults.append(error)
    if len(faults) == len(paths):
        raise faults[0]
    for error in faults:
        print(f"sdxl-lab: left out: {error}", file=sys.stderr)


def push(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders of runs, sessions and sweeps, folders above some, or sweep files; all that Comet lacks if left out.",
            metavar="RUN|SWEEP",
        ),
    ] = None,
) -> None:
    """Bring Comet up to the records on this disk, and read back that it is; twice changes nothing."""
    from sdxl_lab.runs.early import home
    from sdxl_lab.tracking import pushing

    pushing.push(folders_of(runs or []), home())


def archive(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs and sweeps that are done, folders above some, or sweep files.", metavar="RUN|SWEEP")
    ],
) -> None:
    """Build archives of runs and sweeps for `comet upload`, which sends them from another machine; nothing is sent."""
    from sdxl_lab.tracking import archiving

    archiving.archive(folders_of(runs))


def status(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of runs, sessions and sweeps, folders above some, or sweep files; all if left out.", metavar="RUN|SWEEP"),
    ] = None,
) -> None:
    """List runs, sessions and sweeps: how many pictures are made, and what Comet lacks. Offline."""
    from sdxl_lab.runs.early import home
    from sdxl_lab.tracking.pushing import print_status

    print_status(folders_of(runs or []), home())


Starred = Annotated[bool, typer.Option("--starred", help="Look at the starred pictures of sessions alone.")]


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs or sessions, folders above some, or sweep files.", metavar="RUN|SESSION|SWEEP")],
    output: Annotated[
        Path | None,
        typer.Option(
            *("-o", "--output"),
            parser=places.output,
            help="The page; left out, report.html or starred.html in the one folder that is looked at, of several here.",
            metavar="FILE",
        ),
    ] = None,
    starred: Starred = False,
) -> None:
    """Write one HTML page that shows runs and sessions side by side: no server, no network."""
    from sdxl_lab.records.folder import RunFolder
    from sdxl_lab.records.session import SessionFolder
    from sdxl_lab.viewing.report import write_report

    runs = folders_of(runs)
    alone = SessionFolder(runs[0] if len(runs) == 1 and runs[0].is_dir() else Path())
    is_above = alone.path != Path() and not (RunFolder(alone.path).is_begun or alone.is_begun)
    path = output or (alone.starred_file if starred else alone.report_file)
    title = alone.path.resolve().name if is_above else None
    print(f"written: {write_report(_looked_at(runs, starred=starred), path, title=title)}")


def folders_of(paths: Sequence[Path]) -> list[Path]:
    """Paths as they are, and for each sweep file the folder of its runs."""
    return [_folder_of(path) if _is_sweep_file(path) else path for path in paths]


def place_of(written: str) -> Path | str:
    """A set of pictures as it is written, or of a sweep file the folder of its runs."""
    return _folder_of(path) if _is_sweep_file(path := Path(written)) else written


def _is_sweep_file(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml") and not path.is_dir()


def _folder_of(sweep: Path) -> Path:
    """Where a sweep records its runs; nothing is planned for that."""
    from sdxl_lab.records.finding import find
    from sdxl_lab.runs.early import runs_folder_of
    from sdxl_lab.sweeps.sweep_file import SweepFile

    folder = runs_folder_of(SweepFile.read(sweep).points[0].spec)
    if not find(folder):
        raise _unmade(f"no run of {sweep} is recorded in {folder} yet", sweep)
    return folder


def _unmade(said: str, sweep: Path) -> LabError:
    from sdxl_lab.records.run_files import RecordError

    return RecordError(f"{said}; make them with: sdxl-lab sweep {sweep}")


def _looked_at(paths: Sequence[Path], *, starred: bool) -> list[RunFiles]:
    """The runs at some paths, each picture of a session as a run of one; what is left out of them is said."""
    from sdxl_lab.records import finding

    runs = finding.runs_at(paths)
    if not starred:
        return runs
    chosen, left_out = finding.starred(runs)
    if left_out:
        print(f"sdxl-lab: {left_out}", file=sys.stderr)
    return chosen


def _recorded(sweep: Path) -> list[Path]:
    """The folders of a sweep's runs, as far as it has been run."""
    from sdxl_lab.sweeps.attempts import begun
    from sdxl_lab.sweeps.sweep_file import SweepFile

    planned = plan_of(SweepFile.read(sweep)).runs
    folders = [folder.path for run in planned if (folder := begun(run.folder.parent, run.run_id))]
    if not folders:
        raise _unmade(f"no run of {sweep} is recorded yet, of {len(planned)} planned", sweep)
    return folders


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs or sessions, folders above some, or sweep files.", metavar="RUN|SESSION|SWEEP")],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="A metric to print; a telling one of each kind if left out. Repeatable.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="RUN", help="The run that others are compared with: folder or picture, name or number; else the first."),
    ] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="TASK", autocompletion=completion.tasks)] = None,
    each_seed: Annotated[bool, typer.Option("--each-seed", help="A row for each run, also where runs differ in nothing but seeds.")] = False,
    starred: Starred = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", parser=places.output, metavar="FILE", help="Write all numbers as a table, one row a run.")
    ] = None,
    notebook: Annotated[
        Path | None,
        typer.Option("--notebook", parser=places.output, metavar="FILE.ipynb", help="Run the built-in notebook compare, and keep it."),
    ] = None,
) -> None:
    """Compare runs and pictures of sessions: what differs, and each metric's mean and paired differences with 95% intervals."""
    from sdxl_lab.viewing.compare import compare, print_comparison, write_csv

    paths = [folder for path in runs for folder in (_recorded(path) if _is_sweep_file(path) else [path])]
    looked_at = _looked_at(paths, starred=True) if starred else paths
    compared = compare(looked_at, metrics=metric or (), reference=reference, task=task, pool_seeds=not each_seed)
    print_comparison(compared, metrics=metric or ())
    if csv:
        print(f"written: {write_csv(compared, csv)}")
    if notebook:
        from sdxl_lab.kernels import notebooks
        from sdxl_lab.progress.signs import shown

        folders = [run if isinstance(run, Path) else run.path for run in looked_at]
        parameters = {"runs": [str(folder.absolute()) for folder in folders], "metrics": metric or [], "reference": reference, "task": task}
        with shown():
            notebooks.run(notebooks.built_in()[notebooks.COMPARE], parameters | {"pool_seeds": not each_seed}, notebook)
        print(f"written: {notebook}")


def memory(
    checkpoint: Annotated[
        str, typer.Argument(help="A name such as pocket or sdxl, a folder, a .safetensors file or a hub id.", metavar="CHECKPOINT")
    ],
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            *("-p", "--parameters", "--parameter"),
            metavar="NAME VALUE",
            help="A setting by name: -p width 768, -p high_noise_frac 0.8, -p vae_tiling true. Repeatable.",
            callback=in_pairs,
            autocompletion=completion.settings,
        ),
    ] = None,
) -> None:
    """Say how much of a GPU a checkpoint takes, and the settings with which it fits 6 to 24 GB. Nothing is loaded or downloaded."""
    from sdxl_lab.doctor.memory import page

    print(page(checkpoint, settings_given(parameter or [])))


def doctor(
    checkpoint: Annotated[
        str | None,
        typer.Argument(help="A name such as pocket or sdxl, a folder, a .safetensors file or a hub id, to make pictures with.", metavar="CHECKPOINT"),
    ] = None,
    fetch: Fetch = False,
) -> None:
    """Look at this machine, and at a checkpoint on it: what works, what does not, and what to do. Leave with 1 if something is broken."""
    from sdxl_lab.doctor.examination import examine
    from sdxl_lab.doctor.page import is_broken, page
    from sdxl_lab.progress.signs import shown

    if fetch:
        bring({"checkpoint": checkpoint})
    with shown():
        findings = examine(checkpoint)
    print(page(findings, checkpoint))
    if is_broken(findings):
        raise typer.Exit(1)
