"""The Fréchet distance of features, FID where an Inception gives them (Heusel et al., arXiv:1706.08500)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdxl_lab import progress
from sdxl_lab.distances._distance import Distance, Estimate, Parts, Seen

FEWEST = 100


def frechet(mean: np.ndarray, root: np.ndarray, other_mean: np.ndarray, other_root: np.ndarray) -> float:
    """The squared Fréchet distance of two normal distributions.

    Args:
        mean: Shape (d,).
        root: Of its covariance, any R of d columns with RᵀR = covariance.
        other_mean: Of the other distribution.
        other_root: Likewise.

    Returns:
        |m - m'|² + tr(C + C' - 2 (C C')^½). The trace of the root is the sum of the singular values of R R'ᵀ, which are exact where covariances are
        singular, and roots of their product's eigenvalues are not.

    Source:
        Dowson and Landau, The Fréchet distance between multivariate normal distributions, J. Multivariate Anal. 12 (1982).
    """
    shared = np.linalg.svd(root @ other_root.T, compute_uv=False).sum()
    return float(((mean - other_mean) ** 2).sum() + (root**2).sum() + (other_root**2).sum() - 2 * shared)


def root_of(seen: Seen) -> np.ndarray:
    """A root of the features' covariance, as `frechet` takes it."""
    if seen.features is not None:
        return np.asarray(np.linalg.qr((seen.features - seen.mean) / np.sqrt(len(seen.features) - 1), mode="r"))
    values, vectors = np.linalg.eigh((seen.covariance + seen.covariance.T) / 2)
    return np.sqrt(values.clip(0))[:, None] * vectors.T


def _fid(ours: Seen, other: Seen, parts: Parts, _: dict[str, Any]) -> Estimate:
    roots = root_of(ours), root_of(other)
    value = frechet(ours.mean, roots[0], other.mean, roots[1])
    if not parts.count:
        return Estimate(value=value, without=None, parameters={})
    left: list[float] = []
    for part in range(parts.count):
        progress.tell("fid: interval", done=part, total=parts.count, unit="part")
        mean, covariance = _without(ours, parts.ours != part)
        other_mean, other_covariance = _without(other, parts.others != part)
        # Roots of eigenvalues: faster, and exact enough for a width.
        root = roots[1] if other.features is None else root_of(_moments(other_mean, other_covariance))
        shared = np.sqrt(np.linalg.eigvalsh(root @ covariance @ root.T).clip(0)).sum()
        left.append(((mean - other_mean) ** 2).sum() + np.trace(covariance) + np.trace(other_covariance) - 2 * shared)
    return Estimate(value=value, without=np.array(left), parameters={})


def _without(seen: Seen, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if seen.features is None:
        return seen.mean, seen.covariance
    rest = Seen(name=seen.name, n=int(kept.sum()), features=seen.features[kept])
    return rest.mean, rest.covariance


def _moments(mean: np.ndarray, covariance: np.ndarray) -> Seen:
    return Seen(name="", n=None, moments=(mean, covariance))


DISTANCES = (
    Distance(
        name="fid",
        sentence="Fréchet distance of the features, as if they were normal (Heusel et al. 2017)",
        better="lower",
        needs="moments",
        of=_fid,
        fewest=FEWEST,
        exceeds_dimensions=True,
        why="a covariance of d numbers takes more than d pictures, and what is missing shows as distance",
        limits=(0, np.inf),
    ),
)
