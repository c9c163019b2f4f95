"""A sweep's pictures on a sheet a task: seeds and samples down, settings across, and what a picture of each column took."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from sdxl_lab.files.disk import write_whole
from sdxl_lab.images.png import png
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.sweep import RecordedPoint, SweepFolder
from sdxl_lab.settings.documents import canonical
from sdxl_lab.spec.homes import named_among
from sdxl_lab.wording import stems

if TYPE_CHECKING:
    from PIL import Image

    from sdxl_lab.spec.edit import Edit

CELLS_PX = (256, 192, 128, 96, 64, 48, 32)
"""Longest sides of a sheet's pictures, the first that fits."""
MOST_PIXELS = 24_000_000
"""Of a sheet, which is loaded whole to be looked at."""
UNEVEN = 2
"""How many times as long as the fastest the slowest picture of a column may take before that is said."""
SEEDS = ("seed", "seeds")


class _Place(NamedTuple):
    """A row or a column: what is the same in all of its pictures."""

    key: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What stands where on the sheet of a task.

    Attributes:
        task: The task.
        across: What differs between columns; likewise `down` between rows.
        down: See `across`.
        columns: A label for each column.
        rows: A label for each row.
        cells: For each row a picture for each column, or why there is none; None says that it is missing.
        same: Of prompt, negative prompt, sampler, steps and guidance what all pictures share, name to value.
    """

    task: str
    across: str
    down: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cells: tuple[tuple[Picture | str | None, ...], ...]
    same: Mapping[str, str]


def axes_of(points: Sequence[RecordedPoint]) -> dict[str, list[Any]]:
    """Find what differs between a sweep's points.

    Args:
        points: All of the sweep.

    Returns:
        Dotted path of each setting that has several values to these, each once, in their order.
    """
    values: dict[str, dict[str, Any]] = {}
    for point in points:
        for path, value in point.values.items():
            values.setdefault(path, {}).setdefault(canonical(value), value)
    return {path: [*own.values()] for path, own in values.items() if len(own) > 1}


def text_of(value: Any) -> str:
    """A value of an axis in words."""
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def sheets_of(sweep: SweepFolder, told: Callable[[str], str] = str) -> Iterator[Sheet]:
    """Lay out what is recorded of a sweep.

    Seeds go down, whether they are an axis or those of each run; and where only one row would be left, so does the first axis of several. All
    other axes go across, together.

    Args:
        sweep: The sweep.
        told: Changes labels before they are shown.

    Yields:
        A sheet for each task that has pictures.
    """
    made = [(point, run.pictures() if run else ()) for point, run in zip(sweep.points, sweep.runs, strict=True)]
    for task in dict.fromkeys(picture.task for _, pictures in made for picture in pictures):
        sheet = _laid_out(task, [(point, [picture for picture in pictures if picture.task == task]) for point, pictures in made], told)
        edits = [edit for run in sweep.runs if run for edit in run.resolved.edits if edit.task == task]
        yield replace(sheet, same={name: told(value) for name, value in _shared(edits).items()})


def _shared(edits: Sequence[Edit]) -> dict[str, str]:
    said = [
        {
            "prompt": edit.prompt,
            "negative prompt": edit.negative_prompt or "",
            "scheduler": edit.settings.denoising.scheduler,
            "steps": str(edit.settings.denoising.num_inference_steps),
            "guidance": f"{edit.settings.denoising.guidance_scale:g}",
        }
        for edit in edits
    ]
    return {name: value for name, value in said[0].items() if value and all(other[name] == value for other in said)} if said else {}


def _laid_out(task: str, made: Sequence[tuple[RecordedPoint, Sequence[Picture]]], told: Callable[[str], str]) -> Sheet:
    axes = axes_of([point for point, _ in made])
    named = bool(axes) and all(path in point.values for path in axes for point, _ in made)
    seeded = [path for path in axes if named and len(axes) > 1 and path.rpartition(".")[2] in SEEDS]
    has_seeds = bool(seeded) or any(picture.ordinal for _, pictures in made for picture in pictures)
    samples = list(dict.fromkeys(picture.sample for _, pictures in made for picture in pictures))
    several = len(samples) > 1 or not has_seeds
    across = [path for path in axes if path not in seeded]
    down = across[:1] if named and not has_seeds and len(samples) == 1 and len(across) > 1 else []
    across = across[len(down) :]

    called = {path: dict(zip(map(canonical, values), stems([text_of(value) for value in values]), strict=True)) for path, values in axes.items()}

    def column_of(index: int, point: RecordedPoint) -> _Place:
        values = [point.values[path] for path in across] if named else []
        words = [called[path][canonical(point.values[path])] for path in across] if named else []
        return _Place(canonical(values if named else index), told(", ".join(words) if named else point.label))

    def row_of(point: RecordedPoint, picture: Picture) -> _Place:
        values = [point.values[path] for path in down]
        words = [
            *(called[path][canonical(point.values[path])] for path in down),
            *([picture.sample] if several and not down else []),
            *([str(picture.seed)] if has_seeds else []),
        ]
        return _Place(canonical([*values, samples.index(picture.sample), picture.seed if has_seeds else None]), told(", ".join(words)))

    columns: dict[_Place, list[float]] = {}
    rows: dict[_Place, int] = {}
    cells: dict[tuple[_Place, _Place], Picture | str] = {}
    for index, (point, pictures) in enumerate(made):
        seconds = columns.setdefault(column := column_of(index, point), [])
        for picture in pictures:
            rows.setdefault(row := row_of(point, picture), samples.index(picture.sample))
            cells[row, column] = picture
            seconds.append(picture.seconds)
    failed = {column_of(index, point) for index, (point, _) in enumerate(made) if point.failed}
    ordered = sorted(rows, key=lambda row: 0 if down else rows[row])
    kinds = [*(named_among(path, axes) for path in down), *(["sample"] if several and not down else []), *(["seed"] if has_seeds else [])]
    return Sheet(
        task=task,
        across=f"{', '.join(named_among(path, axes) for path in across) if named else 'point'}; seconds spent a picture",
        down=", ".join(kinds),
        columns=tuple(f"{column.label}\n{_spent(seconds)}" if seconds else column.label for column, seconds in columns.items()),
        rows=tuple(row.label for row in ordered),
        same={},
        cells=tuple(tuple(cells.get((row, column), "failed" if column in failed else None) for column in columns) for row in ordered),
    )


def _spent(seconds: Sequence[float]) -> str:
    """The median of what a column's pictures took, and from where to where they reach if they differ much, as on a busy machine."""
    least, most = min(seconds), max(seconds)
    return f"{median(seconds):.2g} s" + (f" ({least:.2g} to {most:.2g})" if most > UNEVEN * least else "")


