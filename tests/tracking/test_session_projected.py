"""A session as Comet is to show it: plain values, without Comet."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from sdxl_lab.comet import account
from sdxl_lab.records.run_files import RecordError
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.tracking import confirmed
from sdxl_lab.tracking.experiment import Projection
from sdxl_lab.tracking.projection import project
from tests.support.run_folders import complete
from tests.support.runs import resolved_run
from tests.support.sessions import begun_in, kept


def four(session: SessionFolder) -> SessionFolder:
    """Two pictures of words alone, and two of one picture and mask."""
    kept(session, "a red star", seed=3)
    kept(session, "a red star", seed=3, guidance_scale=3.0)
    kept(session, "a ring", "inpaint", kernel_size=9, negative_prompt="blur")
    kept(session, "a ring", "inpaint", kernel_size=9, negative_prompt="blur", width=72, height=64, seed=-1)
    return session


@pytest.fixture(scope="module")
def unsaid(tmp_path_factory: pytest.TempPathFactory) -> SessionFolder:
    """A session of which nobody said anything."""
    return four(begun_in(tmp_path_factory.mktemp("unsaid")))


@pytest.fixture
def session(unsaid, tmp_path) -> SessionFolder:
    """A copy of it."""
    return SessionFolder(shutil.copytree(unsaid.path, tmp_path / "runs" / "sessions" / unsaid.path.name))


@pytest.fixture
def told(session, tmp_path) -> Callable[[], Projection]:
    """The session as it is to be shown now."""
    (tmp_path / "scratch").mkdir()
    return lambda: project(SessionFolder(session.path), tmp_path / "scratch")


def table(projection: Projection) -> list[dict[str, str]]:
    """The rows of the one table."""
    [asset] = projection.assets
    assert (asset.name, asset.step) == ("pictures.csv", None)
    with asset.path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def metadata(projection: Projection) -> dict[int | None, dict[str, Any]]:
    """What is said of each result, by its number."""
    return {image.step: dict(image.metadata) for image in projection.images if image.name == "picture"}


def test_pictures_are_stepped_through_by_their_numbers(told, session):
    """
    Each picture and mask is an image of one name with the number as step and its own bytes, the input is there once; tasks and folder are tags.
    """
    shown = told()
    places = {(image.name, image.step): image for image in shown.images}
    assert set(places) == {("picture", 1), ("picture", 2), ("picture", 3), ("picture", 4), ("mask", 3), ("mask", 4), ("input", 3)}
    assert len(shown.images) == 7
    for picture in session.pictures():
        content = picture.recorded.image.read_bytes()
        image = places["picture", picture.number]
        assert (image.path.read_bytes(), image.sha256) == (content, hashlib.sha256(content).hexdigest())
    assert {name: step for name, step in shown.metrics if name.endswith("change_outside_max")} == {"inpaint/change_outside_max": 4}
    assert {step for name, step in shown.metrics if name == "text_to_image/seconds"} == {1, 2}
    assert (shown.name, shown.tags) == ("tried", ("exploration", "text_to_image", "inpaint", "sessions"))


def test_each_picture_says_what_was_turned(told, session):
    """
    Beside words, seed, settings and digests, a picture says what differs from the one before it, and nothing else.
    """
    session.star(session.pictures()[1], starred=True)
    session.note(session.pictures()[1], "“softer”")
    said = metadata(told())
    assert [said[number]["differs"] for number in (1, 2)] == [{}, {"denoising.guidance_scale": 3.0}]
    assert said[4]["differs"] == {"seed": -1, "size.width": 72, "size.height": 64}
    assert said[3]["differs"].items() >= {"task": "inpaint", "prompt": "a ring", "mask.kernel_size": 9, "seed": 0}.items()
    assert [said[number]["starred"] for number in (1, 2, 3, 4)] == [False, True, False, False]
    assert [said[number]["note"] for number in (1, 2)] == ["", "“softer”"]
    for picture in session.pictures():
        wanted = {"prompt": picture.recorded.prompt, "seed": picture.recorded.seed, "negative_prompt": picture.recorded.negative_prompt}
        wanted |= {"picture_id": picture.picture_id, "sha256": picture.recorded.sha256, "sample": "picture", "task": picture.recorded.task}
        assert said[picture.number].items() >= wanted.items()
    assert said[3]["settings"]["mask"]["kernel_size"] == 9


def test_the_table_has_a_row_a_picture(told, session):
    """
    pictures.csv has words, star and note of each picture, and a column for each setting that differs in the session, no other.
    """
    session.note(session.pictures()[2], 'a "note", of\ntwo lines')
    rows = table(told())
    assert [*rows[0]] == [
        *("number", "picture_id", "sample", "task", "prompt", "negative_prompt", "seed", "starred", "note"),
        *("denoising.guidance_scale", "size.width", "size.height"),
    ]
    columns = ("number", "task", "negative_prompt", "seed", "starred", "note", "denoising.guidance_scale", "size.width")
    assert [tuple(row[column] for column in columns) for row in rows] == [
        ("1", "text_to_image", "", "3", "False", "", "5.0", "128"),
        ("2", "text_to_image", "", "3", "False", "", "3.0", "128"),
        ("3", "inpaint", "blur", "0", "False", 'a "note", of\ntwo lines', "7.5", ""),
        ("4", "inpaint", "blur", "-1", "False", "", "7.5", "72"),
    ]


def test_the_picture_that_was_starred_last_is_shown(told, session):
    """
    Parameters and numbers are those of the picture starred last, of the last picture where none is starred; each key stays, whatever is shown.
    """
    pictures = session.pictures()

    def shown() -> tuple[Any, Any, Any]:
        found = told()
        keys.append((found.parameters.keys(), found.others.keys()))
        return found.others["shown"], found.parameters["mask|kernel_size"], found.parameters["denoising|guidance_scale"]

    keys: list[Any] = []
    assert shown() == (4, 9, 7.5)
    session.star(pictures[2], starred=True)
    session.star(pictures[0], starred=True)
    assert shown() == (1, None, 5.0)
    session.star(pictures[1], starred=True)
    session.star(pictures[0], starred=False)
    assert shown() == (2, None, 3.0)
    session.star(pictures[2], starred=True)  # once more
    assert shown() == (3, 9, 7.5)
    for picture in pictures[2:]:
        session.delete(picture)
    assert shown() == (2, None, 3.0)
    assert all(one == keys[0] for one in keys)
    others = told().others
    assert (others["pictures"], others["starred"], others["shown.seconds"], others["shown.change_outside_max"]) == (2, 1, 0.25, "-")
    assert (others["session_id"], others["checkpoint"], others["dataset"]) == (session.about["id"], "pocket", "inputs")


def test_a_star_changes_the_picture_it_is_of(told, session):
    """
    After a star, a note or a deletion the metadata of the pictures concerned have another digest, and those of all others the one they had.
    """

    def digests() -> dict[int | None, str]:
        return {number: said["metadata_sha256"] for number, said in metadata(told()).items()}

    first = digests()
    assert len(set(first.values())) == 4
    session.star(session.pictures()[1], starred=True)
    assert {number for number, digest in digests().items() if digest != first[number]} == {2}
    session.note(session.pictures()[3], "dull")
    assert {number for number, digest in digests().items() if digest != first[number]} == {2, 4}
    session.star(session.pictures()[1], starred=False)
    session.note(session.pictures()[3], "")
    assert digests() == first
    session.delete(session.pictures()[0])  # the next one has none before it now
    assert {number for number, digest in digests().items() if digest != first[number]} == {2}


def test_only_what_was_deleted_leaves_its_place(told, session):
    """
    The places of deleted pictures are the record's, and empty; those of a picture whose file got lost are left as they are.
    """
    [one, _, three, four] = session.pictures()
    session.delete(three)
    four.recorded.image.unlink()
    found = told()
    filled = {(image.name, image.step) for image in found.images}
    assert filled == {("picture", 1), ("picture", 2)}
    assert {step for _, step in found.places} == {1, 2, 3}
    assert {("picture", 3), ("mask", 3), ("input", 3)} <= found.places
    assert found.others["pictures"] == 2
    assert one.number == 1


@pytest.mark.parametrize("zeros", ["images.jsonl", "parts.jsonl", "marks.jsonl"])
def test_a_damaged_line_is_passed_over(zeros, told, session):
    """
    Zeros that a power cut left, and JSON that says nothing, hide what they replaced, and nothing else.
    """
    session.star(session.pictures()[0], starred=True)
    file = session.path / zeros
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([*lines[:-1], bytes(40), b"[]", b'{"part": Infinity}', b""]))
    found = told()
    assert (found.others["pictures"], found.others["shown"]) == (4, 1)
    file.write_bytes(b"\n".join([bytes(len(lines[0])), *lines[1:]]))
    assert told().others["pictures"] == {"images.jsonl": 3, "parts.jsonl": 0, "marks.jsonl": 4}[zeros]


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line | {"image": "../../secret.png"},
        lambda line: line | {"mask_image": "/etc/hostname"},
        lambda line: line | {"resolved": line["resolved"] | {"edits": []}},
        lambda line: line | {"resolved": {"run_id": line["resolved"]["run_id"]}},
        lambda line: line | {"part": 9},
    ],
    ids=["above", "absolute", "tampered", "without spec", "of no part"],
)
def test_a_strangers_line_leads_nowhere(change, told, session):
    """
    A line that names a file outside its session, or whose spec is not what it says it is, counts for nothing.
    """
    lines = session.lines_file.read_bytes().splitlines()
    changed = json.dumps(change(json.loads(lines[2]))).encode()
    session.lines_file.write_bytes(b"\n".join([*lines[:2], changed, lines[3], b""]))
    assert [image.metadata["prompt"] for image in told().images if image.name == "picture"] == ["a red star", "a red star", "a ring"]


def test_a_note_is_no_place_for_a_key(session):
    """
    A note that looks like an API key is refused before it is written, by an error that does not repeat it.
    """
    key = "hf_" + "aB3" * 8
    with pytest.raises(RecordError, match="looks like an API key") as refused:
        session.note(session.pictures()[0], f"made with {key}")
    assert key not in str(refused.value)
    assert not session.marks_file.exists()


def test_a_run_is_what_it_was(tmp_path):
    """
    What was confirmed of a run is known by the digest that earlier versions took of its files, in their order.
    """
    run = complete(resolved_run(tmp_path / "runs", tracking="off"))
    names = ["spec.json", "images.jsonl", "record.json", "prompts.csv", "contact-sheet.png", "report.html", "executed.ipynb"]
    contents = [(run.path / name).read_bytes() if (run.path / name).is_file() else b"" for name in names]
    digests = b"".join(hashlib.sha256(content).digest() for content in contents)
    assert confirmed.state_of(run) == hashlib.sha256(account.server().encode() + digests).hexdigest()
