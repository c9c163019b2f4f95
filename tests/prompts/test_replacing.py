"""Words of a prompt in place of others: which are found, and what is put there."""

from __future__ import annotations

import pytest

from sdxl_lab.prompts.replacing import replaced


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("a red star", {"red": "blue"}, "a blue star"),
        ("a red, red-hot (red:1.3) red", {"red": "blue"}, "a blue, blue-hot (blue:1.3) blue"),
        ("a red star covered in red", {"red": "blue"}, "a blue star covered in blue"),
        ("red_hair, infrared", {"red": "blue"}, "blue_hair, infrared"),
        ("a red star", {"red": "red"}, "a red star"),
        ("a red star", {"red ": ""}, "a star"),
        ("a red and a blue star", {"red": "blue", "blue": "red"}, "a blue and a red star"),
        ("a red star, a star", {"star": "moon", "red star": "sun"}, "a sun, a moon"),
        ("a (blue:1.0) star", {"1.0": "1.4", "star": "heart"}, "a (blue:1.4) heart"),
        ("a (blue:1.05) 11.0 1.0", {"1.0": "2"}, "a (blue:1.05) 11.0 2"),
        ("what (is) [this]*?", {"(is)": r"\1", "[this]*": "that"}, r"what \1 that?"),
        ("a {red|green} star", {"red": "blue"}, "a {blue|green} star"),
        ("夜の星", {"星": "月"}, "夜の月"),
        ("ein roter Bär, bärig", {"Bär": "Hund"}, "ein roter Hund, bärig"),
    ],
)
def test_whole_words_are_replaced_at_once(text, words, expected):
    """
    A word is replaced wherever it stands by itself, marks or not; several are at the same time, the longer one first, and nothing twice.
    """
    assert replaced(text, words) == (expected, ())


@pytest.mark.parametrize(
    ("text", "words", "missing"),
    [
        ("a covered, scared star", {"red": "blue"}, ("red",)),
        ("a Red star", {"red": "blue", "star": "moon"}, ("red",)),
        ("cats", {"cat": "dog"}, ("cat",)),
        ("", {"red": "blue", "blue": "red"}, ("red", "blue")),
        ("a red star", {"red star": "sun", "star": "moon"}, ("star",)),
    ],
)
def test_a_word_that_stands_nowhere_is_told(text, words, missing):
    """
    Parts of words, other capitals, and what a longer word took are not replaced, and named.
    """
    assert replaced(text, words)[1] == missing
