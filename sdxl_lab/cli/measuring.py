"""The command that measures pictures that are recorded already."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from sdxl_lab.cli.looking import folders_of

NETWORKS = ("clip", "pickscore", "pickscore_processor", "dinov2", "lpips", "lpips_linear")
"""Names of the options that give a network; what is said of each stands in `measures.MODELS`."""


def measure(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of runs or sessions, folders above some, sweep files, or pictures of sessions.", metavar="RUN|SWEEP|SESSION"),
    ],
    metric: Annotated[list[str], typer.Option("--metric", metavar="NAME", help="A metric. Repeatable.")],
    clip: Annotated[str | None, typer.Option("--clip", metavar="MODEL")] = None,
    pickscore: Annotated[str | None, typer.Option("--pickscore", metavar="MODEL")] = None,
    pickscore_processor: Annotated[str | None, typer.Option("--pickscore-processor", metavar="MODEL")] = None,
    dinov2: Annotated[str | None, typer.Option("--dinov2", metavar="MODEL")] = None,
    lpips: Annotated[str | None, typer.Option("--lpips", metavar="FILE")] = None,
    lpips_linear: Annotated[str | None, typer.Option("--lpips-linear", metavar="FILE")] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Download the networks' .safetensors from the hub if they are not here.")] = False,
) -> None:
    """Measure pictures that are recorded already: any metric, CLIPScore, PickScore, LPIPS and DINOv2 among them, kept beside the record."""
    from sdxl_lab.measures.measuring import measure
    from sdxl_lab.measures.printed import lines_of
    from sdxl_lab.progress.signs import shown

    given = dict(zip(NETWORKS, (clip, pickscore, pickscore_processor, dinov2, lpips, lpips_linear), strict=True))
    with shown():
        found = measure(folders_of(runs), metric, models={name: place for name, place in given.items() if place is not None}, fetch=fetch)
    print(*lines_of(found, width=shutil.get_terminal_size().columns), sep="\n")


def metrics() -> str:
    """Which metrics there are."""
    from sdxl_lab.metrics import METRICS
    from sdxl_lab.metrics.asked import ASKED

    return f"One of {', '.join(ASKED)}; or one that records have by themselves: {', '.join(METRICS)}. Repeatable."


def network(name: str) -> str:
    """What a network may be given as."""
    from sdxl_lab.measures import MODELS

    row = MODELS[name]
    return f"{row.sentence} {row.model} if left out." if row.model else row.sentence
