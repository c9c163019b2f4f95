"""Tables on a terminal: names that differ look different, and columns stand where they should."""

from __future__ import annotations

import numpy as np
import pytest

from sdxl_lab.tables import apart, laid_out, width_of

WORDS = ["seed", "guidance_scale", "high_noise_frac", "a", "漢字", "-", "_"]


@pytest.mark.parametrize("seed", range(30))
def test_texts_that_differ_never_look_alike(seed):
    """
    However long texts are and however much they share, no two that differ are shortened to the same, and no line is longer than asked.
    """
    rng = np.random.default_rng(seed)
    longest = int(rng.integers(4, 30))
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 12))) + str(rng.integers(3)) for _ in range(6)]
    cut = apart(texts, longest)
    assert len(set(cut)) == len(set(texts))
    assert max(len(line) for text in cut for line in text.split("\n")) <= longest


def test_shortened_texts_keep_what_differs():
    """
    Beginnings where these differ; else what not all have; else everything, over several lines.
    """
    assert apart(["short", "a long beginning of one"], 10) == ["short", "a long ..."]
    assert apart(["guidance_scale-5-x", "guidance_scale-7-x"], 10) == ["...5-...", "...7-..."]
    assert apart(["aaaaaaaaaaaa1", "aaaaaaaaaaaa2"], 10) == ["aaaaaaaaaa\naa1", "aaaaaaaaaa\naa2"]


def test_names_go_on_in_the_next_line_after_a_word():
    """
    A line ends after a space where a word has room in the next one, and within a word after - or _; the lines in a row are the name.
    """
    names = ["padding_mask_crop-none-kernel-x", "padding_mask_crop-kernel-none-x"]
    assert [name.split("\n") for name in apart(names, 16)] == [
        ["padding_mask_", "crop-none-", "kernel-x"],
        ["padding_mask_", "crop-kernel-", "none-x"],
    ]
    labels = ["soft=threshold fill=telea color_match=none", "soft=threshold fill=telea color_match=ring"]
    assert apart(labels, 28) == ["...match=none", "...match=ring"]
    assert [label.split("\n") for label in apart([*labels, "fill=telea soft=threshold color_match=ring"], 28)] == [
        ["soft=threshold fill=telea ", "color_match=none"],
        ["soft=threshold fill=telea ", "color_match=ring"],
        ["fill=telea soft=threshold ", "color_match=ring"],
    ]


def test_what_is_cut_ends_in_one_gap():
    """
    A beginning that ends where words were left out already is not followed by a second gap.
    """
    points = ["checkpoint=pocket-sd2-inpaint high_noise_frac=n/a", "checkpoint=pocket high_noise_frac=none", "checkpoint=pocket high_noise_frac=0.8"]
    assert apart(points, 34) == ["checkpoint=pocket-sd2-inpaint ...", "checkpoint=pocket ...frac=none", "checkpoint=pocket ...frac=0.8"]


def test_columns_stand_beside_each_other():
    """
    Headings end in one line and rows begin in one; numbers are flush right, and letters of double width count twice.
    """
    columns = [("name", ["漢", "ab\ncd"]), ("two\nwords", ["1", "22"]), ("", ["x", ""])]
    assert laid_out(columns, left=1) == ["        two\nname  words", "漢        1  x", "ab       22\ncd"]
    assert [width_of(column) for column in columns] == [6, 7, 3]
