"""Precision and recall: which pictures lie among the neighbors of the other set (Kynkäänniemi et al., arXiv:1904.06991)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdxl_lab import progress
from sdxl_lab.distances._distance import Distance, Estimate, Parts, Seen
from sdxl_lab.distances.kernels import squared_distances

K = 3
BLOCK = 256
FEWEST = 250


def covered(points: np.ndarray, manifold: np.ndarray, points_part: np.ndarray, manifold_part: np.ndarray, count: int, name: str) -> np.ndarray:
    """The share of points that lie within the ball of at least one picture of a manifold, whose radius is the distance to its `K`-th neighbor.

    Args:
        points: Shape (n, d).
        manifold: Shape (m, d).
        points_part: Part of each point.
        manifold_part: Part of each picture of the manifold.
        count: How many parts.
        name: Of what is told of the progress.

    Returns:
        The share, and the shares without each part: shape (1 + count,).
    """
    kept = np.stack([np.ones(len(manifold), bool), *(manifold_part != part for part in range(count))])
    radii = np.empty((len(kept), len(manifold)))
    for start in range(0, len(manifold), BLOCK):
        progress.tell(f"{name}: neighbors", done=start, total=len(manifold), unit="picture")
        rows = np.arange(start, min(start + BLOCK, len(manifold)))
        between = squared_distances(manifold[rows], manifold)
        between[np.arange(len(rows)), rows] = np.inf  # no picture is its own neighbor
        for number, among in enumerate(kept):
            radii[number, rows] = np.partition(between[:, among], K - 1, axis=1)[:, K - 1]
    inside = np.empty((len(kept), len(points)), bool)
    for start in range(0, len(points), BLOCK):
        progress.tell(f"{name}: balls", done=start, total=len(points), unit="picture")
        between = squared_distances(points[start : start + BLOCK], manifold)
        for number, among in enumerate(kept):
            inside[number, start : start + BLOCK] = (between[:, among] <= radii[number, among]).any(axis=1)
    without = [inside[1 + part, points_part != part].mean() for part in range(count)]
    return np.array([inside[0].mean(), *without])


def _precision(ours: Seen, other: Seen, parts: Parts, _: dict[str, Any]) -> Estimate:
    assert ours.features is not None
    assert other.features is not None
    return _estimate(covered(ours.features, other.features, parts.ours, parts.others, parts.count, "precision"))


def _recall(ours: Seen, other: Seen, parts: Parts, _: dict[str, Any]) -> Estimate:
    assert ours.features is not None
    assert other.features is not None
    return _estimate(covered(other.features, ours.features, parts.others, parts.ours, parts.count, "recall"))


def _estimate(shares: np.ndarray) -> Estimate:
    return Estimate(value=float(shares[0]), without=shares[1:] if len(shares) > 1 else None, parameters={"k": K})


_WHY = "with fewer the balls around pictures are too wide or too few to say what lies among them"

DISTANCES = (
    Distance(
        name="precision",
        sentence="share of the set's pictures that lie among the reference's, by its 3 nearest neighbors (Kynkäänniemi et al. 2019)",
        better="higher",
        needs="features",
        of=_precision,
        fewest=FEWEST,
        why=_WHY,
        limits=(0, 1),
    ),
    Distance(
        name="recall",
        sentence="share of the reference's pictures that lie among the set's, by its 3 nearest neighbors (Kynkäänniemi et al. 2019)",
        better="higher",
        needs="features",
        of=_recall,
        fewest=FEWEST,
        why=_WHY,
        limits=(0, 1),
    ),
)
