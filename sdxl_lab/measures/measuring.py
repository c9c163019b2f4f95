"""Pictures, metrics and networks put together: nothing is computed twice, and what comes out is kept beside each record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

from sdxl_lab import progress
from sdxl_lab.measures import MEASURES
from sdxl_lab.measures._measure import MeasureError, Models, Opened, Told
from sdxl_lab.measures.recorded import generated, look_anew, told_of
from sdxl_lab.metrics import METRICS, Metric, Words
from sdxl_lab.metrics.asked import ASKED
from sdxl_lab.records import measures as kept
from sdxl_lab.records.finding import RunLike, each_of, runs_at
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.run_files import RunFiles
from sdxl_lab.settings.hyperparams import closest
from sdxl_lab.spec.edit import Edit
from sdxl_lab.wording import counted


@dataclass(frozen=True, kw_only=True, repr=False)
class Measured:
    """What came of one metric.

    Attributes:
        name: As it was asked for.
        column: As comparisons, reports and Comet have it.
        words: What is said of its numbers.
        numbers: Of each picture that has one, by its file.
        computed: How many pictures were looked at now.
        known: How many were measured before.
        undefined: How many have no such number, such as where there is no mask.
        files: Where it was written.
        notes: What is to be kept in mind, one line each.
    """

    name: str
    column: str
    words: Words
    numbers: Mapping[Path, float]
    computed: int
    known: int
    undefined: int
    files: tuple[Path, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        mean = f", mean {fmean(self.numbers.values()):.4g}" if self.numbers else ""
        return f"<Measured {self.column}: {counted(len(self.numbers), 'picture')}{mean}; {self.computed} measured now>"


@dataclass
class _Tally:
    """What comes of one metric, picture by picture; as the attributes of `Measured`."""

    numbers: dict[Path, float] = field(default_factory=dict)
    computed: int = 0
    known: int = 0
    undefined: int = 0
    files: list[Path] = field(default_factory=list)


class _Kept:
    """What a file beside the record has of a metric, and what joins it.

    Attributes:
        laid_over: The pictures whose number, where pictures are read, is the file's and not the record's.
        numbers: Those of the file that the same metric would give, then new ones.
        captions: Likewise, of metrics that read one.
        is_new: Whether something joined.
    """

    def __init__(self, before: kept.Column | None, opened: Opened) -> None:
        same = before if before and before.identity == opened.identity() else None
        self.laid_over = frozenset(before.numbers if before else ())
        self.numbers: dict[kept.Key, float | None] = dict(same.numbers) if same else {}
        self.captions: dict[kept.Key, str] = dict(same.captions) if same else {}
        self.is_new = False


@dataclass(frozen=True, kw_only=True)
class _One:
    """A picture to measure."""

    run: RunFiles
    edit: Edit
    picture: Picture


def measure(
    runs: RunLike | Path | str | Sequence[RunLike | Path | str],
    metrics: str | Sequence[str],
    *,
    models: Mapping[str, str] = MappingProxyType({}),
    fetch: bool = False,
) -> tuple[Measured, ...]:
    """Measure pictures that are recorded already; comparisons, reports and Comet have the numbers from then on.

    They are written beside the record, into the folder `measures` of each run or session; the record stays what it is. A picture that was
    measured by the same metric, through the same network, is not looked at again.

    Args:
        runs: A run, a session, a picture of one, a folder of several such as a sweep's; or several of these.
        metrics: Names of `METRICS` and `MEASURES`.
        models: Networks, by names of `MODELS`: a hub id, perhaps with `@revision`, a folder or a file.
        fetch: Whether files of the hub that are not in the local cache may be downloaded.

    Returns:
        What came of each metric, in the order given.

    Raises:
        MeasureError: A metric isn't there, lacks its network, or needs what isn't kept. Also what finding runs and networks raises. What was
            measured until then is kept.

    Examples:
        >>> [found] = measure(home() / "artifacts" / "runs" / "single", "nrmse_outside")
        >>> found.column, len(found.numbers)
        ('nrmse_outside', 2)
    """
    look_anew()
    names = [metrics] if isinstance(metrics, str) else list(dict.fromkeys(metrics))
    _check_names(names)
    pictures = _pictures(runs_at(each_of(runs)))
    networks = Models(models, fetch=fetch)
    opened = [_opened(name, networks) for name in names]
    networks.check()
    found = {each.column: _Tally() for each in opened}
    total, done = sum(map(len, pictures.values())), 0
    for place, ones in pictures.items():
        done = _measure(place, ones, opened, found, done, total)
    return tuple(_measured(each, found[each.column]) for each in opened)


def _check_names(names: Sequence[str]) -> None:
    every = (*METRICS, *MEASURES)
    if not names:
        raise MeasureError(f"got no metric; name one (--metric): {', '.join(every)}")
    for name in names:
        if name not in every:
            hint = f" Did you mean {near}?" if (near := closest(name, every)) else ""
            raise MeasureError(f"got {name!r} as a metric; allowed is {', '.join(every)}.{hint}")


def _pictures(runs: Sequence[RunFiles]) -> dict[Path, list[_One]]:
    """Every picture with what was painted, by the folder of the run or session that it is recorded in."""
    places: dict[Path, list[_One]] = {}
    for run in runs:
        edits = {edit.key: edit for edit in run.resolved.edits}
        for picture in run.pictures():
            places.setdefault(run.top, []).append(_One(run=run, edit=edits[picture.key], picture=picture))
    if not places:
        raise MeasureError("there is no picture to measure yet; make some first, or give other runs")
    return places


def _opened(name: str, models: Models) -> Opened:
    if name in MEASURES:
        return MEASURES[name].open(models)
    return _of_records(METRICS[name])


def _of_records(metric: Metric) -> Opened:
    """A metric that records have by themselves, for those that were made before there was such a one."""
    return Opened(name=metric.name, of=lambda made, told: metric.of(made, told.expected))


def _measured(opened: Opened, tally: _Tally) -> Measured:
    return Measured(
        name=opened.name,
        column=opened.column,
        words=_words(opened.name),
        numbers=tally.numbers,
        computed=tally.computed,
        known=tally.known,
        undefined=tally.undefined,
        files=tuple(tally.files),
        notes=tuple(opened.notes()),
    )


def _words(name: str) -> Words:
    return METRICS.get(name) or ASKED.get(name) or Words(sentence="")


def _measure(place: Path, ones: Sequence[_One], opened: Sequence[Opened], found: Mapping[str, _Tally], done: int, total: int) -> int:
    """Measure the pictures of one place, and keep what came of it, also where something hinders the rest."""
    before = {column.name: column for column in kept.columns_of(place)}
    columns = {each.column: _Kept(before.get(each.column), each) for each in opened}
    try:
        for one in ones:
            _measure_one(one, opened, columns, found)
            done += 1
            progress.tell(", ".join(each.name for each in opened), done=done, total=total, unit="picture")
    finally:
        titles = {kept.key_of(one.picture): one.picture.title for one in ones}
        for each in opened:
            if (own := columns[each.column]).is_new:
                column = kept.Column(name=each.column, identity=each.identity(), numbers=own.numbers, captions=own.captions)
                found[each.column].files.append(kept.keep(place, column, _said(each), titles))
    return done


def _measure_one(
    one: _One,
    opened: Sequence[Opened],
    columns: Mapping[str, _Kept],
    found: Mapping[str, _Tally],
) -> None:
    made, told, key = None, None, kept.key_of(one.picture)
    for each in opened:
        result, own = found[each.column], columns[each.column]
        recorded = None if key in own.laid_over else one.picture.metrics.get(each.column)
        if each.reads_caption:
            told = told or told_of(one.run, one.edit, one.picture)
        if recorded is not None or (key in own.numbers and (not each.reads_caption or own.captions.get(key) == (told or Told()).input_caption)):
            result.known += 1
        else:
            made = made or generated(one.edit, one.picture)
            told = told or told_of(one.run, one.edit, one.picture)
            try:
                own.numbers[key] = each.of(made, told)
            except MeasureError as error:
                raise MeasureError(f"{each.name} of {one.picture.title}: {error}") from error
            if each.reads_caption:
                own.captions[key] = told.input_caption
            result.computed += 1
            own.is_new = True
        number = recorded if recorded is not None else own.numbers[key]
        if number is None:
            result.undefined += 1
        else:
            result.numbers[one.picture.image] = number


def _said(each: Opened) -> dict[str, Any]:
    words = _words(each.name)
    return {"sentence": words.sentence, "unit": words.unit, "better": words.better, "models": dict(each.models)}
