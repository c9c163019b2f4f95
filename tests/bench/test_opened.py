"""What lies on a bench, and what a picture is then made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdxl_lab
from sdxl_lab import RunSpec, resolve, run
from tests.support.sessions import names

pytestmark = pytest.mark.usefixtures("home")

PROMPT = "a blue star on grass"
QUICK: dict[str, Any] = {"num_inference_steps": 4}


def test_a_picture_is_opened_in_whatever_form_it_comes(bench, sample):
    """
    A path, a PIL image, an array and a dataset's sample put the same on the bench: one picture, made once.
    """
    image, mask = Image.open(sample.image_path), Image.open(sample.mask_path)
    forms = [(sample.image_path, sample.mask_path), (image, mask), (np.asarray(image), np.asarray(mask) > 127), (sample, None)]
    made = set()
    for form in forms:
        bench.open(*form)
        made.add(names(bench.make(PROMPT, seed=7, **QUICK)))
    assert len(made) == 1
    assert len(bench.pictures) == 1


def test_what_is_there_tells_the_task(bench, sample):
    """
    Words alone, a picture, a picture and its mask, a canvas: each is one of the tasks.
    """
    image, mask = sample.image_path, sample.mask_path
    asked = [((), {}), ((image,), {}), ((image, mask), {}), ((image,), {"left_px": 16, "mode": "canvas"})]
    for given, settings in asked:
        bench.open(*given)
        bench.make(PROMPT, **QUICK, **settings)
    assert [picture.task for picture in bench.pictures] == ["text_to_image", "image_to_image", "inpaint", "outpaint"]


def test_a_sample_brings_its_words(bench, sample):
    """
    Of a dataset's sample, prompt and seed are those of the task, unless others are given.
    """
    bench.open(sample)
    own = sample.tasks["inpaint"]
    made = bench.make(**QUICK)
    assert (made.prompt, made.seed) == (own.prompt, own.seed)
    assert bench.make("a red heart", **QUICK).prompt == "a red heart"


@pytest.mark.parametrize("kind", ["bench", "call", "run", "path"])
def test_an_earlier_picture_brings_what_it_was_made_from_and_with(bench, sample, kind):
    """
    Opened again, a picture that the lab made is made again unless something is changed, and then differs in that alone.
    """
    settings = QUICK | {"guidance_scale": 4.0, "feather_px": 2}
    if kind == "run":
        parameters = {"name": "run", "dataset": "pocket-scenes", "checkpoint": "pocket", "samples": ["red-circle"], "tasks": ["inpaint"]}
        hyperparameters = {"prompt": PROMPT, "seed": 7, "denoising": QUICK | {"guidance_scale": 4.0}, "mask": {"feather_px": 2}}
        [earlier] = run(resolve(RunSpec.from_parameters(**parameters, hyperparameters=hyperparameters, tracking="off")))
    elif kind == "bench":
        bench.open(sample)
        earlier = bench.make(PROMPT, seed=7, **settings)
    else:
        earlier = sdxl_lab.inpaint(sample.image_path, sample.mask_path, PROMPT, seed=7, **settings)
    bench.open(earlier.save("earlier.png") if kind == "path" else earlier)
    assert names(bench.make()) == names(earlier)
    changed = bench.make(seed=8, guidance_scale=5.0)
    expected = sdxl_lab.inpaint(sample.image_path, sample.mask_path, PROMPT, seed=8, **settings | {"guidance_scale": 5.0})
    assert names(changed) == names(expected)


def test_an_earlier_picture_takes_another_mask(bench, sample):
    """
    A mask given with an earlier picture stands in for its own, and words and settings stay.
    """
    bench.open(sample)
    earlier = bench.make(PROMPT, seed=7, **QUICK)
    mask = Image.new("L", sample.size)
    mask.paste(255, (8, 8, 60, 60))
    bench.open(earlier, mask)
    expected = names(sdxl_lab.inpaint(sample.image_path, mask, PROMPT, seed=7, **QUICK))
    assert names(bench.make()) == expected
    bench.open(sample)
    bench.open(mask_image=mask)
    assert names(bench.make(PROMPT, seed=7, **QUICK)) == expected


def test_what_is_opened_stays_what_it_was(bench, sample):
    """
    An array that is changed afterwards, or a file that is gone, changes nothing of what lies on the bench.
    """
    image = np.asarray(Image.open(sample.image_path)).copy()
    bench.open(image, sample.mask_path)
    image[:] = 0
    assert names(bench.make(PROMPT, **QUICK)) == names(sdxl_lab.inpaint(sample.image_path, sample.mask_path, PROMPT, **QUICK))
