"""Strengths from choices: against a likelihood written out here and scipy's optimizer, and against counting."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from sdxl_lab.studies.strengths import RIDGE, FitError, Model, asked_together, beaten, fit, parts, shares

PAIRS = tuple(itertools.combinations(range(4), 2))


def setup_module() -> None:
    """
    What takes time to import.
    """
    global csgraph, optimize
    from scipy import optimize
    from scipy.sparse import csgraph


def pairs_of(votes: dict[tuple[int, int], tuple[int, int, int]], *, has_ties: bool = True) -> tuple[Model, np.ndarray]:
    """A model of pairs and its counts: wins of the first, of the second, ties."""
    sets = tuple(sorted(votes))
    systems = 1 + max(max(pair) for pair in sets)
    return Model(systems=systems, sets=sets, has_ties=has_ties), np.array([votes[pair] for pair in sets], float)


def drawn(seed: int) -> Any:
    """Votes on four systems of which each beats each other at least once."""
    generator = np.random.default_rng(seed)
    return {pair: tuple(int(count) for count in generator.integers(1, 30, 3)) for pair in PAIRS}


def davidsons(votes: dict[tuple[int, int], tuple[int, int, int]], *, ridge: float = 0.0) -> np.ndarray:
    """Log strengths of mean 0 and log nu, by Davidson's formula as the paper has it and an optimizer that knows nothing of derivatives."""

    def loss(values: np.ndarray) -> float:
        theta = np.append(values[:-1], -values[:-1].sum())
        pi, nu = np.exp(theta), np.exp(values[-1])
        total = -ridge / 2 * (theta**2).sum()
        for (i, j), (wins, losses, ties) in votes.items():
            whole = pi[i] + pi[j] + nu * np.sqrt(pi[i] * pi[j])
            total += wins * np.log(pi[i] / whole) + losses * np.log(pi[j] / whole) + ties * np.log(nu * np.sqrt(pi[i] * pi[j]) / whole)
        return -total

    found = optimize.minimize(loss, np.zeros(4), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 20000, "maxfev": 20000})
    assert found.success
    return np.append(np.append(found.x[:-1], -found.x[:-1].sum()), found.x[-1])


@pytest.mark.parametrize("seed", range(4))
def test_it_is_davidsons_maximum(seed):
    """
    Strengths and nu are those at which scipy finds the maximum of Davidson's likelihood, written here as the paper has it.
    """
    votes = drawn(seed)
    assert fit(*pairs_of(votes)) == pytest.approx(davidsons(votes), abs=1e-5)


def test_a_ridge_is_what_it_says():
    """
    With a ridge it is the maximum of the likelihood less that weight of half the squares of the log strengths.
    """
    votes = drawn(5)
    assert fit(*pairs_of(votes), ridge=RIDGE) == pytest.approx(davidsons(votes, ridge=RIDGE), abs=1e-5)


def test_two_systems_by_hand():
    """
    Of two systems the ratio of strengths is that of wins, and nu is what makes ties as frequent as they were.
    """
    found = fit(*pairs_of({(0, 1): (12, 3, 5)}))
    assert np.exp(found[0] - found[1]) == pytest.approx(4)
    assert np.exp(found[2]) * np.sqrt(12 * 3) == pytest.approx(5)
    assert shares(found) == pytest.approx([0.8, 0.2])


@pytest.mark.parametrize("ties", [0, 7])
def test_shares_of_all_shown_together_are_counted_ones(ties):
    """
    Where all are shown each time, strengths over their sum are the counted shares of choices (Luce), with ties or without.
    """
    model = Model(systems=4, sets=((0, 1, 2, 3),), has_ties=ties > 0)
    counts = np.array([[48.0, 37, 8, 7, ties]])
    assert shares(fit(model, counts)) == pytest.approx(np.array([48, 37, 8, 7]) / 100)


def test_three_and_pairs_share_a_likelihood():
    """
    Choices among three and among two are fitted together, at the maximum of the product of Luce's probabilities.
    """
    model = Model(systems=3, sets=((0, 1), (0, 1, 2), (1, 2)), has_ties=False)
    counts = np.array([[6.0, 4, 0, 0], [9, 5, 3, 0], [2, 7, 0, 0]])

    def loss(values: np.ndarray) -> float:
        pi = np.exp(np.append(values, 0))
        chances = [pi[:2] / pi[:2].sum(), pi / pi.sum(), pi[1:] / pi[1:].sum()]
        return -sum(float((row[: len(chance)] * np.log(chance)).sum()) for row, chance in zip(counts, chances, strict=True))

    reference = optimize.minimize(loss, np.zeros(2), tol=1e-10).x
    found = fit(model, counts)
    assert found[:2] - found[2] == pytest.approx(reference, abs=1e-4)


def test_many_are_fitted_as_each_alone():
    """
    Weighted sets of votes that are fitted at once have the strengths that each has alone.
    """
    model, counts = pairs_of(drawn(1))
    weights = np.random.default_rng(0).exponential(size=(7, *counts.shape))
    together = fit(model, counts * weights)
    assert together == pytest.approx(np.array([fit(model, counts * each) for each in weights]), abs=1e-8)


def test_information_is_the_second_derivative():
    """
    What the intervals take for the likelihood's curvature is the numerical derivative of its slope.
    """
    model, counts = pairs_of(drawn(2))
    at, asked = np.array([0.3, -0.2, 0.5, -0.6, -0.4]), counts.sum(-1)

    def slope(values: np.ndarray) -> np.ndarray:
        expected = np.einsum("co,cop->p", asked[:, None] * model.probabilities(values), model.design)
        return np.einsum("co,cop->p", counts, model.design) - expected

    numerical = np.stack([(slope(at - 1e-5 * axis) - slope(at + 1e-5 * axis)) / 2e-5 for axis in np.eye(5)])
    assert model.information(at, asked) == pytest.approx(numerical, abs=1e-5)


def test_what_always_won_needs_a_ridge():
    """
    A system that never lost has no finite strength: the fit says so, and with a ridge it has one, above all others.
    """
    votes = {(0, 1): (9, 0, 1), (0, 2): (9, 0, 0), (1, 2): (4, 5, 1)}
    model, counts = pairs_of(votes)
    assert parts(beaten(model, counts)) == ((0,), (1, 2))
    with pytest.raises(FitError, match="wins do not connect all systems both ways"):
        fit(model, counts)
    assert shares(fit(model, counts, ridge=RIDGE)).argmax() == 0


def test_a_tie_bounds_no_strength():
    """
    Wins and ties alone leave a strength without bound, as a larger nu explains the ties as well: only wins connect.
    """
    model, counts = pairs_of({(0, 1): (5, 0, 5)})
    assert parts(beaten(model, counts)) == ((0,), (1,))
    with pytest.raises(FitError):
        fit(model, counts)


def test_what_was_never_asked_together_is_apart():
    """
    Systems that no chain of questions connects stand in different parts, also where each of them won.
    """
    model = Model(systems=5, sets=((0, 3), (1, 2), (2, 4)), has_ties=False)
    assert asked_together(model) == ((0, 3), (1, 2, 4))


@pytest.mark.parametrize("seed", range(20))
def test_parts_are_the_strongly_connected_components(seed):
    """
    The parts that wins connect both ways are scipy's strongly connected components.
    """
    random = np.random.default_rng(seed)
    over = (random.random((9, 9)) < 0.15) & ~np.eye(9, dtype=bool)
    _, labels = csgraph.connected_components(over, directed=True, connection="strong")
    expected = {tuple(np.flatnonzero(labels == label).tolist()) for label in labels}
    assert set(parts(over)) == expected
