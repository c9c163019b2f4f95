"""Text to image against diffusers' own pipeline, alone and with a refiner, and from one trajectory."""

from __future__ import annotations

from typing import Any

import pytest

from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.settings.sections import Conditioning, Denoising, EditSettings, PictureSize, Refiner
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.run_spec import SpecError
from tests.support.edits import KINDS, NEGATIVE, PROMPT, SEED, STEPS, calls, cpu, crossed, same
from tests.support.plain import CHANGES, plain

PIPELINE, REFINER = "StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"
SCORES: dict[str, Any] = dict(aesthetic_score=7.0, negative_aesthetic_score=2.0)


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global TrajectoryCache, generate
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache


def edit_of(*, size: tuple[int, int] = (64, 64), negative_prompt: str | None = NEGATIVE, **sections: Any) -> Edit:
    """
    A picture from words; what is no section is a setting of `denoising`.
    """
    denoising = {key: sections.pop(key) for key in Denoising.model_fields if key in sections}
    asked = Denoising(**{"num_inference_steps": STEPS, "guidance_scale": 5.0, **denoising})
    settings = EditSettings(denoising=asked, size=PictureSize(width=size[0], height=size[1]), **sections)
    return Edit(sample="words", task="text_to_image", prompt=PROMPT, negative_prompt=negative_prompt, seed=SEED, settings=settings)


@pytest.mark.parametrize(
    ("scheduler", "size"),
    crossed(CHANGES, [(64, 64), (96, 64)], quick=lambda scheduler, size: scheduler == "euler" or (scheduler in KINDS and size == (64, 64))),
)
def test_base_alone_equals_the_plain_pipeline(random_pair, scheduler, size):
    """
    With the same seed and size, a base without refiner makes the very picture that diffusers' text to image does.
    """
    width, height = size
    expected = plain(PIPELINE, random_pair / "base", scheduler, width=width, height=height, guidance_scale=5.0)
    assert same(expected, generate(edit_of(scheduler=scheduler, size=size), None, None, cpu(random_pair)).image)


SIZES_ASKED: dict[str, dict[str, Any]] = {
    "target": {"target_size": (32, 96)},
    "crop": {"crops_coords_top_left": (8, 16)},
    "negative": {"negative_original_size": (32, 32), "negative_target_size": (16, 16), "negative_crops_coords_top_left": (8, 0)},
}


@pytest.mark.filterwarnings("ignore:.* no effect")
@pytest.mark.parametrize(
    ("name", "guidance_scale", "negative_prompt"),
    crossed(
        SIZES_ASKED,
        [1.0, 4.0],
        [None, "", "snow"],
        quick=lambda name, guidance_scale, negative_prompt: negative_prompt == "" if guidance_scale > 1 else name == "negative",
    ),
)
def test_words_guidance_and_sizes_are_the_pipelines_own(random_pair, guidance_scale, negative_prompt, name):
    """
    Each means what it means to diffusers, with and without guidance.
    """
    asked = SIZES_ASKED[name]
    arguments = dict(width=64, height=64, guidance_scale=guidance_scale, negative_prompt=negative_prompt)
    expected = plain(PIPELINE, random_pair / "base", "euler", **arguments, **asked)
    edit = edit_of(guidance_scale=guidance_scale, negative_prompt=negative_prompt, conditioning=Conditioning(**asked))
    assert same(expected, generate(edit, None, None, cpu(random_pair)).image)


@pytest.mark.filterwarnings("ignore:.* no effect")  # under euler, stock makes the picture of consistent
@pytest.mark.parametrize("handover", ["stock", "sdedit"])
@pytest.mark.parametrize("scheduler", crossed(CHANGES, quick=lambda scheduler: scheduler in ("euler_a", "heun")))
def test_a_refiner_in_diffusers_ways_equals_two_plain_calls(random_pair, scheduler, handover):
    """
    Stock hands over at a fraction of the noise, sdedit a finished picture to be noised again: what two calls of diffusers make.
    """
    shared: dict[str, Any] = dict(num_inference_steps=10, guidance_scale=5.0)
    split, again = ({"denoising_end": 0.6}, {"denoising_start": 0.6}) if handover == "stock" else ({}, {"strength": 0.4})
    latents = plain(PIPELINE, random_pair / "base", scheduler, width=64, height=64, output_type="latent", **shared, **split)
    expected = plain(REFINER, random_pair / "refiner", scheduler, image=latents, **shared, **again, **SCORES)
    asked: dict[str, Any] = dict(num_inference_steps=10, scheduler=scheduler, handover=handover)
    asked |= {"high_noise_frac": 0.6, "refiner": Refiner(**SCORES)} if handover == "stock" else {"refiner": Refiner(**SCORES, strength=0.4)}
    assert same(expected, generate(edit_of(**asked), None, None, cpu(random_pair)).image)


