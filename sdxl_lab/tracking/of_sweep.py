"""A sweep as one experiment shows it: its pictures on a sheet, its runs as a table, and each metric over each axis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from sdxl_lab.files.disk import write_whole
from sdxl_lab.records import measures
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.sweep import RecordedPoint, SweepFolder
from sdxl_lab.spec.homes import named_among
from sdxl_lab.spec.lacking import NOT_APPLICABLE, lacking_anywhere
from sdxl_lab.tracking.disclosure import without_paths
from sdxl_lab.tracking.experiment import HTML_LIMIT_BYTES, File, Projection, digest_of, file_of, short, short_name
from sdxl_lab.tracking.key import experiment_key
from sdxl_lab.tracking.of_run import is_one_page, name_of
from sdxl_lab.tracking.parameters import parameters_of
from sdxl_lab.viewing.compare.costs import SPENT, STEPS, number_of
from sdxl_lab.viewing.sweep_sheets import axes_of, sheets_of, text_of, write_sheet

TAG = "sweep"
TABLE = "comparison.csv"


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A point, and what is recorded of it."""

    point: RecordedPoint
    run: RunFolder | None
    pictures: tuple[Picture, ...]

    @property
    def label(self) -> str:
        return without_paths(self.point.label)


def of_sweep(sweep: SweepFolder, scratch: Path) -> Projection:
    """Read a sweep as an experiment, as far as its runs have come.

    Args:
        sweep: The sweep.
        scratch: An existing folder for what is made to be sent.

    Returns:
        The experiment, the same for the same records wherever they lie.

    Raises:
        RecordError: The folder holds no sweep.
        DiskError: The key or a file cannot be written.
    """
    made = [_Made(point=point, run=run, pictures=run.pictures() if run else ()) for point, run in zip(sweep.points, sweep.runs, strict=True)]
    begun = [each.run for each in made if each.run]
    parameters = [parameters_of(run.resolved) for run in begun]
    shared = {name: value for name, value in (parameters[0] if parameters else {}).items() if all(own.get(name) == value for own in parameters)}
    axes = {path: [value for value in values if not _is_idle(path, value)] for path, values in axes_of(sweep.points).items()}
    report = file_of(sweep.report_file.name, None, sweep.report_file) if is_one_page(sweep) else None
    return Projection(
        key=experiment_key(sweep),
        name=short_name(sweep.name),
        description=short(sweep.command),
        tags=tuple(dict.fromkeys((short_name(sweep.name), TAG))),
        parameters=shared,
        others=_others(made, axes),
        metrics={},
        images=tuple(_sheets(sweep, scratch)),
        assets=(*_table(made, scratch), *([report] if report else [])),
        html=report if is_one_page(sweep, HTML_LIMIT_BYTES) else None,
        curves=tuple(_curves(made, axes, scratch)),
        obsolete=frozenset(name for own in parameters for name in own if name not in shared),
    )


def _is_idle(path: str, value: Any) -> bool:
    """Whether a record says that a setting does not apply; a prompt may have the same letters."""
    return value == NOT_APPLICABLE and lacking_anywhere(path)


