"""Samples that hold words and no picture."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sdxl_lab.datasets import Dataset
from sdxl_lab.datasets.metadata import ArtifactError
from sdxl_lab.datasets.sources import fetch
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.tasks import TASKS
from sdxl_lab.viewing.show import print_dataset
from tests.support.commands import said
from tests.support.datasets import write_dataset
from tests.support.words_alone import words_task, write_words

A_STAR = {"name": "star", "dream": {"prompt": "a red star", "negative_prompt": "", "seed": 7}}
A_RING = {"name": "ring", "dream": {"prompt": "a ring"}, "credit": "me"}


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global plan
    from sdxl_lab.sweeps.planner import plan


@pytest.fixture(autouse=True)
def _registered(monkeypatch) -> None:
    monkeypatch.setitem(TASKS, "dream", words_task("dream"))


@pytest.fixture
def words(tmp_path) -> Path:
    """Two samples of words alone."""
    return write_words(tmp_path / "words", A_STAR, A_RING)


@pytest.fixture
def mixed(tmp_path) -> Path:
    """Two scenes with pictures and masks, and between them a sample of words."""
    folder = write_dataset(tmp_path / "mixed")
    first, last = json.loads((folder / "metadata.json").read_text())["samples"]
    (folder / "metadata.json").write_text(json.dumps({"samples": [first, A_STAR, last]}))
    return folder


def printed(dataset: Dataset) -> str:
    """What `fetch` shows."""
    console = Console(file=io.StringIO(), width=200)
    print_dataset(dataset, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def parameters(dataset: Path, checkpoint: Path, **given: Any) -> dict[str, Any]:
    """Of a quick run."""
    quick = {"denoising": {"num_inference_steps": 3}}
    given["hyperparameters"] = quick | given.get("hyperparameters", {})
    return {"name": "words", "dataset": str(dataset), "checkpoint": str(checkpoint), "tracking": "off"} | given


def refused(dataset: Path, checkpoint: Path, **given: Any) -> Sequence[str]:
    """The problems of a run that cannot be planned."""
    with pytest.raises(SpecError) as found:
        resolve(RunSpec.from_parameters(**parameters(dataset, checkpoint, **given)))
    return found.value.problems


def test_a_sample_may_hold_words_alone(words):
    """
    A sample without a picture has its words and further fields, and reads image and mask as None.
    """
    star, ring = fetch(words).samples
    assert (star.image(), star.mask(), star.size, star.image_path) == (None, None, None, None)
    said_of = star.tasks["dream"]
    assert (said_of.prompt, said_of.negative_prompt, said_of.seed) == ("a red star", "", 7)
    assert ring.extra == {"credit": "me"}


def test_no_picture_may_be_written_as_null(tmp_path, words):
    """
    `"image": null` says what leaving it out says.
    """
    (star,) = fetch(write_words(tmp_path / "null", {**A_STAR, "image": None, "mask": None})).samples
    assert star == fetch(words).samples[0]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({**A_STAR, "mask": "star.png"}, '"mask" is \'star.png\' and "image" is left out, but a mask needs its picture'),
        ({**A_STAR, "image": ""}, '"image" must be the path of a file'),
        ({**A_STAR, "image": False}, '"image" must be the path of a file'),
        ({**A_STAR, "imge": "star.png"}, "mean image"),
        ({"dream": {"prompt": "a"}}, '"name" must be a string'),
        ({"name": "a", "prompt": "a"}, "mean prompt in the sample's"),
        ({"name": "a", "dream": "a red star"}, '"dream" must be an object'),
        ({"name": "a", "dream": {"promt": "a"}}, "mean prompt"),
        ({"name": "a", "dream": {"prompt": "a", "seed": 1.5}}, '"dream.seed" must be an integer'),
    ],
)
def test_what_is_wrong_with_words_is_said(tmp_path, sample, message):
    """
    A mask without its picture, slips and values of the wrong kind are errors as they are beside a picture.
    """
    with pytest.raises(ArtifactError, match=message):
        fetch(write_words(tmp_path / "d", sample))


def test_the_digest_of_words_is_that_of_their_metadata(words):
    """
    Where there are no pictures, the digest is over metadata.json alone.
    """
    content = hashlib.sha256((words / "metadata.json").read_bytes()).hexdigest()
    assert fetch(words).digest == hashlib.sha256(json.dumps([["metadata.json", content]]).encode()).hexdigest()


def test_words_are_listed_without_columns_for_pictures(words, mixed):
    """
    `fetch` shows size and mask where a sample has a picture, and there `none` for one that has not.
    """
    header, *rows = [line for line in printed(fetch(words)).splitlines() if "┃" in line or "│" in line]
    assert [cell.strip() for cell in header.strip("┃").split("┃")] == ["sample", "dream"]
    assert [cell.strip() for cell in rows[0].strip("│").split("│")] == ["star", "a red star (seed 7)"]
    [row] = [line for line in printed(fetch(mixed)).splitlines() if "star (seed" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["star", "none", "none", "", "", "a red star (seed 7)"]


def test_words_are_not_asked_for_other_words(words, mixed):
    """
    Nothing is said of tasks that need a picture, where there is none.
    """
    assert fetch(words).notes == ()
    assert [note for note in fetch(mixed).notes if "star" in note] == []


def test_words_that_need_a_picture_are_noticed(tmp_path):
    """
    `fetch` says of which words nothing can be made, by sample and task.
    """
    words = {"prompt": "a"}
    dataset = fetch(write_words(tmp_path / "d", {"name": "a", "inpaint": words}, {"name": "b", "inpaint": words, "dream": words}))
    assert dataset.notes == (
        "a: no prompt for dream, so that is left out; give one in metadata.json, or as hyperparameters.dream.prompt",
        'a and 1 more: words for inpaint, which needs a picture, and there is none; name its file as "image" in metadata.json',
    )


def test_a_task_that_needs_a_picture_is_refused_once(words, random_pair):
    """
    Whatever its tasks are, a run says in one line which samples have no picture, and which tasks need none.
    """
    problems = refused(words, random_pair, tasks=["inpaint", "outpaint"], hyperparameters={"prompt": "a"})
    assert [line.partition(";")[0] for line in problems] == [
        "tasks: samples star, ring have no picture, and inpaint needs one",
    ]
    assert all('as "image" in metadata.json, or take a task that works from words alone' in line and "dream" in line for line in problems)


def test_hundreds_of_samples_without_pictures_make_a_readable_error(tmp_path, random_pair):
    """
    Of many samples the first are named, and how many more there are.
    """
    dataset = write_words(tmp_path / "many", *({"name": f"n-{number}", "dream": {"prompt": "a"}} for number in range(300)))
    problems = refused(dataset, random_pair, tasks=["inpaint"], hyperparameters={"prompt": "a"})
    [line] = problems
    assert line.startswith("tasks: samples n-0, n-1, n-2 and 297 more have no picture, and inpaint needs one;")


def test_a_run_of_pictures_over_words_says_that_there_are_none(words, random_pair):
    """
    The default tasks over words alone are refused by what is missing, a picture, not by a prompt that would not help.
    """
    (problem,) = refused(words, random_pair)
    assert problem.startswith("tasks: none of the samples asked for has a picture, and inpaint and outpaint need one; take samples with pictures, or")


def test_words_between_pictures_are_left_out_of_the_tasks_of_pictures(mixed, random_pair):
    """
    A run of the default tasks makes what has a picture, and does not ask for a prompt of what has none.
    """
    resolved = resolve(RunSpec.from_parameters(**parameters(mixed, random_pair)))
    assert {edit.sample for edit in resolved.spec.edits} == {"scene-0", "scene-1"}
    assert [line for line in resolved.said if "star" in line] == []
    assert set(resolved.inputs()) == {"scene-0", "scene-1"}
    assert {title.partition(" ")[0] for title in resolved.masks()} == {"scene-0", "scene-1"}


def test_a_task_may_need_a_picture_by_its_settings(words, random_pair, monkeypatch):
    """
    Whether a picture is missing is asked of the settings of each edit.
    """
    needs = {"needs": lambda settings: ("image",) if settings.denoising.num_inference_steps == 3 else ()}
    monkeypatch.setitem(TASKS, "dream", words_task("dream", **needs))
    problems = refused(words, random_pair, tasks=["dream"])
    assert [line.partition(";")[0] for line in problems] == [f"tasks: sample {name} has no picture, and dream needs one" for name in ("star", "ring")]


def test_a_plan_and_the_command_refuse_it_alike(words, random_pair, tmp_path):
    """
    A sweep's plan names every point's missing picture, and `run` and `plan` end with one message and no traceback.
    """
    given = parameters(words, random_pair, tasks=["inpaint"], samples=["star"], runs_folder=str(tmp_path / "runs"), hyperparameters={"prompt": "a"})
    sweep = {
        "name": "pictures",
        "parameters": {key: value for key, value in given.items() if key != "name"},
        "grid": {"hyperparameters.seed": [1, 2]},
    }
    with pytest.raises(SpecError, match="sample star has no picture, and inpaint needs one"):
        plan(SweepFile.from_dict(sweep))
    (tmp_path / "sweep.yaml").write_text(json.dumps(sweep))
    (tmp_path / "run.yaml").write_text(json.dumps(given))
    for command in (("plan", tmp_path / "sweep.yaml"), ("run", "inpaint_outpaint", "-f", tmp_path / "run.yaml")):
        ended = said(*command)
        assert ended.code == 1
        assert ended.err.count("has no picture, and inpaint needs one") == 1
        assert "Traceback" not in ended.out + ended.err
    assert not (tmp_path / "runs").exists()
