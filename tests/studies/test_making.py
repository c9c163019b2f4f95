"""Recorded pictures → a study."""

from __future__ import annotations

import base64
import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdxl_lab.images.png import digest_of_pixels, png
from sdxl_lab.records.run_files import RecordError
from sdxl_lab.studies import pictures
from sdxl_lab.studies.made import MadeStudy
from sdxl_lab.studies.making import study
from sdxl_lab.studies.notes import FEWEST_REPEATS
from sdxl_lab.studies.result import study_result
from sdxl_lab.studies.trials import Study, StudyError
from sdxl_lab.studies.votes import content_of, file_name
from tests.support import report_runs, sessions, studies
from tests.support.commands import said


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Three runs that differ in their guidance."""
    folder = tmp_path_factory.mktemp("recorded") / "runs"
    studies.runs(folder)
    return folder


def shown(made: MadeStudy) -> dict[str, Any]:
    """What the page holds."""
    [data] = re.findall(r'id="data">(.*?)</script>', made.page.read_text(), re.DOTALL)
    return json.loads(data)


def test_systems_are_what_differs(runs, tmp_path):
    """
    Runs over the same samples are systems by the one setting that differs, and each trial shows one sample, task and seed by two of them.
    """
    made = study([runs], tmp_path / "study")
    key = made.key
    assert [system.settings for system in key.systems.values()] == [{"denoising.guidance_scale": each} for each in studies.GUIDANCE]
    assert list(key.systems) == [f"guidance_scale {each}" for each in studies.GUIDANCE]
    first = [trial for trial in key.trials if not trial.mirrors]
    assert len(first) == 3 * len(studies.PLACES)
    for trial in key.trials:
        one, other = (key.pictures[name] for name in trial.pictures)
        assert (one.sample, one.task, one.seed) == (other.sample, other.task, other.seed)
        assert one.system != other.system
    assert {(picture.sample, picture.task, picture.seed) for picture in key.pictures.values()} == {(*place[:2], place[3]) for place in studies.PLACES}
    assert made.votes() == []


def test_a_run_with_one_value_for_each_task_is_one_system(tmp_path):
    """
    Where a run grows the mask of one task more than that of the other, its pictures are of one system, whose label tells both.
    """
    [exact] = studies.runs(tmp_path / "exact", (5.375,), mask={"kernel_size": 1})
    [dilated] = studies.runs(tmp_path / "dilated", (5.5,), mask={"kernel_size": 25}, outpaint={"mask": {"kernel_size": 5}})
    key = study([exact.path, dilated.path], tmp_path / "study", repeat=0).key
    assert list(key.systems) == ["guidance_scale 5.375, kernel_size 1", "guidance_scale 5.5, kernel_size 25 (inpaint), 5 (outpaint)"]
    assert key.systems[list(key.systems)[1]].settings["mask.kernel_size"] == {"inpaint": 25, "outpaint": 5}
    assert len(key.trials) == len(studies.PLACES)
    assert {picture.task for picture in key.pictures.values()} == {"inpaint", "outpaint"}
    assert Study.read(tmp_path / "study") == key


def test_what_is_asked_is_said(runs, tmp_path):
    """
    How much each judge is asked, that fewer pairs are possible than were wanted, and that three samples give no intervals, is said at once.
    """
    notes = study([runs], tmp_path / "study", pairs=500).notes
    assert "each judge is asked 20 questions, 2 of them a second time, on 3 samples and 3 systems" in notes
    assert any("got --pairs 500, and 18 are possible" in note for note in notes)
    assert any("no intervals, since they take 5 samples" in note for note in notes)
    assert not any("--pairs" in note or "never shown together" in note for note in study([runs], tmp_path / "all").notes)


def test_too_few_repeats_are_said_with_how_many_to_ask(runs, tmp_path):
    """
    Where so few are asked again that no careless judge is ever told of, the share that asks enough is said, and with it nothing is.
    """
    [note] = [note for note in study([runs], tmp_path / "few").notes if "careless" in note]
    assert note == "a careless judge is known by 5 repeats or more, not by 2: --repeat 0.28 asks as many"
    made = study([runs], tmp_path / "enough", repeat=0.28)
    assert sum(trial.mirrors is not None for trial in made.key.trials) == FEWEST_REPEATS
    assert not any("careless" in note for note in [*made.notes, *study([runs], tmp_path / "none", repeat=0).notes])


def test_systems_that_never_meet_are_said(tmp_path):
    """
    Two pairs of systems over other samples each are told as groups that have rankings of their own.
    """
    for name, guidance, places in (("a", (2.125, 5.375), studies.PLACES[:2]), ("b", (8.625, 9.5), studies.PLACES[2:])):
        for each in guidance:
            report_runs.recorded(report_runs.planned(tmp_path / name, each, 10, None, places), side_px=64)
    notes = study([tmp_path], tmp_path / "study").notes
    start = notes.index("2 groups of systems are never shown together, and each will have a ranking of its own:")
    assert notes[start + 1] == "  group 1: guidance_scale 2.125; guidance_scale 5.375"
    assert notes[start + 2] == "  group 2: guidance_scale 8.625; guidance_scale 9.5"


def test_a_path_that_is_not_there_is_said_before_the_folder(runs, tmp_path, monkeypatch):
    """
    A slip in the name of a study or a run is told as such, also where a folder `study` is there; the command names the next one.
    """
    monkeypatch.chdir(tmp_path)
    made = said("study", "new", runs)
    assert made.code == 0, made.err
    assert made.out.splitlines()[-1].endswith("sdxl-lab study result study votes-*.json")
    with pytest.raises(RecordError, match="typo is not there"):
        study("typo")
    again = said("study", "new", "study", "-o", "other")
    assert (again.code, again.out) == (1, "")
    assert "study is a study itself: its page is study/index.html" in again.err


def test_which_edit_is_cleaner_is_asked_of_edits(tmp_path):
    """
    Pictures from words alone are no edits: it is said why, and what to ask instead.
    """
    places = tuple((sample, "text_to_image", words, seed) for sample, _, words, seed in studies.PLACES[::2])
    for each in (2.125, 5.375):
        report_runs.recorded(report_runs.planned(tmp_path / "runs", each, 10, None, places), side_px=64)
    with pytest.raises(StudyError, match=r"of text_to_image, whose pictures were made without input.*ask --question better or prompt"):
        study([tmp_path / "runs"], tmp_path / "study", question="edit")


def test_a_key_names_the_recorded_pictures(runs, tmp_path):
    """
    From the study's folder each picture's path leads to a PNG with the recorded pixels, of a run of its system.
    """
    key = study([runs], tmp_path / "deep" / "study").key
    folder = tmp_path / "deep" / "study"
    for picture in key.pictures.values():
        file = folder / picture.picture
        assert digest_of_pixels(Image.open(file)) == picture.sha256
        assert any(file.resolve().is_relative_to((folder / run).resolve()) for run in key.systems[picture.system].runs)


def test_a_tenth_is_asked_again_mirrored(runs, tmp_path):
    """
    Of 18 trials two come again, each with the pictures of the trial that it names.
    """
    key = study([runs], tmp_path / "study").key
    again = [trial for trial in key.trials if trial.mirrors]
    by_name = {trial.trial: trial for trial in key.trials}
    assert len(again) == 2
    assert all(trial.pictures == by_name[trial.mirrors].pictures[::-1] for trial in again if trial.mirrors)


def test_the_seed_chooses(runs, tmp_path):
    """
    The same seed asks about the same pictures, another one about others, each by names of its own.
    """

    def asked(name: str, seed: int) -> Counter[frozenset[str]]:
        key = study([runs], tmp_path / name, pairs=6, seed=seed, repeat=0).key
        return Counter(frozenset(key.pictures[picture].sha256 for picture in trial.pictures) for trial in key.trials)

    assert asked("a", 1) == asked("b", 1) != asked("c", 2)
    assert not set(Study.read(tmp_path / "a").pictures) & set(Study.read(tmp_path / "b").pictures)


def test_few_pairs_are_of_all_systems_and_samples(runs, tmp_path):
    """
    Six pairs of three systems and three samples show each pair of systems, and each sample, twice.
    """
    key = study([runs], tmp_path / "study", pairs=6, repeat=0).key
    of = [[key.pictures[name] for name in trial.pictures] for trial in key.trials]
    assert set(Counter(frozenset(picture.system for picture in pair) for pair in of).values()) == {2}
    assert Counter(pair[0].sample for pair in of) == {"anemone": 2, "reef": 2, "turtle": 2}


@pytest.mark.parametrize(("question", "has_prompt"), [("better", False), ("prompt", True), ("edit", True)])
def test_a_prompt_is_shown_where_it_is_asked_about(runs, tmp_path, question, has_prompt):
    """
    Judges read the prompt only where the question is about it; input and mask are there for all edits.
    """
    content = shown(study([runs], tmp_path / "study", question=question))
    assert all(("prompt" in trial) == has_prompt for trial in content["trials"])
    assert all({trial["input"], trial["mask"]} <= content["files"].keys() for trial in content["trials"])


def test_a_mask_that_tells_the_setting_is_not_shown(tmp_path):
    """
    Where a trial's pictures have masks of other pixels, the page holds none of these for it, and still the input.
    """
    one, other = studies.runs(tmp_path / "runs", (2.125, 5.375))
    for picture in other.pictures():
        picture.mask_image.write_bytes(png(Image.new("L", (picture.width, picture.height), 255)))
    trials = shown(study([one.path, other.path], tmp_path / "study"))["trials"]
    assert not any("mask" in trial for trial in trials)
    assert all("input" in trial for trial in trials)


def test_a_session_is_asked_about_like_runs(tmp_path):
    """
    Pictures of a session are of one sample where they were made from the same and by the same words, and of systems by what else differs.
    """
    session = sessions.begun(tmp_path / "sessions")
    for prompt in ("a red star", "a blue moon"):
        for steps in (3, 5):
            for seed in (1, 2):
                sessions.kept(session, prompt, seed=seed, num_inference_steps=steps)
    key = study(session.path, tmp_path / "study").key
    assert list(key.systems) == ["num_inference_steps 3", "num_inference_steps 5"]
    assert {(picture.sample, picture.seed) for picture in key.pictures.values()} == {
        (f"a {what}", seed) for what in ("red star", "blue moon") for seed in (1, 2)
    }
    assert len([trial for trial in key.trials if not trial.mirrors]) == 4


def test_a_study_is_opened_again(runs, tmp_path, monkeypatch):
    """
    Given its folder, also as below one's home, a study is the same again, with the votes that lie in it, and so is its answer.
    """
    made = study([runs], tmp_path / "study", pairs=3)
    [trial, *_] = made.key.trials
    vote = {"trial": trial.trial, "shown": list(trial.pictures), "answer": 0, "milliseconds": 1, "at": "2026-11-29T07:00:00.000Z"}
    (made.folder / file_name("Ann")).write_bytes(content_of("Ann", [vote], made.key))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert study_result("~/study").as_json() == study_result("~/study", "~/study/votes-Ann.json").as_json()
    again = study("~/study")
    assert again.key == made.key
    assert [votes.judge for votes in again.votes()] == ["Ann"]
    assert repr(again).startswith("<MadeStudy")


def test_pictures_too_many_for_a_page_are_all_compressed_alike(runs, tmp_path, monkeypatch):
    """
    Where lossless pictures are too large for a page, all of them are compressed, none more than another; where that does not help it is said.
    """
    whole = study([runs], tmp_path / "whole")
    size = sum(map(len, shown(whole)["files"].values()))
    monkeypatch.setattr(pictures, "MOST_BYTES", size - 1)
    made = study([runs], tmp_path / "small")
    assert any("quality 95" in note for note in made.notes)
    monkeypatch.setattr(pictures, "MOST_BYTES", 1000)
    with pytest.raises(StudyError, match="fewer --pairs"):
        study([runs], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_pictures_in_a_page_are_the_recorded_ones(runs, tmp_path):
    """
    What a page shows without loss are the recorded pixels, by the name that the key has for them.
    """
    made = study([runs], tmp_path / "study", pairs=4)
    files = shown(made)["files"]
    for name, picture in made.key.pictures.items():
        image = Image.open(io.BytesIO(base64.b64decode(files[name].partition(",")[2])))
        assert digest_of_pixels(image) == picture.sha256
        assert not image.info.get("exif")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"question": "bettr"}, "Did you mean better"),
        ({"pairs": 0}, "pairs: got 0"),
        ({"together": 1}, "together: got 1"),
        ({"together": 4}, "more than 3 systems; take 3"),
        ({"repeat": 1.5}, "repeat: got 1.5"),
        ({"output": "s3://bucket/study"}, "address"),
    ],
)
def test_what_is_not_allowed_is_said(runs, tmp_path, monkeypatch, given, told):
    """
    A value that is not allowed is answered with those that are, and nothing is written.
    """
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match=told):
        study([runs], **given)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_taken_is_left_alone(runs, tmp_path):
    """
    A folder that holds something is refused before anything is read, and stays as it is.
    """
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "votes-Ann.json").write_text("mine")
    with pytest.raises(StudyError, match="not empty"):
        study([runs], tmp_path / "study")
    assert [file.read_text() for file in (tmp_path / "study").iterdir()] == ["mine"]
    made = study([runs], tmp_path / "other")
    before = made.page.read_bytes()
    with pytest.raises(StudyError, match=r"other holds a study already; choose another \(-o FOLDER\)"):
        study([runs], tmp_path / "other")
    assert made.page.read_bytes() == before


def test_what_cannot_be_compared_is_said(tmp_path):
    """
    One run, runs without a seed in common, runs whose pictures are all the same, and a folder without runs are each told for what they are.
    """
    [only] = studies.runs(tmp_path / "one", (2.125,))
    with pytest.raises(StudyError, match=r"^got 1 run: that is one system"):
        study(only.path, tmp_path / "study")
    [far] = [report_runs.recorded(report_runs.planned(tmp_path / "far", 5.375, 10, None, (("elsewhere", *studies.PLACES[0][1:]),)))]
    with pytest.raises(StudyError, match=r"^got 2 runs, and no two of them have a picture of the same sample and task"):
        study([only.path, far.path], tmp_path / "study")
    elsewhere = [(sample, task, prompt, seed - 1) for sample, task, prompt, seed in studies.PLACES]
    [other] = [report_runs.recorded(report_runs.planned(tmp_path / "other", 5.375, 10, None, tuple(elsewhere)))]
    with pytest.raises(StudyError, match="no two of them have a picture of the same sample, task and seed"):
        study([only.path, other.path], tmp_path / "study")
    [alike] = studies.runs(tmp_path / "alike", (2.125,), steps=10, refiner={"aesthetic_score": 5.5})
    with pytest.raises(StudyError, match="the same to the last pixel"):
        study([only.path, alike.path], tmp_path / "study")
    with pytest.raises(RecordError, match="is not there"):
        study(tmp_path / "nothing", tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_pictures_of_other_prompts_are_not_compared_by_the_prompt(tmp_path):
    """
    Where runs paint other words of the same samples, which picture is better can be asked, and which fits the prompt cannot.
    """
    [one] = studies.runs(tmp_path / "one", (2.125,))
    others = tuple((sample, task, f"{prompt} at night", seed) for sample, task, prompt, seed in studies.PLACES)
    other = report_runs.recorded(report_runs.planned(tmp_path / "other", 5.375, 10, None, others))
    assert len(study([one.path, other.path], tmp_path / "better").key.systems) == 2
    with pytest.raises(StudyError, match="sample, task, seed and prompt"):
        study([one.path, other.path], tmp_path / "study", question="prompt")


def test_pictures_that_changed_since_are_told(tmp_path):
    """
    A picture that was painted over after it was recorded, or deleted, is told with its run, and no study is made.
    """
    one, other = studies.runs(tmp_path / "runs", (2.125, 5.375))
    picture = one.pictures()[0]
    Image.new("RGB", (picture.width, picture.height)).save(picture.image)
    with pytest.raises(StudyError, match=rf"{re.escape(one.path.name)} \(1 of 6\)"):
        study([one.path, other.path], tmp_path / "study")
    picture.image.unlink()
    with pytest.raises(StudyError, match="not there any more"):
        study([one.path, other.path], tmp_path / "study")
    assert not (tmp_path / "study").exists()
