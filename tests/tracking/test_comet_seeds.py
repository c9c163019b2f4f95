"""What Comet is told of several pictures of a sample and task in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.tracking.experiment import Projection
from sdxl_lab.tracking.projection import project
from tests.support.run_folders import complete
from tests.support.specs import make_spec, plan, resolved_of

SEEDS = [7, -3, 11]


def planned(runs_folder: Path, **hyperparameters: Any) -> ResolvedSpec:
    """A run over two samples and both tasks; the dataset's own seed is -732."""
    spec = make_spec(hyperparameters, tracking="off", runs_folder=str(runs_folder))
    return resolved_of(spec, plan(spec))


@pytest.fixture
def several(tmp_path) -> Projection:
    """Twelve pictures, projected."""
    return project(complete(planned(tmp_path / "several", seeds=SEEDS)), tmp_path)


def test_no_picture_and_no_point_stands_for_two(several):
    """
    Of each picture there is an image of a name and step of its own, with its seed and digest, and a point of each metric.
    """
    made = {(image.name, image.step): image for image in several.images if "picture_id" in image.metadata}
    stems = {7: "", -3: "-s-3", 11: "-s11"}
    expected = {(f"{task}{stems[seed]}", step): seed for task in ("inpaint", "outpaint") for seed in SEEDS for step in (0, 1)}
    assert {place: image.metadata["seed"] for place, image in made.items()} == expected
    places = [(image.name, image.step) for image in several.images]
    assert len(places) == len(set(places)) == 2 + 3 * len(expected)  # with each sample's input, and each picture's mask and sheet
    points = [(name, step) for name, step in several.metrics if step is not None]
    assert {(name.partition("/")[0], step) for name, step in points} == set(expected)
    assert len(points) % len(expected) == 0


def test_the_parameters_say_all_seeds_and_are_the_same_keys(several, tmp_path):
    """
    The seeds stand where one seed would, and nothing else differs from a run of one seed.
    """
    alone = project(complete(planned(tmp_path / "alone", seed=7)), tmp_path)
    assert several.parameters | {"seed": 7} == alone.parameters
    assert several.parameters["seed"] == "7, -3, 11"


def test_the_first_seed_is_told_as_if_it_were_alone(several, tmp_path):
    """
    All images and points of a run of the first seed alone are among those of several, under the same names; means are of all seeds.
    """
    alone = project(complete(planned(tmp_path / "alone", seed=7)), tmp_path)
    assert {item for item in alone.metrics.items() if item[0][1] is not None} <= several.metrics.items()

    def shown(projection: Projection) -> set[tuple[str, int | None, str | None]]:
        return {(image.name, image.step, image.metadata.get("sha256")) for image in projection.images}

    assert shown(alone) <= shown(several)


def test_seeds_of_one_task_leave_the_other_alone(tmp_path):
    """
    A task whose seeds nobody asked for has the plain names, and its own seed as a number.
    """
    one = project(complete(planned(tmp_path, inpaint={"seeds": SEEDS})), tmp_path)
    assert (one.parameters["inpaint|seed"], one.parameters["seed"]) == ("7, -3, 11", -732)
    assert {image.name for image in one.images if "outpaint" in image.name} == {"outpaint", "outpaint-mask", "before-after-outpaint"}
