"""Parameters from command lines and YAML files."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.errors import LabError
from sdxl_lab.settings.arguments import ArgumentError, laid_over, paired, pairs, read_file, written
from sdxl_lab.sweeps.sweep_file import SweepFile


def given(*values: tuple[str, str], below: dict[str, Any] | None = None) -> dict[str, Any]:
    """What `-p` gives where no setting takes words as they are."""
    return laid_over(below or {}, values=values, takes_text=lambda _: False)


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "true",
        "5",
        "-732",
        "0.5",
        "-1.5e-3",
        "1e5",
        '"off"',
        '"a: b"',
        "[]",
        "[1, null]",
        '["a", "b"]',
        "{}",
        '{"a": {"b": [1.5, "x"]}}',
        '"5"',
    ],
)
def test_what_is_json_is_read_as_json_reads_it(text):
    """
    A value written as JSON means the same on the command line, types included.
    """
    value = given(("x", text))["x"]
    assert (value, type(value)) == (json.loads(text), type(json.loads(text)))


@pytest.mark.parametrize("text", ["off", "on", "yes", "No", "y", "a red star on grass", "12:30:45", "2026-11-21", "0x1F", "1_000", "5px"])
def test_words_stay_words(text):
    """
    Only true and false are booleans and only decimal digits are numbers, as in YAML 1.2: `tracking off` is the text `off`.
    """
    assert given(("x", text)) == {"x": text}


def test_leading_zeros_are_decimal():
    """
    A seed written 010 is ten.
    """
    assert given(("seed", "010")) == {"seed": 10}


def test_names_and_values_are_paired():
    """
    Each -p and -r takes a name and a value, whatever they look like; everything else stays in place.
    """
    line = ["n.ipynb", "-p", "seed", "-5", "-f", "f.yaml", "--parameters", "name", "a=b", "-r", "-r", "-p", "-p", "", "-y", "more"]
    expected = ["n.ipynb", "-p", "seed", "-p", "-5", "-f", "f.yaml", "--parameters", "name", "--parameters", "a=b", "-r", "-r", "-r", "-p"]
    assert paired(line) == [*expected, "-p", "", "-p", "-y", "more"]
    assert paired(["-p", "name"]) == ["-p", "name"]
    assert paired(["-p"]) == ["-p"]
    assert pairs(["seed", "-5", "", "a=b"]) == [("seed", "-5"), ("", "a=b")]


def test_later_parameters_win_and_keep_their_neighbors():
    """
    A dotted path replaces one leaf, a dictionary is laid over a dictionary, and the parameters given are left as they were.
    """
    below = {"hyperparameters": {"denoising": {"strength": 0.5, "scheduler": "ddim"}}}
    strength = "hyperparameters.denoising.strength"
    values = [(strength, "1"), ("hyperparameters", "{mask: {kernel_size: 3}}"), (strength, "0.9")]
    expected = {"hyperparameters": {"denoising": {"strength": 0.9, "scheduler": "ddim"}, "mask": {"kernel_size": 3}}}
    assert given(*values, below=below) == expected
    assert below["hyperparameters"]["denoising"]["strength"] == 0.5


def test_what_is_written_is_read_back(tmp_path):
    """
    Parameters survive their way through a file: texts that look like other things, negative seeds, None and nested lists.
    """
    texts = ["off", "yes", "null", "5", "1e5", "010", "", "a: b", "ünïcode", "line\nbreak", "- x", "#", "2026-11-21"]
    texts += ["a\x85b\u2028 c\u2029", "\x00\x1b", "\r\n", " \t ", "é\N{GRINNING FACE}", "poster #1", "&x y", "*", "!", "a\\b\"c'"]
    parameters = {"name": "x", "samples": texts, "hyperparameters": {"seed": -(2**63), "prompt": None, "denoising": {"strength": 1e-05}}}
    path = tmp_path / "parameters.yaml"
    path.write_text(written(parameters), "utf-8")
    assert read_file(path) == parameters


def test_an_empty_file_gives_nothing(tmp_path):
    """
    A file without a value holds no parameters.
    """
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing yet\n")
    assert read_file(path) == {}


def test_a_key_given_twice_is_refused(tmp_path):
    """
    A file in which one of two values would be dropped in silence is refused, and a merged dictionary may still be laid over.
    """
    path = tmp_path / "twice.yaml"
    path.write_text("a: {seed: 1, seed: 2}\n")
    with pytest.raises(ArgumentError, match="the key seed is given twice"):
        read_file(path)
    path.write_text("a: &a {seed: 1, steps: 3}\nb: {<<: *a, seed: 2}\n")
    assert read_file(path)["b"] == {"seed": 2, "steps": 3}


def test_yaml_makes_no_objects(tmp_path):
    """
    A YAML tag that would build a Python object is refused.
    """
    path = tmp_path / "evil.yaml"
    path.write_text("name: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ArgumentError, match="is not YAML"):
        read_file(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompts:\n- poster #1 of a cat\n- poster #2 of a cat\n", "in line 2 YAML takes # and what follows it for a comment"),
        ("{prompt: poster #1\n}", "in line 1 YAML takes #"),
        ("prompt: a cat\n  on a poster   #1\n", "YAML takes #"),
        ("prompt: &x y\n", "YAML takes & and the word after it for an anchor"),
        ("prompt: 'a\x85b'\n", "line separator"),
        ("prompt: |\n  a\n  b\u2028  c\n", "line separator"),
    ],
)
def test_words_that_yaml_would_drop_are_asked_back(text, said, tmp_path):
    """
    Where a YAML file would lose a part of a text in silence, one line says which and what to write instead.
    """
    path = tmp_path / "words.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ArgumentError, match=said) as caught:
        read_file(path)
    assert "double quotes" in str(caught.value) or "put quotes around the text" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_comments_and_anchors_may_stand_in_a_file(tmp_path):
    """
    Comments that look like comments, those behind numbers and quoted texts, and anchors that are used, are YAML like any other.
    """
    path = tmp_path / "comments.yaml"
    lines = [
        "#no space",
        "name: cats # mine",
        "prompt: 'poster #1' #quoted",
        "steps: 5 #a number",
        "off: null #none",
        "word: a#b  ## two",
        "dashes: x #",
    ]
    path.write_text("\n".join([*lines, "a: &cat a cat", "b: *cat", "c: &unused {x: 1}"]))
    expected = {
        "name": "cats",
        "prompt": "poster #1",
        "steps": 5,
        "off": None,
        "word": "a#b",
        "dashes": "x",
        "a": "a cat",
        "b": "a cat",
        "c": {"x": 1},
    }
    assert read_file(path) == expected


@pytest.mark.parametrize(
    "text", ["1: x", "null: x", f"seed: {'9' * 5000}", "a: !!bool x", "a: !!timestamp x", "[" * 500 + "]" * 500, "a: *b", "@", "a\x07", "- a", "x"]
)
def test_what_cannot_be_parameters_is_one_error(text, tmp_path):
    """
    A file, a text and an encoded text that hold no parameters by name get one error, whatever they hold instead.
    """
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    for kind in ({"files": [path]}, {"texts": [text]}, {"encoded": [base64.b64encode(text.encode()).decode()]}):
        with pytest.raises(ArgumentError):
            laid_over({}, **kind, takes_text=lambda _: False)


def test_an_error_repeats_nothing_of_what_it_cannot_read(tmp_path):
    """
    A text that is no YAML may hold a key, so the error gives the place and not the words.
    """
    secret = "hf_" + "aB3" * 8
    path = tmp_path / "torn.yaml"
    path.write_text(f"a: 1\nb: [{secret}\n")
    for kind in ({"files": [path]}, {"texts": [f"b: [{secret}"]}, {"values": [("b", f"[{secret}")]}, {"texts": [secret]}):
        with pytest.raises(ArgumentError) as caught:
            laid_over({}, **kind, takes_text=lambda _: False)
        assert secret not in str(caught.value)
        assert "in line" in str(caught.value) or "holds a str" in str(caught.value)


def test_a_file_given_as_text_is_told_apart(tmp_path, monkeypatch):
    """
    The name of a file after -y, there or not, is answered with the option that takes files, also where it would be YAML.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("good.yaml", "notes", "a: b", "[x"):
        (tmp_path / name).write_text("checkpoint: pocket")
        with pytest.raises(ArgumentError, match=re.escape(f"did you mean -f {name}?")):
            laid_over({}, texts=[name], takes_text=lambda _: False)
    with pytest.raises(ArgumentError, match=r"is not there; did you mean -f FILE\?"):
        laid_over({}, texts=["absent.yml"], takes_text=lambda _: False)
    assert laid_over({}, texts=["checkpoint: " + "x" * 5000], takes_text=lambda _: False) == {"checkpoint": "x" * 5000}


