"""What is said of prompts in which marks are not read as their writer may think, and of which nothing is said."""

from __future__ import annotations

import time

import pytest

from sdxl_lab.prompts.cautions import cautions_of

ORDINARY = (
    "a photo (from above) of a red star",
    "a close-up, 16:9, f/1.8 (at 12:30)",
    "[bold] and {curly}",
    "C++ on a T-shirt, 1990s",
    "a smile :) and a wink ;-)",
    "rock and roll - live -- 1969",
    "--ar 16:9",
    r"a \(red:1.3\) star",
    "a clock [at 12:30] and one [12:30:45]",
    "[Genesis 1:1], [16:9], [a]",
    "a shop sign SALT AND PEPPER, an AND gate, R AND B",
    "fill in: ________ and __",
    "",
)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_texts_are_passed_over(text):
    """
    Parentheses, dashes and colons as people write them in prose are no marks, and nothing is said of them.
    """
    assert cautions_of("prompt", text, "plain") == ()


SAID = [
    ("plain", "a (red:1.3) star", "“(red:1.3)” is text: prompt_syntax is plain; set it to a1111 or comfy"),
    ("plain", "a ((red)) star", "“((red))” is text: prompt_syntax is plain; set it to a1111 or comfy"),
    ("plain", "a red++ star", "“red++” is text: prompt_syntax is plain; set it to compel"),
    ("plain", "a (red)1.3 star", "“(red)1.3” is text: prompt_syntax is plain; set it to compel"),
    ("plain", "a star BREAK on grass", "“BREAK” is text: prompt_syntax is plain; set it to a1111 or comfy"),
    (
        "plain",
        "a star <lora:moon:0.8>",
        "“<lora:moon:0.8>” is text: a LoRA is asked for by loras.moon.file moon.safetensors and loras.moon.weight 0.8",
    ),
    ("plain", "a star <lora:moon>", "“<lora:moon>” is text: a LoRA is asked for by loras.moon.file moon.safetensors and loras.moon.weight 1."),
    (
        "plain",
        "<lora:my moon:te=0.5:unet=1>",
        "“<lora:my moon:te=0.5:unet=1>” is text: a LoRA is asked for by loras.my-moon.file 'my moon.safetensors', loras.my-moon.weight 1 and "
        "loras.my-moon.text_encoder_weight 0.5.",
    ),
    ("plain", "a star <hypernet:moon:1>", "“<hypernet:moon:1>” is text: hypernetworks are not there"),
    (
        "plain",
        "<lora:moon:1> a star <lyco:sun:0.5>, <hypernet:ink:1>",
        "“<lora:moon:1>” is text: a LoRA is asked for by loras.moon.file moon.safetensors and loras.moon.weight 1; “<lyco:sun:0.5>” is text: a LoRA "
        "is asked for by loras.sun.file sun.safetensors and loras.sun.weight 0.5; “<hypernet:ink:1>” is text: hypernetworks are not there",
    ),
    ("plain", "a [red:blue:0.5] star", "“[red:blue:0.5]” is no change of words between steps here, but text; write one of the words"),
    ("plain", "a [red:blue:10] star", "“[red:blue:10]” is no change of words between steps here"),
    ("plain", "a [red|blue] star", "“[red|blue]” is no change of words between steps here"),
    ("plain", "a star AND a moon", "“AND” is text: prompts are not composed here; a comma is as near as it gets"),
    ("plain", "a {red|blue} star", "“{red|blue}” is text: set wildcards to draw"),
    ("plain", "a __color__ star", "“__color__” is text: set wildcards to draw"),
    (
        "a1111",
        "(red:1.4 star on grass",
        "“(red:1.4 star on grass” is never closed, so that all behind the bracket weighs 1.1; close it, or write \\(",
    ),
    ("a1111", "a [red star", "“[red star” is never closed, so that all behind the bracket weighs 0.909; close it, or write \\["),
    ("a1111", "a (red:-1) star", "“red” weighs -1, and a weight below 0 does not take a word away"),
    ("comfy", "a (red:-1) star", "“red” weighs -1, and a weight below 0 does not take a word away"),
    ("a1111", "a red++ star", "“red++” is text: prompt_syntax is a1111; set it to compel"),
    ("a1111", "a star <lora:moon:0.8>", "“<lora:moon:0.8>” is text"),
    (
        "a1111",
        "a [red:blue:0.5] star",
        "“[red:blue:0.5]” is no change of words between steps here, but text that weighs 0.909; write one of the words",
    ),
    ("a1111", "a [red|blue] star", "“[red|blue]” is no change of words between steps"),
    ("a1111", "a star AND a moon", "“AND” is text: prompts are not composed"),
    ("a1111", "a {red|blue} star", "“{red|blue}” is text: set wildcards to draw"),
    ("a1111", "a __color__ star", "“__color__” is text: set wildcards to draw"),
    ("a1111", "a (red:3) star", "“red” weighs 3; beyond 2 pictures burn"),
    ("comfy", "a [red] star", "“[red]” is text: prompt_syntax is comfy, which has no square brackets"),
    ("comfy", "a red-- star", "“red--” is text: prompt_syntax is comfy; set it to compel"),
    ("comfy", "a star <lora:moon:0.8>", "“<lora:moon:0.8>” is text"),
    (
        "compel",
        "a (red:1.3) star",
        "“(red:1.3)” is text: prompt_syntax is compel; set it to a1111 or comfy if that is to be a weight, or write (word)1.3",
    ),
    ("compel", "a ((red)) star", "“((red))” weighs nothing in compel's syntax"),
    ("compel", "a red++ star", "compel makes the pooled embedding from the text with its marks"),
    ("compel", "a cat.swap(dog)", "“.swap(dog)” changes nothing here"),
]


@pytest.mark.parametrize(("syntax", "text", "said"), SAID)
def test_marks_of_another_syntax_are_told(syntax, text, said):
    """
    What would be a mark elsewhere, and is text here, is quoted with what to do; so are marks that are not done, and weights that burn.
    """
    assert any(line.startswith(f"negative_prompt: {said}") for line in cautions_of("negative_prompt", text, syntax))


@pytest.mark.parametrize("syntax", ["a1111", "comfy", "compel"])
def test_marks_in_their_own_syntax_need_no_advice(syntax):
    """
    A prompt in its own syntax is not sent to another one.
    """
    text = {"a1111": "a (red:1.3) [star] BREAK ((grass))", "comfy": "a (red:1.3) star BREAK ((grass))", "compel": "a red++ (star)1.3"}[syntax]
    assert [line for line in cautions_of("prompt", text, syntax) if "set it to" in line or "is text" in line] == []


@pytest.mark.parametrize("text", [":( a star :)", "a star :(", r"a \(red star", "a (red) [star]"])
def test_brackets_that_close_or_weigh_nothing_are_no_open_ones(text):
    """
    In the web UI's syntax a closed bracket, one with nothing behind it, and one that is written as text leave nothing open.
    """
    assert cautions_of("prompt", text, "a1111") == ()


@pytest.mark.parametrize(
    "text", ["(", "((", "[", "{", "__", "a+", "(a)", "(a", "-", ":1", "<lora:", "( ", " ", "BREAK ", '"', ".and(", "[a|", "/__a", "[a:", " AND"]
)
def test_no_text_takes_long_to_look_through(text):
    """
    A hundred thousand characters of the beginnings of marks are looked through in seconds, in each syntax.
    """
    began = time.perf_counter()
    for syntax in ("plain", "a1111", "comfy", "compel"):
        cautions_of("prompt", f"({text * (50_000 // len(text))}", syntax)
    assert time.perf_counter() - began < 20
