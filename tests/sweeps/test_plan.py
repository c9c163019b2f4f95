"""The plan of a sweep: order, cost, and what is done already."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdxl_lab.runs.experiment import finish, load, run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.plan import Plan, PlannedRun
from sdxl_lab.sweeps.sweep_file import SweepFile
from tests.support.datasets import write_dataset


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global plan, PlanError, TrajectoryCache
    from sdxl_lab.generation.trajectory import TrajectoryCache
    from sdxl_lab.sweeps.planner import PlanError, plan


SEED, FRAC = "hyperparameters.seed", "hyperparameters.denoising.high_noise_frac"
STEPS, GUIDANCE = "hyperparameters.denoising.num_inference_steps", "hyperparameters.denoising.guidance_scale"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Two scenes."""
    return write_dataset(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture
def base(dataset, random_pair, tmp_path) -> dict[str, Any]:
    """The parameters of a quick sweep over one picture."""
    return {
        "dataset": str(dataset),
        "checkpoint": str(random_pair),
        "samples": ["scene-1"],
        "tasks": ["inpaint"],
        STEPS: 6,
        "tracking": "off",
        "runs_folder": str(tmp_path / "runs"),
    }


def planned(base: dict[str, Any], **content: Any) -> Plan:
    """Plan a sweep over these parameters."""
    return plan(SweepFile.from_dict({"name": "test", "parameters": base} | content))


def resolved(planned_run: PlannedRun) -> Resolved:
    """The run as a worker resolves it."""
    return resolve(RunSpec.from_parameters(**planned_run.parameters))


def counted(planned_run: PlannedRun, cache: TrajectoryCache) -> int:
    """Make the run's pictures, and count the calls of both UNets."""
    it, count = resolved(planned_run), [0]
    checkpoint = load(it)
    unets = [pipeline.unet for pipeline in (checkpoint.base, checkpoint.refiner)]
    hooks = [unet.register_forward_hook(lambda *_: count.__setitem__(0, count[0] + 1)) for unet in unets]
    try:
        run(it, checkpoint, trajectories=cache)
    finally:
        for hook in hooks:
            hook.remove()
    return count[0]


def record(planned_run: PlannedRun) -> None:
    """Make the run, and leave the whole notebook that papermill would."""
    it = resolved(planned_run)
    run(it)
    finish(it)
    it.folder.executed_notebook.write_text('{"cells": []}')


@pytest.mark.filterwarnings("ignore:.* no effect")
@pytest.mark.parametrize(
    "content",
    [
        {"grid": {SEED: [3, -4], FRAC: [None, 0.5, 0.8]}},
        {"grid": {"hyperparameters.denoising.scheduler": ["heun", "dpmpp_2m"], FRAC: [0.8, None, 0.6]}},
        {"grid": {FRAC: [0.4, 0.7], "hyperparameters.denoising.handover": ["stock", "consistent"]}},
        pytest.param(
            {"grid": {FRAC: [0.6, None], "hyperparameters.mask.feather_px": [0, 3], "hyperparameters.refiner.aesthetic_score": [5.0, 6.0]}},
            marks=pytest.mark.slow,
        ),
        pytest.param({"grid": {FRAC: [0.7, None], "hyperparameters.denoising.strength": [0.5, 1.0]}}, marks=pytest.mark.slow),
        {"grid": {"hyperparameters.seeds": [[3, -4], "3-5"], FRAC: [None, 0.5]}},
        {"grid": {"hyperparameters.crop.padding_mask_crop": [None, 4], FRAC: [0.5, 0.8]}},
        {"grid": {"hyperparameters.mask.blend": ["alpha", "poisson"], "hyperparameters.mask.color_match": [None, "ring"]}},
        {"grid": {"hyperparameters.mask.fill": ["noise", "telea"], SEED: [3, -4]}},
        {"points": [{"tasks": ["outpaint", "inpaint"], FRAC: 0.6}, {"tasks": ["inpaint"]}, {"samples": None, FRAC: 0.5}]},
        {"grid": {"hyperparameters.outpaint.mode": ["canvas"], "tasks": [["outpaint"]], "hyperparameters.canvas.left_px": [8], FRAC: [0.5, None]}},
    ],
)
def test_the_forwards_planned_are_the_forwards_made(base, content):
    """
    Made group by group in the plan's order, each run calls the UNets exactly as often as planned, and the first not less than any.
    """
    made = planned(base, **content)
    for group in made.groups:
        cache = TrajectoryCache()
        assert [counted(item, cache) for item in group.runs] == [made.forwards[item.run_id] for item in group.runs]


@pytest.mark.slow
def test_the_forwards_without_sharing_are_those_of_runs_apart(base):
    """
    Runs that share nothing call the UNets as often as the plan says they would.
    """
    made = planned(base, grid={SEED: [3, -4], FRAC: [None, 0.5, 0.8]})
    assert sum(counted(item, TrajectoryCache()) for item in made.runs) == made.forwards_alone
    assert made.forwards_shared < made.forwards_alone


def test_the_pictures_planned_are_one_for_each_seed(base):
    """
    Runs of three and of two seeds, one seed the same, are five pictures, of which the shared one's work is done once; what is made is not planned.
    """
    single = planned(base, grid={SEED: [1, 2, 3]})
    both = planned(base, grid={"hyperparameters.seeds": ["1-3", [3, 4]]})
    forwards = single.forwards_alone // 3
    assert [len(item.works) for item in both.runs] == [3, 2]
    assert (both.forwards_alone, both.forwards_shared) == (5 * forwards, 4 * forwards)
    assert re.findall(r"new +(\d of \d) ", str(both)) == ["3 of 3", "2 of 2"]
    first = resolved(both.runs[0])
    run(first)
    first.folder.pictures()[1].image.unlink()
    again = planned(base, grid={"hyperparameters.seeds": ["1-3"]})
    assert [key[2] for key in again.pending[0].pending] == [2]
    assert (again.forwards_shared, len(again.pending[0].works)) == (forwards, 3)


def test_facts_by_hand():
    """
    Twenty steps at strength 1, without refiner and with five hand-overs, cost 50 forwards instead of 120.
    """
    grid = {FRAC: [0.5, 0.6, None, 0.7, 0.8, 0.9]}
    parameters = {"samples": ["red-circle"], "tasks": ["inpaint"], STEPS: 20, "hyperparameters.denoising.strength": 1.0, "runs_folder": "nowhere"}
    made = planned(parameters, grid=grid)
    assert (made.forwards_shared, made.forwards_alone) == (50, 120)
    assert [item.label for item in made.runs] == [f"high_noise_frac={frac}" for frac in ("none", 0.9, 0.8, 0.7, 0.6, 0.5)]


def test_a_group_shares_and_another_does_not(base):
    """
    What changes the base's trajectory starts a group; what changes only the hand-over, the refiner or the compositing joins one.
    """
    apart = {SEED: [1, 2], GUIDANCE: [5, 6], "hyperparameters.mask.kernel_size": [1, 5], "hyperparameters.mask.latent_mask": ["nearest", "cover"]}
    joined = {FRAC: [0.5, 0.8], "hyperparameters.refiner.guidance_scale": [3, 4], "hyperparameters.mask.feather_px": [0, 2]}
    for path, values in apart.items():
        assert [len(group.runs) for group in planned(base, grid={path: values}).groups] == [1, 1], path
    for path, values in joined.items():
        assert [len(group.runs) for group in planned(base | {FRAC: 0.6}, grid={path: values}).groups] == [2], path


def test_checkpoints_are_the_outer_loop(base, random_pair, tmp_path):
    """
    All groups of one checkpoint come before those of the next, although the grid alternates, and each group begins with the longest window.
    """
    other = shutil.copytree(random_pair, tmp_path / "other")
    (other / "base" / "model_index.json").write_text((other / "base" / "model_index.json").read_text() + "\n")
    made = planned(base, grid={SEED: [1, 2], "checkpoint": [str(random_pair), str(other)], FRAC: [0.6, None, 0.8]})
    assert [group.runs[0].parameters["checkpoint"] for group in made.groups] == [str(random_pair)] * 2 + [str(other)] * 2
    for group in made.groups:
        windows = [item.base_window for item in group.runs]
        assert windows == sorted(windows, reverse=True)


def test_what_is_recorded_is_not_planned_again(base, tmp_path):
    """
    Planned minus recorded is pending; another label, name, order or tracking is the same run, another setting is not.
    """
    grid = {SEED: [1, 2], FRAC: [None, 0.5]}
    for item in planned(base, grid=grid).runs[:3]:
        record(item)
    again = planned(base, grid=grid)
    assert [item.status for item in again.runs] == ["done"] * 3 + ["new"]
    assert again.forwards_shared == again.forwards[again.pending[0].run_id] == 5  # strength 0.99 of 6 steps: its longer run is done already
    renamed = planned(base | {"name": "other", "tracking": "offline"}, grid=dict(reversed(grid.items())))
    assert {item.run_id for item in renamed.pending} == {item.run_id for item in again.pending}
    assert len(planned(base | {GUIDANCE: 3}, grid=grid).pending) == 4


def test_a_changed_dataset_is_another_run(base, tmp_path):
    """
    One changed pixel in the dataset makes every point pending again.
    """
    copy = shutil.copytree(base["dataset"], tmp_path / "copy")
    record(planned(base).runs[0])
    assert not planned(base | {"dataset": str(copy)}).pending
    with Image.open(copy / "1.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(copy / "1.png")
    assert [item.status for item in planned(base | {"dataset": str(copy)}).runs] == ["new"]


def test_a_damaged_run_is_not_done(base):
    """
    A record whose picture or notebook is not whole is begun, not done, and only what is missing is planned.
    """
    points = [{"samples": None}]
    [item] = planned(base, points=points).runs
    record(item)
    (item.folder / "executed.ipynb").write_text('{"cells": [{"cell_type": "code", "source": "1", "outputs": [], "execution_count": null}]}')
    [again] = planned(base, points=points).runs
    assert (again.status, len(again.pending)) == ("begun", 0)
    next(item.folder.glob("images/scene-0/inpaint.png")).unlink()
    [again] = planned(base, points=points).runs
    assert (again.status, again.pending) == ("begun", (("scene-0", "inpaint", 5),))


def test_a_run_begun_under_another_name_goes_on_there(base):
    """
    A sweep whose labels changed goes on in the folders it began, and makes no second one.
    """
    [item] = planned(base | {"name": "before"}).runs
    with resolved(item).folder.open(resolved(item).spec):
        pass
    [again] = planned(base | {"name": "after"}, grid={SEED: [None]}).runs
    assert (again.status, again.folder) == ("begun", item.folder)
    assert resolved(again).folder.path == item.folder


def test_another_sweeps_record_counts_in_the_labs_own_runs(base, tmp_path, monkeypatch):
    """
    In artifacts/runs, a point that a sweep of another name recorded is done; one that it only began is not touched.
    """
    monkeypatch.chdir(tmp_path)
    base = {key: value for key, value in base.items() if key != "runs_folder"}
    [item] = planned(base, name="first").runs
    with resolved(item).folder.open(resolved(item).spec):
        pass
    [second] = planned(base, name="second").runs
    assert (second.status, second.folder.parent.name) == ("new", "second")
    record(item)
    [second] = planned(base, name="second").runs
    assert (second.status, second.folder) == ("done", item.folder)


def test_points_that_are_one_run_are_made_once(base):
    """
    Two points with the same pictures are one run, and the plan says so.
    """
    made = planned(base, grid={SEED: [1, 2]}, points=[{SEED: 2}])
    assert (made.points, len(made.runs)) == (3, 2)
    assert "3 points (1 of them the same run as another)" in str(made)


def test_workers_get_nothing_left_to_choose(base, tmp_path, monkeypatch):
    """
    Parameters of a plan give the same run from another folder and with other threads, since all that could differ is written out.
    """
    monkeypatch.chdir(Path(base["dataset"]).parent)
    [item] = planned(base | {"dataset": "scenes", "runs_folder": "runs"}).runs
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sdxl_lab.process.threads.before", [7])
    assert resolved(item).spec.run_id == item.run_id
    assert resolved(item).folder.path == item.folder == Path(base["dataset"]).parent / "runs" / item.folder.name


def test_every_point_is_checked_before_anything_runs(base, tmp_path):
    """
    Steps, prompts, datasets and checkpoints that are missing are listed together, with the points that need them, and nothing is written.
    """
    bare = write_dataset(tmp_path / "bare", inpaint={"seed": 1})
    points = [
        {FRAC: 0.001},
        {"samples": ["nobody"]},
        {"dataset": str(bare), "samples": ["scene-0"]},
        {"dataset": "nowhere"},
        {"checkpoint": "no where"},
        {},
    ]
    with pytest.raises(PlanError) as caught:
        planned(base, points=[{SEED: 1} | point for point in points])
    said = str(caught.value)
    assert all(
        part in said
        for part in ("high_noise_frac 0.001 leaves the base no step", "got 'nobody'", "has a prompt of its own", "'nowhere'", "'no where'")
    )
    assert "(in 1 of 6 points, the first is seed=1 high_noise_frac=0.001)" in said
    assert not Path(base["runs_folder"]).exists()
    planned(base)
    assert not Path(base["runs_folder"]).exists()


def test_a_refiner_that_is_not_there_is_missed_in_the_plan(base, random_pair, tmp_path):
    """
    A hand-over to a refiner that the checkpoint lacks is refused before a kernel starts.
    """
    alone = shutil.copytree(random_pair / "base", tmp_path / "alone" / "base").parent
    with pytest.raises(PlanError, match="has no refiner"):
        planned(base | {"checkpoint": str(alone)}, grid={FRAC: [0.8]})