def write_sheet(sheet: Sheet, title: str, path: Path) -> Path:
    """Draw a sheet.

    Args:
        sheet: What stands where.
        title: Stands above all.
        path: The PNG, of at most `MOST_PIXELS`.

    Returns:
        `path`.

    Raises:
        DiskError: The disk is full or not writable.
    """
    from PIL import Image

    from sdxl_lab.images.grid import Axis, labelled_grids

    def small(picture: Picture) -> Image.Image:
        with Image.open(picture.image) as image:
            copy = image.convert("RGB")
        copy.thumbnail((CELLS_PX[0], CELLS_PX[0]), Image.Resampling.LANCZOS)
        return copy

    cells = [[small(cell) if isinstance(cell, Picture) else cell for cell in row] for row in sheet.cells]
    x, y = Axis(name=sheet.across, values=sheet.columns), Axis(name=sheet.down, values=sheet.rows)

    def laid_out(cell_px: int) -> tuple[Image.Image, ...]:
        return labelled_grids(x=x, y=y, cells=cells, title=title, constants=sheet.same, cell_px=cell_px, max_pixels=MOST_PIXELS)

    whole = next((sheets for cell_px in CELLS_PX if len(sheets := laid_out(cell_px)) == 1), None)
    write_whole(path, png((whole or laid_out(CELLS_PX[-1]))[0]))
    return path