def _others(made: Sequence[_Made], axes: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    specs = [each.run.resolved for each in made if each.run]
    others = {
        "points": len(made),
        "done": sum(each.run is not None and each.run.is_done for each in made),
        "failed": sum(each.point.failed for each in made),
        "pictures": sum(len(each.pictures) for each in made),
        "axes": ", ".join(named_among(path, axes) for path in axes),
        **{f"axis.{named_among(path, axes)}": _listed(values) for path, values in axes.items()},
        "dataset": ", ".join(dict.fromkeys(name_of(spec.dataset) for spec in specs)),
        "checkpoint": ", ".join(dict.fromkeys(spec.checkpoint.name for spec in specs)),
    }
    return {short_name(name): short(value) for name, value in others.items() if value != ""}


def _listed(values: Sequence[Any]) -> str:
    """An axis's values; with their places on the curves where they are no numbers."""
    texts = [_text(value) for value in values]
    return ", ".join(texts if _are_numbers(values) else [f"{index}: {text}" for index, text in enumerate(texts)])


def _text(value: Any) -> str:
    return without_paths(text_of(value))


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _sheets(sweep: SweepFolder, scratch: Path) -> Iterator[File]:
    """Of each task its pictures. They are known by what they are made from."""
    for sheet in sheets_of(sweep, without_paths):
        file = sweep.sheet_file(sheet.task).name
        cells = [[cell.sha256 if isinstance(cell, Picture) else cell for cell in row] for row in sheet.cells]
        sources = [sweep.name, sheet.across, sheet.down, sheet.columns, sheet.rows, cells, dict(sheet.same)]
        yield _to_make(Path(file).stem, scratch / file, sources, partial(write_sheet, sheet, f"{sweep.name}: {sheet.task}"))


def _table(made: Sequence[_Made], scratch: Path) -> Iterator[File]:
    """The comparison's table, a row a run, as far as there are pictures."""
    if any(each.pictures for each in made):
        sources = [
            [each.label, each.run.resolved.run_id, [picture.sha256 for picture in each.pictures], *_measured(each.run)] for each in made if each.run
        ]
        yield _to_make(TABLE, scratch / TABLE, sources, partial(_write_table, made))


def _measured(run: RunFolder) -> Iterator[list[str]]:
    """What was kept of a run since it was recorded, by content; nothing of one without, whose table is known as ever."""
    yield from ([file.name, digest_of(file)] for file in measures.files_of(run.path))


def _write_table(made: Sequence[_Made], path: Path) -> None:
    from sdxl_lab.viewing.compare import compare

    compared = compare([each.run for each in made if each.run], pool_seeds=False)
    labels = {each.point.run_id: each.label for each in made}
    table = compared.table()
    table.insert(0, "label", [labels[row.runs[0].resolved.run_id] for row in compared.rows])
    write_whole(path, table.to_csv(lineterminator="\n").encode())


def _curves(made: Sequence[_Made], axes: Mapping[str, Sequence[Any]], scratch: Path) -> Iterator[File]:
    """Each task's metrics over each axis: at each of its values the mean of the points that have it, each of them the mean of its pictures."""
    for task in dict.fromkeys(picture.task for each in made for picture in each.pictures):
        pictures = [[picture for picture in each.pictures if picture.task == task] for each in made]
        metrics = dict.fromkeys(name for own in pictures for picture in own for name in picture.metrics if name not in SPENT)
        for metric in (*metrics, STEPS):
            means = [_mean([number_of(picture, metric) for picture in own]) for own in pictures]
            for path, values in axes.items():
                name = short_name(f"{task}/{metric} over {named_among(path, axes)}")
                if curve := _curve(path, values, [each.point for each in made], means):
                    file = scratch / f"curve-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
                    write_whole(file, json.dumps({"name": name, **curve}).encode())
                    yield file_of(name, None, file)


def _curve(path: str, values: Sequence[Any], points: Sequence[RecordedPoint], means: Sequence[float | None]) -> dict[str, list[float]] | None:
    """Values and means; None of less than two values. What are no numbers stand at their places."""
    found: list[tuple[float, float]] = []
    for index, value in enumerate(values):
        having = [mean for point, mean in zip(points, means, strict=True) if mean is not None and point.values.get(path, _ABSENT) == value]
        if having:
            found.append((value if _are_numbers(values) else index, fmean(having)))
    found.sort()
    return {"x": [x for x, _ in found], "y": [y for _, y in found]} if len(found) > 1 else None


_ABSENT = object()


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return fmean(known) if known else None


def _to_make(name: str, path: Path, sources: Any, make: Callable[[Path], object]) -> File:
    """A file that is written only to be sent, and known by what it is made from: another machine may write other bytes of the same content."""
    sha256 = hashlib.sha256(json.dumps(sources).encode()).hexdigest()
    return File(name=name, step=None, path=path, sha256=sha256, metadata={"file_sha256": sha256}, make=make)
