"""A study of runs, answered by six judges, and its answer kept beside the runs."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import sdxl_lab
from sdxl_lab.studies.made import MadeStudy
from sdxl_lab.studies.recorded import keep_beside
from sdxl_lab.studies.result import StudyResult
from tests.support import report_runs
from tests.support.preferences import by_strength, voted, written

JUDGES = ("Ann", "Bo", "Cy", "Di", "Ed", "Flo")
PLACES = tuple((f"reef {number}", "inpaint", f"a reef {number}", number) for number in range(6))


def answered(folder: Path) -> tuple[MadeStudy, StudyResult]:
    """Six runs below `runs`, which differ in guidance and steps; judges choose the more of both, nearly always."""
    for guidance, steps in product(report_runs.GUIDANCE, report_runs.STEPS):
        report_runs.recorded(report_runs.planned(folder / "runs", guidance, steps, None, PLACES), side_px=48)
    return asked_about(folder / "runs", folder / "study")


def asked_about(runs: Path, folder: Path) -> tuple[MadeStudy, StudyResult]:
    """A study of runs that differ in guidance, and perhaps in steps, answered so, and its answer kept beside them."""
    made = sdxl_lab.study([runs], folder, repeat=0.2)
    worth = {
        label: system.settings["denoising.guidance_scale"] * system.settings.get("denoising.num_inference_steps", 1)
        for label, system in made.key.systems.items()
    }
    for judge in JUDGES:
        written(voted(made.key, judge, by_strength(worth, seed=ord(judge[0]), ties=0.1), seed=ord(judge[0])), made.key, made.folder)
    result = made.result()
    keep_beside(result, made.key, made.folder)
    return made, result
