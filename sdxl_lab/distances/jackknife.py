"""95% intervals by leaving out parts of the pictures, where drawing with replacement would be wrong.

A bootstrap draws pictures twice. For a Fréchet distance that makes both covariances worse and the distance larger; to kernels and to neighbors a
picture's double is its nearest neighbor, at no distance. Leaving out does neither.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sdxl_lab.distances._distance import Estimate, Parts

LEVEL = 0.95
PARTS = 20
"""As many leave the width of an interval about a sixth uncertain."""
FEWEST_PARTS = 5
SEED = 1979
"""Fixed, so that the same pictures have the same interval."""
METHOD = "delete-group jackknife, Student's t"


def parts_of(ours: Sequence[str], others: Sequence[str]) -> Parts:
    """Deal pictures into parts, those of one sample together, also where both sets have some of it.

    Args:
        ours: The sample of each picture of a set; empty where it has none.
        others: Likewise of the other set.

    Returns:
        `PARTS` parts, or one for each sample where there are fewer; none below `FEWEST_PARTS`.
    """
    mine, theirs = set(ours), set(others)
    both = mine & theirs
    count = min([PARTS, *(len(names) for names in (mine, theirs) if names)]) if mine or theirs else 0
    rng, part = np.random.RandomState(SEED), dict[str, int]()
    for names, dealt_before in ((both, 0), (mine - both, len(both)), (theirs - both, len(both))):
        shuffled = [sorted(names)[index] for index in rng.permutation(len(names))]
        part |= {name: place % count for place, name in enumerate(shuffled, dealt_before)}
    dealt = [np.array([part[name] for name in names], int) for names in (ours, others)]
    return Parts(ours=dealt[0], others=dealt[1], count=count if count >= FEWEST_PARTS else 0)


def interval(estimate: Estimate, limits: tuple[float, float]) -> tuple[float, float] | None:
    """The 95% interval of what sampling moves: where the number of as many other pictures of the same kind lies.

    Args:
        estimate: The number, and without each part.
        limits: Where the number itself can lie.

    Returns:
        Lower and upper end; None where there are no parts, or all say the same.

    Source:
        Shao and Wu, A General Theory for Jackknife Variance Estimation, Ann. Statist. 17 (1989), doi:10.1214/aos/1176347263.
    """
    from scipy.special import stdtrit

    left = estimate.without
    if left is None or not len(left):
        return None
    count = len(left)
    error = float(np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum()))
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * error
    if not half:
        return None
    return max(limits[0], estimate.value - half), min(limits[1], estimate.value + half)
