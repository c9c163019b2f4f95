"""How true the intervals of distances are: `python -m benchmarks.distance_intervals`. Sets are drawn anew, so that it is known what numbers scatter.

Prints for each distance, and for sets that differ not at all, a little and much, how wide intervals are against what numbers really scatter, and how
often they hold the mean of all repeats.
"""

from __future__ import annotations

import argparse

import numpy as np

from sdxl_lab.distances import DISTANCES, Seen, jackknife

D, KINDS = 16, 8
SHIFTS = (0.0, 0.15, 0.5)


def drawn(count: int, shift: float, rng: np.random.RandomState) -> np.ndarray:
    """Features of several kinds of picture, cut at 0 as networks do."""
    centers = np.random.RandomState(0).standard_normal((KINDS, D))
    rows = centers[rng.randint(KINDS, size=count)] + 0.6 * rng.standard_normal((count, D)) + shift
    return np.maximum(rows, 0) ** 1.2


def seen(name: str, rows: np.ndarray) -> Seen:
    """A set of pictures, with classes by the nearest kind."""
    centers = np.maximum(np.random.RandomState(0).standard_normal((KINDS, D)), 0)
    scores = np.exp(-((rows[:, None] - centers) ** 2).sum(axis=2))
    classes = scores / scores.sum(axis=1, keepdims=True)
    return Seen(name=name, n=len(rows), features=rows, classes=classes, samples=[f"{name}{index}" for index in range(len(rows))])


def main() -> None:
    """Draw, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--count", type=int, default=200, help="pictures a set has")
    asked = parser.parse_args()
    print("shift  distance   mean  scatter  error/scatter  holds the mean")
    for shift in SHIFTS:
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in DISTANCES}
        for repeat in range(asked.repeats):
            rng = np.random.RandomState(1000 + repeat)
            ours, other = (seen(name, drawn(asked.count, moved, rng)) for name, moved in (("a", shift), ("b", 0.0)))
            for name, row in DISTANCES.items():
                parts = jackknife.parts_of(ours.samples, other.samples if row.has_reference else ())
                estimate = row.of(ours, other, parts, {})
                low, high = jackknife.interval(estimate, (-np.inf, np.inf)) or (estimate.value, estimate.value)
                found[name].append((estimate.value, low, high))
        for name, numbers in found.items():
            value, low, high = np.array(numbers).T
            scatter, error = value.std(ddof=1), ((high - low) / 2 / 2.093).mean()  # Student's t for 20 parts
            holds = ((low <= value.mean()) & (value.mean() <= high)).mean()
            print(f"{shift:<6} {name:10} {value.mean():.4g}  {scatter:.3g}  {error / scatter:.2f}  {holds:.2f}", flush=True)


if __name__ == "__main__":
    main()
