"""The Inception Score: how sure a classifier is of each picture, and how many classes there are of all (Salimans et al., arXiv:1606.03498)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdxl_lab.distances._distance import Distance, Estimate, Parts, Seen

FEWEST = 250


def inception_score(classes: np.ndarray) -> float:
    """Exp of the mean Kullback-Leibler divergence of each picture's classes from those of all; not in ten splits, as often published.

    Args:
        classes: Probabilities, shape (n, classes).
    """
    of_all = classes.mean(axis=0)
    ratio = np.divide(classes, of_all, out=np.ones_like(classes), where=classes > 0)
    return float(np.exp((classes * np.log(ratio)).sum(axis=1).mean()))


def _score(ours: Seen, _other: Seen, parts: Parts, _: dict[str, Any]) -> Estimate:
    assert ours.classes is not None
    classes = ours.classes
    without = np.array([inception_score(classes[parts.ours != part]) for part in range(parts.count)]) if parts.count else None
    return Estimate(value=inception_score(classes), without=without, parameters={"splits": 1})


DISTANCES = (
    Distance(
        name="is",
        sentence="Inception Score: exp of the mean divergence of a picture's classes from those of all, over all pictures (Salimans et al. 2016)",
        better="higher",
        needs="classes",
        of=_score,
        fewest=FEWEST,
        why="with fewer there are not some of each class",
        has_reference=False,
        limits=(1, np.inf),
    ),
)
