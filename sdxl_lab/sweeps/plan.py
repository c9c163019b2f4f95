"""What a sweep will do: runs in groups that share trajectories, in which order, and what they cost in UNet forwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from sdxl_lab.spec.edit import PictureKey
from sdxl_lab.wording import counted

Status = Literal["done", "begun", "new"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One picture, as far as its cost goes.

    Attributes:
        base: Key of the base's trajectory.
        refined: Key of the refiner's tail; None without refiner.
        base_forwards: UNet forwards of the base if it is made alone.
        refiner_forwards: The same of the refiner, 0 without one.
    """

    base: Hashable
    refined: Hashable | None
    base_forwards: int
    refiner_forwards: int


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
        """Those that are not done."""
        return tuple(run for run in self.runs if run.status != "done")

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
        """Planned minus recorded."""
        return tuple(run for run in self.runs if run.status != "done")

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
        done = len(self.runs) - len(self.pending)
        same = self.points - len(self.runs)
        twice = f" ({same} of them the same run as another)" if same else ""
        yield f"{self.name}: {counted(self.points, 'point')}{twice}, {done} done, {len(self.pending)} to run, recorded in {self.runs_folder}"
        yield from self.notes
        widest = max((len(run.label) for run in self.runs), default=0)
        for number, group in enumerate(self.groups, 1):
            checkpoint, *_ = (run.parameters["checkpoint"] for run in group.runs)
            yield f"\ngroup {number} of {len(self.groups)}, checkpoint {checkpoint}"
            for run in group.runs:
                forwards = self.forwards.get(run.run_id)
                cost = f"{counted(forwards, 'forward'):>16}" if forwards is not None else " " * 16
                left = f"{len(run.pending)} of {counted(len(run.works), 'picture')} to make" if run.status != "done" else f"in {run.folder}"
                yield f"  {run.label:<{widest}}  {run.run_id[:10]}  {run.status:<5} {cost}  {left}"
        if self.pending:
            shared, alone = self.forwards_shared, self.forwards_alone
            times = f", {alone / shared:.2f} times fewer" if shared else ""
            yield f"\nUNet forwards still needed: {shared} with sharing, {alone} without{times}"


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
