"""Runs with known numbers to compare: tiny pictures made without a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.spec.identities import DatasetIdentity
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec
from tests.support.runs import made_for
from tests.support.specs import make_edit, resolved_of

SAMPLES = ("anemone", "café au lait", "octopus", "reef", "sponge", "turtle")
BOTH: tuple[str, ...] = ("inpaint", "outpaint")
Numbers = Callable[[str, str, int], Mapping[str, float]]


def seam(sample: str, task: str, seed: int) -> dict[str, float]:
    """Numbers that depend on the picture alone."""
    return {"seam_delta_e": SAMPLES.index(sample) ** 2 / 7 + (task == "outpaint") + seed % 5}


def planned(
    runs_folder: Path,
    name: str,
    hyperparameters: Mapping[str, Any] | None = None,
    *,
    samples: tuple[str, ...] = SAMPLES,
    tasks: tuple[str, ...] = BOTH,
    seed: int = -732,
    prompts: bool = True,
    sizes: Mapping[str, tuple[int, int]] = MappingProxyType({}),
    **resolved: Any,
) -> ResolvedSpec:
    """A run over some samples; seeds and prompts are the dataset's own, one a sample; where pictures have sizes, masks are dilated by them."""
    spec = RunSpec.from_parameters(
        name=name,
        dataset="sea",
        checkpoint="pocket",
        tasks=list(tasks),
        hyperparameters=dict(hyperparameters or {}),
        tracking="off",
        runs_folder=str(runs_folder),
    )
    edits = tuple(
        make_edit(
            spec,
            sample,
            task,
            f"a red {sample}" if prompts else "a crab",
            seed + SAMPLES.index(sample),
            defaults={"mask": {"kernel_size": "auto"}} if sizes else {},
            size=sizes.get(sample, (64, 64)),
        )
        for sample in samples
        for task in tasks
    )
    return resolved_of(spec, edits, **{"dataset": DatasetIdentity(name="sea", digest="d" * 64), **resolved})


def recorded(resolved: ResolvedSpec, numbers: Numbers = seam, count: int | None = None, **made: Any) -> RunFolder:
    """Record a run with the numbers of each picture, or its first pictures; `made` says how they came about, such as their seconds."""
    run = RunFolder.of(resolved)
    with run.open(resolved):
        for edit in run.pending()[:count]:
            run.add_picture(edit, replace(made_for(edit), **made), numbers(edit.sample, edit.task, edit.seed))
        if count is None:
            run.finish()
    return run
