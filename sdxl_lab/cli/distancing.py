"""The command that says how far sets of pictures are from another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from sdxl_lab.cli import completion
from sdxl_lab.cli.looking import place_of
from sdxl_lab.files import places


def distance(
    sets: Annotated[
        list[str],
        typer.Argument(
            help="Runs, sessions, folders above some, sweep files, datasets, folders of pictures, or .npz statistics; a row for each.",
            metavar="SET",
        ),
    ],
    to: Annotated[str | None, typer.Option("--to", metavar="SET", help="The set that they are compared with, such as a dataset or a run.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="One of them; fid, kid, precision and recall if left out. Repeatable."),
    ] = None,
    extractor: Annotated[str, typer.Option("--extractor", metavar="NAME", help="The network that sees them.")] = "judge",
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODEL", help="Its weights: a hub id, owner/name@revision, a folder, or inception's file.")
    ] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Download the extractor's .safetensors from the hub if they are not here.")] = False,
    sha256: Annotated[
        str | None, typer.Option("--sha256", metavar="DIGEST", help="Of inception's file, if the lab doesn't know it: loading runs it.")
    ] = None,
    bandwidth: Annotated[
        float | None, typer.Option("--bandwidth", metavar="WIDTH", min=1e-12, help="Of mmd's kernel; the median distance in --to if left out.")
    ] = None,
    insist: Annotated[bool, typer.Option("--insist", help="Compute numbers also where there are too few pictures for them.")] = False,
    task: Annotated[str | None, typer.Option("--task", metavar="TASK", autocompletion=completion.tasks, help="Pictures of one task alone.")] = None,
    each_seed: Annotated[bool, typer.Option("--each-seed", help="A row for each run, also where runs differ in nothing but seeds.")] = False,
    save: Annotated[
        Path | None, typer.Option("--save", parser=places.output, metavar="FILE.npz", help="Write the set's statistics, to be a SET later.")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", parser=places.output, metavar="FILE", help="Write all numbers as a table.")] = None,
) -> None:
    """Say how far sets of pictures are from another, as a network sees them: FID, KID, MMD, precision and recall, with 95% intervals."""
    from sdxl_lab.distances.measuring import distance
    from sdxl_lab.distances.printed import lines_of
    from sdxl_lab.files.disk import write_whole
    from sdxl_lab.progress.signs import shown

    with shown():
        found = distance(
            list(map(place_of, sets)),
            to if to is None else place_of(to),
            metrics=metric or (),
            extractor=extractor,
            model=model,
            fetch=fetch,
            sha256=sha256,
            bandwidth=bandwidth,
            insist=insist,
            task=task,
            pool_seeds=not each_seed,
            save=save,
        )
    print(*lines_of(found, width=shutil.get_terminal_size().columns), sep="\n")
    if csv:
        write_whole(csv, found.table().to_csv(lineterminator="\n").encode())
        print(f"written: {csv}")


def metrics() -> str:
    """Which distances there are."""
    from sdxl_lab.distances import DISTANCES

    return f"One of {', '.join(DISTANCES)}; fid, kid, precision and recall if left out. Repeatable."


def extractors() -> str:
    """Which extractors there are."""
    from sdxl_lab.extractors import EXTRACTORS

    return f"The network that sees them: {', '.join(EXTRACTORS)}."
