"""What is said of words that look like those of embeddings and are none, or that hold one of these unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.adapters.embeddings import learned_by, places
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec
from tests.support.embeddings import POCKET, write_embedding

FIT = "moon.safetensors"


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Path:
    """A folder to work in, with files for the built-in checkpoint where the lab looks for them by name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("a red star on grass\n")
    own = tmp_path / "artifacts" / "embeddings"
    own.mkdir(parents=True)
    for name in ("My-Neg", "star", "two words"):
        write_embedding(own / f"{name}.safetensors", widths=POCKET)
    return tmp_path


def said(negative_prompt: str, **settings: Any) -> list[str]:
    """What is told of a picture from words before it is made."""
    hyperparameters = {"denoising": {"num_inference_steps": 2}, "negative_prompt": negative_prompt, **settings}
    spec = RunSpec.from_parameters(name="said", dataset="words.txt", checkpoint="pocket", tasks=["text_to_image"], hyperparameters=hyperparameters)
    resolved = resolve(spec)
    return [line for lines in resolved.notes.values() for line in lines]


WITHOUT_FILE = {
    "the built-in one": ("pocket-blurry", ["pocket-blurry"]),
    "among others": ("dull, (pocket-blurry:1.3), my-neg.", ["pocket-blurry", "my-neg"]),
    "twice": ("MY-NEG and my-neg++", ["my-neg"]),
    "a word that the checkpoint knows": ("star", []),
    "part of another": ("pocket-blurry-ish, my-negative", []),
    "what could be no name": ("two words", []),
}


@pytest.mark.parametrize("case", WITHOUT_FILE)
def test_a_word_without_its_file_is_told(lab, case):
    """
    A word of a prompt that a file at hand is called after, and that the checkpoint does not know, is told with what to give, once.
    """
    text, expected = WITHOUT_FILE[case]
    files = {"pocket-blurry": "pocket-blurry", "my-neg": "My-Neg"}
    lines = [line for line in said(text) if "letter by letter" in line]
    assert lines == [
        f"negative_prompt: {word!r} is read letter by letter: give embeddings.{files[word]}.file {files[word]}.safetensors if the embedding is meant."
        for word in expected
    ]


def test_what_is_told_ends_it(lab):
    """
    With the file that it names, nothing more is said of the word.
    """
    given = {"embeddings": {"My-Neg": {"file": "My-Neg.safetensors"}}}
    assert not any("My-Neg" in line or "my-neg" in line for line in said("my-neg, dull", **given))


WITHIN = {
    "within a word alone": ("negative space", "'neg' stands in 'negative', which it changes; a token such as '<neg>' does not"),
    "beside itself": ("neg, negative", "'neg' also stands in 'negative', which it changes"),
    "capitals": ("NEGATIVE", "'neg' stands in 'NEGATIVE'"),
    "two words": ("renegade negatives", "'neg' stands in 'renegade' and 1 other word, which it changes"),
    "itself": ("(neg:1.2), neg-like, dull", None),
    "nowhere": ("dull", None),
}


@pytest.mark.parametrize("case", WITHIN)
def test_a_token_within_another_word_is_told(lab, case):
    """
    That a token changes longer words too is told, and never that it has no effect, just where a tokenizer that has learned it reads it there.
    """
    from transformers import CLIPTokenizer

    import sdxl_lab.pocket

    text, expected = WITHIN[case]
    write_embedding(lab / FIT, widths=POCKET)
    lines = said(text, embeddings={"neg": {"file": FIT}})
    told = [line for line in lines if "stands in '" in line]
    assert len(told) == (expected is not None)
    assert all(f"negative_prompt: {expected}" in line for line in told)
    tokenizer = CLIPTokenizer.from_pretrained(Path(sdxl_lab.pocket.__file__).parent / "weights" / "base" / "tokenizer")
    tokenizer.add_tokens(["neg"])
    read = tokenizer.tokenize(text.lower()).count("neg")
    assert len(list(places(text, ["neg"]))) == read
    assert any("its token 'neg' stands in no prompt" in line for line in lines) == (read == 0)
    assert learned_by(tokenizer) == ("neg",)


def test_a_longer_token_does_not_hide_an_idle_one(lab):
    """
    A token that is read nowhere, since a longer one that begins like it is, has no effect, which is told.
    """
    for name in ("one", "other"):
        write_embedding(lab / f"{name}.safetensors", widths=POCKET, seed=len(name))
    lines = said("<mw-2>", embeddings={"one": {"file": "one.safetensors", "token": "<mw"}, "other": {"file": "other.safetensors", "token": "<mw-2>"}})
    [line] = [line for line in lines if "stands in no prompt" in line]
    assert line.startswith("embeddings.one has no effect: its token '<mw'")
