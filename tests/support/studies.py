"""Preference studies of pictures that were made without a model, and the draw that a page makes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.studies.trials import Study, Trial
from tests.support import report_runs

GUIDANCE = (2.125, 5.375, 8.625)
PLACES = tuple(
    (sample, task, f"{words} {sample}", seed)
    for sample, words, seed in (("anemone", "a red", 11), ("reef", "one blue", -7), ("turtle", "an old", 2**63))
    for task in ("inpaint", "outpaint")
)


def runs(folder: Path, guidance: Sequence[float] = GUIDANCE, *, steps: int = 10, **settings: Any) -> list[RunFolder]:
    """Runs that differ in their guidance, over three samples and two tasks."""
    return [report_runs.recorded(report_runs.planned(folder, each, steps, None, PLACES, **settings), side_px=64) for each in guidance]


def drawn(*words: str) -> int:
    """Twelve hexadecimal digits of a digest, by which a page draws."""
    return int(hashlib.sha256("\n".join(words).encode()).hexdigest()[:12], 16)


def order(study: Study, judge: str) -> list[str]:
    """The trials as a judge is to see them: by digests, those that are asked twice in the first 40% and again in the last."""
    repeated = {trial.mirrors for trial in study.trials}

    def place(trial: Trial) -> float:
        at = drawn(study.study, judge, trial.trial) / 2**48
        return 0.6 + 0.4 * at if trial.mirrors else 0.4 * at if trial.trial in repeated else at

    return [trial.trial for trial in sorted(study.trials, key=place)]


def sides(study: Study, judge: str, trial: Trial) -> list[str]:
    """The pictures of a trial from left to right, as a judge is to see them."""
    shown = sorted(trial.pictures, key=lambda name: drawn(study.study, judge, trial.mirrors or trial.trial, name))
    return shown[::-1] if trial.mirrors else shown
