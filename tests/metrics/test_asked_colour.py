from __future__ import annotations

import colorsys
from dataclasses import replace
from functools import cache

import pytest
from PIL import Image

from sdxl_lab.images.masks import dilate
from sdxl_lab.metrics import COLOURS, measure, name_colour, shows_colour
from sdxl_lab.metrics.colour import painted_colour
from sdxl_lab.pocket import world
from sdxl_lab.runs.experiment import _expected
from sdxl_lab.runs.resolution import fetch
from sdxl_lab.settings.sections import EditSettings
from sdxl_lab.spec.edit import Edit
from tests.support.edits import crossed
from tests.support.runs import generated

COUNT = 100
FIRST_SEED = 8_000_000


@cache
def painted() -> list[tuple[world.Scene, Image.Image, Image.Image, str]]:
    """Scenes, each as it was and with another object, and that one's color."""
    pairs = [(world.sample_scene(FIRST_SEED + index), world.sample_scene(FIRST_SEED + 500_000 + index)) for index in range(COUNT)]
    return [
        (scene, world.draw(scene), world.draw(replace(scene, colour=other.colour, shape=other.shape)), str(other.colour)) for scene, other in pairs
    ]


@cache
def edited(kernel_size: int) -> list[tuple[Image.Image, Image.Image, str]]:
    """Scenes whose object became another, as a perfect model would paint it: picture, mask, and the color asked for."""
    edits = []
    for scene, before, after, colour in painted():
        mask = dilate(world.object_mask(scene), kernel_size)
        edits.append((Image.composite(after, before, mask), mask, colour))
    return edits


@pytest.mark.parametrize("kernel_size", crossed([1, 13, 25], quick=lambda kernel_size: kernel_size != 25))
def test_painted_colors_are_recognized(kernel_size):
    """
    Of a hundred objects painted as asked, in masks tight or wide, none is denied, and at most 4, white on white, are left undecided.
    """
    answers = [(shows_colour(*edit), edit[2]) for edit in edited(kernel_size)]
    assert 0.0 not in [answer for answer, _ in answers]
    undecided = [colour for answer, colour in answers if answer is None]
    assert len(undecided) <= 4
    assert set(undecided) <= {"white"}


def test_the_painted_color_is_the_object_s():
    """
    What stands out in a mask has the median color of the object that was drawn, and nothing stands out of a picture of one color.
    """
    for (scene, *_), (image, mask, colour) in zip(painted()[:20], edited(13)[:20], strict=True):
        if colour == "white" and scene.background == "snow":
            continue
        found = painted_colour(image, mask)
        assert found is not None
        assert name_colour(found) == colour
    flat, mask = Image.new("RGB", (64, 64), "green"), Image.new("L", (64, 64))
    mask.paste(255, (20, 20, 40, 40))
    assert painted_colour(flat, mask) is None


def test_a_picture_shows_one_color():
    """
    Asked for every word in turn, a picture with an object has exactly one that fits.
    """
    for image, mask, colour in edited(13)[:10]:
        assert [word for word in COLOURS if shows_colour(image, mask, word)] == [colour]


def test_where_nothing_was_painted_no_color_is_shown():
    """
    A mask that was filled with its background shows none of the world's colors; that of its surroundings is left undecided.
    """
    for index in range(30):
        scene = world.sample_scene(FIRST_SEED + index)
        image, mask = world.draw(replace(scene, colour=None, shape=None)), dilate(world.object_mask(scene), 13)
        answers = [shows_colour(image, mask, colour) for colour in world.COLOURS]
        assert 1.0 not in answers
        assert answers.count(None) <= 1


def test_the_world_s_colors_have_their_own_names():
    """
    Each color of the world is named by its word, and so are black, gray, brown and their darker shades.
    """
    assert {name_colour(rgb) for rgb in world.COLOURS.values()} == set(world.COLOURS)
    assert all(name_colour(rgb) == word for word, rgb in world.COLOURS.items())
    assert [name_colour(rgb) for rgb in ((9, 9, 12), (120, 122, 118), (120, 74, 30), (250, 250, 250))] == ["black", "gray", "brown", "white"]


def test_a_name_depends_on_the_hue_alone_where_the_color_is_strong():
    """
    Strong colors keep their name from bright to half as bright, except where orange turns brown.
    """
    for degrees in range(0, 360, 5):
        names = {name_colour([255 * level for level in colorsys.hsv_to_rgb(degrees / 360, 0.9, value)]) for value in (1.0, 0.75, 0.5)}
        assert len(names - {"brown"}) == 1
        assert "brown" not in names or 8 <= degrees <= 48


def test_what_is_no_color_word_is_not_judged():
    """
    An unknown word gives None rather than a no; case, spaces and other spellings are understood.
    """
    image, mask, _ = edited(1)[0]
    assert shows_colour(image, mask, "plaid") is None
    assert shows_colour(image, Image.new("L", mask.size), "red") is None
    assert shows_colour(Image.new("RGB", (9, 9), (128, 128, 128)), Image.new("L", (9, 9), 255), " Grey ") == 1.0


def test_the_answer_does_not_depend_on_the_picture_s_size():
    """
    Enlarged eightfold, a picture shows the same color.
    """
    for image, mask, colour in edited(13)[:8]:
        size = image.width * 8, image.height * 8
        large = image.resize(size, Image.Resampling.BICUBIC), mask.resize(size, Image.Resampling.NEAREST)
        assert shows_colour(*large, colour) == shows_colour(image, mask, colour)


def test_a_thin_mask_on_a_large_picture_is_still_judged():
    """
    A line one pixel wide and 2000 long is not lost when the picture is scaled down.
    """
    image, mask = Image.new("RGB", (2000, 40), (20, 160, 60)), Image.new("L", (2000, 40))
    image.paste((230, 30, 30), (0, 20, 2000, 21))
    mask.paste(255, (0, 20, 2000, 21))
    assert shows_colour(image, mask, "green") is not None


def test_only_what_the_dataset_asks_of_the_object_is_judged():
    """
    The built-in dataset's color is asked for by its own inpainting prompt, not by another prompt, nor of an outpainted background.
    """
    sample = fetch("pocket-scenes").sample("red-circle")
    image, mask = sample.image(), sample.mask()
    assert image is not None
    assert mask is not None
    blue = Image.composite(Image.new("RGB", image.size, (30, 60, 220)), image, mask)

    def answer(task: str, prompt: str | None) -> float | None:
        edit = Edit(sample=sample.name, task=task, prompt=prompt or "", seed=1, settings=EditSettings())
        return measure(generated(blue, image, mask, edit), expected=_expected(edit, sample)).get("colour_as_asked")

    assert answer("inpaint", sample.tasks["inpaint"].prompt) == 1.0
    assert answer("inpaint", "a blue star, but another one") is None
    assert answer("outpaint", sample.tasks["outpaint"].prompt) is None
