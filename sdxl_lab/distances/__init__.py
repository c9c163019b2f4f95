"""Distances between sets of pictures: how far what was made is from what it should be like, as a network sees both.

A distance is a file's row in `DISTANCES`: pure arithmetic over features, which `sdxl_lab.extractors` give. What a set is, is read by `sets.py` and
`statistics.py`; `measuring.py` puts them together.
"""

from __future__ import annotations

from sdxl_lab.distances import frechet, inception_score, kernels, neighbors
from sdxl_lab.distances._distance import Distance, DistanceError, Estimate, Parts, Seen

__all__ = ["DISTANCES", "Distance", "DistanceError", "Estimate", "Parts", "Seen"]

DISTANCES: dict[str, Distance] = {row.name: row for file in (frechet, kernels, inception_score, neighbors) for row in file.DISTANCES}
"""Every distance by its name."""
