"""What votes say of systems: shares, one against another, ties, and whether it mattered in which place a picture was shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sdxl_lab.records.preferred import Estimate, Standing
from sdxl_lab.studies.ballots import Ballots
from sdxl_lab.studies.resampling import RESAMPLES, Clusters
from sdxl_lab.studies.strengths import RIDGE, asked_together, beaten, fit, parts, shares


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Two systems in the votes in which both were shown and one of them was chosen, or neither for a tie.

    Attributes:
        first: Label of the one.
        second: Label of the other.
        wins: How often the first was chosen.
        losses: How often the second was.
        ties: How often neither was better.
        rate: Wins and half of the ties, as a share of all.
    """

    first: str
    second: str
    wins: int
    losses: int
    ties: int
    rate: Estimate


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place in which pictures were shown, the first on the left.

    Attributes:
        place: From 1.
        share: How often the picture there was chosen, of the votes that chose one.
        expected: How often it would be if places made no difference.
        of: How many places there are.
    """

    place: int
    share: Estimate
    expected: float
    of: int

    @property
    def name(self) -> str:
        """In words."""
        return "the left picture" if self.of == 2 else f"picture {self.place} of {self.of}"


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Systems that were asked about together, directly or by way of others.

    Attributes:
        standings: The largest share first.
        pairings: In the order of `standings`.
        is_counted: Whether shares are counted, all systems having been shown each time; else they are derived from strengths.
        ties: Share of ties among all answers.
        nu: Davidson's: a tie of two equals is called nu / (2 + nu) of the time; None without ties.
        ridge: What held strengths from which shares are derived, where wins did not bound them; 0 where nothing was needed, and where shares
            are counted.
        unconnected: Where that is so, the systems parted into those that wins connect both ways.
        votes: How many answers these are.
        samples: Of how many samples.
        judges: Of how many judges.
    """

    standings: tuple[Standing, ...]
    pairings: tuple[Pairing, ...]
    is_counted: bool
    ties: Estimate
    nu: float | None
    ridge: float
    unconnected: tuple[tuple[str, ...], ...]
    votes: int
    samples: int
    judges: int


def rankings_of(ballots: Ballots, *, resamples: int = RESAMPLES) -> tuple[Ranking, ...]:
    """Rank systems by the votes on them.

    Args:
        ballots: The votes.
        resamples: How often they are resampled.

    Returns:
        One ranking; several where no vote connects some systems with others, which then are ranked apart. Systems without a vote are in none.
    """
    if not len(ballots):
        return ()
    groups = asked_together(ballots.model)
    return tuple(_ranking_of(ballots.among(group), resamples) for group in groups if len(group) > 1)


def places_of(ballots: Ballots, *, resamples: int = RESAMPLES) -> tuple[Place, ...]:
    """See how often each place was chosen.

    Args:
        ballots: The votes.
        resamples: How often they are resampled.

    Returns:
        The first place first; of two places the first alone, since the other is the rest.
    """
    clusters = Clusters(sample=ballots.sample, judge=ballots.judge, resamples=resamples)
    places = ballots.shown.shape[1]
    numbers = np.arange(places if places > 2 else 1)
    among = ~ballots.is_tie[:, None] & (ballots.size[:, None] > numbers)
    found = clusters.ratios(ballots.answer[:, None] == numbers, among)
    expected = [float((1 / ballots.size[column]).mean()) if column.any() else 0.0 for column in among.T]
    return tuple(
        Place(place=int(number) + 1, share=share, expected=fair, of=places)
        for number, share, fair in zip(numbers, found, expected, strict=True)
        if share
    )


