"""A sweep's pictures on a sheet a task: seeds and samples down, settings across, and what a picture of each column took."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

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
Made: TypeAlias = Sequence[tuple[RecordedPoint, Sequence[Picture]]]
"""Each point with its pictures of one task."""


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


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where a task's pictures stand.

    Attributes:
        axes: Of the sweep, as `axes_of` has them.
        named: Whether they name columns and rows; else each point has a column.
        across: Axes that go across; likewise `down`.
        down: Besides samples and seeds, which go down where there are several.
        samples: Those that have pictures.
        has_samples: Whether a row says which sample it is of.
        has_seeds: Whether it says the seed.
        told: Changes labels before they are shown.
    """

    axes: Mapping[str, Sequence[Any]]
    named: bool
    across: Sequence[str]
    down: Sequence[str]
    samples: Sequence[str]
    has_samples: bool
    has_seeds: bool
    told: Callable[[str], str]

    @classmethod
    def of(cls, made: Made, told: Callable[[str], str]) -> _Layout:
        axes = axes_of([point for point, _ in made])
        named = bool(axes) and all(path in point.values for path in axes for point, _ in made)
        seeded = [path for path in axes if named and len(axes) > 1 and path.rpartition(".")[2] in SEEDS]
        has_seeds = bool(seeded) or any(picture.ordinal for _, pictures in made for picture in pictures)
        samples = list(dict.fromkeys(picture.sample for _, pictures in made for picture in pictures))
        others = [path for path in axes if path not in seeded]
        down = others[:1] if named and not has_seeds and len(samples) == 1 and len(others) > 1 else []
        has_samples = not down and (len(samples) > 1 or not has_seeds)
        rest = others[len(down) :]
        return cls(axes=axes, named=named, across=rest, down=down, samples=samples, has_samples=has_samples, has_seeds=has_seeds, told=told)

    @property
    def name_across(self) -> str:
        """What columns say."""
        return ", ".join(named_among(path, self.axes) for path in self.across) if self.named else "point"

    @property
    def name_down(self) -> str:
        """What rows say."""
        names = [named_among(path, self.axes) for path in self.down]
        return ", ".join([*names, *(["sample"] if self.has_samples else []), *(["seed"] if self.has_seeds else [])])

    def column_of(self, index: int, point: RecordedPoint) -> _Place:
        """Of a point, which is the one at `index`."""
        if not self.named:
            return _Place(canonical(index), self.told(point.label))
        return _Place(canonical([point.values[path] for path in self.across]), self.told(", ".join(self._words(self.across, point))))

    def row_of(self, point: RecordedPoint, picture: Picture) -> _Place:
        """Of a picture of a point."""
        words = [*self._words(self.down, point), *([picture.sample] if self.has_samples else []), *([str(picture.seed)] if self.has_seeds else [])]
        values = [*(point.values[path] for path in self.down), self.samples.index(picture.sample), picture.seed if self.has_seeds else None]
        return _Place(canonical(values), self.told(", ".join(words)))

    def _words(self, paths: Sequence[str], point: RecordedPoint) -> list[str]:
        return [self._called[path][canonical(point.values[path])] for path in paths]

    @cached_property
    def _called(self) -> dict[str, dict[str, str]]:
        """Of each axis its values in words that tell them apart."""
        return {
            path: dict(zip(map(canonical, values), stems([text_of(value) for value in values]), strict=True)) for path, values in self.axes.items()
        }


def _laid_out(task: str, made: Made, told: Callable[[str], str]) -> Sheet:
    layout = _Layout.of(made, told)
    columns: dict[_Place, list[float]] = {}
    rows: dict[_Place, int] = {}
    cells: dict[tuple[_Place, _Place], Picture | str] = {}
    for index, (point, pictures) in enumerate(made):
        seconds = columns.setdefault(column := layout.column_of(index, point), [])
        for picture in pictures:
            rows.setdefault(row := layout.row_of(point, picture), layout.samples.index(picture.sample))
            cells[row, column] = picture
            seconds.append(picture.seconds)
    failed = {layout.column_of(index, point) for index, (point, _) in enumerate(made) if point.failed}
    ordered = sorted(rows, key=lambda row: 0 if layout.down else rows[row])
    return Sheet(
        task=task,
        across=f"{layout.name_across}; seconds spent a picture",
        down=layout.name_down,
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
