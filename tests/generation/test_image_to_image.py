"""Image to image against diffusers' own pipeline, alone and with a refiner, and from one trajectory."""

from __future__ import annotations

from typing import Any

import pytest

from sdxl_lab.settings.sections import Denoising, EditSettings, Refiner, SizeAsAsked
from sdxl_lab.spec.edit import Edit
from tests.support.edits import KINDS, NEGATIVE, PROMPT, SEED, STEPS, calls, cpu, crossed, same
from tests.support.plain import CHANGES, plain

PIPELINE = "StableDiffusionXLImg2ImgPipeline"
SCORES: dict[str, Any] = dict(aesthetic_score=7.0, negative_aesthetic_score=2.0)


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global TrajectoryCache, generate
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache


def edit_of(*, refiner: Refiner | None = None, size: SizeAsAsked | None = None, **denoising: Any) -> Edit:
    """
    An edit of the scene.
    """
    asked = {"num_inference_steps": STEPS, "guidance_scale": 5.0, "strength": 0.8, **denoising}
    settings = EditSettings(denoising=Denoising(**asked), refiner=refiner or Refiner(), size=size or SizeAsAsked())
    return Edit(sample="disc", task="image_to_image", prompt=PROMPT, negative_prompt=NEGATIVE, seed=SEED, settings=settings)


@pytest.mark.parametrize(
    ("scheduler", "strength"),
    crossed(CHANGES, [0.8, 0.5, 1.0], quick=lambda scheduler, strength: scheduler == "euler_a" or (scheduler in KINDS and strength == 0.8)),
)
def test_base_alone_equals_the_plain_pipeline(random_pair, scene, scheduler, strength):
    """
    With the same seed and strength, a base without refiner makes the very picture that diffusers' image to image does.
    """
    expected = plain(PIPELINE, random_pair / "base", scheduler, image=scene[0], strength=strength, guidance_scale=5.0)
    made = generate(edit_of(scheduler=scheduler, strength=strength), scene[0], None, cpu(random_pair))
    assert same(expected, made.image)
    assert not same(made.image, scene[0])


@pytest.mark.filterwarnings("ignore:.* no effect")  # under euler, stock makes the picture of consistent
@pytest.mark.parametrize("handover", ["stock", "sdedit"])
@pytest.mark.parametrize("scheduler", crossed(CHANGES, quick=lambda scheduler: scheduler in ("euler_a", "heun")))
def test_a_refiner_in_diffusers_ways_equals_two_plain_calls(random_pair, scene, scheduler, handover):
    """
    Stock hands over at a fraction of the noise, sdedit a finished picture to be noised again: what two calls make, latents passed on as they come.
    """
    shared: dict[str, Any] = dict(num_inference_steps=10, guidance_scale=5.0)
    split, again = ({"denoising_end": 0.6}, {"denoising_start": 0.6}) if handover == "stock" else ({}, {"strength": 0.4})
    latents = plain(PIPELINE, random_pair / "base", scheduler, image=scene[0], strength=0.8, output_type="latent", **shared, **split)
    expected = plain(PIPELINE, random_pair / "refiner", scheduler, image=latents, **shared, **again, **SCORES)
    asked: dict[str, Any] = dict(num_inference_steps=10, scheduler=scheduler, handover=handover)
    asked |= {"high_noise_frac": 0.6, "refiner": Refiner(**SCORES)} if handover == "stock" else {"refiner": Refiner(**SCORES, strength=0.4)}
    assert same(expected, generate(edit_of(**asked), scene[0], None, cpu(random_pair)).image)


@pytest.mark.parametrize("scheduler", crossed(CHANGES, quick=lambda scheduler: scheduler in ("euler_a", "dpmpp_2m", "heun")))
def test_consistent_hand_over_to_the_same_unet_is_no_hand_over(twin_pair, scene, scheduler):
    """
    Split in two with the same UNet, a run ends bit for bit where the unsplit one does.
    """
    expected = plain(PIPELINE, twin_pair / "base", scheduler, image=scene[0], strength=0.8, guidance_scale=5.0, num_inference_steps=10)
    split = generate(edit_of(scheduler=scheduler, num_inference_steps=10, high_noise_frac=0.6), scene[0], None, cpu(twin_pair))
    assert same(expected, split.image)
    assert min(split.base_steps, split.refiner_steps) >= 2


def test_one_trajectory_serves_every_hand_over(random_pair, scene):
    """
    No refiner and three fractions cost the base's steps once and the tails, the second time nothing; the pictures are those made alone.
    """
    pair, cache = cpu(random_pair), TrajectoryCache()
    edits = [edit_of(num_inference_steps=10, strength=1.0, high_noise_frac=frac) for frac in (0.7, None, 0.5, 0.9)]
    alone = [generate(edit, scene[0], None, pair) for edit in edits]
    with calls(pair.base.unet, pair.refiner.unet) as counted:
        together = [generate(edit, scene[0], None, pair, trajectories=cache) for edit in edits]
    assert counted == [10, sum(made.refiner_steps for made in alone)]
    assert all(same(one.image, other.image) for one, other in zip(alone, together, strict=True))
    with calls(pair.base.unet, pair.refiner.unet) as counted:
        again = [generate(edit, scene[0], None, pair, trajectories=cache) for edit in edits]
    assert counted == [0, 0]
    assert all(same(one.image, other.image) for one, other in zip(alone, again, strict=True))


@pytest.mark.parametrize(("asked", "size"), [({}, (90, 50)), ({"width": 96, "height": 64}, (96, 64)), ({"aspect": "1:1"}, (64, 64))])
def test_a_picture_comes_back_at_its_size_or_at_the_one_asked_for(random_pair, scene, asked, size):
    """
    The models see the working size; where no size was asked for, the result has the picture's own.
    """
    from sdxl_lab.spec.run_spec import RunSpec

    image = scene[0].resize((90, 50))
    spec = RunSpec.from_parameters(name="a", dataset="b", checkpoint="c", tasks=["image_to_image"], hyperparameters={"size": asked})
    words: dict[str, Any] = {"prompt": PROMPT, "negative_prompt": None, "seed": SEED}
    [edit] = spec.edits("disc", "image_to_image", **words, defaults={}, size=image.size, sizes=cpu(random_pair).sizes)
    made = generate(edit, image, None, cpu(random_pair))
    assert made.image.size == size
    assert made.working_size == (size if asked else made.raw.size)
    assert made.raw.width % 8 == made.raw.height % 8 == 0
