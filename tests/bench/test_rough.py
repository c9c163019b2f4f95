"""Benches and sessions in rough weather: damaged files, moved folders, others at work beside them."""

from __future__ import annotations

import json
import shutil
import threading
import warnings
from typing import Any

import pytest
from PIL import Image

from sdxl_lab import Bench, RunSpec, SweepFile, fetch, resolve, run
from sdxl_lab.bench.errors import BenchError
from sdxl_lab.bench.sessions import sessions
from sdxl_lab.files.disk import TEMPORARY
from sdxl_lab.records.finding import runs_at
from sdxl_lab.spec.cautions import CautionWarning
from tests.support.datasets import write_dataset
from tests.support.sessions import add, begun_in

pytestmark = pytest.mark.usefixtures("home")

PROMPT = "a blue star on grass"
QUICK: dict[str, Any] = {"num_inference_steps": 3}


@pytest.fixture
def three(home):
    """A session of three pictures that nobody had to make."""
    session = begun_in(home, tracking="off")
    for seed in (1, 2, 3):
        add(session, PROMPT, seed=seed)
    return session


def test_cautions_are_said_while_another_picture_is_made(bench):
    """
    What is to be said of a picture reaches whoever asks for it, also when a picture is in the making, and filters of warnings stay what they were.
    """
    going_on, begun = threading.Event(), threading.Event()
    first = bench.start(PROMPT, on_step=lambda _: (begun.set(), going_on.wait(60)), **QUICK)
    assert begun.wait(60)
    with pytest.warns(CautionWarning, match="negative_prompt"):
        second = bench.start(PROMPT, seed=1, guidance_scale=1.0, negative_prompt="blurry", **QUICK)
    going_on.set()
    assert [one.result(60).number for one in (first, second)] == [1, 2]
    assert not any(kind is CautionWarning for _, _, kind, _, _ in warnings.filters)


def test_a_listener_cannot_wait_for_its_own_bench(bench):
    """
    A picture that only the waiting thread could make is refused, instead of being waited for for ever.
    """
    making = bench.start(PROMPT, on_step=lambda _: bench.make(PROMPT, seed=1, **QUICK), **QUICK)
    with pytest.raises(BenchError, match="a listener cannot wait"):
        making.result(60)
    assert bench.make(PROMPT, **QUICK).number == 1


def test_a_deleted_picture_can_still_be_named(bench):
    """
    What code holds of a picture that was deleted says what it was, and that the session has it no more.
    """
    made = bench.make(PROMPT, **QUICK)
    bench.delete(made)
    assert "number 1" in repr(made)
    with pytest.raises(BenchError, match=r"number 1.*the session has no picture yet"):
        bench.star(made)


def test_two_pictures_of_one_name_are_two_samples(bench, home):
    """
    Opened one after the other before either is made, pictures whose files have one name do not become one sample.
    """
    makings = []
    for color in ("red", "blue"):
        (home / color).mkdir()
        Image.new("RGB", (128, 128), color).save(home / color / "photo.png")
        bench.open(home / color / "photo.png")
        makings.append(bench.start(PROMPT, **QUICK))
    first, second = (making.result(60).kept.recorded.sample for making in makings)
    assert first == "photo"
    assert second.startswith("photo-")


def test_numbers_outlive_a_damaged_line(three):
    """
    A line that a power cut damaged takes its own picture away, and no other's number.
    """
    lines = three.lines_file.read_bytes().splitlines(keepends=True)
    three.lines_file.write_bytes(lines[0] + bytes(len(lines[1]) - 1) + b"\n" + lines[2])
    assert [kept.number for kept in three.pictures()] == [1, 3]
    assert add(three, PROMPT, seed=4).number == 4
    assert add(three, PROMPT, seed=2).number == 5


def test_what_cannot_be_read_stops_nothing_else(three, home):
    """
    A session that is damaged, and a line that was changed by hand, are passed over by who looks for others.
    """
    lines = three.lines_file.read_bytes().splitlines(keepends=True)
    three.lines_file.write_bytes(b"".join([lines[0], lines[1].replace(b'"guidance_scale": 7.5', b'"guidance_scale": 9.5'), lines[2]]))
    broken = three.path.with_name("broken-0123456789")
    broken.mkdir()
    (broken / "session.json").write_bytes(bytes(40))
    three.local_file.write_text('{"checkpoint": null, "dataset": [1]}')
    assert [session.path for session in sessions()] == [three.path]
    assert len(runs_at([three.path])) == 2
    resumed = Bench.resume()
    assert resumed.make(seed=9, **QUICK).number == 4