REPEATED = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
BOUNDLESS = {
    REPEATED + "name: *a9": "its aliases stand for more than 100,000 values",
    REPEATED.replace("[x", "{<<: [x").replace("x]", "x]}"): "its aliases stand for more than 100,000 values",
    "hyperparameters: &x {inpaint: *x}": "&x holds itself",
    "samples: &x [a, [*x]]": "&x holds itself",
    "samples: " + "[" * 3000 + "]" * 3000: "nested more than 64 deep",
    "hyperparameters: " + "{a: " * 3000 + "}" * 3000: "nested more than 64 deep",
    "samples: " + "- " * 3000: "nested more than 64 deep|not YAML",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", BOUNDLESS)
def test_yaml_without_bounds_is_refused(tmp_path, text):
    """
    Aliases of aliases, values that hold themselves and endless nesting are one error at once, in a file, a text and a sweep file.
    """
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(ArgumentError, match=BOUNDLESS[text]):
        read_file(tmp_path / "file.yaml")
    with pytest.raises(ArgumentError, match=BOUNDLESS[text]):
        laid_over({}, texts=[text], takes_text=lambda _: False)
    with pytest.raises(LabError, match=BOUNDLESS[text]):
        SweepFile.read(tmp_path / "file.yaml")


def test_aliases_are_taken():
    """
    An alias used as people use it means what it stands for.
    """
    given = "hyperparameters: {inpaint: &x {prompt: a cat}, outpaint: *x}"
    words = {"prompt": "a cat"}
    assert laid_over({}, texts=[given], takes_text=lambda _: False) == {"hyperparameters": {"inpaint": words, "outpaint": words}}


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="only Unix has a file without end")
def test_a_file_without_end_is_refused():
    """
    Only so much of a file is read.
    """
    with pytest.raises(ArgumentError, match="more than 16,777,216 bytes"):
        read_file(Path("/dev/zero"))


def test_an_emoji_arrives_whole_from_json():
    """
    JSON's two escapes for one letter are that letter, as a value and as a key; half of them stays half, to be refused by the gate.
    """
    given = {"\N{OCTOPUS}": ["\N{OCTOPUS} é", "\ud83d"]}
    assert laid_over({}, texts=[json.dumps(given)], takes_text=lambda _: False) == given
