"""What fills the mask, and how the result meets what is around it: in pictures, against plain diffusers and OpenCV."""

from __future__ import annotations

import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sdxl_lab.images import seams
from sdxl_lab.settings.sections import Canvas, Crop, Mask
from sdxl_lab.spec.cautions import CautionWarning
from sdxl_lab.spec.edit import Edit
from tests.support.edits import calls, cpu, make_edit, same
from tests.support.plain import plain

INPAINT = "StableDiffusionXLInpaintPipeline"
FILLS = ("original", "neutral", "blur", "telea", "navier_stokes", "noise")


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, TrajectoryCache
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache


def edit_of(crop: Crop | None = None, task: str = "inpaint", canvas: Canvas | None = None, denoising: Any = None, **mask: Any) -> Edit:
    """An edit in few steps."""
    mode = "canvas" if canvas else "background" if task == "outpaint" else None
    made = make_edit(task, mode=mode, canvas=canvas, mask=Mask(**mask), **{"num_inference_steps": 2} | (denoising or {}))
    return made.model_copy(update={"settings": made.settings.model_copy(update={"crop": crop or Crop()})})


def filled_by_hand(image: Image.Image, mask: Image.Image, fill: str) -> Image.Image:
    """By OpenCV and arithmetic."""
    import cv2

    pixels, white = np.asarray(image), np.asarray(mask)
    if fill == "neutral":
        return Image.fromarray(np.where(white[..., None] > 0, np.uint8(128), pixels))
    method = {"telea": cv2.INPAINT_TELEA, "navier_stokes": cv2.INPAINT_NS}[fill]
    return Image.fromarray(cv2.inpaint(pixels, white, 5, method))


@pytest.mark.parametrize("fill", ["neutral", "telea", "navier_stokes"])
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_a_filled_mask_is_a_plain_call_on_the_filled_picture(random_pair, scene, fill, strength):
    """
    What is decoded is what diffusers makes of the picture that OpenCV, or gray, filled by hand.
    """
    image, mask = scene
    expected = plain(INPAINT, random_pair / "base", "euler", image=filled_by_hand(image, mask, fill), mask_image=mask, strength=strength)
    made = generate(make_edit(mask=Mask(fill=fill), strength=strength), image, mask, cpu(random_pair))
    assert same(expected, made.raw)
    assert made.input_image == image


CASES: dict[str, dict[str, Any]] = {
    "whole": {},
    "cropped": {"crop": Crop(padding_mask_crop=4, min_upscale=0)},
    "around": {"task": "outpaint"},
    "beyond": {"task": "outpaint", "canvas": Canvas(left_px=24, bottom_px=8)},
    "softly": {"soft": "blend", "blur_px": 6},
}


@pytest.mark.parametrize("case", CASES)
def test_beyond_the_mask_every_pixel_stays(random_pair, scene, case):
    """
    Whatever fills the mask, matches colors, blends and feathers: where nothing is composited, the picture is its input to the bit.
    """
    image, mask = scene
    cache, made = TrajectoryCache(), {}
    for fill, match, blend, feather in product(("original", "telea"), (None, "ring"), ("alpha", "poisson"), (0, 5)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CautionWarning)
            edit = edit_of(**CASES[case], fill=fill, color_match=match, blend=blend, feather_px=feather)
            one = generate(edit, image, mask if case != "beyond" else None, cpu(random_pair), trajectories=cache)
        assert one.input_image is not None
        assert one.seam_image is not None
        grown = one.seam_image.filter(ImageFilter.MaxFilter(2 * feather + 1))  # a square holds all that a feather reaches
        kept = np.asarray(grown) == 0
        assert same(np.asarray(one.input_image)[kept], np.asarray(one.image)[kept])
        made[fill, match, blend, feather] = one.image.tobytes()
    assert len(set(made.values())) == len(made)


def test_what_closes_the_seam_comes_after_the_decoder(random_pair, scene):
    """
    With color match and Poisson blend the raw picture is the one without, and the base is not run again; the result is theirs on the raw picture.
    """
    image, mask = scene
    cache, checkpoint = TrajectoryCache(), cpu(random_pair)
    plain_one = generate(edit_of(), image, mask, checkpoint, trajectories=cache)
    with calls(checkpoint.base.unet) as counts:
        closed = generate(edit_of(color_match="ring", blend="poisson"), image, mask, checkpoint, trajectories=cache)
    assert counts == [0]
    assert closed.raw == plain_one.raw
    by_hand = seams.joined(seams.matched(plain_one.raw, image, mask, reach_px=16), image, mask)
    assert closed.image == by_hand != plain_one.image


@pytest.mark.parametrize("fill", FILLS[1:])
def test_nine_channels_from_noise_see_no_fill(random_inpaint_pair, scene, fill):
    """
    A base that is shown the picture without its mask makes the same of any fill at strength 1, as is said; below 1, or refined, it does not.
    """
    image, mask = scene
    cache, checkpoint = TrajectoryCache(), cpu(random_inpaint_pair)
    for denoising, is_idle in (({"strength": 1.0}, True), ({"strength": 0.9}, False), ({"strength": 1.0, "high_noise_frac": 0.5}, False)):
        denoising = {"num_inference_steps": 4} | denoising
        unfilled = generate(edit_of(denoising=denoising), image, mask, checkpoint, trajectories=cache)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            other = generate(edit_of(fill=fill, denoising=denoising), image, mask, checkpoint, trajectories=cache)
        assert any("mask.fill has no effect: a UNet with 9 input channels" in str(one.message) for one in said) == is_idle
        assert (other.raw == unfilled.raw) == is_idle


def test_noise_is_the_seeds(random_pair, scene):
    """
    Two seeds fill differently, and a cache keeps their trajectories apart.
    """
    image, mask = scene
    cache, edits = TrajectoryCache(), [edit_of(fill="noise"), edit_of(fill="noise").model_copy(update={"seed": 5})]
    alone = [generate(edit, image, mask, cpu(random_pair)).image for edit in edits]
    assert [generate(edit, image, mask, cpu(random_pair), trajectories=cache).image for edit in edits] == alone
    assert alone[0] != alone[1]


@pytest.mark.parametrize("asked", [{"color_match": "ring"}, {"blend": "poisson"}, {"color_match": "ring", "blend": "poisson"}])
def test_without_a_seam_closing_it_has_no_effect(random_pair, scene, asked):
    """
    Where all that the models see is repainted, it is said that there is nothing to close, and nothing is.
    """
    image, white = scene[0], Image.new("L", (64, 64), 255)
    plain_one = generate(edit_of(), image, white, cpu(random_pair))
    with pytest.warns(CautionWarning, match="no effect: all that the models see is repainted, so there is no seam"):
        closed = generate(edit_of(**asked), image, white, cpu(random_pair))
    assert closed.image == plain_one.image
