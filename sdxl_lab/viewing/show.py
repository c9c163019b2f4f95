"""What a dataset, a run or a picture holds, as text; and the parameters that continue from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sdxl_lab.checkpoints.moved_defaults import recorded, version_of
from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.datasets.notes import gathered
from sdxl_lab.datasets.samples import Sample, tasks_of
from sdxl_lab.errors import LabError
from sdxl_lab.images.mask_checks import percent
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.stamps import Stamp, read_stamp
from sdxl_lab.settings.documents import written
from sdxl_lab.settings.hyperparams import flatten, merge
from sdxl_lab.settings.sections import DEFAULT_SEED
from sdxl_lab.spec.resolved_spec import as_parameters
from sdxl_lab.wording import counted, printable


class ShowError(LabError):
    """There is nothing to show at a path."""


def print_dataset(dataset: Dataset, console: Console | None = None) -> None:
    """Print what a dataset holds: one row a sample, its size, how much of it the mask covers, prompts and seeds; then what is to be said of it.

    Size and mask have columns where some sample has a picture.

    Args:
        dataset: A fetched dataset.
        console: Where to print; the terminal when left out.
    """
    console = console or Console()
    tasks = tasks_of(dataset.samples)
    has_pictures = any(sample.size for sample in dataset.samples)
    table = Table("sample", *(("size", "mask") if has_pictures else ()), *tasks)
    for sample in dataset.samples:
        words = [_words(sample, task) for task in tasks]
        table.add_row(*(Text(printable(cell)) for cell in (sample.name, *(_picture(sample) if has_pictures else ()), *words)))
    console.print(table)
    for note in dataset.notes:
        console.print(Text(printable(note)), soft_wrap=True)
    version = f":{dataset.version}" if dataset.version else ""
    place = "file" if dataset.folder.is_file() else "folder"
    _print_lines(console, {"dataset": f"{dataset.name}{version}", place: str(dataset.folder), "digest": dataset.digest})


def _picture(sample: Sample) -> tuple[str, str]:
    size = "none" if sample.size is None else "x".join(map(str, sample.size))
    return size, percent(sample.mask_check.share) if sample.mask_check else "none"


def _words(sample: Sample, task: str) -> str:
    if not sample.has_prompt(task):
        return ""
    words = sample.tasks[task]
    return f"{words.prompt} (seed {DEFAULT_SEED if words.seed is None else words.seed})"


def print_path(path: Path, console: Console | None = None) -> None:
    """Print what a run holds, or how a picture was made.

    Args:
        path: A run's folder, or a PNG that sdxl_lab made.
        console: Where to print; the terminal when left out.

    Raises:
        LabError: It is neither.
    """
    console = console or Console()
    if path.is_dir():
        _print_run(RunFolder(path), console)
    else:
        _print_picture(_stamp(path), path, console)


def parameters_of(path: Path) -> dict[str, Any]:
    """Write the parameters that continue from a run or a picture.

    Args:
        path: A run's folder, or a PNG that sdxl_lab made.

    Returns:
        Nested plain values for YAML. A run's plan the same run; a picture's plan that one picture, its prompt and seed included. Settings whose
        defaults have moved since it was made are written out.

    Raises:
        LabError: It is neither.
    """
    if path.is_dir():
        folder = RunFolder(path)
        resolved, parameters = folder.resolved, written(folder.resolved.spec)
        release, local = version_of(_version_of(folder)), folder.local
    else:
        stamp = _stamp(path)
        if stamp.resolved.dataset.is_of_call:
            raise ShowError(
                f"{path} was made by a call, sdxl_lab.{stamp.edit.task}(...), so there are no parameters of a run to go on from; call again with the "
                "settings that `sdxl-lab show` lists, or make a run over a dataset of it"
            )
        resolved, parameters = stamp.resolved, as_parameters(stamp.edit, stamp.resolved)
        release, local = version_of(stamp.versions.get("sdxl_lab")), _run_of(path).local
    old = recorded(resolved.spec, resolved.edits, release, resolved.checkpoint)
    # The record names no paths of the machine it was made on; on that machine they are known.
    here = {key: local[key] for key in ("dataset", "checkpoint") if key in local}
    return merge({"hyperparameters": old}, parameters | here) if old else parameters | here


def _print_run(folder: RunFolder, console: Console) -> None:
    resolved, pictures = folder.resolved, folder.pictures()
    table = Table("sample", "task", "seed", "steps", "seconds spent", "prompt")
    for picture in pictures:
        steps = f"{picture.base_steps}+{picture.refiner_steps}" if picture.refiner_steps else str(picture.base_steps)
        cells = (picture.sample, picture.task, str(picture.seed), steps, f"{picture.seconds:.2f}", picture.prompt)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console.print(table)
    state = "done" if folder.is_done else "not done: run it again to go on"
    for line in gathered({picture.title: picture.notes for picture in pictures}):
        console.print(Text(printable(line)), soft_wrap=True)
    _print_lines(
        console,
        {
            "run": f"{resolved.spec.name} {resolved.run_id[:10]}, {len(pictures)} of {counted(len(resolved.edits), 'picture')}, {state}",
            "dataset": resolved.dataset.name,
            "checkpoint": resolved.checkpoint.name,
            **_flat(resolved.spec.hyperparameters),
            **{f"{name}, mean": f"{value:.3g}" for name, value in _means(pictures).items()},
        },
    )


def _means(pictures: Sequence[Picture]) -> dict[str, float]:
    names = sorted({name for picture in pictures for name in picture.metrics})
    return {name: fmean(picture.metrics[name] for picture in pictures if name in picture.metrics) for name in names}


def _print_picture(stamp: Stamp, path: Path, console: Console) -> None:
    edit, resolved = stamp.edit, stamp.resolved
    for note in stamp.notes:
        console.print(Text(printable(note)), soft_wrap=True)
    words = {"sample": edit.sample, "task": edit.task, "prompt": edit.prompt, "negative_prompt": edit.negative_prompt, "seed": edit.seed}
    named = {"picture_id": picture_id} if (picture_id := stamp.picture_id or _recorded_id(path)) else {}
    sources = {"run": stamp.run_id[:10], **named, "dataset": resolved.dataset.name, "checkpoint": resolved.checkpoint.name}
    _print_lines(console, words | sources | _flat(edit.taken()))


def _print_lines(console: Console, values: Mapping[str, Any]) -> None:
    width = max(map(len, values))
    for name, value in values.items():
        console.print(Text(printable(f"{name:<{width}}  {value}")), soft_wrap=True)


def _flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in flatten(nested).items() if value != {}}


def _version_of(folder: RunFolder) -> str | None:
    """Which version made a run: as its record says, or as long as it is not done, its machine's."""
    for found in (folder.record, folder.local.get("machine", {})):
        if version := found.get("versions", {}).get("sdxl_lab"):
            return version
    return None


def _stamp(path: Path) -> Stamp:
    if not path.exists():
        raise ShowError(f"{path} is not there; give a run's folder, or a picture that sdxl_lab made")
    return read_stamp(path)


def _recorded_id(picture: Path) -> str | None:
    """The `picture_id` that the run around a picture knows or computes, where that is still there: a PNG of 0.1.0 does not hold it."""
    try:
        recorded = _run_of(picture).pictures()
    except LabError:
        return None
    return next((found.picture_id for found in recorded if found.image.resolve() == picture.resolve()), None)


def _run_of(picture: Path) -> RunFolder:
    # <run>/images/<sample>/<task>.png, unless it was moved
    parents = picture.resolve().parents
    return RunFolder(parents[2] if len(parents) > 2 else picture.parent)
