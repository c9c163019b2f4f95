"""A person's words, from the command line to the notebook and the record: they arrive as they were written."""

from __future__ import annotations

import ast
import base64
import io
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from papermill.translators import PythonTranslator
from rich.console import Console

from sdxl_lab.settings.arguments import laid_over
from sdxl_lab.settings.hyperparams import get
from sdxl_lab.spec.hyperparameters import hyperparameters
from sdxl_lab.spec.parameters import takes_text
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.tracking.pushing import print_status
from tests.support.run_folders import complete
from tests.support.runs import resolved_run
from tests.support.specs import SIZES
from tests.support.words import HOSTILE, SMILE

SCRIPTS = Path(sys.executable).parent
NAMES = {"name": "x", "dataset": "pocket-scenes", "checkpoint": "pocket"}
WORDS = [
    *("poster #1 of a cat", "# all", "&x y", "*x", "--- a", "...", "!tag a", "? a", "- a", "% a", "@a", "`a`", "| a", "> a", "a: b", "a:", ": a"),
    *(
        "{a}",
        "{}",
        "[a]",
        "[",
        "a, b",
        '"',
        "'",
        '"a"',
        "'a'",
        "\\",
        "a\\nb",
        "\\x41",
        "C:\\new",
        "$HOME",
        "a\nb",
        "a\r\nb",
        "\n",
        "\t",
        " a  b ",
        " ",
        "",
    ),
    *("-x", "-5", "--", "-p", "a=b", "=", "=a", "007", "1e3", "5", "0x1F", "1_000", "on", "off", "true", "yes", "12:30", "2026-11-21", "<<", "=="),
    *("é", SMILE, "\N{ZERO WIDTH JOINER}", "a\x85b", "a\u2028b", "\ufeffa", "\x1b[2J", "\x07", "a\x0cb", HOSTILE),
]
TEXTS = ("prompt", "negative_prompt", "inpaint.prompt", "outpaint.negative_prompt")


def told(*values: tuple[str, str], **kinds: Any) -> dict[str, Any]:
    """What the command would make of its options."""
    return laid_over(dict(NAMES), values=values, takes_text=lambda path: takes_text(path, RunSpec), **kinds)


def assigned(parameters: dict[str, Any]) -> dict[str, Any]:
    """What a notebook's parameters cell assigns, as papermill writes it."""
    return {target.id: ast.literal_eval(line.value) for line in ast.parse(PythonTranslator.codify(parameters)).body for target in line.targets}


@pytest.mark.parametrize("word", WORDS, ids=ascii)
def test_words_arrive_as_they_were_written(word):
    """
    A text given by -p or -r reaches the notebook's cell, the gate and the spec's JSON with every character, whatever YAML makes of it.
    """
    for path in TEXTS:
        for given in (told((f"hyperparameters.{path}", word)), told(raw=[(f"hyperparameters.{path}", word)])):
            spec = RunSpec.from_parameters(**assigned(given))
            assert get(json.loads(json.dumps(spec.model_dump(mode="json")))["hyperparameters"], path) == word


@pytest.mark.parametrize("path", ["poster #1", "&runs", "a: b", "- a", "'a'", "{a}", "[a]", "007", "on", "1e3", "a  b", "é", SMILE], ids=ascii)
def test_a_path_is_a_word_whatever_it_looks_like(path):
    """
    A dataset, a checkpoint and a folder for runs may be called what YAML would read as something else.
    """
    spec = RunSpec.from_parameters(**assigned(told(("dataset", path), ("checkpoint", path), ("runs_folder", path))))
    assert (spec.dataset, spec.checkpoint, spec.runs_folder) == (path, path, path)


@pytest.mark.parametrize("name", ["007", "1e3", "on", "off", "true", "5", "1_000", "2026-11-21", "0x1F"])
def test_a_name_is_a_word_whatever_it_looks_like(name):
    """
    A run may be called 007 or off.
    """
    assert RunSpec.from_parameters(**told(("name", name))).name == name


