"""The answer of a study: by the command, on a page, as a cell shows it, and what is said of it."""

# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# Of these votes there is an interval; a test that meets None fails, as it should.

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

import sdxl_lab
from sdxl_lab.records.finding import find, recorded_at, runs_at
from sdxl_lab.records.run_files import RecordError
from sdxl_lab.records.study_result import ResultFolder
from sdxl_lab.studies.frames import latex_of
from sdxl_lab.studies.recorded import answer_of
from sdxl_lab.studies.result import StudyResult, result_of
from sdxl_lab.studies.result_page import page_of, write_result
from sdxl_lab.studies.trials import Study, StudyError
from sdxl_lab.viewing.report.preferred import preferred
from tests.support.commands import said
from tests.support.compare_runs import planned, recorded
from tests.support.preferences import by_strength, key_of, voted, written

HOSTILE = "</svg><script>alert(1)</script>{{body}}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three runs, in whose pictures the seam is the worse the fewer steps there are; a judge chooses by steps nearly always."""
    above = tmp_path_factory.mktemp("lab")
    for number, steps in enumerate((10, 20, 30)):
        resolved = planned(above / "runs", f"steps-{steps}", {"denoising": {"num_inference_steps": steps}})
        color = Image.new("RGB", (24, 16), (80 * number, 90, 20))
        recorded(
            resolved,
            lambda sample, task, seed, steps=steps: {"seam_delta_e": len(sample) / 9 - steps, "noise": float(len(sample + task) * seed * steps % 7)},
            image=color,
            raw=color,
        )
    made = sdxl_lab.study([above / "runs"], above / "study", repeat=0.2)
    labels = {label: system.settings for label, system in made.key.systems.items()}
    worth = {label: next(iter(settings.values())) ** 3 for label, settings in labels.items()}
    for judge in ("Ann", "Bo", "Cy", "Di", "Ed"):
        written(voted(made.key, judge, by_strength(worth, seed=ord(judge[0])), seed=ord(judge[0])), made.key, above / "study")
    return made.folder


def test_the_command_prints_and_keeps_the_answer(folder, tmp_path):
    """
    `study result` prints shares, pairs, judges and metrics within 80 columns, and writes page, drawing, table and numbers.
    """
    answer = said("study", "result", folder, *sorted(folder.glob("votes-*.json")), "-o", tmp_path / "answer")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert max(len(line) for line in lines if not line.startswith("written: ")) <= 80
    assert lines[0] == "Which picture is better?"
    assert {"Ann", "Bo", "Cy", "Di", "Ed"} <= {line.split()[0] for line in lines if line.strip()}
    assert any(line.startswith("seam_delta_e ") for line in lines)
    assert f"written: {tmp_path / 'answer' / 'result.html'}" in answer.out
    assert sorted(file.name for file in (tmp_path / "answer").iterdir()) == [
        "result.html",
        "result.json",
        "shares.csv",
        "shares.svg",
        "shares.tex",
    ]


def test_votes_beside_the_study_are_found(folder, monkeypatch):
    """
    Without files the folder's own votes are counted, by the command and by the study as it was made, and kept in it.
    """
    answer = said("study", "result", folder)
    assert answer.code == 0, answer.err
    values = json.loads((folder / "result" / "result.json").read_text())
    counted = sdxl_lab.study(folder).result()
    assert [each["system"] for each in values["rankings"][0]["standings"]] == [each.system for each in counted.rankings[0].standings]
    assert values == json.loads(counted.as_json())


def test_the_metric_that_judges_follow_comes_first(folder):
    """
    The metric that made the pictures good agrees with the votes, with rank correlations above zero; one that is chance stands below it.
    """
    found = sdxl_lab.study_result(folder).agreements
    names = [each.metric for each in found]
    assert names.index("seam_delta_e") < names.index("noise")
    seam = found[names.index("seam_delta_e")]
    assert seam.better == "lower"
    assert seam.agreed.value > 0.7
    assert seam.srocc.low > 0
    assert seam.krocc.low > 0


