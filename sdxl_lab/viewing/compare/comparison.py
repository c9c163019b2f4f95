"""The rows of a comparison, and their numbers as data frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab.records.finding import RunLike, each_of
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.run_files import RunFiles
from sdxl_lab.settings.hyperparams import closest
from sdxl_lab.tasks import TASKS
from sdxl_lab.viewing.compare import preferred
from sdxl_lab.viewing.compare.costs import RENAMED, SPENT, STEPS, named, names_of, number_of, unlike_steps, words_of
from sdxl_lab.viewing.compare.intervals import FEWEST_SAMPLES, Interval, mean_interval
from sdxl_lab.viewing.compare.rows import MOST_NAMES, CompareError, Row, Values, called, found, row_named, rows_of
from sdxl_lab.wording import counted, few

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Runs beside each other: what differs, what it costs, and what each metric says of it.

    A run's pictures are paired with those of the reference by sample, task and seed, so that a difference is one of settings and not of
    samples. Each interval stands for itself: of twenty, one is expected to miss by chance.

    Attributes:
        rows: The runs; such as differ in nothing but their seeds are one row.
        reference: The row that the others are compared with.
        differing: Dotted name of each setting that differs to its value in each row.
        metrics: Names, in the order in which they were recorded, `steps` and `seconds_spent` the last.
        notes: What is to be kept in mind, one line each.
    """

    rows: tuple[Row, ...]
    reference: Row
    differing: Mapping[str, Sequence[Any]]
    metrics: tuple[str, ...]
    notes: tuple[str, ...]

    def mean(self, row: Row, metric: str) -> Interval | None:
        """A metric's mean over a row's pictures; None if none of them has it."""
        return _interval(self._of(row, metric), RENAMED.get(metric, metric))

    def difference(self, row: Row, metric: str) -> Interval | None:
        """A metric's mean difference to the reference, over the pairs of pictures that have it; None if there is no pair."""
        if row is self.reference:
            return None
        ours, theirs = self._of(row, metric), self._of(self.reference, metric)
        return _interval({key: ours[key] - theirs[key] for key in sorted(ours.keys() & theirs.keys())}, RENAMED.get(metric, metric))

    def __repr__(self) -> str:
        differing = few(list(self.differing), 3) or "nothing"
        rows, metrics = counted(len(self.rows), "row"), counted(len(self.metrics), "metric")
        return f"<Comparison of {rows} with {self.reference.name}: {differing} differs; {metrics}>"

    def __str__(self) -> str:
        from rich.console import Console

        from sdxl_lab.viewing.compare.printed import print_comparison  # which knows this room

        printed = StringIO()
        print_comparison(self, console=Console(file=printed, width=80, highlight=False))
        return printed.getvalue().strip("\n")

    def verdict(self, row: Row, metric: str) -> str:
        """What a difference's interval allows to say.

        Returns:
            `better` or `worse` if the interval lies on one side of 0, `higher` or `lower` where neither is better; `same` if all pairs are
            equal; `unclear` if the interval holds 0; empty if there is no interval, and for the reference. Of steps, which are counted,
            `better`, `worse` or `same` by their mean alone; of what was spent nothing.
        """
        interval = self.difference(row, metric)
        if interval is None or RENAMED.get(metric, metric) in SPENT:
            return ""
        if metric == STEPS:
            return "same" if interval.mean == 0 else "worse" if interval.mean > 0 else "better"
        if interval.low is None or interval.high is None:
            ours, theirs = self._of(row, metric), self._of(self.reference, metric)
            return "same" if all(ours[key] == theirs[key] for key in ours.keys() & theirs.keys()) else ""
        if interval.low <= 0 <= interval.high:
            return "unclear"
        side = "higher" if interval.low > 0 else "lower"
        return {None: side, side: "better"}.get(words_of(metric).better, "worse")

    def settings(self) -> pd.DataFrame:
        """What differs: one row a run, one column a setting, by dotted names."""
        import pandas as pd

        columns = {path: [str(value) if isinstance(value, Values) else value for value in values] for path, values in self.differing.items()}
        return pd.DataFrame(columns, index=self._index, dtype=object)

    def table(self) -> pd.DataFrame:
        """Everything, one row a run.

        Returns:
            First what differs. Then `pictures`; means of `steps`, of the `base_steps` and `refiner_steps` they are made of, and of
            `seconds_spent`, which are no cost: see `SPENT`. Then for each metric its mean under its own name, `_low` and `_high`, `_n`
            pictures; and for its difference to the reference `_difference`, `_difference_low`, `_difference_high`, `_pairs`. NaN where
            there is none.
        """
        import pandas as pd

        measured: dict[str, list[Any]] = {"pictures": [len(row.pictures) for row in self.rows]}
        plain: dict[str, Callable[[Picture], float]] = {
            STEPS: lambda picture: picture.base_steps + picture.refiner_steps,
            "base_steps": lambda picture: picture.base_steps,
            "refiner_steps": lambda picture: picture.refiner_steps,
            "seconds_spent": lambda picture: picture.seconds,
        }
        for name, number in plain.items():
            measured[name] = [_plain_mean([number(picture) for picture in row.pictures]) for row in self.rows]
        for metric in self.metrics:
            for middle, last, intervals in (
                ("", "_n", [self.mean(row, metric) for row in self.rows]),
                ("_difference", "_pairs", [self.difference(row, metric) for row in self.rows]),
            ):
                for end, part in (("", "mean"), ("_low", "low"), ("_high", "high")):
                    measured[f"{metric}{middle}{end}"] = [getattr(interval, part, None) for interval in intervals]
                measured[f"{metric}{last}"] = [interval.n if interval else 0 for interval in intervals]
        numbers = pd.DataFrame(measured, index=self._index)
        return pd.concat([self.settings(), numbers.apply(pd.to_numeric)], axis=1)

    def by_metric(self, *metrics: str) -> pd.DataFrame:
        """The same numbers to read: one row for each metric and run.

        Args:
            metrics: Names; all if left out.

        Returns:
            Indexed by `metric` and `run`: `mean`, `low`, `high`, `n`; `difference`, `difference_low`, `difference_high`, `pairs`; `verdict`.
        """
        import pandas as pd

        lines: dict[tuple[str, str], list[Any]] = {}
        for metric in metrics or self.metrics:
            for row in self.rows:
                cells: list[Any] = []
                for interval in (self.mean(row, metric), self.difference(row, metric)):
                    cells += [interval.mean, interval.low, interval.high, interval.n] if interval else [None, None, None, 0]
                lines[metric, row.name] = [*cells, self.verdict(row, metric)]
        ends = ["mean", "low", "high", "n", "difference", "difference_low", "difference_high", "pairs", "verdict"]
        frame = pd.DataFrame(list(lines.values()), index=pd.MultiIndex.from_tuples(lines, names=["metric", "run"]), columns=ends)
        return frame.astype(dict.fromkeys([*ends[:3], *ends[4:7]], float))

    def pictures(self) -> pd.DataFrame:
        """Every picture: its row, sample, task and seed, its file, steps, and metrics; and each metric's difference to its pair.

        Returns:
            One row a picture. `<metric>_difference` is NaN for the reference, and where there is no pair.
        """
        import pandas as pd

        lines = []
        for row in self.rows:
            for picture in row.pictures:
                line: dict[str, Any] = {"run": row.name, "sample": picture.sample, "task": picture.task, "seed": picture.seed}
                line |= {"prompt": picture.prompt, "image": str(picture.image)}
                line |= {"base_steps": picture.base_steps, "refiner_steps": picture.refiner_steps}
                for metric in self.metrics:
                    ours, theirs = (self._of(other, metric).get(_key(picture)) for other in (row, self.reference))
                    line[metric] = ours
                    line[f"{metric}_difference"] = None if ours is None or theirs is None or row is self.reference else ours - theirs
                lines.append(line)
        frame = pd.DataFrame(lines)
        return frame.astype({name: float for metric in self.metrics for name in (metric, f"{metric}_difference")})

    def furthest(self, metric: str, count: int = 3) -> dict[str, Path]:
        """Find the pictures in which a metric differs most from the reference's, to look at them.

        Args:
            metric: One of `metrics`.
            count: How many, at most.

        Returns:
            Label to file: of each sample, task and seed the reference's picture, then those of the others.
        """
        shared: dict[Key, dict[str, Picture]] = {}
        for row in self.rows:
            for picture in row.pictures:
                if _key(picture) in self._of(self.reference, metric) and _key(picture) in self._of(row, metric):
                    shared.setdefault(_key(picture), {})[row.name] = picture
        numbers = {row.name: self._of(row, metric) for row in self.rows}
        theirs = numbers[self.reference.name]
        spread = {key: max(abs(numbers[name][key] - theirs[key]) for name in pictures) for key, pictures in shared.items() if len(pictures) > 1}
        names = [self.reference.name, *(row.name for row in self.rows if row is not self.reference)]
        return {
            f"{key[0]}, {key[1]}, seed {key[2]}, {name}: {numbers[name][key]:.3g}": shared[key][name].image
            for key in sorted(spread, key=lambda key: (-spread[key], key))[:count]
            for name in names
            if name in shared[key]
        }

    def _of(self, row: Row, metric: str) -> Mapping[Key, float]:
        return self._numbers[row.name, RENAMED.get(metric, metric)]

    @cached_property
    def _numbers(self) -> Mapping[tuple[str, str], Mapping[Key, float]]:
        return {
            (row.name, metric): {_key(picture): number for picture in row.pictures if (number := number_of(picture, metric)) is not None}
            for row in self.rows
            for metric in self.metrics
        }

    @property
    def _index(self) -> Any:
        import pandas as pd

        return pd.Index([row.name for row in self.rows], name="run")