def test_texts_are_what_the_schema_calls_strings():
    """
    The settings that take words as they are, are those that pydantic's JSON schema calls strings that are not one of a few.
    """

    def leaves(schema: dict[str, Any], definitions: dict[str, Any], above: str = "") -> dict[str, bool]:
        found = {}
        for name, field in schema["properties"].items():
            target = definitions.get(field.get("$ref", "").rpartition("/")[2])
            if target:
                found |= leaves(target, definitions, f"{above}{name}.")
            else:
                found[above + name] = any(
                    kind.get("type") == "string" and not {"enum", "const"} & kind.keys() for kind in field.get("anyOf", [field])
                )
        return found

    schema = hyperparameters().model_json_schema()
    expected = leaves(schema, schema["$defs"], "hyperparameters.")
    top = RunSpec.model_json_schema()
    expected |= leaves({"properties": {name: field for name, field in top["properties"].items() if name != "hyperparameters"}}, {})
    assert {path: takes_text(path, RunSpec) for path in expected} == expected
    assert expected["hyperparameters.inpaint.prompt"]
    assert expected["name"]
    assert not expected["tracking"]
    assert not any(takes_text(path, RunSpec) for path in ("hyperparameters", "hyperparameters.inpaint", "hyperparameters.mask"))


def test_choices_numbers_lists_and_sections_are_yaml():
    """
    What is no free text is read as YAML, as ever: `tracking off`, a list of samples, None for the hand-over, a whole section.
    """
    given = told(
        ("tracking", "off"),
        ("samples", "[a, '007']"),
        ("hyperparameters.denoising", "{scheduler: ddim, high_noise_frac: 0.8}"),
        ("hyperparameters.denoising.high_noise_frac", "null"),
        ("hyperparameters.seed", "-5"),
        ("hyperparameters.inpaint", '{prompt: "poster #1"}'),
    )
    assert given == NAMES | {
        "tracking": "off",
        "samples": ["a", "007"],
        "hyperparameters": {"denoising": {"scheduler": "ddim", "high_noise_frac": None}, "seed": -5, "inpaint": {"prompt": "poster #1"}},
    }


def test_none_is_given_as_yaml_also_for_words():
    """
    The empty text is a text, None is given by -y as the gate's message says, and leaves the words to the dataset.
    """
    given = told(("hyperparameters.negative_prompt", ""), texts=["hyperparameters: {prompt: null}"])
    spec = RunSpec.from_parameters(**assigned(given))
    words = {"prompt": "the dataset's", "negative_prompt": "blurry", "seed": 3}
    [edit] = spec.edits("a", "inpaint", **words, defaults={}, size=(64, 64), sizes=SIZES)
    assert (edit.prompt, edit.negative_prompt) == ("the dataset's", "")


def test_of_what_is_given_twice_the_same_wins_as_in_papermill(tmp_path):
    """
    Over every pair of options, and within each, the last kind and the last one win as they do in papermill's own command.
    """
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("w = 0", metadata={"tags": ["parameters"]})])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(notebook, tmp_path / "in.ipynb")
    kinds = {"encoded": "-b", "files": "-f", "texts": "-y", "values": "-p", "raw": "-r"}
    arguments: list[str] = []
    given: dict[str, list[Any]] = {kind: [] for kind in kinds}
    names = {f"{one}_{other}": {one, other} for one in kinds for other in kinds}
    for kind in random.Random(0).sample(list(kinds), len(kinds)):
        for turn in ("first", "last"):
            told_here = {name: f"{kind} {turn}" for name, both in names.items() if kind in both}
            text = json.dumps(told_here)
            path = tmp_path / f"{kind}-{turn}.yaml"
            path.write_text(text)
            single = {"encoded": base64.b64encode(text.encode()).decode(), "files": path, "texts": text}
            given[kind] += list(told_here.items()) if kind in ("values", "raw") else [single[kind]]
            words = [[kinds[kind], *item] for item in told_here.items()] if kind in ("values", "raw") else [[kinds[kind], str(single[kind])]]
            arguments += [word for option in words for word in option]
    command = [SCRIPTS / "papermill", "--prepare-only", tmp_path / "in.ipynb", tmp_path / "out.ipynb", *arguments]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=100)
    expected = json.loads((tmp_path / "out.ipynb").read_text())["metadata"]["papermill"]["parameters"]
    assert len(expected) == 25
    assert laid_over({}, **given, takes_text=lambda _: True) == expected


def test_words_in_brackets_are_shown(tmp_path):
    """
    A runs folder whose name looks like rich's markup is listed by its whole name.
    """
    run = complete(resolved_run(tmp_path / "cats [red] [/b]"))
    console = Console(width=400, record=True, file=io.StringIO())
    print_status([run.path], tmp_path, console)
    assert "cats [red] [/b]/test-" in console.export_text()
