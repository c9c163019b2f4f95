"""Words that are drawn for a prompt: what is written how, which are drawn how often, and what a draw depends on."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import permutations

import pytest
from scipy.stats import chisquare

from sdxl_lab.prompts.variants import Variation
from sdxl_lab.prompts.wildcards import WildcardError, check

LISTS = {f"twice{number}": [f"__twice{number + 1}__ __twice{number + 1}__"] for number in range(18)} | {"twice18": ["word "]}
LISTS |= {f"hidden{number}": [f"__hidden{number + 1}__{{|}}__hidden{number + 1}__"] for number in range(18)} | {
    "hidden18": ["{|}"],
    "long": ["x" * 60_000],
}
LISTS |= {"colors": ["red", "blue", "{dark|light} green"], "animals/small": ["a __colors__ mouse"], "endless": ["__endless__"], "broken": ["{"]}
SEEDS = range(1000)
UNLIKELY = 1e-4
"""Of a thousand fair draws, by Pearson's chi-squared."""


def drawn(text: str, seed: int = 0, sample: str = "star", name: str = "prompt") -> str:
    """
    What a prompt becomes.
    """
    return Variation(draws=True).of({name: text}, sample=sample, seed=seed, lines_of=LISTS.__getitem__)[name]


def often(text: str, seeds: Iterable[int] = SEEDS) -> Counter[str]:
    """
    What becomes of it over many seeds.
    """
    return Counter(drawn(text, seed) for seed in seeds)


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("a {red|blue} star", {"a red star": 1, "a blue star": 1}),
        ("{a|{b|c}}", {"a": 2, "b": 1, "c": 1}),
        ("{3::a|1::b}", {"a": 3, "b": 1}),
        ("{0.5::a|b}", {"a": 1, "b": 2}),
        ("{0::a|b}", {"b": 1}),
        ("{very |}small", {"very small": 1, "small": 1}),
        ("{2$$a|b|c}", {f"{one}, {other}": 1 for one, other in permutations("abc", 2)}),
        ("{2$$ and $$a|b}", {"a and b": 1, "b and a": 1}),
        ("{0-1$$a|b}", {"": 2, "a": 1, "b": 1}),
        ("{-2$$a|b}", {"a": 1, "b": 1, "a, b": 1, "b, a": 1}),
        ("{1-$$a|b}", {"a": 1, "b": 1, "a, b": 1, "b, a": 1}),
        ("{2$$__colors__}", None),
        ("(__colors__:1.2)", {"(red:1.2)": 2, "(blue:1.2)": 2, "(dark green:1.2)": 1, "(light green:1.2)": 1}),
        ("__animals/small__", {"a red mouse": 2, "a blue mouse": 2, "a dark green mouse": 1, "a light green mouse": 1}),
        ("{a}", {"a": 1}),
        (r"\{a\|b\} c|d", {"{a|b} c|d": 1}),
        ("my__colors__, __ a__, 50$", {"my__colors__, __ a__, 50$": 1}),
        ("", {"": 1}),
    ],
)
def test_words_are_drawn_as_often_as_they_should_be(text, shares):
    """
    Over a thousand seeds each alternative comes as often as its weight says, nested ones, several of them, and lines of lists, too.
    """
    found = often(text)
    if shares is None:
        assert all(len(set(several.replace("dark", "light").split(", "))) == 2 for several in found)
        return
    assert set(found) == set(shares)
    if len(shares) > 1:
        expected = [share * len(SEEDS) / sum(shares.values()) for share in shares.values()]
        assert chisquare([found[said] for said in shares], expected).pvalue > UNLIKELY


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a {red|blue star", r"“{red\|blue star”, whose brace is never closed; close it, or write \\{"),
        ("a red} star", r"“} star”, whose brace closes nothing; open it, or write \\}"),
        ("{a|{b}", r"“{a\|{b}”, whose brace is never closed"),
        ("{" * 30 + "}" * 30, "more than 20 braces within each other; write fewer"),
        ("{0::a|0::b}", "nothing may be drawn; give an alternative a weight above 0"),
        ("{$$a|b}", r"allowed before \$\$ is how many, such as 2\$\$ or 1-3\$\$"),
        ("{" + "9" * 5000 + "$$a|b}", r"got a number of 5,000 digits; write one of at most 20"),
        ("{1-" + "9" * 5000 + "$$a|b}", r"got a number of 5,000 digits"),
        ("{" + "9" * 5000 + "::a|b}", r"got a number of 5,000 digits"),
        ("{3-1$$a|b}", r"allowed before \$\$ is how many"),
        ("${color=red} ${color}", r"“\${color=red} \${color}”; variables are not there: write the words"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_error(text, said):
    """
    Braces that do not pair, counts that are none and variables are refused with what was got and what to do, without any list.
    """
    with pytest.raises(WildcardError, match=said):
        check(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{3$$a|b}", r"got 3\$\$ before 2 alternatives; ask for fewer, or add some"),
        ("{5-$$__colors__}", r"got 5\$\$ before 3 alternatives"),
        ("__endless__", "“__endless__” in 20 lists within each other; take it out of one of them"),
        ("__long__ __long__", "got more than 100,000 characters; draw fewer words"),
        ("__twice0__", "got more than 10,000 braces and lists to draw of; draw fewer words"),
        ("__hidden0__", "got more than 10,000 braces and lists to draw of; draw fewer words"),
        ("__broken__", "list broken, “{”: got “{”, whose brace is never closed"),
    ],
)
def test_what_a_list_cannot_give_is_one_clear_error(text, said):
    """
    More than a list has, lists that name themselves, and lines that are none are refused.
    """
    with pytest.raises(WildcardError, match=said):
        drawn(text)


def test_a_draw_depends_on_sample_seed_and_place_alone():
    """
    Other words around a brace, or in it, change nothing of what is drawn; another sample, seed, prompt or place does.
    """
    colors, text = "{red|blue|green|white|black|pink}", "a {red|blue|green|white|black|pink} star on {red|blue|green|white|black|pink} grass"
    first = [drawn(text, seed).split()[1] for seed in SEEDS]
    assert first == [drawn(f"in oil: {colors}", seed).split()[-1] for seed in SEEDS]
    assert first == [drawn("{0::x|red|blue|green|white|black|pink}", seed) for seed in SEEDS]
    others = [
        [drawn(text, seed).split()[4] for seed in SEEDS],
        [drawn(colors, seed, sample="ring") for seed in SEEDS],
        [drawn(colors, seed, name="negative_prompt") for seed in SEEDS],
        [drawn(colors, seed + 1) for seed in SEEDS],
    ]
    for other in others:
        assert sum(one == two for one, two in zip(first, other, strict=True)) < 230  # of 1,000; by chance 167, give or take 12


def test_a_draw_is_a_hash_and_the_same_in_any_process():
    """
    What is drawn follows from sha256 as it is written down here, whatever seed Python's own hashes have.
    """
    digest = hashlib.sha256(json.dumps(["sdxl_lab wildcards", "star", 7, "prompt", 0, 0]).encode()).digest()
    letters = [chr(97 + index) for index in range(20)]
    expected = letters[int.from_bytes(digest[:8], "big") * len(letters) >> 64]
    script = "import sys; from tests.prompts.test_wildcards import drawn; print(drawn(sys.argv[1], 7))"
    found = {
        subprocess.run(
            [sys.executable, "-c", script, "{" + "|".join(letters) + "}"],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {expected}


def test_without_being_asked_braces_are_text():
    """
    A prompt is what it says as long as nobody asks for words to be drawn.
    """
    text = "a {red|blue __colors__ } star"
    assert Variation().of({"prompt": text, "negative_prompt": None}, sample="star", seed=0) == {"prompt": text, "negative_prompt": None}
