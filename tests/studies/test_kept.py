"""What a study found, as it is kept beside the runs it was made of, and as their report shows it."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

import sdxl_lab
from sdxl_lab.records.finding import find_runs
from sdxl_lab.records.preferred import Agreed, Estimate, Shares, Standing, StudyAnswer, answers_on
from sdxl_lab.records.sweep import RecordedPoint, SweepFolder
from sdxl_lab.studies.made import MadeStudy
from sdxl_lab.studies.recorded import answer_of, keep_beside
from sdxl_lab.studies.result import StudyResult, result_of
from sdxl_lab.studies.votes import read_votes
from sdxl_lab.tracking.of_sweep import of_sweep
from sdxl_lab.viewing.report import write_report
from sdxl_lab.viewing.report.preferred import preferred
from tests.support import sessions
from tests.support.answered import JUDGES, answered
from tests.support.commands import said
from tests.support.preferences import by_strength, key_of, voted, written

HOSTILE = "</details><script>alert(1)</script> \" onclick='x' {{data}}"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[MadeStudy, StudyResult]:
    """A study of six runs, answered, and what it found."""
    return answered(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def copied(study, tmp_path) -> MadeStudy:
    """The same, to be changed."""
    shutil.copytree(study[0].folder.parent, tmp_path / "lab")
    return MadeStudy(tmp_path / "lab" / "study")


def section_of(page: Path) -> str:
    """What people preferred, as it stands in a page."""
    return "".join(re.findall(r'<details class="preferred".*?</details></details>', page.read_text("utf-8"), re.DOTALL))


def texts(part: str) -> list[str]:
    """The texts of a part of a page, one an element."""
    return [text for piece in re.split(r"<(?!wbr)[^>]*>", part) if (text := html.unescape(piece.replace("<wbr>", "")).strip())]


def test_a_report_says_what_the_study_found(study, tmp_path):
    """
    The report of runs has the question, how many votes there are, and of each system the share, interval and counts of the study's answer.
    """
    made, result = study
    [ranking] = result.rankings
    section = section_of(write_report([made.folder.parent / "runs"], tmp_path / "report.html"))
    assert {"Which picture is better?", result.summary, "How often each would be chosen, derived", *result.notes} <= set(texts(section))
    shown = [texts(row) for row in re.findall(r"<tr>(.*?)</tr>", section)[1:]]
    expected = []
    for each in ranking.standings:
        low, high = each.share.low, each.share.high
        expected.append([each.system, f"{each.share.value:.1%}", f"[{100 * low:.1f}, {100 * high:.1f}]", str(each.chosen), str(each.shown)])
    assert shown == expected
    assert ("No recorded number goes with the votes" in section) == all(each.srocc.value <= 0 for each in result.agreements)


def test_the_drawing_is_that_of_the_result_page(study, tmp_path):
    """
    The drawing in the report is to the last letter the one in the study's own page.
    """
    from sdxl_lab.studies.result_page import body_of

    made, result = study
    [drawing] = re.findall(r"<svg.*?</svg>", section_of(write_report([made.folder.parent / "runs"], tmp_path / "report.html")), re.DOTALL)
    assert drawing in body_of(result)


def test_each_picture_has_its_share_of_votes(study):
    """
    Counted by hand from the files of votes, each picture was chosen in so many of the votes on it, half of ties included; repeats count as votes.
    """
    made, result = study
    points, asked = defaultdict(float), defaultdict(int)
    for file in made.folder.glob("votes-*.json"):
        for vote in json.loads(file.read_bytes())["votes"]:
            for place, name in enumerate(vote["shown"]):
                asked[name] += 1
                points[name] += 0.5 if vote["answer"] == "tie" else float(vote["answer"] == place)
    column = answer_of(result).column
    numbers = {picture.image.resolve(): picture.metrics[column] for run in find_runs(made.folder.parent / "runs") for picture in run.pictures()}
    expected = {(made.folder / made.key.pictures[name].picture).resolve(): points[name] / asked[name] for name in asked}
    assert numbers == pytest.approx(expected)
    assert {name: judged.shown for name, judged in result.pictures.items()} == asked


def test_compare_has_the_share_of_votes(study):
    """
    A comparison of the runs shows it unasked: of each run the mean over its pictures, higher being better.
    """
    made, result = study
    column = answer_of(result).column
    compared = sdxl_lab.compare([made.folder.parent / "runs"])
    expected = {}
    for run in find_runs(made.folder.parent / "runs"):
        own = [judged.preferred for name, judged in result.pictures.items() if run.path.name in made.key.pictures[name].picture]
        expected[run.resolved.spec.name] = sum(own) / len(own)
    assert compared.table()[column].to_dict() == pytest.approx(expected)
    assert f"{column}, higher is better" in str(compared)
    assert f"{column} is the share of votes in a study: Which picture is better? {result.summary}" in compared.notes
    assert not [note for note in sdxl_lab.compare([made.folder.parent / "runs"], metrics=["steps"]).notes if column in note]


def test_what_people_said_is_not_compared_with_people(study):
    """
    Counted once more, a study compares no metric that is made of votes, and finds what it found.
    """
    made, result = study
    again = made.result()
    assert not any(each.metric.startswith("preferred") for each in again.agreements)
    assert again == result


def test_no_judge_is_named_beside_a_run(study, tmp_path):
    """
    Neither what is kept beside the runs nor their report has the name of a judge or a path of the study.
    """
    made, _ = study
    page = write_report([made.folder.parent / "runs"], tmp_path / "report.html")
    kept = list((made.folder.parent / "runs").glob("*/measures/preferred-*.json"))
    assert len(kept) == 6
    for text in (section_of(page), *(file.read_text("utf-8") for file in kept)):
        assert not any(re.search(rf"\b{judge}\b", text) for judge in JUDGES)
        assert str(made.folder.parent) not in text


def test_without_a_study_a_report_has_nothing_of_it(copied, tmp_path):
    """
    Runs that nobody was asked about have a report without the section; once the answer is taken away, it is the same to the last byte.
    """
    runs = copied.folder.parent / "runs"
    with_answer = write_report([runs], tmp_path / "report.html").read_bytes()
    for folder in runs.glob("*/measures"):
        shutil.rmtree(folder)
    without = write_report([runs], tmp_path / "report.html").read_bytes()
    assert with_answer != without
    assert not section_of(tmp_path / "report.html")
    assert b'"preferred-' not in without
    shutil.rmtree(copied.folder)
    assert write_report([runs], tmp_path / "report.html").read_bytes() == without


@pytest.mark.parametrize("damage", ["{", '{"format": 1}', None])
def test_an_answer_that_cannot_be_read_is_passed_over(copied, tmp_path, damage):
    """
    A damaged file, or one whose numbers are none, costs the section and nothing else.
    """
    runs = copied.folder.parent / "runs"
    for file in runs.glob("*/measures/preferred-*.json"):
        document = json.loads(file.read_bytes())
        document["answer"]["rankings"][0]["standings"][0]["share"]["value"] = float("nan")
        file.write_text(damage or json.dumps(document))
    assert not section_of(write_report([runs], tmp_path / "report.html"))


def test_pictures_that_were_made_anew_were_not_judged(copied, tmp_path):
    """
    An answer on other pixels than those of the pictures that are looked at is not shown.
    """
    [run, *_] = find_runs(copied.folder.parent / "runs")
    assert section_of(write_report([run], tmp_path / "report.html"))
    [file] = run.path.glob("measures/preferred-*.json")
    document = json.loads(file.read_bytes())
    for picture in document["pictures"]:
        picture["sha256"] = "0" * 64
    file.write_text(json.dumps(document))
    assert not section_of(write_report([run], tmp_path / "report.html"))


def test_more_votes_take_the_place_of_fewer(copied):
    """
    Counted again with more votes, the answer beside the runs is the new one, also where a run still has the old one.
    """
    votes = read_votes(sorted(copied.folder.glob("votes-*.json")), copied.key)
    few = result_of(copied.key, votes[:2], folder=copied.folder, resamples=9)
    [old, *_] = keep_beside(few, copied.key, copied.folder)
    content = old.read_bytes()
    full = copied.result()
    keep_beside(full, copied.key, copied.folder)
    assert len(list(old.parent.glob("preferred-*"))) == 1
    old.write_bytes(content)
    pictures = [(run.path, picture) for run in find_runs(copied.folder.parent / "runs") for picture in run.pictures()]
    [answer] = answers_on(pictures)
    assert answer == answer_of(full)


def test_the_command_keeps_it_and_says_so(copied):
    """
    `study result` keeps the answer beside the runs, and says where; of runs that are gone it says which, and counts all the same.
    """
    runs = copied.folder.parent / "runs"
    for folder in runs.glob("*/measures"):
        shutil.rmtree(folder)
    answer = said("study", "result", copied.folder)
    assert answer.code == 0, answer.err
    assert "kept beside 6 records too (measures): compare, report and push have it now" in answer.out
    [gone, *_] = sorted(runs.iterdir())
    gone.rename(runs.parent / "elsewhere")
    answer = said("study", "result", copied.folder)
    assert answer.code == 0, answer.err
    assert "kept beside 5 records" in answer.out
    assert f"no record is found ({gone.name}: not where it was, as seen from the study's folder)" in " ".join(answer.out.split())


def test_pictures_of_a_session_are_judged_like_those_of_runs(tmp_path):
    """
    A session keeps the answer beside its record, and its report, its pictures and a report of one that was judged have it; one made since has not.
    """
    session = sessions.begun(tmp_path / "sessions")
    for prompt in ("a red star", "a blue star"):
        for steps in (4, 8):
            sessions.kept(session, prompt, num_inference_steps=steps)
    lines = session.lines_file.read_bytes()
    made = sdxl_lab.study(session.path, tmp_path / "study")
    written(voted(made.key, "Ann", by_strength(dict.fromkeys(made.key.systems, 1.0), seed=1)), made.key, made.folder)
    result = made.result()
    [file] = keep_beside(result, made.key, made.folder)
    sessions.kept(session, "a green star", num_inference_steps=4)
    column = answer_of(result).column
    again = type(session)(session.path).pictures()
    assert file == session.path / "measures" / f"{column}.json"
    assert session.lines_file.read_bytes().startswith(lines)
    assert [column in kept.recorded.metrics for kept in again] == [True] * 4 + [False]
    assert section_of(write_report([session.path], tmp_path / "all.html"))
    assert section_of(write_report([again[0].as_run], tmp_path / "one.html"))
    assert not section_of(write_report([again[-1].as_run], tmp_path / "other.html"))


def test_a_sweeps_page_in_comet_has_it(copied, tmp_path):
    """
    A sweep whose report is written after the study was answered goes to Comet with that page, and its record is another one than before.
    """
    runs = find_runs(copied.folder.parent / "runs")
    points = [RecordedPoint(label=run.path.name, run_id=run.resolved.run_id, folder=run.path.name, pictures=6, values={}) for run in runs]
    sweep = SweepFolder(copied.folder.parent / "runs").write(name="sweep", tracking="off", command="", points=points)
    assert {file.name for file in sweep.record_files} >= {f"{answer_of(copied.result()).column}.json"}
    answer = said("report", sweep.path)
    assert answer.code == 0, answer.err
    page = of_sweep(sweep, tmp_path).html
    assert page
    assert page.path == sweep.report_file
    assert section_of(page.path)


def test_where_nobody_chose_nothing_is_drawn():
    """
    If every answer was a tie, systems are listed without a share, no drawing pretends to one, and each picture has its half of each vote.
    """
    study = key_of("ab")
    result = result_of(study, [voted(study, "Ann", lambda shown: "tie")], resamples=9)
    section = preferred([answer_of(result)])
    assert "<svg" not in section
    assert [texts(row)[:2] for row in re.findall(r"<tr>(.*?)</tr>", section)[1:]] == [["a", "-"], ["b", "-"]]
    assert {judged.preferred for judged in result.pictures.values()} == {0.5}


def test_the_numbers_that_go_with_the_votes_are_the_closest():
    """
    Of many metrics the three with the largest rank correlation are named, with its interval, and none whose numbers go the other way.
    """
    sroccs = {"a": 0.2, "b": -0.9, "c": 0.8, "d": 0.5, "e": 0.4}
    answer = StudyAnswer(
        study="0" * 16,
        question="Which?",
        summary="",
        votes=2,
        systems={},
        rankings=(),
        agreements=tuple(Agreed(metric=name, srocc=Estimate(value=value, low=-1.0, high=1.0)) for name, value in sroccs.items()),
        notes=(),
    )
    assert "people): c +0.80 [-1.00, +1.00], d +0.50 [-1.00, +1.00], e +0.40 [-1.00, +1.00]." in preferred([answer])
    assert "No recorded number goes with the votes" in preferred([replace(answer, agreements=answer.agreements[1:2])])
    assert "with the votes" not in preferred([replace(answer, agreements=())])


def of_text(text: str) -> str:
    """The section of an answer all of whose texts are one."""
    standing = Standing(system=text, shown=2, chosen=1, share=Estimate(value=0.5))
    answer = StudyAnswer(
        study=text,
        question=text,
        summary=text,
        votes=2,
        systems={text: {text: text}},
        rankings=(Shares(standings=(standing,), is_counted=True),),
        agreements=(Agreed(metric=text, srocc=Estimate(value=1.0)),),
        notes=(text,),
    )
    return preferred([answer])


def test_text_of_an_answer_is_text():
    """
    Whatever stands in a label, a question, a metric or a note, the elements and attributes are those of harmless texts, and it is read as it is.
    """
    hostile = of_text(HOSTILE)
    marks = [re.sub(r'"[^"]*"', "", mark) for mark in re.findall(r"<[^>]*>", hostile)]
    assert marks == [re.sub(r'"[^"]*"', "", mark) for mark in re.findall(r"<[^>]*>", of_text("x" * len(HOSTILE)))]
    assert json.loads(html.unescape(re.findall(r'data-only="([^"]*)"', hostile)[0])) == [f"{HOSTILE}={json.dumps(HOSTILE)}"]
    assert texts(hostile).count(HOSTILE) == 5
