from __future__ import annotations

import json
from pathlib import Path

import pytest
from diffusers.utils import logging as diffusers_logging

from sdxl_lab.checkpoints import tokens
from sdxl_lab.checkpoints.locating import identify
from sdxl_lab.kernels import notebooks
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.experiment import execute, finish, run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.sections import EditSettings
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.viewing.flattened import weights_in
from sdxl_lab.viewing.report import write_report
from sdxl_lab.viewing.show import print_path
from tests.support.datasets import write_dataset
from tests.support.edits import cpu, make_edit, same


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, plan, tokenizers
    from sdxl_lab.checkpoints.tokens import tokenizers
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.sweeps.planner import plan


LONG = "a red star on grass beside a very small chestnut tree in the last light of an autumn day, seen from above"
QUICK = {"denoising": {"num_inference_steps": 2}, "compute": {"threads": 1, "device": "cpu"}}
TEXTS = [LONG, "ein schöner roter Stern " * 4, "🎉" * 40, "a  red\n\nstar " * 8, "İstanbul " * 8, "#1 {of} “many”, (words:1.3) " * 3]


@pytest.fixture(scope="module")
def tokenizer() -> Path:
    """The pocket checkpoint's, which reads 32 tokens."""
    return tokenizers(identify("pocket"))[0]


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_counted_as_the_pipeline_counts_them(text, tokenizer, random_pair):
    """
    The count is that of the loaded pipeline's own tokenizer, in any script.
    """
    counted = tokens.count(text, tokenizer)
    assert counted is not None
    assert counted.tokens == len(cpu(random_pair).base.tokenizer(text, truncation=False).input_ids)
    assert (counted.limit, bool(counted.unread)) == (32, counted.tokens > 32)


@pytest.mark.filterwarnings("ignore::sdxl_lab.spec.cautions.CautionWarning")
@pytest.mark.parametrize("text", ["a red star on grass " * 8, "a  red\n\nstar " * 8, "#1 {of} “many”, (words:1.3) " * 3])
def test_what_is_called_unread_changes_no_picture(text, tokenizer, random_pair, scene):
    """
    The prompt without the words that are called unread makes the same picture, bit for bit, and is itself read whole.
    """
    counted = tokens.count(text, tokenizer)
    assert counted is not None
    read = text[: len(text) - len(counted.unread)]
    image, mask = scene
    whole, cut = (generate(make_edit().model_copy(update={"prompt": words}), image, mask, cpu(random_pair)).image for words in (text, read))
    assert same(whole, cut)
    left = tokens.count(read, tokenizer)
    assert left is None or not left.unread


@pytest.mark.parametrize("filler", ["", "far away " * 40])
def test_weights_of_words_that_are_left_out_are_marked(filler, tokenizer):
    """
    A picture's notes alone tell which weighed words are read, in part or not at all, whether they quote all that is left out or its beginning.
    """
    long = "a very small chestnut\n tree in the last light of an autumn day"
    prompt = f"a (small:1.1) star BREAK (a red:1.2) star on grass beside ({long}:1.3) and {filler}(sky:1.4)"
    notes = tokens.notes({"prompt": prompt, "negative_prompt": "(red:0.9) star"}, [tokenizer], syntax="comfy")
    settings = EditSettings(prompt_syntax="comfy")
    edit = make_edit().model_copy(update={"prompt": prompt, "negative_prompt": "(red:0.9) star", "settings": settings})
    said = weights_in(edit, notes)
    assert said["prompt weights"] == f"small 1.1, a red 1.2, {long} 1.3 (in part left out), sky 1.4 (left out)"
    assert said["negative_prompt weights"] == "red 0.9"
    assert "left out" not in str(weights_in(edit, []))