def _ranking_of(ballots: Ballots, resamples: int) -> Ranking:
    clusters = Clusters(sample=ballots.sample, judge=ballots.judge, resamples=resamples)
    is_counted = bool((ballots.size == len(ballots.systems)).all())
    counts = ballots.columns.sum(0).reshape(-1, ballots.model.outcomes)
    connected = parts(beaten(ballots.model, counts))
    ridge = RIDGE if len(connected) > 1 else 0.0
    found, nu = None, None
    if not ballots.is_tie.all():
        best = fit(ballots.model, counts, ridge=ridge)
        nu = float(np.exp(best[-1])) if ballots.model.has_ties else None
        found = _counted(ballots, clusters) if is_counted else _derived(ballots, clusters, best, ridge)
    held = 0.0 if is_counted or found is None else ridge
    chosen = np.bincount(ballots.chosen[~ballots.is_tie], minlength=len(ballots.systems))
    standings = [
        Standing(system=label, shown=int(ballots.has_shown[:, index].sum()), chosen=int(chosen[index]), share=found[index] if found else None)
        for index, label in enumerate(ballots.systems)
    ]
    order = sorted(range(len(standings)), key=lambda index: -_value(standings[index].share))
    (ties,) = clusters.ratios(ballots.is_tie[:, None], np.ones((len(ballots), 1), bool))
    assert ties
    return Ranking(
        standings=tuple(standings[index] for index in order),
        pairings=tuple(_pairings(ballots, clusters, order)),
        is_counted=is_counted,
        ties=ties,
        nu=nu,
        ridge=held,
        unconnected=tuple(tuple(ballots.systems[index] for index in part) for part in connected) if ridge else (),
        votes=len(ballots),
        samples=clusters.samples,
        judges=clusters.judges,
    )


def _value(share: Estimate | None) -> float:
    return share.value if share else 0.0


def _counted(ballots: Ballots, clusters: Clusters) -> list[Estimate | None]:
    """How often each was chosen, of the votes that chose one."""
    systems = np.arange(len(ballots.systems))
    return clusters.ratios(ballots.chosen[:, None] == systems, ~np.repeat(ballots.is_tie[:, None], len(systems), 1))


def _derived(ballots: Ballots, clusters: Clusters, best: np.ndarray, ridge: float) -> list[Estimate | None]:
    """Shares from strengths."""
    model = ballots.model
    found = shares(best)
    drawn = np.tile(found, (1, 1))
    if clusters.has_intervals:
        drawn = shares(fit(model, clusters.sums(ballots.columns).reshape(-1, len(model.sets), model.outcomes), ridge=ridge, start=best))
    moved = _influence(ballots, best, ridge)
    estimates: list[Estimate | None] = []
    for index, share in enumerate(found):
        slope = -found / (1 - share)  # of the share's log odds along each log strength
        slope[index] = 1
        estimates.append(clusters.estimate(float(share), drawn[:, index], moved @ slope))
    return estimates


def _influence(ballots: Ballots, best: np.ndarray, ridge: float) -> np.ndarray:
    """By how much each vote moved each log strength, to first order; of shape (votes, systems)."""
    model, size = ballots.model, len(ballots.systems)
    asked, answered = ballots.outcomes
    expected = np.einsum("co,cop->cp", model.probabilities(best), model.design)
    score = model.design[asked, answered] - expected[asked]
    held = np.zeros((size + 1, size + 1))
    held[:size, :size] = len(ballots) / size
    held[range(size), range(size)] += ridge
    if not model.has_ties:
        score[:, -1], held[-1, -1] = 0, 1
    curve = model.information(best, np.bincount(asked, minlength=len(model.sets)).astype(float)) + held
    return np.linalg.solve(curve, score.T).T[:, :size]


def _pairings(ballots: Ballots, clusters: Clusters, order: list[int]) -> Iterator[Pairing]:
    """One against another, for those that were shown together."""
    pairs = [(first, second) for place, first in enumerate(order) for second in order[place + 1 :]]
    both = np.stack([ballots.has_shown[:, first] & ballots.has_shown[:, second] for first, second in pairs], 1)
    wins, losses = (np.stack([ballots.chosen == pair[side] for pair in pairs], 1) for side in (0, 1))
    ties = both & ballots.is_tie[:, None]
    rates = clusters.ratios(wins + ties / 2, wins & both | losses & both | ties)
    for index, ((first, second), rate) in enumerate(zip(pairs, rates, strict=True)):
        if rate:
            yield Pairing(
                first=ballots.systems[first],
                second=ballots.systems[second],
                wins=int((wins & both)[:, index].sum()),
                losses=int((losses & both)[:, index].sum()),
                ties=int(ties[:, index].sum()),
                rate=rate,
            )