def compare(
    runs: Iterable[RunLike | Path | str] | RunLike | Path | str,
    *,
    metrics: Sequence[str] = (),
    reference: RunFiles | Path | str | None = None,
    task: str | None = None,
    pool_seeds: bool = True,
) -> Comparison:
    """Put runs beside each other. Reads records alone.

    Args:
        runs: Folders of runs and sessions, or folders above some, such as a sweep's; and pictures of sessions, as runs of one or by their PNGs;
            one of these, or several.
        metrics: Names of metrics, `steps` and `seconds_spent` among them; all that were recorded if left out.
        reference: The run that others are compared with: its folder, which need not be among `runs`, its name, the first digits of its
            `run_id`, or its number from 1; of a picture of a session its PNG, its name, `<session>-<number>`, or the first digits of its
            `picture_id`. The first of `runs` if None.
        task: One of `TASKS`, to look at it alone; None for all.
        pool_seeds: Whether runs that differ in nothing but their seeds are one row.

    Returns:
        The comparison. The same runs in another order give the same pairs and, with the same reference, the same numbers.

    Raises:
        CompareError: No run, no picture, or a metric, task or reference that is not there. The message says what is.

    Examples:
        With the `spec` and the `resolved` run of the examples of `RunSpec` and `resolve`:

        >>> longer = resolve(spec.model_copy(update={"hyperparameters": {"denoising": {"num_inference_steps": 6}}}))
        >>> _ = run(longer), finish(longer)
        >>> comparison = compare([resolved.folder, longer.folder])
        >>> comparison.differing
        {'denoising.num_inference_steps': [3, 6]}
    """
    if task is not None and task not in TASKS:
        hint = f". Did you mean {near}?" if (near := closest(task, TASKS)) else ""
        raise CompareError(f"got the task {task!r}; allowed are {', '.join(TASKS)}{hint}")
    folders = found(each_of(runs))
    if isinstance(reference, RunFiles | Path | str):
        own = reference if isinstance(reference, RunFiles) else RunFiles(reference)
        if own.is_begun and own.path.resolve() not in [run.path.resolve() for run in folders]:
            folders.insert(0, own)
    rows, differing, notes = rows_of(folders, task, pool_seeds=pool_seeds)
    chosen = row_named(rows, reference)
    recorded = names_of(rows)
    metrics = named(metrics, recorded)
    if not any(row.pictures for row in rows):
        given = called([run for row in rows for run in row.runs])
        raise CompareError(f"got {given} without a picture yet; give runs that were begun, or wait for their first pictures")
    for metric in metrics:
        if metric not in recorded:
            hint = f" Did you mean {near}?" if (near := closest(metric, recorded)) else ""
            raise CompareError(f"got the metric {metric!r}, which these runs do not have; they have {', '.join(recorded)}.{hint}")
    comparison = Comparison(
        rows=tuple(rows),
        reference=chosen,
        differing=differing,
        metrics=tuple(dict.fromkeys(metrics)) or recorded,
        notes=tuple(notes),
    )
    return replace(comparison, notes=(*notes, *_cautions(comparison)))


