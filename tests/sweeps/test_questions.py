"""The tutorial's questions: that the sweep asks what the answers are about, and that the study holds them."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sdxl_lab.checkpoints import locating, own_defaults
from sdxl_lab.datasets.sources import fetch
from sdxl_lab.sweeps.sweep_file import SweepFile
from tests.support.specs import SIZES

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def questions() -> Any:
    """The script beside the sweep file."""
    spec = importlib.util.spec_from_file_location("questions", NOTEBOOKS / "questions.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def asked_by(sweep: str, questions: Any) -> list[Any]:
    """What each point of a sweep sets."""
    points = SweepFile.read(NOTEBOOKS / f"{sweep}.yaml").points
    defaults = own_defaults.defaults(locating.identify("pocket"))
    edits = [
        [SimpleNamespace(task=task, settings=point.spec.settings(task, defaults, (128, 128), SIZES)) for task in ("inpaint", "outpaint")]
        for point in points
    ]
    return [questions.Settings.of(SimpleNamespace(resolved=SimpleNamespace(edits=pair))) for pair in edits]


def test_holes_are_filled_and_closed_in_every_way_that_is_answered(questions):
    """
    The points are the settings of all questions about the hole; none twice.
    """
    wanted = {settings for _, values in questions.HOLES.values() for settings in values}
    asked = asked_by("holes", questions)
    assert set(asked) == wanted
    assert len(asked) == len(wanted)


def test_the_sweep_makes_every_answer_and_nothing_else(questions):
    """
    The points are the settings of all questions, and the refiner on each dilated mask; none twice.
    """
    asked = asked_by("questions", questions)
    wanted = {settings for _, values in questions.QUESTIONS.values() for settings in values}
    kernels = [settings.inpaint_kernel for settings in questions.QUESTIONS["object's mask dilated, px"][1]]
    wanted |= {questions.Settings(high_noise_frac=0.8, inpaint_kernel=kernel) for kernel in kernels}
    assert set(asked) == wanted
    assert len(asked) == len(wanted)


def test_a_question_changes_one_setting(questions):
    """
    Within a question all settings but its own are the reference's, and the reference is among them.
    """
    reference = asdict(questions.Settings())
    for field, values in [*questions.QUESTIONS.values(), *questions.HOLES.values()]:
        assert questions.Settings() in values
        assert {key for settings in values for key, value in asdict(settings).items() if value != reference[key]} == {field}


@pytest.mark.parametrize("sweep", ["questions", "holes"])
def test_the_sweep_covers_forty_scenes_in_both_tasks(sweep):
    """
    Every point edits all of the forty built-in scenes, by inpainting and by outpainting, each with a seed of its own.
    """
    for point in SweepFile.read(NOTEBOOKS / f"{sweep}.yaml").points:
        assert (point.spec.dataset, point.spec.samples, set(point.spec.tasks)) == ("pocket-forty", None, {"inpaint", "outpaint"})
    samples = fetch("pocket-forty").samples
    seeds = {task.seed for sample in samples for task in sample.tasks.values()}
    assert len(samples) == 40
    assert len(seeds) == 80


@pytest.mark.parametrize("sweep", ["questions", "holes"])
def test_the_study_answers_every_question(questions, sweep):
    """
    Between its marks the page has a row for each value of each setting, with a number for each metric that the question is about.
    """
    marks = questions.table_in(sweep).search(questions.STUDY.read_text())
    assert marks is not None
    rows = {tuple(cells[:2]): cells[2:] for line in marks[0].splitlines() if (cells := [cell.strip() for cell in line.split("|")[1:-1]])}
    for question, (field, values) in questions.ASKED[sweep].items():
        for settings in values:
            filled = [bool(cell) for cell in rows[question, questions.label(field, settings)]]
            assert filled == [task in questions.tasks(question) for _, task in questions.METRICS]