def test_the_library_is_silent_where_the_lab_said_it(resolved, random_pair, scene, caplog):
    """
    Of a run's cut prompt diffusers' own line is not heard; of an edit that nobody said it of, and from a pipeline of one's own, it is.
    """
    beginning = "The following part of your input was truncated"
    diffusers_logging.get_logger("diffusers").addHandler(caplog.handler)
    try:
        run(resolved)
        assert beginning not in caplog.text
        image, mask = scene
        generate(make_edit().model_copy(update={"prompt": LONG}), image, mask, cpu(random_pair))
        assert caplog.text.count(beginning) == 2
        cpu(random_pair).base.encode_prompt(LONG, do_classifier_free_guidance=False)
        assert caplog.text.count(beginning) == 4
    finally:
        diffusers_logging.get_logger("diffusers").removeHandler(caplog.handler)


def test_a_text_that_is_too_short_to_be_cut_is_not_counted(tokenizer):
    """
    A token stands for a byte at least, so nothing is loaded for a short prompt; the longest that is sure to fit has all its bytes as tokens.
    """
    assert tokens.count("x" * 30, tokenizer) is None
    counted = tokens.count("€" * 10 + "x", tokenizer)
    assert counted is not None
    assert counted.tokens <= 33


@pytest.fixture
def resolved(tmp_path, random_pair):
    """A run of two samples, whose prompts are cut in one task, and whose negative prompt is in the other."""
    dataset = write_dataset(tmp_path / "scenes")
    hyperparameters = QUICK | {"inpaint": {"prompt": LONG}, "outpaint": {"negative_prompt": LONG}}
    given = {"name": "long", "dataset": str(dataset), "checkpoint": str(random_pair), "tracking": "off", "runs_folder": str(tmp_path / "runs")}
    return resolve(RunSpec.from_parameters(**given, hyperparameters=hyperparameters))


def test_cut_words_are_said_once_before_the_run_and_stay_with_each_picture(resolved, tmp_path, capsys):
    """
    Resolving says it once for all pictures it is about; line, PNG, `show` of run and picture, and report say it of each.
    """
    prompt, negative = (line for line in resolved.said)
    assert prompt.startswith("scene-0 inpaint and 1 more: prompt has ")
    assert negative.startswith("scene-0 outpaint and 1 more: negative_prompt has ")
    assert "30 are read: “" in prompt
    assert str(resolved).count("are read") == 2
    pictures = run(resolved)
    finish(resolved)
    note = prompt.partition(": ")[2]
    assert [picture.notes for picture in pictures] == [(note,), (negative.partition(": ")[2],)] * 2
    assert read_stamp(pictures[0].image).notes == (note,)
    for path in (resolved.folder.path, pictures[0].image):
        capsys.readouterr()
        print_path(path)
        assert [line.rpartition("more: ")[2] for line in capsys.readouterr().out.splitlines()].count(note) == 1
    page = write_report([RunFolder(resolved.folder.path)], tmp_path / "report.html").read_text()
    assert json.dumps(note, ensure_ascii=False)[1:-1] in page


def test_the_command_says_it_before_anything_else(resolved, capsys):
    """
    Running a notebook says each note once, also when the run is done already.
    """
    run(resolved)
    finish(resolved)
    resolved.folder.executed_notebook.write_text('{"cells": []}')
    said: list[str] = []
    parameters = notebooks.parameters_of(notebooks.find(notebooks.BUILT_IN)) | resolved.spec.spec.model_dump(mode="json")
    execute(notebooks.find(notebooks.BUILT_IN), parameters, say=said.append)
    assert said == list(resolved.said)


def test_a_plan_says_it(resolved, tmp_path):
    """
    Of the points of a sweep the first is named, with how many more there are.
    """
    parameters = {key: value for key, value in resolved.spec.spec.model_dump(mode="json").items() if key != "name"}
    planned = plan(SweepFile.from_dict({"name": "seeds", "parameters": parameters, "grid": {"hyperparameters.seed": [1, 2, 3]}}))
    assert [line.partition(": ")[0] for line in planned.notes if line.startswith("seed")] == ["seed=1 and 2 more"] * 2
    assert str(planned).count("are read") == 2


