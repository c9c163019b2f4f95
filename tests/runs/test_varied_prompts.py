"""Prompts whose words are replaced or drawn, from what is asked to what is kept: pictures, records, PNGs, tables, plans, Comet's parameters."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.settings.documents import written
from sdxl_lab.spec.asked_again import as_parameters
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.tracking.parameters import parameters_of
from sdxl_lab.viewing.compare import compare
from sdxl_lab.viewing.report import write_report
from sdxl_lab.viewing.report.content import content_of, entries_of
from sdxl_lab.viewing.report.files import Gallery
from sdxl_lab.viewing.show import print_path
from tests.support.words_alone import write_words

SAMPLES = ({"name": "star", "text_to_image": {"prompt": "a red star", "seed": 3}}, {"name": "ring", "text_to_image": {"prompt": "a red ring"}})


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global text_to_image
    from sdxl_lab.runs.calls import text_to_image


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """
    Nothing is kept in the repository.
    """
    monkeypatch.chdir(tmp_path)
    write_words(Path("words"), *SAMPLES)


@pytest.fixture
def asked(random_pair):
    """
    Resolves a run of two samples and two steps.
    """

    def plan(name: str = "words", samples: list[str] | None = None, **hyperparameters: Any) -> Resolved:
        quick: dict[str, Any] = {"denoising": {"num_inference_steps": 2}, "compute": {"threads": 1, "device": "cpu"}}
        parameters = {"dataset": "words", "checkpoint": str(random_pair), "samples": samples, "tasks": ["text_to_image"], "tracking": "off"}
        return resolve(RunSpec.from_parameters(name=name, **parameters, hyperparameters=quick | hyperparameters))

    return plan


def prompts(resolved: Resolved) -> list[str]:
    """
    What the pictures are made of.
    """
    return [edit.prompt for edit in resolved.spec.edits]


def test_a_varied_prompt_is_the_prompt_it_becomes(asked):
    """
    A run whose words are replaced or drawn is the run of the prompts as they became: the same edits, and the same name.
    """
    by_hand = asked(prompt="a blue star")
    for varied in (
        asked(prompt="a red star", prompt_replace={"red": "blue"}),
        asked(prompt="a {COLOR} star", prompt_replace={"{COLOR}": "blue"}),
        asked(prompt="a {COLOR|COLOR} star", prompt_replace={"COLOR": "blue"}, wildcards="draw"),
        asked(prompt="a red star", prompt_replace={"red": "green"}, text_to_image={"prompt_replace": {"red": "blue"}}),
    ):
        assert varied.spec.edits == by_hand.spec.edits
        assert varied.spec.run_id == by_hand.spec.run_id
    assert "templates" not in written(by_hand.spec)


def test_a_varied_picture_is_the_one_of_the_prompt_it_becomes(random_pair):
    """
    A call with words replaced makes the picture of the prompt written out, bit for bit, of one name.
    """
    quick: dict[str, Any] = {"checkpoint": random_pair, "num_inference_steps": 2, "threads": 1, "device": "cpu", "seed": 5}
    made = text_to_image("a red {star|star}", negative_prompt="dim", prompt_replace={"red": "blue"}, wildcards="draw", **quick)
    plain = text_to_image("a blue star", negative_prompt="dim", **quick)
    other = text_to_image("a blue star", negative_prompt="dim", negative_prompt_replace={"dim": "dark"}, **quick)
    assert made.image.tobytes() == plain.image.tobytes() != other.image.tobytes()
    assert made.picture_id == plain.picture_id
    assert other.stamp.edit.negative_prompt == "dark"


def test_each_prompt_of_a_dataset_is_varied_and_kept_as_it_was(asked):
    """
    A dataset's own prompts are replaced, too; the record has what they were, of each sample, and none of what stayed.
    """
    resolved = asked(prompt_replace={"red": "blue"}, negative_prompt="a {dark|dark} sky", wildcards="draw").spec
    assert [edit.prompt for edit in resolved.edits] == ["a blue star", "a blue ring"]
    given = [resolved.template_of(edit) for edit in resolved.edits]
    assert given == [{"prompt": f"a red {name}", "negative_prompt": "a {dark|dark} sky"} for name in ("star", "ring")]
    assert ResolvedSpec.from_json(resolved.to_json()) == resolved
    assert not asked(prompt_replace={"red": "red"}).spec.templates


def test_each_seed_draws_its_own_words(asked):
    """
    Several pictures of a sample have words of their own seeds, those that each seed draws alone; a sample, also of another name, has its own.
    """
    template: dict[str, Any] = {"prompt": "a {red|blue|green|pink|white} star", "wildcards": "draw"}
    several = asked(seeds="1-8", **template)
    assert 3 <= len(set(prompts(several)[:8])) <= 5
    assert prompts(several)[:8] != prompts(several)[8:]
    assert prompts(several)[4] == prompts(asked(seed=5, samples=["star"], **template))[0]


BOTH = "star text_to_image, ring text_to_image, “a red star”"


@pytest.mark.parametrize(
    ("hyperparameters", "said"),
    [
        (
            {"prompt_replace": {"star": "moon", "ring": "sun"}},
            [
                "prompt_replace: got 'ring', which is no word of the prompt of star text_to_image, “a red star”; write a word that stands in it",
                "prompt_replace: got 'star', which is no word of the prompt of ring text_to_image, “a red ring”; write a word that stands in it",
            ],
        ),
        ({"prompt_replace": {"Red": "blue"}}, [f"prompt_replace: got 'Red', which is no word of the prompt of {BOTH} (there is 'red'); write"]),
        (
            {"prompt_replace": {"re": "x"}},
            [f"prompt_replace: got 're', which is no word of the prompt of {BOTH} (there it is part of another); write"],
        ),
        (
            {"negative_prompt_replace": {"dim": "x"}},
            ["negative_prompt_replace: got 'dim', and there is no negative_prompt of star text_to_image, ring"],
        ),
        ({"prompt": "a {red star", "wildcards": "draw"}, ["wildcards: got “{red star”, whose brace is never closed"]),
        ({"prompt": "a red star", "prompt_replace": {"ed": "x"}}, ["got 'ed', which is no word of the prompt, “a red star” (there it is part of an"]),
        (
            {"prompt": "a __hue__ star", "wildcards": "draw"},
            ["wildcards: got “__hue__”, and there is no hue.txt in words or artifacts/wildcards; put it there (in the prompts of star text"],
        ),
    ],
)
def test_what_cannot_be_varied_is_refused_before_anything_runs(asked, hyperparameters, said):
    """
    A word that stands nowhere, braces that do not pair and lists that are not there are one line each, with prompt and samples; nothing is written.
    """
    with pytest.raises(SpecError) as caught:
        asked(**hyperparameters)
    assert len(caught.value.problems) == len(said)
    for line in said:
        assert any(line in problem for problem in caught.value.problems), caught.value.problems
    assert not Path("artifacts").exists()


@pytest.mark.filterwarnings("ignore::sdxl_lab.spec.cautions.CautionWarning")
def test_a_picture_says_what_its_prompt_was_and_is_made_again(random_pair, tmp_path, capsys):
    """
    `show`, and the text for other tools, have the prompt as it became and as it was; made again it is the very picture.
    """
    quick: dict[str, Any] = {"checkpoint": random_pair, "num_inference_steps": 1, "threads": 1, "device": "cpu", "seed": 2}
    made = text_to_image("a {red|blue}, big star", negative_prompt="dim", wildcards="draw", negative_prompt_replace={"dim": "dark"}, **quick)
    picture = made.save(tmp_path / "picture.png")
    stamp = read_stamp(picture)
    assert stamp.edit.prompt in ("a red, big star", "a blue, big star")
    print_path(picture)
    shown = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert shown["prompt"].strip() == stamp.edit.prompt
    assert shown["prompt template"].strip() == "a {red|blue}, big star"
    assert shown["negative_prompt template"].strip() == "dim"
    text = stamp.parameters((64, 64)).splitlines()
    assert text[:2] == [stamp.edit.prompt, "Negative prompt: dark"]
    assert 'Template: "a {red|blue}, big star", Negative Template: dim' in text[2]
    again = reproduce(picture, checkpoint=str(random_pair))
    assert again.is_identical, str(again)
    assert not again.contradictions
    assert read_stamp(again.save(tmp_path / "again.png")).resolved == stamp.resolved


def test_the_parameters_of_a_picture_have_its_prompt_as_it_became(asked):
    """
    What continues from a picture has the words that were drawn, and nothing that would draw others; a run's parameters draw the same again.
    """
    spec = asked(prompt="a {red|blue|green} star", wildcards="draw", prompt_replace={"star": "moon"}, seeds="1-3", samples=["star"]).spec
    for edit in spec.edits:
        parameters = as_parameters(edit, spec)
        assert not {"wildcards", "prompt_replace"} & set(parameters["hyperparameters"])
        assert resolve(RunSpec.from_parameters(**parameters)).spec.edits == (edit,)
    assert resolve(RunSpec.from_parameters(**spec.spec.model_dump())).spec.run_id == spec.run_id


def test_a_runs_words_are_told_wherever_it_is_looked_at(asked, tmp_path):
    """
    Table of prompts, Comet's parameters, report and comparison have what was replaced; that alone is an axis and a column, not the prompts besides.
    """
    runs = []
    for color in ("red", "blue"):
        resolved = asked(color, prompt_replace={"red": color}, seeds=[1, 2])
        run(resolved)
        finish(resolved)
        runs.append(RunFolder(resolved.folder.path))
    rows = list(csv.DictReader(io.StringIO(runs[1].prompts_file.read_text())))
    assert [(row["prompt"], row["prompt template"]) for row in rows[::2]] == [("a blue star", "a red star"), ("a blue ring", "a red ring")]
    told = [parameters_of(found.resolved) for found in runs]
    assert [one["prompt_replace|red"] for one in told] == ["red", "blue"]
    assert told[0]["prompt"] == told[1]["prompt"] == "one for each sample"
    content = content_of(entries_of(runs, ()), Gallery(), "words")
    assert {axis["path"]: axis["values"] for axis in content["axes"]}["prompt_replace.red"] == ["red", "blue"]
    assert content["varying"] == ["seed", "prompt_replace.red"]
    assert content["pictures"][-1]["templates"] == {"prompt template": "a red ring"}
    compared = compare(runs)
    assert compared.differing == {"prompt_replace.red": ["red", "blue"]}
    assert "templates" in write_report(runs, tmp_path / "report.html").read_text()


def test_runs_that_draw_by_other_seeds_are_one_row(asked):
    """
    Runs that differ in seeds, and in what these draw, are compared as one, with what they were asked.
    """
    runs = []
    for seed in (1, 2):
        resolved = asked(f"seed{seed}", prompt="a {red|blue} star", wildcards="draw", seed=seed)
        run(resolved)
        finish(resolved)
        runs.append(RunFolder(resolved.folder.path))
    one = asked("steps", prompt="a {red|blue} star", wildcards="draw", seed=1, denoising={"num_inference_steps": 3})
    run(one)
    finish(one)
    compared = compare([*runs, RunFolder(one.folder.path)])
    assert [len(row.runs) for row in compared.rows] == [2, 1]
    assert set(compared.differing) == {"denoising.num_inference_steps", "seed"}


def test_a_bench_goes_on_from_the_words_that_were_drawn(random_pair, tmp_path):
    """
    What lies on a bench of a varied picture is its prompt as it became, and nothing that would vary it again.
    """
    from sdxl_lab.bench.opened import opened

    quick: dict[str, Any] = {"checkpoint": random_pair, "num_inference_steps": 1, "threads": 1, "device": "cpu"}
    made = text_to_image("a {red|blue} star", wildcards="draw", prompt_replace={"star": "moon"}, **quick)
    on_bench = opened(made.save(tmp_path / "picture.png"))
    assert on_bench.words["prompt"] == made.stamp.edit.prompt in ("a red moon", "a blue moon")
    assert not {"wildcards", "prompt_replace"} & set(on_bench.settings)
