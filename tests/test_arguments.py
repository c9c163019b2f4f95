"""Parameters from command lines and YAML files."""

from __future__ import annotations

import json

import pytest

from sdxl_lab.arguments import ArgumentError, laid_over, paired, read_file, written


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
    value = laid_over({}, [f"x={text}"])["x"]
    assert (value, type(value)) == (json.loads(text), type(json.loads(text)))


@pytest.mark.parametrize("text", ["off", "on", "yes", "No", "y", "a red star on grass", "12:30:45", "2026-11-21", "0x1F", "1_000", "5px"])
def test_words_stay_words(text):
    """
    Only true and false are booleans and only decimal digits are numbers, as in YAML 1.2: `tracking off` is the text `off`.
    """
    assert laid_over({}, [f"x={text}"]) == {"x": text}


def test_leading_zeros_are_decimal():
    """
    A seed written 010 is ten.
    """
    assert laid_over({}, ["seed=010"]) == {"seed": 10}


def test_names_and_values_are_paired():
    """
    Each -p takes a name and a value, whatever the value looks like; everything else stays in place.
    """
    line = ["run", "n.ipynb", "-p", "hyperparameters.seed", "-5", "-y", "f.yaml", "--parameter", "name", "a=b", "-p", "samples", "-p"]
    assert paired(line) == ["run", "n.ipynb", "-p", "hyperparameters.seed=-5", "-y", "f.yaml", "--parameter", "name=a=b", "-p", "samples=-p"]
    assert paired(["-p", "name"]) == ["-p", "name"]
    assert paired(["-p"]) == ["-p"]


def test_later_parameters_win_and_keep_their_neighbors():
    """
    A dotted path replaces one leaf, a dictionary is laid over a dictionary, and the parameters given are left as they were.
    """
    below = {"hyperparameters": {"denoising": {"strength": 0.5, "scheduler": "ddim"}}}
    given = ["hyperparameters.denoising.strength=1", "hyperparameters={mask: {kernel_size: 3}}", "hyperparameters.denoising.strength=0.9"]
    expected = {"hyperparameters": {"denoising": {"strength": 0.9, "scheduler": "ddim"}, "mask": {"kernel_size": 3}}}
    assert laid_over(below, given) == expected
    assert below["hyperparameters"]["denoising"]["strength"] == 0.5


def test_what_is_written_is_read_back(tmp_path):
    """
    Parameters survive their way through a file: texts that look like other things, negative seeds, None and nested lists.
    """
    texts = ["off", "yes", "null", "5", "1e5", "010", "", "a: b", "ünïcode", "line\nbreak", "- x", "#", "2026-11-21"]
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