def test_runs_that_are_gone_are_told(folder, tmp_path):
    """
    A study whose runs are not there is counted all the same, and what could not be compared is said.
    """
    key = Study.read(folder)
    key.write(tmp_path / "moved")
    answer = sdxl_lab.study_result(tmp_path / "moved", folder.glob("votes-*.json"))
    assert answer.rankings == sdxl_lab.study_result(folder).rankings
    assert not answer.agreements
    assert any("no metric is compared" in note for note in answer.notes)


def test_an_answer_is_short_and_prints_as_the_command_does(folder):
    """
    As the value of a line an answer is one line; printed it is the command's tables; its frames have the numbers of the JSON.
    """
    answer = sdxl_lab.study_result(folder)
    assert re.fullmatch(r"<StudyResult of \w+: \d+ votes of 5 judges on 3 systems>", repr(answer))
    assert str(answer) == said("study", "result", folder).out.rpartition("written:")[0].strip("\n")
    made = sdxl_lab.study(folder)
    assert repr(made.votes()[0]) == f"<Votes of 'Ann': {len(made.key.trials)} answers in {folder / 'votes-Ann.json'}>"
    values = json.loads(answer.as_json())["rankings"][0]
    table, pairs = answer.table(), answer.pairs()
    assert list(table.index) == [each["system"] for each in values["standings"]]
    assert list(table["share"]) == [each["share"]["value"] for each in values["standings"]]
    assert list(pairs["won"]) == [each["wins"] for each in values["pairings"]]
    assert list(pairs["low"]) == [each["rate"]["low"] for each in values["pairings"]]


def test_latex_says_what_the_tables_say(folder):
    """
    The LaTeX has a row of as many cells as columns for each system and each pair, names escaped, and what has to be known as comments.
    """
    answer = sdxl_lab.study_result(folder)
    text = latex_of(answer)
    rows = [re.split(r"(?<!\\) & ", line.removesuffix(r" \\")) for line in text.splitlines() if line.endswith(r" \\")]
    heads = [row for row in rows if row[0] == "system"]
    widths = [len(re.sub("[{}]", "", spec)) for spec in re.findall(r"begin\{tabular\}(\{[lr]+\})", text)]
    assert [len(row) for row in heads] == widths == [5, 7]
    shares = rows[1 : 1 + len(answer.systems)]
    assert [row[0] for row in shares] == [each.system.replace("_", r"\_") for each in answer.rankings[0].standings]
    assert [row[1] for row in shares] == [f"{100 * each.share.value:.1f}" + r"\%" for each in answer.rankings[0].standings]
    assert len(rows) == 2 + len(answer.systems) + len(answer.rankings[0].pairings)
    assert all(f"% {note}" in text.splitlines() for note in answer.notes)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"votes": []}, "holds no votes-"),
        ({"min_self_agreement": 1.5}, "from 0 .* to 1"),
        ({"votes": ["nowhere.json"]}, "there is no file nowhere.json; .* into the study's folder"),
    ],
)
def test_what_cannot_be_counted_is_refused(tmp_path, asked, words):
    """
    No vote, a share beyond 1 and a file that is none are each answered with what to give.
    """
    key_of("ab").write(tmp_path)
    with pytest.raises(StudyError, match=words):
        sdxl_lab.study_result(tmp_path, **asked)


def test_no_study_is_refused_by_the_command(tmp_path):
    """
    A folder without a study, one that is not there and a file of one are told for what they are, in one line, and nothing is written.
    """
    key_of("ab").write(tmp_path / "study")
    for given, told in ((tmp_path, "it has no study.json"), (tmp_path / "x", "is not there"), (tmp_path / "study" / "study.json", "is a file")):
        answer = said("study", "result", given)
        assert (answer.code, answer.out, len(answer.err.splitlines())) == (1, "", 1)
        assert told in answer.err
        assert "Errno" not in answer.err
    assert [path.name for path in tmp_path.rglob("*")] == ["study", "study.json"]


