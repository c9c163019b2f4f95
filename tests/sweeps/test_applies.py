"""Settings that not all checkpoints have: refused by name where they are asked for, and left out of a sweep where it says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.families import FAMILIES, OF_THE_REFINER
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.lacking import NOT_APPLICABLE, lacking_anywhere
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.sweeps.sweep_file import SweepFile, SweepFileError
from sdxl_lab.tracking.parameters import parameters_of
from sdxl_lab.viewing.compare import compare
from sdxl_lab.viewing.report.content import content_of, entries_of
from sdxl_lab.viewing.report.files import Gallery
from tests.support.compare_runs import planned, recorded

FRAC, SIZE = "hyperparameters.denoising.high_noise_frac", "hyperparameters.conditioning.original_size"
APPLIES = {FRAC: "applies"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, garbage) -> Path:
    """A checkpoint without a refiner."""
    from tests.conftest import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("plain") / "plain-folder", refiner=None)


@pytest.fixture
def plain(monkeypatch, folder) -> Path:
    """A family without refiner and sizes, of which there is one by the name `plain-one` and one in a folder, which is given."""
    lacks = {**OF_THE_REFINER, "conditioning": "is told no sizes"}
    family = replace(FAMILIES["custom"], names={"plain-one": folder}, recognizes=lambda path: path.name == "plain-folder", lacks=lacks, threads=1)
    monkeypatch.setitem(FAMILIES, "plain", family)
    FAMILIES["custom"] = FAMILIES.pop("custom")  # the last to be asked
    return folder


def asked(checkpoint: Any, **hyperparameters: Any) -> RunSpec:
    """A run of one picture."""
    common = dict(name="one", dataset="pocket-scenes", samples=["red-circle"], tasks=["inpaint"], tracking="off")
    return RunSpec.from_parameters(**common, checkpoint=str(checkpoint), hyperparameters=hyperparameters)


def swept(**content: Any) -> SweepFile:
    """A sweep of quick runs."""
    return SweepFile.from_dict({"name": "test", **content})


def told(points: SweepFile) -> list[tuple[str, dict[str, Any]]]:
    """Label and hyperparameters of each point."""
    return [(point.label, point.spec.hyperparameters) for point in points.points]


def test_what_a_family_lacks_is_refused_by_name_at_the_gate(plain):
    """
    Each such setting that is asked for, for all tasks or one, is a line with its path, the checkpoint, its family and why.
    """
    with pytest.raises(SpecError) as caught:
        asked("plain-one", denoising={"high_noise_frac": 0.8}, inpaint={"conditioning": {"original_size": [64, 64]}}, refiner={"aesthetic_score": 7})
    assert [line.partition(":")[0] for line in caught.value.problems] == [
        FRAC,
        "hyperparameters.refiner.aesthetic_score",
        "hyperparameters.inpaint.conditioning.original_size",
    ]
    first, *_, last = caught.value.problems
    assert "got 0.8, but checkpoint plain-one is of family plain, which has no refiner; leave it out, or take a checkpoint of family pocket" in first
    assert "custom" not in first  # which is a word of records, not of people
    assert "is told no sizes" in last


def test_what_holds_anyway_is_not_asked_for(plain):
    """
    None and a setting's own default are let through, as a document that names every setting has them.
    """
    spec = asked("plain-one", denoising={"high_noise_frac": None, "handover": "consistent"}, refiner={"aesthetic_score": 6.0}, conditioning={})
    assert spec.hyperparameters["denoising"]["handover"] == "consistent"


def test_a_folder_is_refused_before_its_pictures_are_planned(plain):
    """
    Of a checkpoint that has no name its files tell the family, so the same is said where the run is resolved, and of an edit that code made.
    """
    spec = asked(plain, denoising={"high_noise_frac": 0.8, "num_inference_steps": 2})
    with pytest.raises(SpecError, match=r"high_noise_frac: got 0.8, but checkpoint .*plain-folder is of family plain, which has no refiner"):
        resolve(spec)

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.checkpoints.weight_files import CheckpointError
    from sdxl_lab.generation.generate import generate

    edit = Edit.model_validate(
        {"sample": "x", "task": "text_to_image", "prompt": "x", "seed": 1, "settings": {"conditioning": {"target_size": [8, 8]}}}
    )
    with pytest.raises(CheckpointError, match=r"target_size.*which is told no sizes"):
        generate(edit, None, None, load(str(plain)))


def test_a_marked_axis_is_dropped_where_it_does_not_apply(plain):
    """
    Two checkpoints times two fractions are one point of the family without refiner and two of the other, and the plan is told why.
    """
    grid = {"checkpoint": ["plain-one", "pocket"], FRAC: [None, 0.8]}
    found = swept(grid=grid, where=APPLIES)
    assert told(found) == [
        ("checkpoint=plain-one high_noise_frac=n/a", {}),
        ("checkpoint=pocket high_noise_frac=none", {"denoising": {"high_noise_frac": None}}),
        ("checkpoint=pocket high_noise_frac=0.8", {"denoising": {"high_noise_frac": 0.8}}),
    ]
    assert found.points[0].overrides == {"checkpoint": "plain-one", FRAC: NOT_APPLICABLE}
    assert found.points[0].spec.name == "checkpoint_plain-one"
    assert found.left_out == ("high_noise_frac does not apply to checkpoint plain-one, which has no refiner: 1 point in place of 2",)


def test_a_marked_parameter_is_dropped_where_it_does_not_apply(plain):
    """
    A base parameter, below its section's mark too and of one task, is left out for the checkpoints without it and kept for the others.
    """
    parameters = {SIZE: [64, 64], "hyperparameters.inpaint.refiner.aesthetic_score": 7.0, "hyperparameters.seed": 3}
    marks = {"hyperparameters.conditioning": "applies", "hyperparameters": {"inpaint": {"refiner": "applies"}}}
    [first, second] = swept(grid={"checkpoint": ["plain-one", "pocket"]}, parameters=parameters, where=marks).points
    assert first.spec.hyperparameters == {"seed": 3}
    assert second.spec.hyperparameters == {
        "seed": 3,
        "conditioning": {"original_size": (64, 64)},
        "inpaint": {"refiner": {"aesthetic_score": 7.0}},
    }


def test_a_checkpoint_without_a_refiner_is_one_too():
    """
    Within a family that has one, a checkpoint without lacks the same, by its name alone and before it is downloaded.
    """
    found = swept(grid={"checkpoint": ["sdxl-turbo", "sdxl"], FRAC: [None, 0.8]}, where=APPLIES)
    assert [label for label, _ in told(found)] == [
        "checkpoint=sdxl-turbo high_noise_frac=n/a",
        "checkpoint=sdxl high_noise_frac=none",
        "checkpoint=sdxl high_noise_frac=0.8",
    ]


def test_a_value_of_the_same_letters_is_a_value(plain):
    """
    A prompt `n/a` is asked for as written, in points with a mark and in Comet's list of the axis, where only what no checkpoint has is left out.
    """
    words = "hyperparameters.inpaint.negative_prompt"
    found = swept(grid={"checkpoint": ["plain-one"], words: ["n/a", "blurry"], FRAC: [0.8]}, where=APPLIES)
    assert [point.spec.hyperparameters for point in found.points] == [{"inpaint": {"negative_prompt": text}} for text in ("n/a", "blurry")]
    assert not lacking_anywhere(words)
    assert lacking_anywhere(FRAC)


def test_single_points_and_exclusions_see_the_marks(plain):
    """
    Exclusions are of the grid as it is written, and a single point keeps its name without what does not apply to it.
    """
    found = swept(
        grid={"checkpoint": ["plain-one", "pocket"], FRAC: [None, 0.8]},
        exclude=[{"checkpoint": "pocket", FRAC: None}],
        points=[{"name": "mine", "checkpoint": "plain-one", FRAC: 0.7}],
        where=APPLIES,
    )
    assert told(found) == [
        ("checkpoint=plain-one high_noise_frac=n/a", {}),
        ("checkpoint=pocket high_noise_frac=0.8", {"denoising": {"high_noise_frac": 0.8}}),
        ("mine", {}),
    ]


def test_unmarked_it_is_refused_with_what_to_write(plain):
    """
    Without a mark the point is refused, and the line that helps can be copied into the file.
    """
    grid = {"checkpoint": ["plain-one", "pocket"], FRAC: [None, 0.8]}
    with pytest.raises(SweepFileError) as caught:
        swept(grid=grid)
    refused, advice = caught.value.problems
    assert "(in 1 of 4 points, the first is checkpoint=plain-one high_noise_frac=0.8)" in refused
    assert f"where: {{{FRAC}: applies}}" in advice


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({FRAC: "always"}, f"where.{FRAC}: got always; allowed is applies"),
        ({"hyperparameters.refiner": "applies"}, "where.hyperparameters.refiner: is given neither in parameters nor in grid and points"),
        ({"hyperparameters.seed": "applies"}, "where.hyperparameters.seed: every checkpoint has it"),
        (
            {"hyperparameters.loras": "applies"},
            "where.hyperparameters.loras: every checkpoint has it; a file that does not fit all of them is left out by exclude",
        ),
        ({"hyperparameters": "applies"}, "where.hyperparameters: holds every setting; mark a setting, or a section"),
        ({"hyperparameters.inpaint": "applies"}, "where.hyperparameters.inpaint: holds every setting"),
        ({SIZE: "applies"}, f"where.{SIZE}: is given as part of hyperparameters.conditioning; write it out there"),
        ("applies", "where: got applies; allowed is a dictionary of dotted paths"),
    ],
)
def test_marks_that_mean_nothing_are_refused(where, said):
    """
    A mark says `applies` of a setting that the sweep gives and that some checkpoint lacks.
    """
    grid: dict[str, Any] = {FRAC: [None, 0.8], "hyperparameters.seed": [1, 2], "hyperparameters.conditioning": [{"original_size": [64, 64]}]}
    with pytest.raises(SweepFileError) as caught:
        swept(grid=grid | {"hyperparameters.loras.moon.file": [None, "pocket-moon.safetensors"]}, where=where)
    assert any(line.startswith(said) for line in caught.value.problems)


def test_the_plan_says_what_was_left_out_and_how_each_checkpoint_works(plain, tmp_path):
    """
    The plan has as many points as apply, says what was left out of which checkpoint, and what of steps and sizes is each one's own.
    """
    from sdxl_lab.sweeps.planner import plan

    parameters = {"samples": ["red-circle"], "tasks": ["inpaint"], "tracking": "off", "runs_folder": str(tmp_path / "runs")}
    grid = {"checkpoint": ["plain-one", "pocket"], FRAC: [None, 0.8]}
    made = plan(swept(parameters=parameters, grid=grid, where=APPLIES))
    assert [len(made.runs), *(run.overrides[FRAC] for run in made.runs)].count(NOT_APPLICABLE) == 1
    assert made.points == len(made.runs) == 3
    lines = str(made).splitlines()
    assert "high_noise_frac does not apply to checkpoint plain-one, which has no refiner: 1 point in place of 2" in lines
    assert "checkpoint plain-one: steps 70; seen at 64x64" in lines
    assert "checkpoint pocket: steps 30; seen at 128x128" in lines


def test_records_show_what_does_not_apply_as_such(plain, tmp_path):
    """
    In comparison and report a family without a setting has n/a where another has values, and no column for what it never had; Comet has none.
    """
    without = CheckpointIdentity(name="plain-one", digest="e" * 64, family="plain")
    runs = [
        recorded(planned(tmp_path, "plain", checkpoint=without)),
        recorded(planned(tmp_path, "alone")),
        recorded(planned(tmp_path, "refined", {"denoising": {"high_noise_frac": 0.8}})),
    ]
    frame = compare(runs).settings()
    assert frame.columns.tolist() == ["checkpoint", "denoising.high_noise_frac"]
    assert frame["denoising.high_noise_frac"].to_dict() == {"plain": NOT_APPLICABLE, "alone": None, "refined": 0.8}

    content = content_of(entries_of(runs, []), Gallery(), "families")
    assert content["varying"] == ["checkpoint", "denoising.high_noise_frac"]
    [axis] = [axis for axis in content["axes"] if axis["path"] == "denoising.high_noise_frac"]
    assert axis["values"] == [NOT_APPLICABLE, None, 0.8]

    first, second, _ = (parameters_of(run.resolved) for run in runs)
    assert {"denoising|handover", "refiner|aesthetic_score"} <= second.keys() - first.keys()
    assert not [key for key in first if key.startswith(("refiner", "conditioning")) or key.endswith(("high_noise_frac", "handover"))]
