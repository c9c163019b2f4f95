"""Sweeps over tasks that make a picture as a whole: their cost is what was planned, their pictures those of runs alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.runs.experiment import run
from sdxl_lab.viewing.compare import compare
from tests.support.datasets import write_dataset
from tests.sweeps import test_plan
from tests.sweeps.test_plan import FRAC, STEPS, counted, planned, resolved


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global TrajectoryCache
    from sdxl_lab.generation.trajectory import TrajectoryCache

    test_plan.setup_module()


HANDOVER, AGAIN = "hyperparameters.denoising.handover", "hyperparameters.refiner.strength"
WORDS: dict[str, Any] = {"prompt": "a red star", "seed": 5}


@pytest.fixture
def base(random_pair, tmp_path) -> dict[str, Any]:
    """The parameters of a quick sweep over one picture."""
    dataset = write_dataset(tmp_path / "scenes", count=1, text_to_image=WORDS, image_to_image=WORDS)
    return {
        "dataset": str(dataset),
        "checkpoint": str(random_pair),
        "tasks": ["text_to_image"],
        STEPS: 6,
        "tracking": "off",
        "runs_folder": str(tmp_path / "runs"),
    }


GRIDS: dict[str, dict[str, Any]] = {
    "hand-overs": {FRAC: [None, "0.5-0.9 (0.1)"], STEPS: [10]},
    "tasks": {"tasks": [["inpaint"], ["text_to_image"]]},
    "aspects": {"hyperparameters.size.aspect": ["1:1", "3:2", "9:16"], FRAC: [None, 0.6]},
    "ways": {HANDOVER: ["consistent", "stock", "sdedit"], FRAC: [0.6], AGAIN: [0.4, 0.8]},
    "ways to make anew": {HANDOVER: ["consistent", "stock", "sdedit"], FRAC: [0.8], "tasks": [["image_to_image"]], STEPS: [8]},
}
SYNTAX, LONG, PROMPT = "hyperparameters.prompt_syntax", "hyperparameters.long_prompt", "hyperparameters.prompt"
SYNTAXES: dict[str, Any] = {
    SYNTAX: ["plain", "a1111", "comfy", "compel"],
    PROMPT: ["a red star", "a (red:1.3) star"],
    LONG: ["cut", "chunks"],
    STEPS: [2],
}
GRIDS["syntaxes"] = SYNTAXES
MANY = ("aspects", "ways to make anew")


@pytest.mark.filterwarnings("ignore:.* no effect")
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in MANY else ()) for name in GRIDS])
def test_the_forwards_planned_are_made_and_the_pictures_are_those_made_alone(base, name):
    """
    Group by group, each run calls the UNets exactly as often as planned, and each picture has the pixels of a run that shares nothing.
    """
    made = planned(base, grid=GRIDS[name])
    for group in made.groups:
        cache = TrajectoryCache()
        assert [counted(item, cache) for item in group.runs] == [made.forwards[item.run_id] for item in group.runs]
    together = {item.run_id: [picture.sha256 for picture in resolved(item).folder.pictures()] for item in made.runs}
    alone = planned(base | {"runs_folder": f"{base['runs_folder']}-alone"}, grid=GRIDS[name])
    assert {item.run_id: [picture.sha256 for picture in run(resolved(item))] for item in alone.runs} == together
    assert sum(made.forwards.values()) == made.forwards_shared


def test_hand_overs_from_words_share_one_trajectory(base):
    """
    Without refiner and with five fractions, ten steps cost ten of the base and the tails: 10 + 1 + 2 + 3 + 4 + 5.
    """
    made = planned(base, grid=GRIDS["hand-overs"])
    assert [len(group.runs) for group in made.groups] == [6]
    assert (made.forwards_shared, made.forwards_alone) == (25, 60)


def test_syntaxes_share_a_trajectory_where_they_say_the_same(base):
    """
    Without marks all four syntaxes, cut or in chunks that are not needed, are one trajectory of two steps; with a mark each syntax has its own.
    """
    made = planned(base, grid=SYNTAXES)
    assert (made.forwards_shared, made.forwards_alone) == ((1 + 4) * 2, 16 * 2)


def test_runs_of_other_tasks_are_compared_by_what_both_take(base):
    """
    What one of two tasks does not take is no difference between them, and what both take and hold otherwise is one.
    """
    made = planned(base | {"hyperparameters.seed": 5, "hyperparameters.prompt": "a red star"}, grid=GRIDS["tasks"])
    for item in made.runs:
        run(resolved(item))
    assert set(compare([Path(item.folder) for item in made.runs]).differing) == {"tasks"}
