"""From choices to strengths: Bradley and Terry's model with ties, and Luce's choice among several, by maximum likelihood.

A choice among systems `i` shown together is taken with probability `pi_i / (sum of pi + nu g)`, where `g` is the geometric mean of their strengths
`pi`, and a tie is called with `nu g / (sum of pi + nu g)`. Of two systems this is Davidson's model; without ties Luce's choice, and of two
systems Bradley and Terry's. All is one concave likelihood, so that one method fits it, many weighted sets of votes at a time.

Sources: Bradley and Terry, Biometrika 39 (1952), 324; Davidson, Journal of the American Statistical Association 65 (1970), 317; Luce,
Individual choice behavior (1959).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sdxl_lab.errors import LabError

RIDGE = 0.1
"""Weight of `theta ** 2 / 2` for each log strength where wins alone bound none: as if each were drawn from a normal distribution of variance 10."""
TOLERANCE = 1e-9
MOST_STEPS = 100
LONGEST_STEP = 2.0
"""A log strength moves no further at once: from far away, Newton's step may be too long."""


class FitError(LabError):
    """The votes have no ranking."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What can be answered, and how each answer's probability follows from the parameters.

    Attributes:
        systems: How many there are.
        sets: Which systems were shown together, each sorted.
        has_ties: Whether a tie was ever called: else its parameter is left out, as its best value is no tie at all.
    """

    systems: int
    sets: tuple[tuple[int, ...], ...]
    has_ties: bool

    @property
    def outcomes(self) -> int:
        """Answers of a set: a choice of each of the largest set's places, then a tie."""
        return max(map(len, self.sets)) + 1

    @cached_property
    def design(self) -> np.ndarray:
        """Log weight of an answer, linear in the parameters, of shape (sets, outcomes, systems + 1): log strengths, then log nu."""
        design = np.zeros((len(self.sets), self.outcomes, self.systems + 1))
        for row, shown in zip(design, self.sets, strict=True):
            row[range(len(shown)), shown] = 1
            row[-1, list(shown)] = 1 / len(shown)
            row[-1, -1] = 1
        return design

    @cached_property
    def possible(self) -> np.ndarray:
        """Which answers a set has, of shape (sets, outcomes)."""
        possible = np.zeros((len(self.sets), self.outcomes), bool)
        for row, shown in zip(possible, self.sets, strict=True):
            row[: len(shown)] = True
            row[-1] = self.has_ties
        return possible

    def probabilities(self, parameters: np.ndarray) -> np.ndarray:
        """Of each answer.

        Args:
            parameters: Log strengths and log nu, of shape (..., systems + 1).

        Returns:
            Shape (..., sets, outcomes); each set's sum is 1.
        """
        logits = np.where(self.possible, np.einsum("cop,...p->...co", self.design, parameters), -np.inf)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)

    def information(self, parameters: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """The negative second derivative of the log likelihood.

        Args:
            parameters: Of shape (..., systems + 1).
            asked: How often each set was answered, of shape (..., sets).

        Returns:
            Shape (..., systems + 1, systems + 1).
        """
        chances = self.probabilities(parameters)
        expected = np.einsum("...co,cop->...cp", chances, self.design)
        weighted = asked[..., None] * chances
        design = self.design.reshape(-1, self.design.shape[-1])
        flat = weighted.reshape(*weighted.shape[:-2], -1)
        second = np.swapaxes(flat[..., None] * design, -1, -2) @ design
        return second - np.swapaxes(asked[..., None] * expected, -1, -2) @ expected


def fit(model: Model, counts: np.ndarray, *, ridge: float = 0.0, start: np.ndarray | None = None) -> np.ndarray:
    """Find the parameters under which the votes are likeliest, by Newton's method.

    Args:
        model: What was asked.
        counts: How often each answer was given, of shape (..., sets, outcomes): whole numbers or weights. All leading sets at once.
        ridge: Weight of half the sum of squared log strengths; 0 needs wins that connect all systems, as `parts` says.
        start: Parameters that are near, of shape (systems + 1,).

    Returns:
        Log strengths with mean 0, then log nu, of shape (..., systems + 1). Log nu is 0 and means nothing where the model has no ties.

    Raises:
        FitError: There is no finite best: without a ridge, wins do not connect all systems.
    """
    if not ridge and len(parts(beaten(model, counts.reshape(-1, *counts.shape[-2:]).min(0)))) > 1:
        raise FitError("no finite strengths: wins do not connect all systems both ways")
    size = model.systems + 1
    asked = counts.sum(-1)
    told = np.einsum("...co,cop->...p", counts, model.design)
    parameters = np.zeros((*counts.shape[:-2], size)) + (0.0 if start is None else start)
    level = np.zeros((size, size))  # log strengths are known up to a constant: hold their mean at 0
    level[:-1, :-1] = 1 / model.systems
    penalty = np.diag([ridge] * model.systems + [0.0])
    if not model.has_ties:
        level[-1, -1] = 1
    scale = np.maximum(asked.sum(-1), 1e-300)[..., None]
    for _ in range(MOST_STEPS):
        expected = np.einsum("...co,cop->...p", asked[..., None] * model.probabilities(parameters), model.design)
        slope = told - expected - parameters @ penalty
        if not model.has_ties:
            slope[..., -1] = 0
        curve = model.information(parameters, asked) + penalty + level * scale[..., None]
        step = np.linalg.solve(curve, slope[..., None])[..., 0]
        step *= np.minimum(1, LONGEST_STEP / np.maximum(np.abs(step).max(-1, keepdims=True), 1e-300))
        parameters = parameters + step
        if np.abs(step).max(initial=0) < TOLERANCE:
            parameters[..., :-1] -= parameters[..., :-1].mean(-1, keepdims=True)
            return parameters
    raise FitError(f"no strengths after {MOST_STEPS} steps of Newton's method; write an issue with the files of votes")


def shares(parameters: np.ndarray) -> np.ndarray:
    """Each system's strength over the sum of all: how often it would be chosen if all were shown together (Luce's choice), without ties.

    Args:
        parameters: As `fit` gives them, of shape (..., systems + 1).

    Returns:
        Shape (..., systems), of sum 1.
    """
    strengths = np.exp(parameters[..., :-1] - parameters[..., :-1].max(-1, keepdims=True))
    return strengths / strengths.sum(-1, keepdims=True)


def beaten(model: Model, counts: np.ndarray) -> np.ndarray:
    """Who was chosen over whom. A tie bounds nobody's strength, since a larger nu explains it as well.

    Args:
        model: What was asked.
        counts: Of shape (sets, outcomes).

    Returns:
        Of shape (systems, systems): whether the first was chosen at least once where the second was shown too.
    """
    over = np.zeros((model.systems, model.systems), bool)
    for shown, row in zip(model.sets, counts, strict=True):
        for place, winner in enumerate(shown):
            over[winner, list(shown)] |= bool(row[place] > 0)
    return over & ~np.eye(model.systems, dtype=bool)


def parts(over: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Part systems into those that wins connect both ways: strengths are finite within a part alone (Ford's condition).

    Args:
        over: As `beaten` gives it; symmetric for what was merely asked together.

    Returns:
        The parts, each sorted, in the order of their first system. One part means that all strengths are finite.

    Source:
        Ford, American Mathematical Monthly 64 (1957), no. 8 part 2, 28.
    """
    reached = over | np.eye(len(over), dtype=bool)
    for _ in range(len(over).bit_length()):
        reached = reached @ reached  # twice as many steps each time
    return tuple(dict.fromkeys(tuple(map(int, np.flatnonzero(row))) for row in reached & reached.T))


def asked_together(model: Model) -> tuple[tuple[int, ...], ...]:
    """Part systems into those that were asked about together, directly or by way of others: between parts nothing is known."""
    met = np.zeros((model.systems, model.systems), bool)
    for shown in model.sets:
        met[np.ix_(shown, shown)] = True
    return parts(met)
