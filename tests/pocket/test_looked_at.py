"""What is said of objects and colors in pictures of the world: on true scenes, where the answer is known."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.errors import LabError
from sdxl_lab.images.masks import invert
from sdxl_lab.pocket.dataset import around, five, forty
from sdxl_lab.pocket.world import draw, object_mask, sample_scene
from sdxl_lab.settings.sections import Mask

DOCS = Path(__file__).parents[2] / "docs"
COUNT = 40


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global evaluate_around, evaluate_matched, load_judge
    from sdxl_lab.pocket.training import evaluate_around, evaluate_matched
    from sdxl_lab.pocket.training.judge import load_judge


@pytest.fixture(scope="module")
def judge() -> Any:
    """The built-in one."""
    return load_judge()


def test_a_second_object_is_seen_and_the_first_is_not_taken_for_one(judge):
    """
    Of forty true scenes of one object at most one is said to have another, of those with two all but one; the rule knows no more than the mask.
    """
    ones = [sample_scene(evaluate_around.FIRST_SEED + index) for index in range(COUNT)]
    twos = [pair for index in range(COUNT) if (pair := evaluate_around.of_two(index))]
    assert len(twos) > COUNT // 2
    alone = evaluate_around.show_another([draw(scene) for scene in ones], [object_mask(scene) for scene in ones], judge)
    beside = evaluate_around.show_another([picture for _, picture in twos], [object_mask(scene) for scene, _ in twos], judge)
    assert sum(alone) <= 1
    assert sum(beside) >= len(twos) - 1


def test_ways_to_ask_differ_by_what_they_are_called():
    """
    The words for the background are those of `pocket-scenes-2`, those with the object the ones of `pocket-scenes`, and a mask is the background's.
    """
    ways = evaluate_around.WAYS
    for before, after in zip(five(), around(), strict=True):
        named, alone = (ways[name].edit(before) for name in (evaluate_around.NAMED, evaluate_around.ALONE))
        assert named.prompt == before.metadata()["outpaint"]["prompt"]
        assert alone.prompt == after.metadata()["outpaint"]["prompt"]
        assert (named.seed, named.settings) == (alone.seed, alone.settings)
        assert alone.settings.mask == Mask(kernel_size=3)
        led = next(way for way in ways.values() if way.is_led_away).edit(before)
        assert led.negative_prompt == f"a {before.scene.colour} {before.scene.shape}"
    assert len({way.edit(five()[0]).model_dump_json() for way in ways.values()}) == len(ways)


def test_a_scene_as_asked_is_not_off(judge):
    """
    What the world draws of an edit is as asked, in hue and in color, and a tint is told; of white on snow the shadow alone stands out.
    """
    for edited in forty()[:8]:
        wanted = evaluate_matched.wanted_of(edited, "inpaint")
        seen = evaluate_matched.painted(draw(wanted), object_mask(wanted), wanted, judge)
        assert seen.is_as_asked
        assert seen.off is not None
        # Of white on snow nothing but the shadow stands out.
        assert seen.off < 5 or (wanted.colour, wanted.background) == ("white", "snow")
        assert (seen.hue_off_deg is None) == (wanted.colour == "white")
        assert (seen.hue_off_deg or 0) < 2
        before = evaluate_matched.painted(draw(edited.scene), object_mask(edited.scene), wanted, judge)
        assert not before.is_as_asked
        assert before.off is not None
        assert before.off > 15
        there = evaluate_matched.wanted_of(edited, "outpaint")
        ground = invert(object_mask(there))
        true = evaluate_matched.around(draw(there), ground, there, judge)
        tinted = Image.fromarray((np.asarray(draw(there)) * np.array((1.0, 0.7, 1.0))).astype(np.uint8))
        off = evaluate_matched.around(tinted, ground, there, judge).off
        assert true.is_as_asked
        assert true.off is not None
        assert off is not None
        assert off > true.off + 5


def test_differences_are_paired_and_told_where_they_are_some():
    """
    A row has both means and the difference of pairs, in bold where its interval leaves out 0; a pair of which one is undefined is left out.
    """
    plain = {
        task: [evaluate_matched.Seen(is_as_asked=True, off=float(number), hue_off_deg=None) for number in range(10)]
        for task in ("inpaint", "outpaint")
    }
    plain["inpaint"] = [replace(seen, hue_off_deg=1.0) for seen in plain["inpaint"][:-1]] + plain["inpaint"][-1:]
    matched = {task: [replace(seen, off=(seen.off or 0) + 1) for seen in listed] for task, listed in plain.items()}
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in evaluate_matched.table(plain, matched).splitlines()[2:]]
    assert [row[1] for row in rows] == ["10", "10", "9", "10", "10"]
    assert rows[1][2:] == ["4.50", "5.50", "**+1.00 (+1.00 to +1.00)**"]
    assert rows[2][2:] == ["1.00°", "1.00°", "+0.00° (+0.00 to +0.00)"]
    assert rows[0][4] == "+0.0 points (+0.0 to +0.0)"


def test_runs_that_are_not_made_are_named(tmp_path):
    """
    Without the sweep there is one error with the command that makes it.
    """
    with pytest.raises(LabError, match=r"lacks the runs.*sdxl-lab sweep notebooks/holes\.yaml"):
        evaluate_matched.runs_of(tmp_path)


@pytest.mark.parametrize(("page", "mark", "rows"), [("editing", "figures of around", 10), ("study", "answers of matched", 7)])
def test_the_pages_hold_the_figures(page, mark, rows):
    """
    Between its marks each page has the table that the command writes, whole.
    """
    text = (DOCS / f"{page}.md").read_text()
    [between] = re.findall(rf"<!-- {mark} -->\n(.*?)<!-- end of {mark} -->", text, re.DOTALL)
    assert len(between.splitlines()) == rows