@pytest.mark.parametrize("scheduler", crossed(CHANGES, quick=lambda scheduler: scheduler in ("euler_a", "dpmpp_2m", "heun")))
def test_consistent_hand_over_to_the_same_unet_is_no_hand_over(twin_pair, scheduler):
    """
    Split in two with the same UNet, a run ends bit for bit where the unsplit one does.
    """
    expected = plain(PIPELINE, twin_pair / "base", scheduler, width=64, height=64, guidance_scale=5.0, num_inference_steps=10)
    split = generate(edit_of(scheduler=scheduler, num_inference_steps=10, high_noise_frac=0.6), None, None, cpu(twin_pair))
    assert same(expected, split.image)
    assert min(split.base_steps, split.refiner_steps) >= 2


@pytest.mark.filterwarnings("ignore:denoising.handover has no effect")
@pytest.mark.parametrize("scheduler", crossed(SCHEDULERS, quick=lambda scheduler: scheduler in KINDS))
def test_the_ways_to_hand_over_are_one_where_a_step_forgets(random_pair, scheduler):
    """
    Stock makes the picture that consistent does with the samplers that keep nothing from step to step and draw nothing, and with no other.

    The cut is inside a whole step of those that evaluate twice, or remember one evaluation alone.
    """
    consistent, stock = (
        generate(edit_of(scheduler=scheduler, high_noise_frac=0.4, handover=handover), None, None, cpu(random_pair)).image
        for handover in ("consistent", "stock")
    )
    assert same(consistent, stock) == SCHEDULERS[scheduler].forgets


@pytest.mark.parametrize("scheduler", crossed(CHANGES, quick=lambda scheduler: scheduler in ("dpmpp_2s", "deis", "kdpm2_a", "lms")))
def test_a_run_goes_on_wherever_it_was_cut(twin_pair, scheduler):
    """
    Handed over to the same UNet at six places, from one trajectory that grew in any order, it is the plain pipeline's run.
    """
    checkpoint, cache, cuts = cpu(twin_pair), TrajectoryCache(), set()
    expected = plain(PIPELINE, twin_pair / "base", scheduler, width=64, height=64, guidance_scale=5.0, num_inference_steps=6)
    for frac in (0.6, 0.4, 0.8, 0.35, 0.7, 0.5):
        edit = edit_of(scheduler=scheduler, num_inference_steps=6, high_noise_frac=frac)
        split = generate(edit, None, None, checkpoint, trajectories=cache)
        assert same(expected, split.image)
        cuts.add(split.base_steps)
    assert len(cuts) >= 3


@pytest.mark.parametrize("scheduler", crossed(KINDS, quick=lambda scheduler: scheduler == "heun"))
def test_one_trajectory_serves_every_hand_over(random_pair, scheduler):
    """
    No refiner and three fractions cost the base's evaluations once and the tails, the second time nothing; the pictures are those made alone.
    """
    pair, cache = cpu(random_pair), TrajectoryCache()
    edits = [edit_of(num_inference_steps=10, scheduler=scheduler, high_noise_frac=frac) for frac in (0.7, None, 0.5, 0.9)]
    alone = [generate(edit, None, None, pair) for edit in edits]
    with calls(pair.base.unet, pair.refiner.unet) as counted:
        together = [generate(edit, None, None, pair, trajectories=cache) for edit in edits]
    assert counted == [alone[1].base_steps, sum(made.refiner_steps for made in alone)]
    assert all(same(one.image, other.image) for one, other in zip(alone, together, strict=True))
    with calls(pair.base.unet, pair.refiner.unet) as counted:
        again = [generate(edit, None, None, pair, trajectories=cache) for edit in edits]
    assert counted == [0, 0]
    assert all(same(one.image, other.image) for one, other in zip(alone, again, strict=True))


def test_what_needs_no_picture_takes_none(random_pair, scene):
    """
    A picture is refused, and the task that takes one is named.
    """
    with pytest.raises(SpecError, match=r"got a picture, and text_to_image makes one from words alone.*image_to_image"):
        generate(edit_of(), scene[0], None, cpu(random_pair))


def test_a_base_that_was_trained_to_inpaint_is_refused(random_inpaint_pair):
    """
    Its UNet takes nine channels, which only inpainting fills.
    """
    with pytest.raises(CheckpointError, match=r"9 input channels.*text_to_image needs one with 4"):
        generate(edit_of(), None, None, cpu(random_inpaint_pair))
