"""Odd prompts, settings and files, one a row: what each means exactly and what is said of it, or its one error, before any kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.prompts import compel_marks
from sdxl_lab.prompts.cautions import cautions_of
from sdxl_lab.prompts.reading import parts_of
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support.embeddings import POCKET, write_embedding


@dataclass(frozen=True)
class Odd:
    """A prompt that means something else than it seems to, or nothing more.

    Attributes:
        syntax: One of `prompt_syntax`.
        text: The prompt.
        means: Its parts between breaks: texts, and their weights where these are not 1.
        said: The beginnings of all that is told, quotes included; empty if nothing is.
    """

    syntax: str
    text: str
    means: list[list[str | tuple[str, float]]]
    said: list[str] = field(default_factory=list)


PROMPTS = [
    Odd("plain", "", [[""]]),
    Odd("plain", "a (red:1.3) star", [["a (red:1.3) star"]], ["“(red:1.3)” is text: prompt_syntax is plain; set it to a1111 or comfy"]),
    Odd("plain", "a smile :( (at 12:30) [sic] c++", [["a smile :( (at 12:30) [sic] c++"]]),
    Odd("plain", "embedding:moon, a star", [["embedding:moon, a star"]], ["“embedding:moon” is text: an embedding is named under embeddings"]),
    Odd(
        "plain",
        "a \uff08red\uff1a1.3\uff09 star",
        [["a \uff08red\uff1a1.3\uff09 star"]],
        ["“\uff08red\uff1a1.3\uff09” is text, since its brackets or colon are full-width; write (red:1.3)"],
    ),
    Odd(
        "a1111",
        "a \uff08red:1.3) star",
        [["a \uff08red:1.3) star"]],
        ["“\uff08red:1.3)” is text, since its brackets or colon are full-width; write (red:1.3)"],
    ),
    Odd("a1111", "a (red star", [["a ", ("red star", 1.1)]], ["“(red star” is never closed, so that all behind the bracket weighs 1.1"]),
    Odd("a1111", "a red) star:1.3", [["a red) star:1.3"]]),
    Odd("a1111", "((red:1.3) star)", [[("red", 1.43), (" star", 1.1)]]),
    Odd("comfy", "((red:1.3) star)", [[("red", 1.3), (" star", 1.1)]]),
    Odd(
        "a1111", "(red:1,3) star", [[("red:1,3", 1.1), " star"]], ["“(red:1,3)” weighs 1.1 like any bracket, since 1,3 is no number here; write 1.3"]
    ),
    Odd(
        "comfy", "(red:80%) star", [[("red:80%", 1.1), " star"]], ["“(red:80%)” weighs 1.1 like any bracket, since 80% is no number here; write 0.8"]
    ),
    Odd("a1111", "(red:nan) (star:1e3)", [[("red:nan", 1.1), " ", ("star:1e3", 1.1)]]),
    Odd("comfy", "(red:inf)", [[("red:inf", 1.1)]]),
    Odd("comfy", "(red:-0.5) star", [[("red", -0.5), " star"]], ["“red” weighs -0.5, and a weight below 0 does not take a word away"]),
    Odd("comfy", "(red:9) star", [[("red", 9.0), " star"]], ["“red” weighs 9; beyond 2 pictures burn"]),
    Odd("a1111", "()[] star", [[" star"]]),
    Odd("comfy", "(:1.3) star", [[(":1.3", 1.1), " star"]]),
    Odd("a1111", "BREAK", [[""]]),
    Odd("a1111", "a star BREAK BREAKFAST break", [["a star"], ["BREAKFAST break"]]),
    Odd("a1111", r"a \(red\) \star", [["a (red) star"]]),
    Odd(
        "comfy",
        "[red] (star)",
        [["[red] ", ("star", 1.1)]],
        ["“[red]” is text: prompt_syntax is comfy, which has no square brackets; write (word:0.9)"],
    ),
    Odd("a1111", "🌟 (étoile:1.2) 星", [["🌟 ", ("étoile", 1.2), " 星"]]),
    Odd(
        "a1111",
        "a <lora:moon:0.8> star",
        [["a <lora:moon:0.8> star"]],
        ["“<lora:moon:0.8>” is text: a LoRA is asked for by loras.moon.file moon.safetensors and loras.moon.weight 0.8"],
    ),
    Odd(
        "a1111", "a [red:blue:0.5] star", [["a ", ("red:blue:0.5", 1 / 1.1), " star"]], ["“[red:blue:0.5]” is no change of words between steps here"]
    ),
    Odd("compel", "a (red:1.3) star", [["a  red:1.3  star"]], ["“(red:1.3)” is text: prompt_syntax is compel", "compel makes the pooled embedding"]),
]


@pytest.mark.parametrize("odd", PROMPTS, ids=lambda odd: f"{odd.syntax} {odd.text or 'nothing'}")
def test_an_odd_prompt_means_what_its_syntax_says(odd):
    """
    Texts and weights of an odd prompt are those written here, and what is told of it is this and no more.
    """
    read = [[(piece.text, pytest.approx(piece.weight)) for piece in part] for part in parts_of(odd.text, odd.syntax)]
    assert read == [[(piece, 1.0) if isinstance(piece, str) else piece for piece in part] for part in odd.means]
    told = cautions_of("prompt", odd.text, odd.syntax)
    assert len(told) == len(odd.said), told
    for line, said in zip(told, odd.said, strict=True):
        assert line.startswith(f"prompt: {said}")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another tool's name": (
        {"prompt_syntax": "A1111"},
        r"prompt_syntax: got 'A1111'; allowed is one of plain, a1111, comfy, compel\. Did you mean a1111\?",
    ),
    "no syntax": ({"prompt_syntax": "webui"}, "prompt_syntax: got 'webui'; allowed is one of plain, a1111, comfy, compel$"),
    "two syntaxes": ({"prompt_syntax": ["a1111", "comfy"]}, r"prompt_syntax: got \['a1111', 'comfy'\]; allowed is one of"),
    "yes": ({"long_prompt": True}, "long_prompt: got True; allowed is one of cut, chunks$"),
    "a number": ({"prompt": 5}, "prompt: got 5; allowed is a text, .* put quotes around a text"),
    "half a character": ({"prompt": "a \ud800 star"}, r"prompt: got a text with '\\ud800' as character 3, which no Unicode text holds"),
    "a second prompt": ({"prompt_2": "a star"}, "prompt_2: unknown key; all text encoders of a checkpoint read one prompt$"),
    "embeddings as tensors": ({"prompt_embeds": [1.0]}, "prompt_embeds: unknown key; embeddings are made from the prompt"),
    "clip skip": (
        {"clip_skip": 2},
        "clip_skip: unknown key; there is no clip skip: .*SDXL's at the last layer but one, those of Stable Diffusion 1 and 2 at the last$",
    ),
    "compel alone": (
        {"prompt_syntax": "compel", "prompt": "a red++ star"},
        r"prompt_syntax: got compel, and compel is not installed here.*pip install 'sdxl-lab\[compel\]'",
    ),
    "a pickle": ({"embeddings": {"moon": {"file": "moon.pt"}}}, r"moon\.file: got 'moon\.pt'; .*a \.pt file can run code"),
    "an address": ({"embeddings": {"moon": {"file": "https://a.example/moon.safetensors"}}}, r"moon\.file: got .*nothing is fetched from addresses"),
    "no name of a file": ({"embeddings": {"moon": 5}}, r"embeddings\.moon: got 5; allowed is a dictionary with keys among file, token"),
    "an empty name": ({"embeddings": {"moon": ""}}, r"embeddings\.moon\.file: got ''; allowed is the path of a \.safetensors file"),
    "a misspelled key": ({"embeddings": {"moon": {"fil": "moon.safetensors"}}}, r"moon\.fil: unknown key; .* Did you mean file\?$"),
    "no ending": ({"embeddings": {"moon": {"file": "moon"}}}, r"moon\.file: got 'moon'; there is no such file, .*; did you mean moon\.safetensors\?"),
    "the built-in one": (
        {"embeddings": {"moon": {"file": "pocket-blury"}}},
        r"moon\.file: got 'pocket-blury'; .*did you mean pocket-blurry\.safetensors\?",
    ),
    "nothing like it": (
        {"embeddings": {"moon": {"file": "xyz.safetensors"}}},
        r"moon\.file: got 'xyz\.safetensors'; .*; give its path, or the name of one that is there \(moon\.safetensors, ",
    ),
    "a path without its ending": (
        {"embeddings": {"moon": {"file": "below/half-moon"}}},
        r"moon\.file: got 'below/half-moon'; .*; did you mean below/half-moon\.safetensors\?",
    ),
    "a page of the web": (
        {"embeddings": {"moon": {"file": "page.safetensors"}}},
        r"moon\.file: got 'page\.safetensors'; it is no whole \.safetensors file .*download it again",
    ),
    "SDXL's": (
        {"embeddings": {"moon": {"file": "wide.safetensors"}}},
        "clip_l 768 and clip_g 1280 numbers, and the checkpoint's have clip_l 64 and clip_g 64",
    ),
    "a folder": ({"embeddings": {"moon": {"file": "folder"}}}, r"moon\.file: got 'folder'; it is a folder; give a \.safetensors file in it$"),
    "a word that is known": (
        {"embeddings": {"star": {"file": "moon.safetensors"}}},
        r"star\.token: got 'star', which is a word .*; give it a token of its own, such as '<star>'$",
    ),
    "two words": (
        {"embeddings": {"half moon": {"file": "moon.safetensors"}}},
        "embeddings: got the name 'half moon'; allowed are letters, digits, dashes",
    ),
    "a mark": (
        {"embeddings": {"moon": {"file": "moon.safetensors", "token": "(moon)"}}},
        r"moon\.token: got '\(moon\)'; allowed is a text .*without spaces, commas, colons",
    ),
    "a weight": ({"embeddings": {"moon": {"file": "moon.safetensors", "weight": 0.5}}}, r"moon\.weight: unknown key; valid here are file, token$"),
}


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """A folder with an embedding, and with what is none."""
    monkeypatch.chdir(tmp_path)
    write_embedding(tmp_path / "moon.safetensors", widths=POCKET)
    write_embedding(tmp_path / "wide.safetensors", widths=dict(zip(POCKET, (768, 1280), strict=True)))
    (tmp_path / "page.safetensors").write_text("<!doctype html><title>Sign in</title>")
    (tmp_path / "folder").mkdir()
    (tmp_path / "below").mkdir()
    write_embedding(tmp_path / "below" / "half-moon.safetensors", widths=POCKET)
    (tmp_path / "prompts.txt").write_text("a red star, moon\n")
    return tmp_path


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_one_error(files, monkeypatch, case):
    """
    A setting or file that cannot be meant is refused by one line before any kernel, and nothing is written.
    """
    given, said = REFUSED[case]
    monkeypatch.setattr(compel_marks, "installed", lambda: None)
    before = sorted(files.rglob("*"))
    with pytest.raises(SpecError) as error:
        resolve(RunSpec.from_parameters(name="odd", dataset="prompts.txt", checkpoint="pocket", tasks=["text_to_image"], hyperparameters=given))
    [problem] = error.value.problems
    assert re.search(said, problem), problem
    assert str(files) not in problem
    assert sorted(files.rglob("*")) == before