def counted(judges: int, *, repeats: int = 6, samples: int = 8, careless: int = 0, **asked: Any) -> StudyResult:
    """The answer of judges who prefer a to b to c, the first ones careless."""
    study = key_of("abc", samples=samples, repeats=repeats)
    votes = [
        voted(study, f"j{judge}", (lambda shown: 0) if judge < careless else lambda shown: min(range(len(shown)), key=shown.__getitem__), seed=judge)
        for judge in range(judges)
    ]
    return result_of(study, votes, resamples=99, **asked)


def test_what_an_interval_means_is_said():
    """
    With many judges it is told that both are resampled, with few that it is these judges' taste, with one whose, with few samples that there is none.
    """
    assert "8 samples and 6 judges" in counted(6).notes[0]
    assert "of 3 judges" in counted(3).notes[0]
    assert "one judge's" in counted(1).notes[0]
    assert "no intervals" in counted(6, samples=3).notes[0]


def test_what_few_votes_cannot_say_is_said():
    """
    Of one judge who answered three questions, with two systems tied, it is told how many those are, and no order is claimed.
    """
    study = key_of("abc", samples=3)
    asked = [trial.trial for trial in study.trials[:3]]
    votes = voted(study, "Ann", lambda shown: shown.index("a") if "a" in shown else "tie", trials=lambda trial: trial.trial in asked)
    notes = result_of(study, [votes], resamples=9).notes
    assert "1 judge answered 3 of 9 questions" in notes
    assert any("take these as rough" in note for note in notes)
    assert any("both ways (a; b; c)" in note for note in notes)
    assert not any("order" in note for note in notes)
    assert not any(" of 9 questions" in note for note in result_of(study, [voted(study, "Ann", lambda shown: 0)], resamples=9).notes)


@pytest.mark.parametrize("samples", [4, 8])
def test_there_is_no_column_of_intervals_without_one(samples):
    """
    With too few samples neither table, page nor report has a column of intervals; with enough each has, and a note that says what they are.
    """
    study = key_of("ab", samples=samples)
    result = result_of(study, [voted(study, judge, by_strength({"a": 2, "b": 1}, seed=ord(judge))) for judge in "CDEFG"], resamples=99)
    head = "[low, high]"
    found = [text.count(head) for text in (str(result), page_of(result), preferred([answer_of(result)]))]
    assert found == ([0, 0, 0] if samples < 5 else [3, 3, 2])


@pytest.mark.parametrize("repeats", [0, 2, 5])
def test_repeats_that_are_too_few_to_know_a_careless_judge_are_told(repeats):
    """
    With one to four repeats nobody can be told to be careless, which is said; with none nothing was promised, and from five on it is told.
    """
    study = key_of("abc", samples=6, repeats=repeats)
    notes = result_of(study, [voted(study, "Ann", lambda shown: 0)], resamples=9).notes
    told = [note for note in notes if "careless judge is known by" in note]
    assert told == (["a careless judge is known by 5 repeats or more, and nobody answered more than 2"] if repeats == 2 else [])


def test_where_no_metric_differs_it_is_said(tmp_path):
    """
    Runs whose metrics are all alike are counted, and a line says that no number could be compared with the votes.
    """
    for number, steps in enumerate((10, 20)):
        color = Image.new("RGB", (24, 16), (80 * number, 90, 20))
        resolved = planned(tmp_path / "runs", f"guidance-{steps}", {"denoising": {"guidance_scale": steps}})
        recorded(resolved, lambda sample, task, seed: {"seam_delta_e": 1.0}, image=color, raw=color)
    made = sdxl_lab.study([tmp_path / "runs"], tmp_path / "study")
    file = written(voted(made.key, "Ann", lambda shown: 0), made.key, tmp_path)
    answer = sdxl_lab.study_result(tmp_path / "study", str(file))
    assert not answer.agreements
    assert any("no metric is compared with the votes: none was recorded that differs" in note for note in answer.notes)


