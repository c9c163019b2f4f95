"""The tutorial's last question: that the sweep asks it of both generations, and that the page holds the answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.spec.lacking import NOT_APPLICABLE
from sdxl_lab.sweeps.sweep_file import SweepFile

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def generations() -> Any:
    """What answers."""
    from sdxl_lab.pocket.training import evaluate_generations  # slow

    return evaluate_generations


def test_the_older_generation_has_no_refiner_and_is_asked_for_none(generations):
    """
    Over each dataset there are two systems of the older checkpoint and four of the newer, each mask as it is and dilated.
    """
    points = SweepFile.read(NOTEBOOKS / "generations.yaml").points
    assert len(points) == 12
    older = points[0].spec.checkpoint
    for dataset in (generations.COUNTED, generations.SHOWN):
        systems = [generations.System.of(point.parameters) for point in points if point.spec.dataset == dataset]
        assert len(set(systems)) == len(systems) == 6
        assert sorted(system.is_refined for system in systems if system.checkpoint != older) == [False, False, True, True]
        assert [system.is_refined for system in systems if system.checkpoint == older] == [False, False]
        assert [sum(system.is_exact for system in systems)] == [3]
    path = "hyperparameters.denoising.high_noise_frac"
    assert all((point.overrides[path] == NOT_APPLICABLE) == (point.spec.checkpoint == older) for point in points)


def test_a_difference_is_paired_by_scene(generations):
    """
    Of the scenes in which both are defined; a share is a percentage, and in bold is what leaves out 0.
    """
    before = {(str(scene), "inpaint"): {"color": 0.0, "seam": 1.0 + scene} for scene in range(10)}
    after = {key: {"color": 100.0, "seam": values["seam"] + 0.5} for key, values in before.items()}
    del after["9", "inpaint"]["seam"]
    assert generations.cell("color", after, before) == "100.0%, **+100.0% (+100.0% to +100.0%)**"
    assert generations.cell("seam", after, before) == "5.50, **+0.50 (+0.50 to +0.50)**"
    assert generations.cell("color", before, None) == "0.0% (0.0% to 27.8%)"
    assert generations.cell("color", before, before) == "0.0%, +0.0% (+0.0% to +0.0%)"


def test_the_page_holds_a_row_for_each_system(generations):
    """
    Between its marks the page has the table that the script writes, without a gap.
    """
    [between] = re.findall(r"<!-- answers of generations -->\n(.*?)<!-- end of", generations.PAGE.read_text(), re.DOTALL)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in between.splitlines()[2:]]
    assert [row[0] for row in rows] == ["as it is"] * 3 + ["dilated"] * 3
    assert all(len(row) == 2 + len(generations.COLUMNS) and all(row) for row in rows)
