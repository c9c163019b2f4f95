"""What a study's key and its files of votes hold, and what is refused of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.studies.trials import ShownPicture, Study, StudyError, System, Trial
from sdxl_lab.studies.votes import VotesError, content_of, file_name, read_votes, votes_in

OF = {"sample": "café", "task": "inpaint", "seed": 2**63, "picture": "../a.png", "sha256": "0" * 64}
STUDY = Study(
    study="5eed",
    version="0.2.0",
    question="better",
    seed=3,
    systems={"steps 10": System(runs=("../a",), settings={"steps": 10, "frac": None}), "steps 30": System(runs=("../b",), settings={"steps": 30})},
    pictures={"p1": ShownPicture(system="steps 10", **OF), "p2": ShownPicture(system="steps 30", **OF)},
    trials=(Trial(trial="t1", pictures=("p1", "p2")), Trial(trial="t2", pictures=("p2", "p1"), mirrors="t1")),
)
FIRST: dict[str, Any] = {"trial": "t1", "shown": ["p2", "p1"], "answer": 1, "milliseconds": 3200, "at": "2026-11-29T07:00:00.000Z"}
SECOND = FIRST | {"trial": "t2", "shown": ["p1", "p2"], "answer": "tie"}


def written(folder: Path, *votes: dict[str, Any], judge: str = "Zoë", **others: Any) -> Path:
    """A file of votes as a page writes it, its digest taken here by hand."""
    values = {"study": STUDY.study, "digest": STUDY.digest, "judge": judge, "votes": list(votes), **others}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    file = folder / f"{len(list(folder.iterdir()))}.json"
    file.write_text(json.dumps(values | {"sha256": hashlib.sha256(text.encode()).hexdigest()}))
    return file


def test_a_key_is_read_as_it_was_written(tmp_path):
    """
    A study is the same once written and read, and its digest is that of the canonical JSON of all the rest.
    """
    STUDY.write(tmp_path)
    values = json.loads((tmp_path / "study.json").read_text())
    digest = values.pop("digest")
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == digest
    assert Study.read(tmp_path) == STUDY


@pytest.mark.parametrize("changed", [("steps 30", "steps 31"), ('"mirrors": "t1"', '"mirrors": null'), ('"p1",', '"p2",')])
def test_a_key_that_was_changed_is_refused(tmp_path, changed):
    """
    Whatever is changed in a study's file, it is told, and nothing of it is read.
    """
    STUDY.write(tmp_path)
    file = tmp_path / "study.json"
    file.write_text(file.read_text().replace(*changed))
    with pytest.raises(StudyError, match="changed after it was written"):
        Study.read(tmp_path)


@pytest.mark.parametrize("content", [None, "", "[]", '{"digest": 1}', '{"study": "a", "digest": "b"}'])
def test_what_is_no_key_is_said_to_be_none(tmp_path, content):
    """
    A folder without a study, or with another file of its name, is answered with what to give instead.
    """
    if content is not None:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(StudyError, match="give a folder that sdxl-lab study new made"):
        Study.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trials": (Trial(trial="t1", pictures=("p1", "p3")),)}, "shows p3"),
        ({"trials": (Trial(trial="t1", pictures=("p1", "p1")),)}, "two systems"),
        ({"trials": (STUDY.trials[0], STUDY.trials[0])}, "one name"),
        ({"trials": (Trial(trial="t1", pictures=("p1", "p2"), mirrors="t0"),)}, "mirrors t0"),
        ({"pictures": {**STUDY.pictures, "p2": replace(STUDY.pictures["p2"], seed=1)}}, "more than one sample"),
        ({"systems": {"steps 10": STUDY.systems["steps 10"]}}, "steps 30"),
    ],
)
def test_a_key_that_contradicts_itself_is_refused(tmp_path, changes, said):
    """
    A study whose parts do not go together is refused, also where its digest is right.
    """
    replace(STUDY, **changes).write(tmp_path)
    with pytest.raises(StudyError, match=said):
        Study.read(tmp_path)


def test_votes_are_read_as_judges_gave_them(tmp_path):
    """
    Each judge's votes come in the order in which they were given, with what was chosen, judges by name.
    """
    files = [written(tmp_path, FIRST, SECOND), written(tmp_path, SECOND, judge="Ann")]
    ann, zoe = read_votes(files, STUDY)
    assert (ann.judge, zoe.judge) == ("Ann", "Zoë")
    assert [vote.trial for vote in zoe.votes] == ["t1", "t2"]
    assert [vote.answer for vote in zoe.votes] == [1, "tie"]
    assert zoe.votes[0].milliseconds == 3200


def test_the_lab_writes_votes_as_the_page_does(tmp_path):
    """
    What the lab writes for a judge is read as what a page writes is.
    """
    (tmp_path / file_name("Zoë")).write_bytes(content_of("Zoë", [FIRST, SECOND], STUDY))
    assert votes_in(tmp_path / "votes-Zoë.json", STUDY).votes == votes_in(written(tmp_path, FIRST, SECOND), STUDY).votes


def test_of_two_files_of_one_judge_the_one_that_goes_on_counts(tmp_path):
    """
    In whichever order they are given, the longer file of a judge counts where it begins as the shorter one does.
    """
    files = [written(tmp_path, FIRST), written(tmp_path, FIRST, SECOND)]
    for given in (files, files[::-1]):
        [only] = read_votes(given, STUDY)
        assert len(only.votes) == 2


def test_two_files_of_one_judge_that_contradict_each_other_are_refused(tmp_path):
    """
    Two files of one judge's name, neither of which goes on where the other ends, are not counted twice.
    """
    with pytest.raises(VotesError, match="both of 'Zoë'"):
        read_votes([written(tmp_path, FIRST), written(tmp_path, SECOND)], STUDY)


@pytest.mark.parametrize(
    ("votes", "others", "said"),
    [
        ([FIRST], {"study": "other"}, "another study"),
        ([FIRST], {"digest": "0" * 64}, "before it was changed"),
        ([FIRST, FIRST], {}, "twice"),
        ([FIRST | {"trial": "t9"}], {}, "t9"),
        ([FIRST | {"shown": ["p1", "p3"]}], {}, "other pictures"),
        ([FIRST | {"answer": 2}], {}, "picture 3 of 2"),
        ([FIRST | {"answer": -1}], {}, "answer"),
        (
            [FIRST | {"answer": "left"}],
            {},
            "answer of vote 1: got 'left'; allowed is the place of the chosen picture, 0 for the first one, tie or skip",
        ),
        ([FIRST], {"judge": ""}, "1 to 40"),
        ([FIRST], {"judge": "a\nb"}, "control"),
    ],
)
def test_votes_that_are_none_of_a_study_are_refused(tmp_path, votes, others, said):
    """
    What was not asked, or not by this study, is refused with what is wrong, though the file's own digest is right.
    """
    with pytest.raises(VotesError, match=said):
        votes_in(written(tmp_path, *votes, **others), STUDY)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no JSON, or was cut off"),
        (b"\xff\x00", "no JSON, or was cut off"),
        (b"[" * 100_000, "no JSON, or was cut off"),
        (b"[]", "JSON of something else"),
        (b'{"votes": []}', "its digest, sha256, is missing"),
        (b'{"sha256": 1}', "Missing required|required"),
    ],
)
def test_a_file_without_votes_is_refused(tmp_path, content, reason):
    """
    A file that holds something else, was cut off or lost its digest is told for what it is, with what to give instead.
    """
    file = tmp_path / "votes.json"
    file.write_bytes(content)
    with pytest.raises(VotesError, match=rf"holds no votes \(.*({reason}).*\)"):
        votes_in(file, STUDY)


def test_other_files_of_a_study_are_told_from_votes(tmp_path):
    """
    A folder, the key and a kept answer are each named for what they are, with what to give.
    """
    STUDY.write(tmp_path)
    (tmp_path / "result.json").write_text('{"format": 1, "rankings": []}')
    for name, told in (("study.json", "the key of a study, and no votes"), ("result.json", "the answer of a study"), ("", "is a folder")):
        with pytest.raises(VotesError, match=told):
            votes_in(tmp_path / name, STUDY)


def test_votes_that_were_changed_are_refused(tmp_path):
    """
    One answer that is another than the page wrote is told.
    """
    file = written(tmp_path, FIRST)
    file.write_text(file.read_text().replace('"answer": 1', '"answer": 0'))
    with pytest.raises(VotesError, match="changed after the page wrote it"):
        votes_in(file, STUDY)
