"""Maximum mean discrepancies: KID, CMMD, and MMD with a bandwidth over any extractor. All unbiased, over all pairs of pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sdxl_lab import progress
from sdxl_lab.distances._distance import Distance, Estimate, Parts, Seen

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]

CMMD_BANDWIDTH, CMMD_SCALE = 10.0, 1000.0
BLOCK = 512
"""Pictures by pictures whose kernel is in memory at once."""
FEWEST = 100


def polynomial(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """KID's kernel, (x·y / d + 1)³, of each row of x with each of y."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def gaussian(bandwidth: float) -> Kernel:
    """The kernel exp(-|x - y|² / (2 bandwidth²))."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.exp(-squared_distances(x, y) / (2 * bandwidth**2))

    return kernel


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """|x - y|² of each row of x with each of y; not below 0."""
    return ((x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * x @ y.T).clip(0)


def median_distance(features: np.ndarray) -> float:
    """The median distance of two rows, of 2000 rows at most, evenly taken: a bandwidth that suits the features."""
    rows = features[np.linspace(0, len(features) - 1, min(len(features), 2000)).astype(int)]
    return float(np.sqrt(np.median(squared_distances(rows, rows)[np.triu_indices(len(rows), 1)])))


def discrepancy(x: np.ndarray, y: np.ndarray, kernel: Kernel, parts: Parts, name: str) -> tuple[float, np.ndarray | None]:
    """The unbiased estimate of the squared MMD: pictures are compared with all others, and none with itself.

    Args:
        x: Features, shape (n, d).
        y: Features, shape (m, d).
        kernel: Of rows with rows.
        parts: Of the rows of x and y; what is left out is taken off sums, so that each pair is looked at once.
        name: Of what is told of the progress.

    Returns:
        It, below 0 about half of the time where both sets are of one kind; and without each part.

    Source:
        Gretton et al., A Kernel Two-Sample Test, JMLR 13 (2012), lemma 6.
    """
    count = max(parts.count, 1)
    ours, others = (given if parts.count else np.zeros(len(rows), int) for given, rows in ((parts.ours, x), (parts.others, y)))
    sums = [_sums(*pair, count, kernel, name) for pair in (((x, ours), (x, ours)), ((y, others), (y, others)), ((x, ours), (y, others)))]
    selves = [_selves(rows, part, count, kernel) for rows, part in ((x, ours), (y, others))]
    sizes = [np.bincount(part, minlength=count) for part in (ours, others)]

    def estimate(left_out: int | None) -> float:
        kept = np.ones(count, bool) if left_out is None else np.arange(count) != left_out
        (n, m), among = (int(size[kept].sum()) for size in sizes), np.ix_(kept, kept)
        within = [(sums[i][among].sum() - selves[i][kept].sum()) / (size * (size - 1)) for i, size in enumerate((n, m))]
        return float(within[0] + within[1] - 2 * sums[2][among].sum() / (n * m))

    return estimate(None), np.array([estimate(part) for part in range(count)]) if parts.count else None


def _sums(ours: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray], count: int, kernel: Kernel, name: str) -> np.ndarray:
    """The kernel's sums over the pairs of each part with each: shape (count, count)."""
    (x, part), (y, other_part) = ours, others
    total = np.zeros((count, count))
    onto = np.eye(count)[other_part]
    for start in range(0, len(x), BLOCK):
        progress.tell(f"{name}: pairs", done=start, total=len(x), unit="picture")
        rows = slice(start, start + BLOCK)
        for column in range(0, len(y), BLOCK):
            columns = slice(column, column + BLOCK)
            np.add.at(total, part[rows], kernel(x[rows], y[columns]) @ onto[columns])
    return total


def _selves(x: np.ndarray, part: np.ndarray, count: int, kernel: Kernel) -> np.ndarray:
    """The kernel's sums of each picture with itself, by parts."""
    return np.bincount(part, [kernel(row[None], row[None])[0, 0] for row in x], minlength=count)


def _kid(ours: Seen, other: Seen, parts: Parts, _: dict[str, Any]) -> Estimate:
    value, without = discrepancy(_rows(ours), _rows(other), polynomial, parts, "kid")
    return Estimate(value=value, without=without, parameters={"estimate": "unbiased, all pairs"})


def _mmd(ours: Seen, other: Seen, parts: Parts, options: dict[str, Any]) -> Estimate:
    bandwidth = options.get("bandwidth") or median_distance(_rows(other))
    value, without = discrepancy(_rows(ours), _rows(other), gaussian(bandwidth), parts, "mmd")
    chosen = "given" if options.get("bandwidth") else "median distance within the reference"
    return Estimate(value=value, without=without, parameters={"bandwidth": bandwidth, "bandwidth_chosen": chosen, "estimate": "unbiased, all pairs"})


def _cmmd(ours: Seen, other: Seen, parts: Parts, _: dict[str, Any]) -> Estimate:
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(np.finfo(float).tiny) for rows in (_rows(ours), _rows(other))]
    value, without = discrepancy(unit[0], unit[1], gaussian(CMMD_BANDWIDTH), parts, "cmmd")
    said = {"bandwidth": CMMD_BANDWIDTH, "scale": CMMD_SCALE, "estimate": "unbiased, all pairs"}
    return Estimate(value=CMMD_SCALE * value, without=None if without is None else CMMD_SCALE * without, parameters=said)


def _rows(seen: Seen) -> np.ndarray:
    assert seen.features is not None
    return seen.features


_WHY = "with fewer its interval is as wide as most differences"

DISTANCES = (
    Distance(
        name="kid",
        sentence="squared MMD with the kernel (x·y / d + 1)³, unbiased, over all pairs (Binkowski et al. 2018)",
        better="lower",
        needs="features",
        of=_kid,
        fewest=FEWEST,
        why=_WHY,
    ),
    Distance(
        name="mmd",
        sentence="squared MMD with a Gaussian kernel, unbiased, over all pairs; its bandwidth is given, or the reference's median distance",
        better="lower",
        needs="features",
        of=_mmd,
        fewest=FEWEST,
        why=_WHY,
    ),
    Distance(
        name="cmmd",
        sentence="1000 times the squared MMD of unit vectors with a Gaussian kernel of bandwidth 10, unbiased (Jayasumana et al. 2024; their code "
        "counts each picture with itself too)",
        better="lower",
        needs="features",
        of=_cmmd,
        fewest=FEWEST,
        why=_WHY,
    ),
)