def test_files_that_others_write_beside_are_left_alone(three):
    """
    Whoever keeps a picture clears what a killed writer left of pictures, and not what a report is being written under.
    """
    report, picture = three.path / f"{TEMPORARY}0badf00d-report.html", three.images_folder / f"{TEMPORARY}0badf00d-x.png"
    report.touch()
    picture.touch()
    add(three, PROMPT, seed=4)
    assert report.exists()
    assert not picture.exists()


def test_a_key_as_a_files_name_is_not_recorded(bench, home):
    """
    What would be refused as a prompt does not reach the record as a sample's name.
    """
    secret = "hf_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3z"
    Image.new("RGB", (128, 128), "red").save(home / f"{secret}.png")
    bench.open(home / f"{secret}.png")
    made = bench.make(PROMPT, **QUICK)
    assert all(secret not in file.read_text("utf-8", "replace") for file in made.path.parents[1].rglob("*") if file.is_file())


def test_a_dataset_that_moved_is_found_by_what_it_holds(bench, home):
    """
    Where a session's dataset is elsewhere now, its pictures are gone on from all the same.
    """
    write_dataset(home / "scenes", 1)
    parameters: dict[str, Any] = {
        "name": "run",
        "dataset": str(home / "scenes"),
        "checkpoint": "pocket",
        "tasks": ["inpaint"],
        "samples": ["scene-0"],
    }
    hyperparameters = {"prompt": PROMPT, "denoising": QUICK}
    [earlier] = run(resolve(RunSpec.from_parameters(**parameters, hyperparameters=hyperparameters, tracking="off")))
    bench.open(earlier)
    made = bench.make(seed=3)
    (home / "artifacts" / "datasets").mkdir()
    shutil.move(home / "scenes", home / "artifacts" / "datasets" / "scenes")
    assert Bench.resume().again(made, seed=4).kept.resolved.dataset.digest == made.kept.resolved.dataset.digest
    found = RunSpec.from_parameters(**bench.parameters(made) | {"dataset": str(home / "artifacts" / "datasets" / "scenes")})
    assert resolve(found).spec.edits[0].seed == 3


def test_another_sweep_around_a_picture_keeps_the_first(three):
    """
    Two sweeps around one picture are two files and two names; the same one asked for again is the same file.
    """
    bench = Bench.on(three)
    axes = [{"guidance_scale": [3.0]}, {"seed": [4]}, {"guidance_scale": [3.0]}]
    files = [bench.sweep_around(1, each) for each in axes]
    assert files[0] == files[2] != files[1]
    assert len({SweepFile.read(file).name for file in files}) == 2
    own = bench.sweep_around(1, axes[0], "mine.yaml")
    assert SweepFile.read(own).name == "mine"


def test_a_picture_that_is_asked_for_again_is_the_last(three):
    """
    The picture to go on from is the one that was asked for last, also where it was made before others, and in another process too.
    """
    first = three.pictures()[0]
    assert three.latest() is not None
    assert three.latest().number == 3
    assert three.recalled(first.resolved.run_id).number == 1
    assert type(three)(three.path).latest().number == 1
    add(three, PROMPT, seed=4)
    assert three.latest().number == 4
    assert json.loads(three.marks_file.read_text())["asked_after"] == 3


def test_a_sample_is_left_to_its_own_words(bench):
    """
    A dataset's own picture is measured by what its metadata says of it, as in a run.
    """
    sample = fetch("pocket-scenes").sample("red-circle")
    bench.open(sample)
    parameters = {
        "name": "run",
        "dataset": "pocket-scenes",
        "checkpoint": "pocket",
        "tasks": ["inpaint"],
        "samples": ["red-circle"],
        "tracking": "off",
    }
    [by_run] = run(resolve(RunSpec.from_parameters(**parameters, hyperparameters={"denoising": QUICK})))
    assert bench.make(**QUICK).metrics.keys() == by_run.metrics.keys()
