"""What the marks of other tools mean, against their published rules worked out by hand."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sdxl_lab.prompts import marks
from sdxl_lab.prompts.marks import Parts
from tests.support.weighted_prompts import A1111, COMFY


def read(parts: Parts) -> Any:
    """
    Parts as plain lists, weights as far as the order of multiplying leaves them the same.
    """
    return [[(fragment.text, pytest.approx(fragment.weight, rel=1e-12)) for fragment in part] for part in parts]


@pytest.mark.parametrize("text", A1111)
def test_marks_of_the_web_ui_mean_what_its_rules_say(text):
    """
    Texts, weights and breaks are those that AUTOMATIC1111's rules give by hand.
    """
    assert read(marks.a1111(text)) == A1111[text]


@pytest.mark.parametrize("text", COMFY)
def test_marks_of_comfyui_mean_what_its_rules_say(text):
    """
    Texts, weights and breaks are those that ComfyUI's rules give by hand: a number stands for itself, and square brackets are text.
    """
    assert read(marks.comfy(text)) == COMFY[text]


def test_the_examples_of_the_web_ui_come_out_as_it_documents_them():
    """
    The longest example of its documentation has the weights that are printed there.
    """
    [part] = marks.a1111("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).")
    weights = {fragment.text: round(fragment.weight, 4) for fragment in part}
    assert weights == {"a ": 1.0, "house": 1.573, " ": 1.1, "on": 1.0, " a ": 1.1, "hill": 0.55, ", sun, ": 1.1, "sky": 1.4641, ".": 1.1}


@pytest.mark.parametrize("syntax", ["a1111", "comfy"])
@pytest.mark.parametrize("text", ["(" * 50_000 + "a", "(" * 50_000 + "a" + ")" * 50_000, "(a" * 20_000 + ")" * 20_000, "(a:" * 20_000, "[(" * 20_000])
def test_no_text_takes_long_to_read(syntax, text):
    """
    Fifty thousand brackets, paired or not, are read in seconds, and no stack ends.
    """
    began = time.perf_counter()
    assert marks.MARKS[syntax](text)
    assert time.perf_counter() - began < 10
