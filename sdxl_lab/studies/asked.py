"""What a study asks, said before any judge sees it: how much, of what, and what its answer will not be able to say."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sdxl_lab.studies.notes import FEWEST_REPEATS
from sdxl_lab.studies.resampling import FEWEST_SAMPLES
from sdxl_lab.studies.strengths import Model, asked_together
from sdxl_lab.studies.trials import Study
from sdxl_lab.wording import counted


def told_of(study: Study, wanted: int | None) -> Iterator[str]:
    """Say what a study asks.

    Args:
        study: It.
        wanted: How many trials were asked for; None for all that there are.

    Returns:
        A line each: how much a judge is asked, and where that is so that fewer trials are possible than were wanted, that too few are asked again
        to know a careless judge by, that there will be no intervals, and which systems are never compared.
    """
    first = [trial for trial in study.trials if not trial.mirrors]
    again = len(study.trials) - len(first)
    samples = len({picture.sample for picture in study.pictures.values()})
    repeats = f", {again} of them a second time" if again else ""
    yield (
        f"each judge is asked {counted(len(study.trials), 'question')}{repeats}, on {counted(samples, 'sample')} and "
        f"{counted(len(study.systems), 'system')}"
    )
    if wanted is not None and len(first) < wanted:
        yield f"got --pairs {wanted}, and {len(first)} are possible: all of them are asked"
    if 0 < again < FEWEST_REPEATS <= len(first):
        share = math.ceil(100 * FEWEST_REPEATS / len(first)) / 100
        yield f"a careless judge is known by {FEWEST_REPEATS} repeats or more, not by {again}: --repeat {share:g} asks as many"
    if samples < FEWEST_SAMPLES:
        yield f"the result will have no intervals, since they take {FEWEST_SAMPLES} samples or more; give runs over more, if you can"
    if len(groups := _groups(study)) > 1:
        yield f"{len(groups)} groups of systems are never shown together, and each will have a ranking of its own:"
        yield from (f"  group {number}: {'; '.join(group)}" for number, group in enumerate(groups, 1))


def _groups(study: Study) -> list[list[str]]:
    """The systems, parted into those that trials connect."""
    labels = list(study.systems)
    shown = {tuple(sorted(labels.index(study.pictures[name].system) for name in trial.pictures)) for trial in study.trials}
    return [[labels[index] for index in group] for group in asked_together(Model(systems=len(labels), sets=tuple(sorted(shown)), has_ties=False))]
