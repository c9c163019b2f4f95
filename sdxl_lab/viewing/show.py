"""What a dataset, a run, a session or a picture holds, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.datasets.notes import gathered
from sdxl_lab.datasets.samples import Sample, tasks_of
from sdxl_lab.errors import LabError
from sdxl_lab.images.mask_checks import percent
from sdxl_lab.records import distances
from sdxl_lab.records.finding import kept_at
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.records.stamps import Stamp
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.settings.sections import DEFAULT_SEED
from sdxl_lab.spec.lacking import taken
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.viewing.flattened import changes, files_on_models, templates_in, weights_in
from sdxl_lab.viewing.onward import run_at, run_of, stamp_at
from sdxl_lab.wording import counted, printable

STAR = "*"
"""How a terminal of any encoding shows that a picture is starred."""


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
    """Print what a run or a session holds, or how a picture was made.

    Args:
        path: A run's or a session's folder, or a PNG that sdxl_lab made.
        console: Where to print; the terminal when left out.

    Raises:
        LabError: It is neither.
    """
    console = console or Console()
    if (session := SessionFolder(path)).is_begun:
        _print_session(session, console)
    elif path.is_dir():
        _print_run(run_at(path), console)
    else:
        _print_picture(stamp_at(path), path, console)


def _print_run(folder: RunFolder, console: Console) -> None:
    resolved, pictures = folder.resolved, folder.pictures()
    table = Table("sample", "task", "seed", "steps", "seconds spent", "prompt")
    for picture in pictures:
        cells = (picture.sample, picture.task, str(picture.seed), _steps(picture), f"{picture.seconds:.2f}", picture.prompt)
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
            **files_on_models(resolved),
            **{f"{name}, mean": f"{value:.3g}" for name, value in _means(pictures).items()},
            **distances.told(folder.path),
        },
    )


def _print_session(session: SessionFolder, console: Console) -> None:
    about, pictures = session.about, session.pictures()
    columns: dict[str, list[str]] = {
        "number": [str(kept.number) for kept in pictures],
        "star": [STAR if kept.is_starred else "" for kept in pictures],
        "task": [kept.recorded.task for kept in pictures],
        "seed": [str(kept.recorded.seed) for kept in pictures],
        "steps": [_steps(kept.recorded) for kept in pictures],
        "seconds spent": [f"{kept.recorded.seconds:.2f}" for kept in pictures],
        "prompt": [kept.recorded.prompt for kept in pictures],
        "changed": changes([kept.resolved for kept in pictures]),
        "syntax": [_unless_plain(kept.resolved.edits[0].settings.prompt_syntax) for kept in pictures],
        "note": [kept.note for kept in pictures],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells) or name not in ("star", "changed", "syntax", "note")}
    table = Table(*shown)
    for cells in zip(*shown.values(), strict=True):
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console.print(table)
    for line in gathered({f"picture {kept.number}": kept.recorded.notes for kept in pictures}):
        console.print(Text(printable(line)), soft_wrap=True)
    parts: dict[int, list[KeptPicture]] = {}
    for kept in pictures:
        parts.setdefault(kept.part, []).append(kept)
    stars = sum(kept.is_starred for kept in pictures)
    made = {f"part {part}": f"{_made_with(found[0])}: {_numbers(found)}" for part, found in sorted(parts.items())}
    _print_lines(
        console,
        {
            "session": f"{session.path.resolve().name}, {counted(len(pictures), 'picture')}{f', {stars} starred' if stars else ''}",
            "began": about.get("began", "unknown"),
            **(made if len(made) > 1 else {"made with": _made_with(pictures[0])} if pictures else {}),
        },
    )


def _unless_plain(syntax: str) -> str:
    return "" if syntax == "plain" else syntax


def _made_with(kept: KeptPicture) -> str:
    """What the pictures of a part have in common."""
    return f"{kept.resolved.checkpoint.name} {kept.resolved.checkpoint.digest[:10]}, {_computed_by(kept.resolved)}"


def _computed_by(resolved: ResolvedSpec) -> str:
    threads = f", {counted(resolved.threads, 'thread')}" if resolved.device == "cpu" else ""
    switches = [key if value is True else f"{key} {value}" for key, value in sorted(resolved.spec.compute.changing.items())]
    return f"{', '.join([resolved.dtype, *switches])} on {resolved.device}{threads}"


def _numbers(pictures: Sequence[KeptPicture]) -> str:
    """The numbers of some pictures, those that follow each other as from and to."""
    spans: list[list[int]] = []
    for kept in pictures:
        if spans and spans[-1][-1] == kept.number - 1:
            spans[-1][1:] = [kept.number]
        else:
            spans.append([kept.number])
    return ("picture " if len(pictures) == 1 else "pictures ") + ", ".join(" to ".join(map(str, span)) for span in spans)


def _steps(picture: Picture) -> str:
    return f"{picture.base_steps}+{picture.refiner_steps}" if picture.refiner_steps else str(picture.base_steps)


def _means(pictures: Sequence[Picture]) -> dict[str, float]:
    names = sorted({name for picture in pictures for name in picture.metrics})
    return {name: fmean(picture.metrics[name] for picture in pictures if name in picture.metrics) for name in names}


def _print_picture(stamp: Stamp, path: Path, console: Console) -> None:
    edit, resolved = stamp.edit, stamp.resolved
    for note in stamp.notes:
        console.print(Text(printable(note)), soft_wrap=True)
    words = {"sample": edit.sample, "task": edit.task, "prompt": edit.prompt, "negative_prompt": edit.negative_prompt, "seed": edit.seed}
    words |= templates_in(edit, resolved) | weights_in(edit, stamp.notes) | ({"compel": edit.compel} if edit.compel else {})
    if stamp.frame:
        with Image.open(path) as image:
            words["seen"] = stamp.frame.told(image.size)
    named = {"picture_id": picture_id} if (picture_id := stamp.picture_id or _recorded_id(path)) else {}
    if kept := kept_at(path):
        starred = f", starred {STAR}" if kept.is_starred else ""
        named |= {"session": f"{kept.session.name}, picture {kept.number}{starred}"} | ({"note": kept.note} if kept.note else {})
    sources = {
        "run": stamp.run_id[:10],
        **named,
        "dataset": resolved.dataset.name,
        "checkpoint": resolved.checkpoint.name,
        **files_on_models(resolved),
    }
    machine = ", ".join([_computed_by(resolved), *filter(None, (stamp.instruction_set, stamp.hardware))])
    versions = ", ".join(f"{name} {version}" for name, version in stamp.versions.items())
    made = {"computed by": machine} | ({"versions": versions} if versions else {})
    _print_lines(console, words | sources | _flat(taken(edit, resolved.checkpoint.family)) | made)


def _print_lines(console: Console, values: Mapping[str, Any]) -> None:
    width = max(map(len, values))
    for name, value in values.items():
        console.print(Text(printable(f"{name:<{width}}  {value}")), soft_wrap=True)


def _flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in flatten(nested).items() if value != {}}


def _recorded_id(picture: Path) -> str | None:
    """The `picture_id` that the run around a picture knows or computes, where that is still there: a PNG of 0.1.0 does not hold it."""
    try:
        recorded = run_of(picture).pictures()
    except LabError:
        return None
    return next((found.picture_id for found in recorded if found.image.resolve() == picture.resolve()), None)