def test_a_place_that_cannot_be_is_refused_before_counting(folder, tmp_path):
    """
    Where the answer cannot be kept, nothing is counted or printed.
    """
    (tmp_path / "file").write_text("mine")
    answer = said("study", "result", folder, "-o", tmp_path / "file")
    assert (answer.code, answer.out) == (1, "")
    assert "is no folder" in answer.err


def test_leaving_out_judges_is_never_silent():
    """
    Careless judges are named as such; once left out they are counted, marked, and nothing of theirs is in a share.
    """
    with_all, without = counted(6, careless=2), counted(6, careless=2, min_self_agreement=0.7)
    assert any("2 judges answered less than 70%" in note for note in with_all.notes)
    assert any("2 judges were left out" in note for note in without.notes)
    assert [judge.is_left_out for judge in without.judges] == [True, True, False, False, False, False]
    study = key_of("abc", samples=8, repeats=6)
    assert without.rankings[0].votes == 4 * len(study.trials)
    with pytest.raises(StudyError, match="lower --min-self-agreement"):
        counted(2, careless=2, min_self_agreement=0.7)


class Tags(HTMLParser):
    """Every tag of a page, and all attributes that may load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        self.tags.add(tag)
        self.loads += [name for name, _ in attrs if name in ("src", "href", "srcset", "action") or name.startswith("on")]


def hostile() -> StudyResult:
    """An answer whose systems and judges have names that are HTML."""
    study = key_of(["a", HOSTILE])
    return result_of(study, [voted(study, HOSTILE[:40], lambda shown: 0)], resamples=9)


def test_the_page_has_no_script_and_loads_nothing():
    """
    The page is whole in itself, has no script, forbids all but its own style, and names are text in it, whatever they are.
    """
    text = page_of(hostile())
    found = Tags(text)
    assert "script" not in found.tags
    assert found.loads == []
    assert "default-src 'none'" in text
    assert "script-src ;" in text
    assert text.count("<main>") == 1


def test_judges_have_no_names_on_the_page(folder):
    """
    Page, table and drawing hold no name of a judge: they are numbered there.
    """
    write_result(sdxl_lab.study_result(folder), folder / "shown")
    for name in ("result.html", "shares.csv", "shares.svg", "shares.tex"):
        assert not re.search(r"\b(Ann|Bo|Cy|Di|Ed)\b", (folder / "shown" / name).read_text())
    assert '"Ann"' in (folder / "shown" / "result.json").read_text()


def test_the_drawing_is_svg_with_a_dot_a_system(folder):
    """
    The drawing is well-formed, stands alone, and has a dot for each system, the better the further to the right.
    """
    answer = sdxl_lab.study_result(folder)
    write_result(answer, folder / "drawn")
    root = ElementTree.fromstring((folder / "drawn" / "shares.svg").read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    dots = [float(dot.get("cx", "nan")) for dot in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert len(dots) == 3
    assert dots == sorted(dots, reverse=True)
    assert len(ElementTree.fromstring(f"<div>{answer._repr_html_()}</div>")) > 3


def test_an_answer_is_found_and_is_no_run(folder, tmp_path):
    """
    A kept answer is found among records, and is refused where runs are looked at.
    """
    write_result(sdxl_lab.study_result(folder), tmp_path)
    (found,) = find(tmp_path)
    assert isinstance(found, ResultFolder)
    assert recorded_at([tmp_path])
    with pytest.raises(RecordError, match="answer of a study and no run"):
        runs_at([tmp_path])
    shown = said("show", tmp_path)
    assert (shown.code, shown.out) == (1, "")
    assert f"it is read in {tmp_path / 'result.html'}" in shown.err
    (tmp_path / "result.json").write_text('{"loss": 3}')
    assert find(tmp_path) == ()
