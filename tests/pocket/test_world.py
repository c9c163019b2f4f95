"""The synthetic world and the dataset drawn from it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.datasets.sources import fetch
from sdxl_lab.pocket import dataset
from sdxl_lab.pocket.training.examples import example
from sdxl_lab.pocket.world import COLOURS, EMPTY, HELD_OUT, PLACES, SHAPES, caption, draw, object_mask, sample_scene
from sdxl_lab.tasks import TASKS
from tests.support.words_alone import words_task

SEEDS = range(12)


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("pocket-scenes", dataset.five),
        ("pocket-scenes-2", dataset.around),
        ("pocket-forty", dataset.forty),
        ("pocket-prompts", dataset.prompts),
        ("pocket-variations", dataset.variations),
    ],
)
def test_the_world_still_draws_the_built_in_datasets(tmp_path, name, samples):
    """
    The committed pictures, masks and metadata are what the world draws today, pixel by pixel, and there is nothing else.
    """
    dataset.write(samples(), tmp_path)
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(dataset.FOLDER / name) for path in (dataset.FOLDER / name).rglob("*") if path.is_file())
    for file in files:
        if file.suffix == ".png":
            with Image.open(dataset.FOLDER / name / file) as kept, Image.open(tmp_path / file) as drawn:
                assert np.array_equal(np.asarray(kept), np.asarray(drawn))
    assert json.loads((dataset.FOLDER / name / "metadata.json").read_text()) == json.loads((tmp_path / "metadata.json").read_text())


def test_the_better_words_name_the_background_alone():
    """
    The second five are the first, pictures, masks, seeds and what is expected of them included, but that outpainting asks for no object.
    """
    first, second = ({sample.name: sample for sample in fetch(name).samples} for name in ("pocket-scenes", "pocket-scenes-2"))
    assert list(first) == list(second)
    for name, sample in second.items():
        before, after = first[name].tasks, sample.tasks
        assert after["inpaint"] == before["inpaint"]
        assert replace(after["outpaint"], prompt=before["outpaint"].prompt) == before["outpaint"]
        assert not {*str(after["outpaint"].prompt).split()} & {*COLOURS, *SHAPES}
        assert after["outpaint"].prompt == EMPTY[after["outpaint"].extra["expected"]["background"]]
        for path, other in ((sample.image_path, first[name].image_path), (sample.mask_path, first[name].mask_path)):
            assert path is not None
            assert other is not None
            assert path.read_bytes() == other.read_bytes()


def test_each_edit_of_the_forty_asks_for_something_else():
    """
    Forty samples of different names ask for a color, a shape and a background that their pictures do not show.
    """
    samples = dataset.forty()
    assert len({sample.name for sample in samples}) == 40
    for sample in samples:
        scene, asked = sample.scene, sample.metadata()["inpaint"]["expected"]
        assert scene.colour != asked["colour"]
        assert scene.shape != asked["shape"]
        assert scene.background == asked["background"] != sample.outpaint


@pytest.fixture
def text_to_image(monkeypatch) -> None:
    """The task of that name, or one in its place."""
    monkeypatch.setitem(TASKS, "text_to_image", TASKS.get("text_to_image", words_task("text_to_image")))


def test_the_prompts_ask_for_all_that_the_world_has(text_to_image):
    """
    Twenty-four samples ask in the world's words for each color, shape and background, no two together twice, and for no pair that was held out.
    """
    samples = fetch("pocket-prompts").samples
    words = [sample.tasks["text_to_image"] for sample in samples]
    expected = [found.extra["expected"] for found in words]
    assert [found.prompt for found in words] == [
        f"{'an' if asked['colour'] == 'orange' else 'a'} {asked['colour']} {asked['shape']} {PLACES[asked['background']]}" for asked in expected
    ]
    assert [found.seed for found in words] == list(range(24))
    assert {found.negative_prompt for found in words} == {None}
    for kind, names in (("colour", COLOURS), ("shape", SHAPES), ("background", PLACES)):
        counts = Counter(asked[kind] for asked in expected)
        assert counts.keys() == names.keys()
        assert set(counts.values()) <= {2, 3}
    for pair in combinations(("colour", "shape", "background"), 2):
        assert len({tuple(asked[kind] for kind in pair) for asked in expected}) == 24
    assert not {(asked["colour"], asked["shape"]) for asked in expected} & HELD_OUT
    assert [sample.name for sample in samples] == sorted(sample.name for sample in samples)
    assert not [sample for sample in samples if sample.image_path or sample.mask_path]


def test_nothing_is_said_of_the_prompts(text_to_image):
    """
    The built-in prompts have no notes, with the task that they are for and without it.
    """
    assert fetch("pocket-prompts").notes == ()
    del TASKS["text_to_image"]
    assert fetch("pocket-prompts").notes == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mask_is_where_the_object_is(seed):
    """
    Emptying a scene changes its picture inside the mask and in the shadow around it, and nowhere else.
    """
    scene = sample_scene(seed)
    empty = sample_scene(seed, empty_frac=1)
    changed = np.abs(np.asarray(draw(scene), int) - np.asarray(draw(empty), int)).max(axis=2) > 0
    mask = np.asarray(object_mask(scene))
    assert changed[mask == 255].mean() > 0.98
    y, x = np.nonzero(changed)
    assert np.hypot(x - scene.x_px, y - scene.y_px).max() < 1.3 * scene.radius_px + 20


def test_the_object_has_the_color_of_its_name():
    """
    The median pixel of every object is nearer to its own color than to any other.
    """
    for seed in SEEDS:
        scene = sample_scene(seed)
        median = np.median(np.asarray(draw(scene))[np.asarray(object_mask(scene)) == 255], axis=0)
        distances = {name: np.linalg.norm(median / max(median) - np.array(rgb) / max(rgb)) for name, rgb in COLOURS.items()}
        assert min(distances, key=lambda name: distances[name]) == scene.colour


def test_held_out_pairs_stay_out():
    """
    Training examples never show a held-out pair of color and shape, and asking for held-out scenes gives nothing else.
    """
    assert len(HELD_OUT) == len(SHAPES)
    assert not {(example(seed).scene.colour, example(seed).scene.shape) for seed in range(600)} & HELD_OUT
    assert {(s.colour, s.shape) for s in (sample_scene(seed, held_out=True) for seed in SEEDS)} <= HELD_OUT


@pytest.mark.parametrize(("width", "height"), [(128, 128), (192, 128), (128, 192)])
def test_an_example_is_a_view_of_its_scene(width, height):
    """
    An example has the size asked for, and its crop lies inside its original size or enlarges a smaller one.
    """
    for seed in SEEDS:
        view = example(seed, width, height)
        assert view.draw().size == (width, height)
        (top, left), (tall, wide) = view.crop, view.original_size
        assert (top + height <= tall and left + width <= wide) or (top == left == 0 and tall < height and wide < width)


def test_a_low_aesthetic_score_means_a_degraded_picture():
    """
    An example scored below 6 is blurrier or noisier than the same view drawn clean, and one above is that view.
    """
    for view in map(example, range(60)):
        same = np.array_equal(np.asarray(view.draw()), np.asarray(replace(view, aesthetic_score=6.5).draw()))
        assert same == (view.aesthetic_score >= 6)


def test_captions_say_what_the_scene_shows():
    """
    A caption names color, shape and place, and the size where asked, in the field's plain words.
    """
    scene = sample_scene(3)
    words = caption(scene, say_size=True)
    assert words.split()[1:4] == [scene.size, scene.colour, scene.shape]
    assert words.endswith(PLACES[scene.background])
    assert caption(sample_scene(3, empty_frac=1)) != words
