"""Sets, an extractor and distances put together: each set is looked at once, and what comes out is kept beside its record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sdxl_lab import progress
from sdxl_lab.distances import DISTANCES, Distance, DistanceError, Seen, jackknife, statistics
from sdxl_lab.distances.results import Distances, Measured, SetDistances, Side
from sdxl_lab.distances.sets import PictureSet, sets_of
from sdxl_lab.distances.shared import told_of_shared
from sdxl_lab.extractors import EXTRACTORS, Extractor, open_extractor
from sdxl_lab.records.finding import RunLike, each_of
from sdxl_lab.settings.hyperparams import closest
from sdxl_lab.tasks import TASKS
from sdxl_lab.wording import counted, few

USUAL = ("fid", "kid", "precision", "recall")
"""What is computed unless others are asked for."""
FEWEST = 10
"""Pictures that a set must have, whatever is insisted upon."""
MOST_TOLD = 3
"""Reasons that a refusal gives."""

Found = PictureSet | statistics.Statistics


def distance(
    sets: RunLike | Path | str | Sequence[RunLike | Path | str],
    to: RunLike | Path | str | None = None,
    *,
    metrics: Sequence[str] = (),
    extractor: str | Extractor = "judge",
    model: str | None = None,
    fetch: bool = False,
    sha256: str | None = None,
    bandwidth: float | None = None,
    insist: bool = False,
    task: str | None = None,
    pool_seeds: bool = True,
    save: Path | str | None = None,
    keep: bool = True,
) -> Distances:
    """Say how far sets of pictures are from another, as a network sees them.

    Args:
        sets: A run, a session, a folder of several, a dataset by name or folder, a folder of pictures, or a `.npz` file of statistics; or several
            of these. Runs become rows as `compare` has them.
        to: Another of these, all of it as one set; may be left out for numbers of one set alone, and to `save`.
        metrics: Names of `DISTANCES`. If left out `fid`, `kid`, `precision` and `recall`, as far as there are pictures enough.
        extractor: A name of `EXTRACTORS`, or one that is open.
        model: Its weights, as `open_extractor` takes them; likewise `fetch` and `sha256`.
        fetch: Whether its files may be downloaded.
        sha256: Of a file that is a program.
        bandwidth: Of `mmd`'s kernel, in the features' own unit; the median distance within `to` if left out.
        insist: Whether numbers are computed where there are too few pictures for them to mean something.
        task: Of runs, pictures of this task alone.
        pool_seeds: Whether runs that differ in nothing but seeds are one set.
        save: A `.npz` file for the statistics of the set, which must be one.
        keep: Whether results are written beside the record of each set that is a run, into its folder `distances`.

    Returns:
        The numbers, with 95% intervals that leave out parts of the pictures.

    Raises:
        DistanceError: A set, a metric or statistics are not as they should be, or there are too few pictures. Also what the extractor, runs and
            datasets raise.

    Examples:
        >>> found = distance("pocket-forty", "pocket-forty", metrics=["kid"], insist=True)
        >>> found.label, found.to.n, found.rows[0].distances["kid"].value < 0
        ('judge', 40, True)
    """
    asked = _asked(metrics, has_reference=to is not None, saves=save is not None)
    if task is not None and task not in TASKS:
        raise DistanceError(f"got the task {task!r}; allowed are {', '.join(TASKS)}{_meant(task, TASKS)}")
    # Sets are found, and statistics read, before a network is loaded, which takes minutes with some.
    found = [each for written in each_of(sets) for each in _found(written, task, pool_seeds=pool_seeds, is_one=False)]
    other = None if to is None else _found(to, task, pool_seeds=pool_seeds, is_one=True)[0]
    file = None if save is None else Path(save).expanduser()
    _check_saved(file, found)
    sight = extractor if isinstance(extractor, Extractor) else open_extractor(extractor, model, fetch=fetch, sha256=sha256)
    _check_classes(asked, sight)
    notes = _of_one_extractor([*found, *([other] if other else [])], sight)
    chosen, said = _possible(asked, found, other, sight, insists=insist, is_usual=not metrics)
    looks_for_classes = any(row.needs == "classes" for row in chosen)
    reference = _seen(other, sight, classes=False) if other else None
    rows: list[SetDistances] = []
    identity = sight.identity()
    for each in found:
        seen, side = _seen(each, sight, classes=looks_for_classes)
        rows.append(SetDistances(set=side, distances=_numbers(chosen, seen, reference[0] if reference else None, bandwidth)))
        if file is not None:
            statistics.write(file, seen, identity, side.digest)
    whole = Distances(
        rows=tuple(rows),
        to=reference[1] if reference else None,
        extractor=identity,
        label=sight.label,
        model=Path(sight.model).name if Path(sight.model).expanduser().exists() else sight.model,
        notes=(*notes, *said, *(told_of_shared(found, other) if other and any(row.has_reference for row in chosen) else ())),
        saved=file,
    )
    if not keep or not chosen:
        return whole
    places = [each.place if isinstance(each, PictureSet) else None for each in found]
    return replace(whole, rows=tuple(whole.kept(row, place) if place else row for row, place in zip(rows, places, strict=True)))


def _asked(metrics: Sequence[str], *, has_reference: bool, saves: bool) -> list[Distance]:
    if unknown := [name for name in metrics if name not in DISTANCES]:
        raise DistanceError(f"got {unknown[0]!r} as a distance; allowed is {', '.join(DISTANCES)}{_meant(unknown[0], DISTANCES)}")
    asked = [DISTANCES[name] for name in dict.fromkeys(metrics or (USUAL if has_reference else ()))]
    if not has_reference and (far := [row.name for row in asked if row.has_reference]):
        raise DistanceError(f"{far[0]} is a distance to another set; name it: --to SET")
    if not asked and not saves:
        raise DistanceError(
            "there is nothing to compare with; name it (--to SET), or ask for a number of one set (--metric is), or for --save FILE.npz"
        )
    return asked


def _meant(word: str, words: Iterable[str]) -> str:
    return f". Did you mean {near}?" if (near := closest(word, words)) else ""


def _check_classes(asked: Sequence[Distance], sight: Extractor) -> None:
    wanting = [row.name for row in asked if row.needs == "classes"]
    if wanting and sight.name in EXTRACTORS and not EXTRACTORS[sight.name].classifies:
        able = [name for name, kind in EXTRACTORS.items() if kind.classifies]
        raise DistanceError(f"{wanting[0]} asks for classes, and {sight.name} knows none; allowed is {' or '.join(able)} (--extractor)")


def _found(written: RunLike | Path | str, task: str | None, *, pool_seeds: bool, is_one: bool) -> Sequence[Found]:
    if isinstance(written, Path | str) and Path(written).suffix.lower() == statistics.SUFFIX:
        return [statistics.read(Path(written).expanduser())]
    return sets_of(written, task=task, pool_seeds=pool_seeds, is_one=is_one)


def _check_saved(save: Path | None, found: Sequence[Found]) -> None:
    if save is None:
        return
    if save.suffix != statistics.SUFFIX:
        raise DistanceError(f"got {save} to save statistics in; allowed is a file that ends in {statistics.SUFFIX}")
    if len(found) != 1 or not isinstance(found[0], PictureSet):
        raise DistanceError(f"got {counted(len(found), 'set')} to save; give one set of pictures with --save")


def _of_one_extractor(every: Sequence[Found], sight: Extractor) -> list[str]:
    """See that statistics are of this extractor, and say of which ones nobody knows."""
    notes = []
    for each in every:
        if isinstance(each, PictureSet):
            continue
        if each.extractor is None:
            notes.append(f"{each.seen.name} doesn't say what saw its pictures, nor how many there were: it is taken for {sight.label}")
        elif dict(each.extractor) != sight.identity():
            raise DistanceError(
                f"{each.seen.name} was seen by another extractor ({_told(each.extractor)}), not by {_told(sight.identity())}; numbers of two "
                "extractors can't be compared: name the same, or write the file anew with --save"
            )
    return notes


def _possible(
    asked: Sequence[Distance], found: Sequence[Found], other: Found | None, sight: Extractor, *, insists: bool, is_usual: bool
) -> tuple[list[Distance], list[str]]:
    """What can be computed and says something, and what is to be said; the rest is refused, or where nobody asked for it by name, left out."""
    chosen, short_of, unfit = [], [], []
    lacking: dict[str, list[tuple[Distance, str]]] = {}
    for row in sorted(asked, key=lambda row: row.exceeds_dimensions):
        compared, fewest = [*found, other] if other and row.has_reference else found, row.fewest
        takes = f"{fewest} or more, and more than a picture has features" if row.exceeds_dimensions else str(fewest)
        reasons = [reason for each in compared if (reason := _unfit(row, each))]
        short = _short(compared, FEWEST if insists else fewest)
        if row.exceeds_dimensions and not reasons and not short:  # a picture is looked at for that
            fewest = max(fewest, _dimensions(compared, sight) + 1)
            takes = f"{fewest} with this extractor"
            short = _short(compared, FEWEST if insists else fewest)
        unfit += reasons
        for each in short:
            lacking.setdefault(_told_count(each), []).append((row, f"{FEWEST} whatever is insisted upon" if insists else takes))
        if not reasons and not short:
            chosen.append(row)
            short_of += [f"{row.name} takes {fewest}" for each in _short(compared, fewest)]
    hindered = [*unfit, *_told_lacks(lacking)]
    if hindered and (not chosen or not is_usual):
        others = "" if insists else f", ask for another (--metric), or insist (--insist, from {FEWEST} pictures on)"
        advice = f"; make more{others}" if lacking else ""
        raise DistanceError("; ".join(hindered[:MOST_TOLD]) + advice)
    insisted = [f"too few pictures, and insisted upon: {', '.join(dict.fromkeys(short_of))}"] if short_of else []
    return [row for row in asked if row in chosen], [*insisted, *(f"left out: {reason}" for reason in hindered)]


def _dimensions(every: Sequence[Found], sight: Extractor) -> int:
    """How many numbers a picture has, by one picture, so that all can be refused before they are looked at."""
    known = [(each.seen.name, each.seen.dimensions) for each in every if not isinstance(each, PictureSet)]
    if pictures := next((each for each in every if isinstance(each, PictureSet)), None):
        known.append((pictures.name, sight.features([next(iter(pictures.images()))]).shape[1]))
    if len({count for _, count in known}) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in known)
        raise DistanceError(
            f"a picture has as many numbers as its extractor gives, and {told}: they are of different ones; name the extractor that saw the file's "
            "pictures (--extractor), or give those"
        )
    return known[0][1]


def _unfit(row: Distance, found: Found) -> str:
    """What a file of statistics lacks for a distance; empty if nothing."""
    if row.needs != "moments" and not isinstance(found, PictureSet):
        if found.seen.features is None:
            return f"{row.name} takes features, and {found.seen.name} has mean and covariance alone; give its pictures"
        if row.needs == "classes" and found.seen.classes is None:
            return f"{found.seen.name} holds no classes, which {row.name} asks for; give its pictures, or write it anew with --metric {row.name}"
    return ""


def _short(compared: Sequence[Found], fewest: int) -> list[Found]:
    """The sets of fewer pictures."""
    return [each for each in compared if (_count(each) or fewest) < fewest]


def _told_lacks(lacking: Mapping[str, Sequence[tuple[Distance, str]]]) -> Iterator[str]:
    """For which distances sets have too few pictures, how many each takes, and if there is one reason, why; of several sets alike once."""
    alike: dict[tuple[tuple[str, str, str], ...], list[str]] = {}
    for told, rows in lacking.items():
        alike.setdefault(tuple((row.name, takes, row.why) for row, takes in rows), []).append(told)
    for rows, sets in alike.items():
        names: dict[str, list[str]] = {}
        for name, takes, _ in dict.fromkeys(rows):  # both sets may be the same
            names.setdefault(takes, []).append(name)
        kinds = ", and for ".join(f"{_and(own)}, which {'takes' if len(own) == 1 else 'take'} {takes}" for takes, own in names.items())
        reasons = {why for _, _, why in rows}
        yield f"{few(sets, MOST_TOLD)}: too few pictures for {kinds}" + (f", since {reasons.pop()}" if len(reasons) == 1 else "")


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _seen(found: Found, sight: Extractor, *, classes: bool) -> tuple[Seen, Side]:
    """A set as the extractor sees it, or as a file says that it did."""
    if not isinstance(found, PictureSet):
        return found.seen, Side(name=found.seen.name, n=found.seen.n, digest=found.digest)
    features = sight.features(found.images()).astype(np.float64)
    probabilities = sight.probabilities(found.images()).astype(np.float64) if classes else None
    seen = Seen(name=found.name, n=len(features), features=features, samples=found.samples, classes=probabilities)
    return seen, Side(name=found.name, n=seen.n, digest=found.digest)


def _numbers(rows: Sequence[Distance], ours: Seen, other: Seen | None, bandwidth: float | None) -> dict[str, Measured]:
    numbers: dict[str, Measured] = {}
    for row in rows:
        progress.tell(row.name)
        compared = other if other and row.has_reference else None
        dealt = jackknife.parts_of(ours.samples, compared.samples if compared else ())
        estimate = row.of(ours, compared or ours, dealt, {"bandwidth": bandwidth})
        low, high = jackknife.interval(estimate, row.limits) or (None, None)
        parts = 0 if low is None else dealt.count
        numbers[row.name] = Measured(value=estimate.value, low=low, high=high, parts=parts, parameters=estimate.parameters)
    return numbers


def _count(found: Found) -> int | None:
    return len(found.files) if isinstance(found, PictureSet) else found.seen.n


def _told_count(found: Found) -> str:
    return f"{found.name if isinstance(found, PictureSet) else found.seen.name} has {counted(_count(found) or 0, 'picture')}"


def _told(identity: Mapping[str, Any]) -> str:
    return f"{identity.get('extractor')} version {identity.get('version')}, weights {str(identity.get('weights'))[:10]}"
