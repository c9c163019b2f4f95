"""Which pictures are shown together: every system, every pair of systems and every sample as equally often as can be."""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TypeVar

import numpy as np

MOST_GROUPS = 2000
"""Of more groups of systems than this, so many are drawn, from which trials are chosen."""

_Place = TypeVar("_Place", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Possible:
    """What can be shown at a place.

    Attributes:
        sample: The sample that its pictures are of; several places share it where there are several seeds or tasks.
        looks: Each system that has a picture there to what that looks like: two with one look are the same to the last pixel.
    """

    sample: str
    looks: Mapping[str, str]


def chosen(possible: Mapping[_Place, Possible], *, together: int, count: int | None, seed: int) -> list[tuple[_Place, tuple[str, ...]]]:
    """Choose what is shown.

    Step by step that is taken of which least was shown before: first of its pairs of systems, then of its sample, then of its place.

    Args:
        possible: What can be shown, by place.
        together: How many pictures a trial shows, 2 or more, each of another system, no two of them the same.
        count: How many trials; all that there are if None or if these are fewer.
        seed: By which ties are broken, and the order of the trials drawn.

    Returns:
        Place and systems of each trial, none twice, in random order; the systems too are in random order.
    """
    draw = random.Random(seed)
    places = draw.sample(list(possible), len(possible))
    groups = _groups(sorted({system for one in possible.values() for system in one.looks}), together, draw)
    there = np.array([[_can_be(group, possible[place].looks) for group in groups] for place in places], bool).reshape(len(places), len(groups))
    pairs = {pair: index for index, pair in enumerate(dict.fromkeys(pair for group in groups for pair in combinations(group, 2)))}
    pairs_of = np.array([[pairs[pair] for pair in combinations(group, 2)] for group in groups], int).reshape(len(groups), comb(together, 2))
    samples = {sample: index for index, sample in enumerate(dict.fromkeys(possible[place].sample for place in places))}
    sample_of = np.array([samples[possible[place].sample] for place in places], int)
    shown_pairs, shown_samples, shown_places = np.zeros(len(pairs)), np.zeros(len(samples)), np.zeros(len(places))
    total = int(there.sum()) if count is None else min(count, int(there.sum()))
    taken: list[tuple[int, int]] = []
    for _ in range(total):
        by_place = shown_samples[sample_of] * 1e3 + shown_places
        cost = np.where(there, (shown_pairs[pairs_of].sum(1) * 1e6)[None] + by_place[:, None], np.inf)
        place, group = divmod(int(cost.argmin()), len(groups))
        there[place, group] = False
        shown_pairs[pairs_of[group]] += 1
        shown_samples[sample_of[place]] += 1
        shown_places[place] += 1
        taken.append((place, group))
    _level(taken, there, sample_of, shown_samples)
    trials = [(places[place], tuple(draw.sample(groups[group], together))) for place, group in taken]
    draw.shuffle(trials)
    return trials


def _level(taken: list[tuple[int, int]], there: np.ndarray, sample_of: np.ndarray, shown: np.ndarray) -> None:
    """Move trials from the sample that is shown most to the one that is shown least, which leaves the systems as they are.

    Where every system has a picture in every place there is such a trial as long as these two differ by more than one.
    """
    while shown.max() - shown.min() > 1:
        most, least = shown.argmax(), shown.argmin()
        moves = (
            (index, to, group)
            for index, (place, group) in enumerate(taken)
            if sample_of[place] == most
            for to in np.flatnonzero((sample_of == least) & there[:, group])
        )
        if (move := next(moves, None)) is None:
            return
        index, to, group = move
        there[taken[index][0], group], there[to, group] = True, False
        taken[index] = (int(to), group)
        shown[most] -= 1
        shown[least] += 1


def repeated(trials: int, share: float, seed: int) -> list[int]:
    """Choose which trials are asked once more.

    Args:
        trials: How many there are.
        share: Of them, from 0 to 1; above 0 at least one is chosen.
        seed: By which they are drawn.

    Returns:
        Their indices.
    """
    count = min(trials, max(1, round(trials * share))) if share else 0
    return sorted(random.Random(f"again {seed}").sample(range(trials), count))


def _groups(systems: Sequence[str], together: int, draw: random.Random) -> list[tuple[str, ...]]:
    if comb(len(systems), together) <= MOST_GROUPS:
        groups = list(combinations(systems, together))
        draw.shuffle(groups)
        return groups
    return list(dict.fromkeys(tuple(sorted(draw.sample(systems, together))) for _ in range(MOST_GROUPS)))


def _can_be(group: Sequence[str], looks: Mapping[str, str]) -> bool:
    return all(system in looks for system in group) and len({looks[system] for system in group}) == len(group)
