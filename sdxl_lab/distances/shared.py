"""What two sets have in common: then they are nearer than sets that were drawn apart, and no unbiased number is around 0."""

from __future__ import annotations

from collections.abc import Sequence

from sdxl_lab.distances.sets import PictureSet
from sdxl_lab.distances.statistics import Statistics
from sdxl_lab.files.digests import digest_of_file
from sdxl_lab.wording import counted, few

MOST_NAMES = 3


def told_of_shared(found: Sequence[PictureSet | Statistics], other: PictureSet | Statistics) -> list[str]:
    """Say which sets show the same pictures or samples as the one that they are compared with.

    Args:
        found: Sets.
        other: What they are compared with.

    Returns:
        A line for all sets that have the same in common; none where all were drawn apart.
    """
    names: dict[str, list[str]] = {}
    for each in found:
        if shared := _in_common(each, other):
            names.setdefault(shared, []).append(_name(each))
    return [
        f"{few(own, MOST_NAMES)} and {_name(other)} show the same {shared}, so they are nearer than sets drawn apart: where nothing differs, kid, "
        "mmd and cmmd are then below 0, and not around it; the paired differences of sdxl-lab compare say more"
        for shared, own in names.items()
    ]


def _in_common(one: PictureSet | Statistics, other: PictureSet | Statistics) -> str:
    if isinstance(one, PictureSet) and isinstance(other, PictureSet):
        pictures = len({digest_of_file(file) for file in one.files} & {digest_of_file(file) for file in other.files})
        samples = len(set(one.samples) & set(other.samples)) if one.knows_samples and other.knows_samples else 0
        return counted(samples, "sample") if samples > pictures else counted(pictures, "picture") if pictures else ""
    same = one.digest == other.digest
    return counted(len(one.files) if isinstance(one, PictureSet) else one.seen.n or 0, "picture") if same else ""


def _name(found: PictureSet | Statistics) -> str:
    return found.name if isinstance(found, PictureSet) else found.seen.name