def test_nothing_is_said_of_prompts_that_are_read_whole(tmp_path, random_pair):
    """
    A plain run has no notes, and its document, lines and PNGs say nothing of any.
    """
    dataset = write_dataset(tmp_path / "scenes", 1)
    given = {"name": "short", "dataset": str(dataset), "checkpoint": str(random_pair), "tracking": "off", "runs_folder": str(tmp_path / "runs")}
    short = resolve(RunSpec.from_parameters(**given, hyperparameters=QUICK))
    assert (short.said, dict(short.notes)) == ((), {})
    [picture, _] = run(short)
    assert b"notes" not in short.folder.lines_file.read_bytes()
    assert read_stamp(picture.image).notes == ()


@pytest.mark.parametrize("prompt", ["[bold]a star[/bold]", "a star [/b]", "a star [a]"])
def test_a_run_shows_words_as_they_are(prompt, tmp_path, random_pair, capsys):
    """
    Brackets in a prompt are words, not a terminal's markup.
    """
    dataset = write_dataset(tmp_path / "scenes", 1)
    given = {"name": "words", "dataset": str(dataset), "checkpoint": str(random_pair), "tracking": "off", "runs_folder": str(tmp_path / "runs")}
    resolved = resolve(RunSpec.from_parameters(**given, tasks=["inpaint"], hyperparameters=QUICK | {"prompt": prompt}))
    run(resolved)
    print_path(resolved.folder.path)
    assert prompt in capsys.readouterr().out


def test_a_hand_over_before_the_refiner_was_trained_is_said_and_kept(tmp_path, capsys):
    """
    A fraction below the one that the refiner was trained from is said when the run is resolved, and stands in the record, once for each picture.
    """
    hyperparameters = {"denoising": {"num_inference_steps": 4, "high_noise_frac": 0.5}, "conditioning": {"negative_crops_coords_top_left": [0, 8]}}
    given = {"name": "early", "dataset": "pocket-scenes", "checkpoint": "pocket", "tracking": "off", "runs_folder": str(tmp_path)}
    resolved = resolve(RunSpec.from_parameters(**given, tasks=["inpaint"], samples=["red-circle"], hyperparameters=hyperparameters))
    early = "high_noise_frac is 0.5, but this refiner was trained from 0.7 on; expect it to repaint more than to refine."
    assert resolved.said == (f"red-circle inpaint: {early}",)
    [picture] = run(resolved)
    assert (picture.notes, read_stamp(picture.image).notes) == ((early,), (early,))
    print_path(resolved.folder.path)
    assert capsys.readouterr().out.count(early) == 1


def test_a_setting_without_effect_is_said_before_the_run(tmp_path):
    """
    The negative crop, which diffusers does not read in the base, is named when the run is resolved.
    """
    given = {"name": "crop", "dataset": "pocket-scenes", "checkpoint": "pocket", "tracking": "off", "runs_folder": str(tmp_path)}
    hyperparameters = {"conditioning": {"negative_crops_coords_top_left": [0, 8]}}
    [line] = resolve(RunSpec.from_parameters(**given, hyperparameters=hyperparameters)).said
    assert line.startswith("red-circle inpaint and 9 more: conditioning.negative_crops_coords_top_left has no effect: ")


def test_hostile_words_that_are_not_read_leave_the_picture_readable(tmp_path, random_pair):
    """
    Whatever stands beyond the last token that is read, the note that quotes it is one line that a terminal shows, and the PNG is believed.
    """
    dataset = write_dataset(tmp_path / "scenes", 1)
    prompt = "a red star on grass " * 7 + "\x1b[2J\x07 \u202e evil \n\t\x00" + "x" * 5000
    given = {"name": "hostile", "dataset": str(dataset), "checkpoint": str(random_pair), "tracking": "off", "runs_folder": str(tmp_path / "runs")}
    resolved = resolve(RunSpec.from_parameters(**given, tasks=["inpaint"], hyperparameters=QUICK | {"prompt": prompt}))
    [picture] = run(resolved)
    [note] = picture.notes
    assert read_stamp(picture.image).notes == (note,)
    assert note.isprintable()
    assert read_stamp(picture.image).edit.prompt == prompt