def _cautions(comparison: Comparison) -> list[str]:
    """What is to be said of pairs, metrics and samples."""
    rows, reference = comparison.rows, comparison.reference
    cautions = []
    if len(rows) == 1:
        pooled = len(rows[0].runs)
        one = called(rows[0].runs).replace("1 ", "one ", 1)
        only = f"the {called(rows[0].runs)} differ in nothing but seeds and are one row" if pooled > 1 else f"there is {one} alone"
        cautions.append(f"{only}: nothing to compare {rows[0].name} with")
    begun = [row for row in rows if row.pictures]
    lacking: dict[str, list[str]] = {}
    for row in begun:
        if absent := ", ".join(metric for metric in comparison.metrics if not comparison._of(row, metric)):
            lacking.setdefault(absent, []).append(row.name)
    cautions += [f"{few(names, MOST_NAMES)}: recorded without {absent}" for absent, names in lacking.items()]
    ours = {_key(picture) for picture in reference.pictures}
    unpaired = [row.name for row in begun if row is not reference and not ours & {_key(picture) for picture in row.pictures}]
    if unpaired:
        cautions.append(f"no sample, task and seed is shared with {reference.name} by {few(unpaired, MOST_NAMES)}: no differences there")
    partly = [
        f"{row.name} {shared} of {len(row.pictures)}"
        for row in begun
        if row is not reference and 0 < (shared := len(ours & {_key(picture) for picture in row.pictures})) < max(len(row.pictures), len(ours))
    ]
    if partly:
        cautions.append(f"differences are over the pictures that {reference.name} has too: {few(partly, MOST_NAMES)}")
    fewest = min((len({picture.sample for picture in row.pictures}) for row in begun), default=0)
    if fewest < FEWEST_SAMPLES:
        cautions.append(f"no interval where there are fewer than {FEWEST_SAMPLES} samples; the smallest number here is {fewest}")
    if any(picture.frame for row in rows for picture in row.pictures) and (raw := [name for name in comparison.metrics if name.startswith("raw_")]):
        cautions.append(
            f"where a crop was seen, {few(raw, MOST_NAMES)} {'is' if len(raw) == 1 else 'are'} of that alone; the others are of whole pictures"
        )
    cautions += [*preferred.asked(rows, comparison.metrics), *preferred.told(rows, reference, comparison.metrics)]
    return cautions + (unlike_steps(rows) if STEPS in comparison.metrics else [])


def _interval(numbers: Mapping[Key, float], metric: str) -> Interval | None:
    if not numbers:
        return None
    samples = [sample for sample, _, _ in numbers]
    if metric == STEPS or metric in SPENT:  # counted, or of these pictures alone: there is nothing to estimate
        return Interval(mean=math.fsum(numbers.values()) / len(numbers), low=None, high=None, n=len(numbers), samples=len(set(samples)))
    return mean_interval(list(numbers.values()), samples)


def _key(picture: Picture) -> Key:
    return picture.sample, picture.task, picture.seed


def _plain_mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None
