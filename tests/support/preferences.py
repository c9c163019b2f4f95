"""Preference studies to count: keys without pictures, and judges who answer as they are told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from sdxl_lab.studies.trials import ShownPicture, Study, System, Trial
from sdxl_lab.studies.votes import Answer, Vote, Votes, content_of

Answers = Callable[[Sequence[str]], Answer]
"""From the systems as they are shown, left to right, to an answer."""


def key_of(systems: Sequence[str], *, samples: int = 8, together: int = 2, repeats: int = 0) -> Study:
    """A study that asks about every choice of systems on every sample once, and about the first few again."""
    shown = {
        f"p{sample}-{system}": ShownPicture(system=system, sample=f"s{sample}", task="inpaint", seed=sample, picture="none.png", sha256="0" * 64)
        for sample in range(samples)
        for system in systems
    }
    asked = [
        Trial(trial=f"t{sample}-{number}", pictures=tuple(f"p{sample}-{system}" for system in chosen))
        for sample in range(samples)
        for number, chosen in enumerate(itertools.combinations(systems, together))
    ]
    again = [Trial(trial=f"again-{trial.trial}", pictures=trial.pictures[::-1], mirrors=trial.trial) for trial in asked[:repeats]]
    return Study(
        study="5eed",
        version="0.2.0",
        question="better",
        seed=0,
        systems={system: System(runs=(f"../{system}",), settings={"steps": number}) for number, system in enumerate(systems)},
        pictures=shown,
        trials=(*asked, *again),
    )


def voted(study: Study, judge: str, answers: Answers, *, seed: int = 0, trials: Callable[[Trial], bool] = lambda trial: True) -> Votes:
    """The votes of a judge who sees places drawn anew, the other way round in a repeat."""
    random = np.random.default_rng(seed)
    is_swapped = {trial.trial: bool(random.random() < 0.5) for trial in study.trials}
    votes = []
    for trial in study.trials:
        shown = trial.pictures[::-1] if is_swapped[trial.mirrors or trial.trial] else trial.pictures
        if trials(trial):
            answer = answers([study.pictures[name].system for name in shown])
            votes.append(Vote(trial=trial.trial, shown=shown, answer=answer, milliseconds=900, at="2026-11-29T07:00:00.000Z"))
    return Votes(judge=judge, votes=tuple(votes), path=Path(f"votes-{judge}.json"))


def by_strength(strengths: Mapping[str, float], *, seed: int, ties: float = 0.0) -> Answers:
    """A judge who chooses by chance, each system as often as its strength says; a share of answers are ties."""
    random = np.random.default_rng(seed)

    def answer(shown: Sequence[str]) -> Answer:
        if random.random() < ties:
            return "tie"
        weights = np.array([strengths[system] for system in shown])
        return int(random.choice(len(shown), p=weights / weights.sum()))

    return answer


def written(votes: Votes, study: Study, folder: Path) -> Path:
    """A file of votes as the page gives it."""
    file = folder / votes.path.name
    values = [
        {"trial": vote.trial, "shown": list(vote.shown), "answer": vote.answer, "milliseconds": vote.milliseconds, "at": vote.at}
        for vote in votes.votes
    ]
    file.write_bytes(content_of(votes.judge, values, study))
    return file
