"""What a sweep marks with `where: applies`: settings that not all of its checkpoints have, left out for those that have not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sdxl_lab.adapters import ADAPTERS
from sdxl_lab.families import FAMILIES, OF_THE_REFINER
from sdxl_lab.settings.documents import canonical
from sdxl_lab.settings.hyperparams import shortest, without
from sdxl_lab.spec.lacking import NOT_APPLICABLE, lacking_anywhere, lacks, reason, setting_of
from sdxl_lab.sweeps.labels import leaves, short
from sdxl_lab.tasks import TASKS
from sdxl_lab.wording import counted

APPLIES = "applies"
_OF_SETTINGS = ("hyperparameters", *(f"hyperparameters.{task}" for task in TASKS))


class Marked:
    """The marks of a sweep, and what they leave out.

    Args:
        marks: By dotted path of parameters, a setting or a section, what is written behind it.
        base: The parameters that all points share, nested.

    Attributes:
        told: What was left out of points, one line each.
    """

    def __init__(self, marks: Mapping[str, Any], base: Mapping[str, Any]) -> None:
        self._marks, self._base = marks, base
        self._of_base = [path for path, _ in leaves(base)]
        self._lacked: dict[str, Mapping[str, str]] = {}
        self.told: list[str] = []

    def faults(self, given: Iterable[str]) -> Iterator[str]:
        """Say what is wrong with the marks, one line each.

        Args:
            given: The dotted paths that the sweep gives a value.
        """
        paths = list(given)
        for mark, word in self._marks.items():
            if word != APPLIES:
                yield f"where.{mark}: got {short(word)}; allowed is {APPLIES}: the setting is left out for checkpoints that have none such"
            elif mark in _OF_SETTINGS:
                yield f"where.{mark}: holds every setting; mark a setting, or a section such as {mark}.refiner"
            elif (whole := [path for path in paths if _is_below(mark, path) and path != mark]) and not any(_is_below(path, mark) for path in paths):
                yield f"where.{mark}: is given as part of {whole[0]}; write it out there: {mark}, with its own values"
            elif not any(_is_below(path, mark) for path in paths):
                yield f"where.{mark}: is given neither in parameters nor in grid and points; give it there, or leave it out here"
            elif not lacking_anywhere(mark):
                fitting = "; a file that does not fit all of them is left out by exclude" if setting_of(mark).partition(".")[0] in ADAPTERS else ""
                yield f"where.{mark}: every checkpoint has it{fitting or '; leave it out here'}"

    def chosen(self, points: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Mark in points what their checkpoints have no use for; of those that are alike then, all but the first go.

        Args:
            points: Of each its own settings by dotted path.
        """
        kept: dict[str, dict[str, Any]] = {}
        counts: dict[str, list[int]] = {}
        found: dict[str, dict[str, str]] = {}
        for place, point in enumerate(points):
            idle = self._idle(point, [*point, *self._of_base])
            applied = {path: NOT_APPLICABLE if path in idle else value for path, value in point.items()}
            key = canonical(applied) if idle else str(place)
            if idle:
                checkpoint = self._checkpoint_of(point)
                found.setdefault(checkpoint, {}).update(idle)
                count = counts.setdefault(checkpoint, [0, 0])
                count[:] = count[0] + 1, count[1] + (key not in kept)
            kept.setdefault(key, applied)
        self.told += [line for checkpoint, idle in found.items() for line in _told(checkpoint, idle, *counts[checkpoint])]
        return [*kept.values()]

    def base_of(self, point: Mapping[str, Any]) -> Mapping[str, Any]:
        """The base of a point, without what its checkpoint has no use for.

        Args:
            point: Its own settings by dotted path.
        """
        idle = self._idle(point, self._of_base)
        return without(self._base, idle) if idle else self._base

    def _checkpoint_of(self, point: Mapping[str, Any]) -> str:
        return str(point.get("checkpoint", self._base.get("checkpoint")))

    def _idle(self, point: Mapping[str, Any], paths: Iterable[str]) -> dict[str, str]:
        """Which of some settings are marked, and the point's checkpoint has not: why."""
        marked = [path for path in dict.fromkeys(paths) if any(_is_below(path, mark) for mark in self._marks)]
        if not marked:
            return {}
        if (checkpoint := self._checkpoint_of(point)) not in self._lacked:
            self._lacked[checkpoint] = _lacked_by(checkpoint)
        return {path: why for path in marked if (why := reason(setting_of(path), self._lacked[checkpoint]))}


def advice(lines: Iterable[str]) -> list[str]:
    """What to write into a sweep file whose points were refused for what their checkpoint's family has not; nothing for any other reason.

    Args:
        lines: Why, as `lacking.refused` says it, among others perhaps.
    """
    paths = [line.partition(":")[0] for line in lines if any(f" is of family {family}, which " in line for family in FAMILIES)]
    marks = ", ".join(f"{path}: {APPLIES}" for path in dict.fromkeys(paths))
    return [f"where: {{{marks}}} leaves that out for checkpoints that have none such, and keeps it for the others"] if paths else []


def _lacked_by(checkpoint: str) -> Mapping[str, str]:
    """What a checkpoint has not, by itself or by its family: why; nothing of one that is not found, of which the plan says that."""
    from sdxl_lab.checkpoints import locating
    from sdxl_lab.checkpoints.weight_files import CheckpointError

    try:
        source = locating.locate(checkpoint)
    except CheckpointError:
        return {}
    return {**({} if source.refiner else OF_THE_REFINER), **lacks(source.family)}


def _told(checkpoint: str, idle: Mapping[str, str], planned: int, made: int) -> Iterator[str]:
    fewer = f": {counted(made, 'point')} in place of {planned}" if made < planned else ""
    for why in dict.fromkeys(idle.values()):
        names = [shortest(path, idle) for path, other in idle.items() if other == why]
        yield f"{' and '.join(names)} {'does' if len(names) == 1 else 'do'} not apply to checkpoint {checkpoint}, which {why}{fewer}"


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}.")
