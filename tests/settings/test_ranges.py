"""Ranges of numbers and random seeds, as users of image tools write them."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest

from sdxl_lab.settings.ranges import RangeError, is_random, is_range, numbers, random_seeds, whole_numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1-5", [1, 2, 3, 4, 5]),
        ("1-10 (3)", [1, 4, 7, 10]),
        ("1-10(+3)", [1, 4, 7, 10]),
        ("1-9 (3)", [1, 4, 7]),
        ("10-1 (3)", [10, 7, 4, 1]),
        ("10-1 (-3)", [10, 7, 4, 1]),
        ("1-10 [4]", [1, 4, 7, 10]),
        ("1-10 [5]", [1, 3, 5, 7, 10]),
        ("-3--1", [-3, -2, -1]),
        ("-2 - 2 (2)", [-2, 0, 2]),
        ("7-7", [7]),
    ],
)
def test_a_range_of_whole_numbers_is_what_other_tools_make_of_it(text, expected):
    """
    Ranges by distance and by count give the whole numbers that users of image tools expect.
    """
    assert is_range(text)
    assert whole_numbers(text) == expected


@pytest.mark.parametrize(("first", "last", "distance"), [("0.5", "0.9", "0.1"), ("5", "10", "2.5"), ("0.05", "1.0", "0.05"), ("1", "0", "0.125")])
def test_a_range_of_numbers_is_exact(first, last, distance):
    """
    Each value of a range is the very number that one would write, so a range and the list of its values are the same settings.
    """
    expected, value = [], Decimal(first)
    step = Decimal(distance) if Decimal(last) > value else -Decimal(distance)
    while (value <= Decimal(last)) if step > 0 else (value >= Decimal(last)):
        expected.append(float(str(value)))
        value += step
    assert numbers(f"{first}-{last} ({distance})") == expected


@pytest.mark.parametrize("count", [2, 3, 7, 21])
def test_a_range_by_count_is_evenly_spread(count):
    """
    A range by count holds both ends and what lies evenly between them.
    """
    assert numbers(f"0.3-7.5 [{count}]") == pytest.approx(np.linspace(0.3, 7.5, count))


@pytest.mark.parametrize(
    "text", ["1-10 (0)", "1-10 (-3)", "10-1 (+3)", "1-10 [1]", "1-10 [0]", "3-3 [2]", "1-3 [5]", "1-1000000", "0.5-2", "1-2 (0.5)"]
)
def test_a_range_that_leads_nowhere_is_refused(text):
    """
    A range of whole numbers without end, without values, with repeated values or with fractions is refused with what was got.
    """
    with pytest.raises(RangeError) as caught:
        whole_numbers(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["", "5", "euler", "1-", "-5", "a-b", "1-2-3", "1-10 (3", "1-10 [2.5]", "2026-11-21", "random(3)", "1e3-1e4"])
def test_other_texts_are_no_ranges(text):
    """
    A single number, a word and a torn range are not taken for ranges.
    """
    assert not is_range(text)


def test_random_seeds_are_always_the_same():
    """
    A process with another hash seed draws the same eight seeds, all different and from -1000 to 1000.
    """
    seeds = random_seeds("random(8)")
    code = "from sdxl_lab.settings.ranges import random_seeds; print(random_seeds('random(8)'))"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"})
    assert again.stdout == f"{seeds}\n"
    assert len(set(seeds)) == 8
    assert all(-1000 <= seed <= 1000 for seed in seeds)


def test_the_seeds_of_a_paper_stay_the_seeds_of_a_paper():
    """
    The first seeds are written down here, since whoever published pictures with them relies on them.
    """
    assert random_seeds("random(4)") == [527, 540, 55, -335]
    assert random_seeds("random(4, 7)") == [78, -463, 522, 985]


def test_a_second_number_draws_others():
    """
    Another number gives other seeds, 0 the usual ones, and a larger count begins with those of a smaller one.
    """
    assert random_seeds("random(8, 7)") != random_seeds("random(8)") == random_seeds("random(8, 0)")
    assert random_seeds("random(100)")[:8] == random_seeds("random(8)")
    drawn = random_seeds("random(1000)")
    assert len(set(drawn)) == 1000
    assert abs(np.mean(drawn)) < 60
    assert {is_random(text) for text in ("random(8)", "random( 8 , 7 )")} == {True}


@pytest.mark.parametrize("text", ["random(0)", "random(1001)", "random()", "random(-1)", "random(8, 7, 6)"])
def test_no_or_too_many_seeds_are_refused(text):
    """
    Random seeds that cannot be drawn are refused with what is allowed.
    """
    with pytest.raises(RangeError, match="allowed is"):
        random_seeds(text)
