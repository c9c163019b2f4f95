"""What a sweep will do: runs in groups that share trajectories, in which order, and what they cost in UNet forwards."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, Self

from sdxl_lab.progress import clock
from sdxl_lab.spec.edit import PictureKey
from sdxl_lab.tables import BETWEEN, Column, apart, laid_out, width_of
from sdxl_lab.wording import counted

Status = Literal["done", "begun", "new"]

INDENT = "  "
LEAST_ROOM = 16
"""Characters that a point's label gets on the narrowest terminal."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One picture, as far as its cost goes.

    Attributes:
        base: Key of the base's trajectory.
        refined: Key of the refiner's tail; None without refiner.
        base_forwards: UNet forwards of the base if it is made alone.
        refiner_forwards: The same of the refiner, 0 without one.
        forward_s: Seconds that one of them takes on this machine; None where nothing like it is recorded.
    """

    base: Hashable
    refined: Hashable | None
    base_forwards: int
    refiner_forwards: int
    forward_s: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class PlannedRun:
    """One run of a sweep, tied to the content of its dataset and checkpoint.

    Attributes:
        label: What sets it apart, for people.
        run_id: Names the run by all that changes its pixels.
        parameters: All eight, with what was left to the machine chosen and with absolute paths, so that every worker makes the same run.
        folder: Where it is recorded, or will be.
        status: Whether it is recorded, with a whole notebook; begun; or new.
        works: The cost of each picture, by sample, task and seed.
        pending: Those that are still to be made.
        checkpoint: Names the models it loads.
        overrides: Dotted path of each setting that grid or list gave it to the value.
        place: Its place among the sweep's runs by their points, from 0.
        is_left: Whether it is left for later, although it is not done.
    """

    label: str
    run_id: str
    parameters: Mapping[str, Any]
    folder: Path
    status: Status
    works: Mapping[PictureKey, Work]
    pending: tuple[PictureKey, ...]
    checkpoint: Hashable
    overrides: Mapping[str, Any] = field(default_factory=dict)
    place: int = 0
    is_left: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether it is to be made now."""
        return self.status != "done" and not self.is_left

    @property
    def forward_s(self) -> float | None:
        """Seconds of a UNet forward of what is still to be made, on the average; None where nothing like it is recorded on this machine."""
        each = [self.works[key].forward_s for key in self.pending]
        known = [seconds for seconds in each if seconds is not None]
        return fmean(known) if known and len(known) == len(each) else None

    @property
    def base_window(self) -> int:
        """Forwards of the base for all of its pictures."""
        return sum(work.base_forwards for work in self.works.values())


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Runs that share trajectories: the unit of work. The longest window of the base comes first, and serves the rest.

    Attributes:
        runs: In the order in which they are made.
    """

    runs: tuple[PlannedRun, ...]

    @property
    def pending(self) -> tuple[PlannedRun, ...]:
        """Those that are to be made now."""
        return tuple(run for run in self.runs if run.is_pending)

    def forwards(self) -> dict[str, int]:
        """UNet forwards of each pending run, by `run_id`, when they are made in this order in one process."""
        reached: Counter[Hashable] = Counter()
        refined: set[Hashable] = set()
        needed: dict[str, int] = {}
        for run in self.pending:
            needed[run.run_id] = 0
            for work in (run.works[key] for key in run.pending):
                needed[run.run_id] += max(0, work.base_forwards - reached[work.base])
                reached[work.base] = max(reached[work.base], work.base_forwards)
                if work.refined is not None and work.refined not in refined:
                    needed[run.run_id] += work.refiner_forwards
                    refined.add(work.refined)
        return needed


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What a sweep will do.

    Attributes:
        name: The sweep's name.
        notebook: What runs each point.
        runs_folder: Where its runs are recorded.
        groups: In the order in which they are started; checkpoints are the outer loop.
        points: How many points the sweep has; some may be the same run.
        notes: What is to be said before anything runs, one line each.
    """

    name: str
    notebook: Path
    runs_folder: Path
    groups: tuple[Group, ...]
    points: int
    notes: tuple[str, ...] = ()

    @cached_property
    def runs(self) -> tuple[PlannedRun, ...]:
        """All runs, in order."""
        return tuple(run for group in self.groups for run in group.runs)

    @property
    def pending(self) -> tuple[PlannedRun, ...]:
        """Planned minus recorded, and minus what is left for later."""
        return tuple(run for run in self.runs if run.is_pending)

    @property
    def done(self) -> tuple[PlannedRun, ...]:
        """Those that are recorded."""
        return tuple(run for run in self.runs if run.status == "done")

    @property
    def left(self) -> tuple[PlannedRun, ...]:
        """Those that are left for later."""
        return tuple(run for run in self.runs if run.is_left)

    def limited(self, chosen: Callable[[PlannedRun], bool] | None = None, most: int | None = None) -> Self:
        """Leave runs for later.

        Args:
            chosen: Says of a pending run whether it may be made now; all may if left out.
            most: How many of those are made, the first ones in the plan's order; all if left out.

        Returns:
            The same plan with fewer pending runs.
        """
        now = {run.run_id for run in [run for run in self.pending if chosen is None or chosen(run)][:most]}
        groups = [[replace(run, is_left=run.status != "done" and run.run_id not in now) for run in group.runs] for group in self.groups]
        return replace(self, groups=tuple(Group(runs=tuple(runs)) for runs in groups))

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds that the pending runs will take in one process, by `run_id`, as far as like ones are recorded on this machine."""
        paces = {run.run_id: run.forward_s for run in self.pending}
        return {run_id: self.forwards[run_id] * pace for run_id, pace in paces.items() if pace is not None}

    @cached_property
    def forwards(self) -> dict[str, int]:
        """UNet forwards of each pending run, by `run_id`, with what its group shares."""
        return {run_id: count for group in self.groups for run_id, count in group.forwards().items()}

    @property
    def forwards_shared(self) -> int:
        """UNet forwards that are still needed."""
        return sum(self.forwards.values())

    @property
    def forwards_alone(self) -> int:
        """UNet forwards that would be needed if every picture were made by itself."""
        works = [run.works[key] for run in self.pending for key in run.pending]
        return sum(work.base_forwards + work.refiner_forwards for work in works)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        same = self.points - len(self.runs)
        twice = f" ({same} of them the same run as another)" if same else ""
        later = f", {len(self.left)} left for later" if self.left else ""
        counts = f"{len(self.done)} done, {len(self.pending)} to run{later}"
        yield f"{self.name}: {counted(self.points, 'point')}{twice}, {counts}, recorded in {self.runs_folder}"
        yield from self.notes
        yield ""
        head, *rows = laid_out(self._columns(shutil.get_terminal_size().columns), left=3)
        yield head
        left, above = iter(rows), None
        for group in self.groups:
            checkpoint = group.runs[0].parameters["checkpoint"]
            if checkpoint != above:
                yield f"checkpoint {checkpoint}"
                above = checkpoint
            if len(group.runs) > 1:
                yield f"{INDENT}{counted(len(group.runs), 'run')} that share forwards"
            for _ in group.runs:
                yield next(left)
        elsewhere = [run for run in self.done if run.folder.parent != self.runs_folder]
        yield from (f"{run.label} is recorded in {run.folder}" for run in elsewhere)
        yield from self._costs()

    def _columns(self, width: int) -> list[Column]:
        forwards, seconds = self.forwards, self.seconds
        numbers: list[Column] = [
            ("run", [run.run_id[:10] for run in self.runs]),
            ("status", ["left" if run.is_left else run.status for run in self.runs]),
            ("pictures\nto make", [f"{len(run.pending)} of {len(run.works)}" if run.status != "done" else "" for run in self.runs]),
            ("forwards", [str(forwards.get(run.run_id, "")) for run in self.runs]),
        ]
        if seconds:
            numbers.append(("about", [clock(seconds[run.run_id]) if run.run_id in seconds else "" for run in self.runs]))
        depths = [INDENT * (2 if len(group.runs) > 1 else 1) for group in self.groups for _ in group.runs]
        room = max(LEAST_ROOM, width - sum(map(width_of, numbers)) - BETWEEN - max(map(len, depths)))
        labels = apart([run.label for run in self.runs], room)
        return [("point", [depth + label.replace("\n", f"\n{depth}") for depth, label in zip(depths, labels, strict=True)]), *numbers]

    def _costs(self) -> Iterator[str]:
        if not self.pending:
            return
        shared, alone = self.forwards_shared, self.forwards_alone
        yield f"\nUNet forwards still needed: {shared} (evaluations of the model, mostly one a step)"
        if 0 < shared < alone:
            yield f"without sharing they would be {alone}, {alone / shared:.2f} times as many"
        unlike = len(self.pending) - len(self.seconds)
        if self.seconds:
            rest = f", without {counted(unlike, 'run')} of which nothing like it is recorded" if unlike else ""
            yield f"time still needed: about {clock(sum(self.seconds.values()))} by one worker, as recorded pictures took on this machine{rest}"
        else:
            yield "time still needed: no estimate yet, since nothing like it is recorded on this machine"


def grouped(runs: Sequence[PlannedRun]) -> tuple[Group, ...]:
    """Put together what shares trajectories, directly or by way of other runs.

    Args:
        runs: In the order of the sweep's points.

    Returns:
        Groups, checkpoints as the outer loop, else in the order of their first points; in each the longest window of the base comes first.
    """
    leader: dict[Hashable, Hashable] = {}

    def find(key: Hashable) -> Hashable:
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    for run in runs:
        keys = [work.base for work in run.works.values()]
        for key in keys[1:]:
            leader[find(key)] = find(keys[0])
    linked: dict[Hashable, list[PlannedRun]] = {}
    for run in runs:
        linked.setdefault(find(next(iter(run.works.values())).base), []).append(run)
    order = list(dict.fromkeys(run.checkpoint for run in runs))
    groups = [Group(runs=tuple(sorted(group, key=lambda run: -run.base_window))) for group in linked.values()]
    return tuple(sorted(groups, key=lambda group: order.index(group.runs[0].checkpoint)))
