from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.images.masks import MaskError
from sdxl_lab.settings.sections import Canvas, Mask, Refiner
from sdxl_lab.spec.cautions import CautionWarning
from tests.support.edits import KINDS, NEGATIVE, PROMPT, SEED, STEPS, cpu, crossed, make_edit, same


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global Sizes, StableDiffusionXLInpaintPipeline, generate, torch, working_size
    import torch
    from diffusers import StableDiffusionXLInpaintPipeline

    from sdxl_lab.families import Sizes
    from sdxl_lab.generation.frames import working_size
    from sdxl_lab.generation.generate import generate


def diffusers_own(name: str, **changes: Any) -> Callable[[Any], Any]:
    """
    What makes a scheduler of a checkpoint's configuration.
    """

    def build(config: Any) -> Any:
        import diffusers

        return getattr(diffusers, name).from_config(config, **changes)

    return build


REFERENCE_SCHEDULERS = {
    "euler": diffusers_own("EulerDiscreteScheduler"),
    "euler_a": diffusers_own("EulerAncestralDiscreteScheduler"),
    "ddim": diffusers_own("DDIMScheduler", clip_sample=False, set_alpha_to_one=False),
    "dpmpp_2m": diffusers_own("DPMSolverMultistepScheduler"),
    "dpmpp_2m_karras": diffusers_own("DPMSolverMultistepScheduler", use_karras_sigmas=True),
    "dpmpp_2m_sde": diffusers_own("DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++"),
    "dpmpp_2s": diffusers_own("DPMSolverSinglestepScheduler"),
    "dpmpp_3m_sde": diffusers_own("DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++", solver_order=3),
    "unipc": diffusers_own("UniPCMultistepScheduler"),
    "deis": diffusers_own("DEISMultistepScheduler"),
    "heun": diffusers_own("HeunDiscreteScheduler"),
    "kdpm2": diffusers_own("KDPM2DiscreteScheduler"),
    "kdpm2_a": diffusers_own("KDPM2AncestralDiscreteScheduler"),
    "lms": diffusers_own("LMSDiscreteScheduler"),
    "ddpm": diffusers_own("DDPMScheduler", clip_sample=False),
    "lcm": diffusers_own("LCMScheduler"),
    "tcd": diffusers_own("TCDScheduler"),
}


@cache
def loaded(folder):
    """
    Diffusers' own pipeline, and the configuration of its own scheduler.
    """
    pipeline: Any = StableDiffusionXLInpaintPipeline.from_pretrained(folder, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, pipeline.scheduler.config


def plain(folder, scheduler, **arguments):
    """
    What diffusers makes of the same picture; this lab has no part in it.
    """
    pipeline, config = loaded(folder)
    pipeline.scheduler = REFERENCE_SCHEDULERS[scheduler](config)
    defaults = dict(prompt=PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, generator=torch.Generator().manual_seed(SEED))
    return pipeline(**defaults | arguments).images[0]


@pytest.mark.parametrize(
    ("scheduler", "strength", "channels"),
    crossed(
        REFERENCE_SCHEDULERS,
        [0.99, 1.0],
        [4, 9],
        quick=lambda scheduler, *others: others == (0.99, 4) or (scheduler in ("euler_a", "heun") and others == (1.0, 9)),
    ),
)
def test_base_alone_equals_the_plain_pipeline(random_pair, random_inpaint_pair, scene, scheduler, strength, channels):
    """
    With the same seed, a base without refiner decodes the very picture that diffusers' own pipeline does.
    """
    image, mask = scene
    folder = random_pair if channels == 4 else random_inpaint_pair
    size = dict(width=64, height=64)
    expected = plain(folder / "base", scheduler, image=image, mask_image=mask, strength=strength, guidance_scale=5.0, **size)
    actual = generate(make_edit(scheduler=scheduler, strength=strength, guidance_scale=5.0), image, mask, cpu(folder)).raw
    assert same(expected, actual)
    assert not same(actual, image)


@pytest.mark.filterwarnings("ignore:.* no effect")
@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
@pytest.mark.parametrize("negative_prompt", [None, "", "snow"])
def test_words_and_guidance_are_the_pipelines_own(random_pair, scene, guidance_scale, negative_prompt):
    """
    No negative prompt, an empty one and any other mean what they mean to diffusers, with and without guidance.
    """
    image, mask = scene
    arguments: dict[str, Any] = dict(
        image=image, mask_image=mask, width=64, height=64, strength=0.99, guidance_scale=guidance_scale, negative_prompt=negative_prompt
    )
    expected = plain(random_pair / "base", "euler", **arguments)
    actual = generate(make_edit(guidance_scale=guidance_scale, negative_prompt=negative_prompt), image, mask, cpu(random_pair)).raw
    assert same(expected, actual)


@pytest.mark.parametrize("size", [(90, 50), (40, 101), (64, 64)])
def test_a_picture_of_any_size_is_resized_as_the_plain_pipeline_does(random_pair, scene, size):
    """
    Given the working size, diffusers makes the same picture from the sample as it is.
    """
    image, mask = (picture.resize(size, Image.Resampling.NEAREST) for picture in scene)
    actual = generate(make_edit(), image, mask, cpu(random_pair))
    width, height = actual.working_size
    expected = plain(random_pair / "base", "euler", image=image, mask_image=mask, width=width, height=height, strength=0.99)
    assert same(expected, actual.raw)
    assert actual.image.size == size
    assert actual.stretch == pytest.approx((width / size[0]) / (height / size[1]))


@pytest.mark.parametrize("scheduler", crossed(REFERENCE_SCHEDULERS, quick=lambda scheduler: scheduler in KINDS))
def test_stock_hand_over_equals_two_plain_calls(random_pair, scene, scheduler):
    """
    Stock hands over what diffusers does when it is called twice, each time with a generator fresh from the seed.
    """
    image, mask = scene
    shared = dict(mask_image=mask, width=64, height=64, strength=0.99, num_inference_steps=10)
    latents = plain(random_pair / "base", scheduler, image=image, denoising_end=0.6, output_type="latent", **shared)
    scores: dict[str, Any] = dict(aesthetic_score=7.0, negative_aesthetic_score=2.0)
    expected = plain(random_pair / "refiner", scheduler, image=latents[None], denoising_start=0.6, **shared, **scores)
    settings: dict[str, Any] = dict(num_inference_steps=10, high_noise_frac=0.6, handover="stock", scheduler=scheduler, refiner=Refiner(**scores))
    actual = generate(make_edit(**settings), image, mask, cpu(random_pair)).raw
    assert same(expected, actual)


@pytest.mark.parametrize(
    ("scheduler", "strength"),
    crossed(REFERENCE_SCHEDULERS, [0.8, 1.0], quick=lambda scheduler, strength: strength == 0.8 or scheduler == "euler_a"),
)
def test_consistent_hand_over_to_the_same_unet_is_no_hand_over(twin_pair, scene, scheduler, strength):
    """
    Split in two with the same UNet, a run ends bit for bit where the unsplit one does: multistep solvers keep their history too.
    """
    image, mask = scene
    expected = plain(twin_pair / "base", scheduler, image=image, mask_image=mask, width=64, height=64, strength=strength, num_inference_steps=8)
    split = generate(make_edit(scheduler=scheduler, strength=strength, num_inference_steps=8, high_noise_frac=0.6), image, mask, cpu(twin_pair))
    assert same(expected, split.raw)
    assert min(split.base_steps, split.refiner_steps) >= 2


def test_a_nine_channel_base_hands_over_to_a_four_channel_refiner(random_inpaint_pair, scene):
    """
    Around the mask the decoder is given the image's own encoding, not unfinished noise; in the mask something else.
    """
    image, mask = scene
    checkpoint, decoded = cpu(random_inpaint_pair), []
    vae = checkpoint.base.vae
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        expected = vae.encode(pixels).latent_dist.mode()
    handle = vae.post_quant_conv.register_forward_pre_hook(lambda _, arguments: decoded.append(arguments[0]))
    generate(make_edit(high_noise_frac=0.6), image, mask, checkpoint)
    handle.remove()
    outside = torch.from_numpy(np.array(mask)[::8, ::8] == 0)
    difference = (expected - decoded[0])[0].abs().amax(dim=0)
    assert difference[outside].max() < 1e-5
    assert difference[~outside].min() > 1e-3


@pytest.mark.parametrize("task", ["inpaint", "outpaint"])
@pytest.mark.parametrize("feather_px", [0, 5])
def test_outside_the_mask_nothing_changes(random_pair, scene, task, feather_px):
    """
    Farther from the mask than the feather reaches, the result is the input.
    """
    image, mask = (picture.resize((81, 70), Image.Resampling.NEAREST) for picture in scene)
    settings = make_edit(task, mode="background" if task == "outpaint" else None, mask=Mask(feather_px=feather_px))
    result = generate(settings, image, mask, cpu(random_pair))
    repainted = np.asarray(mask) > 127
    repainted = ~repainted if task == "outpaint" else repainted
    rows, columns = np.nonzero(repainted)
    far = np.array([[np.hypot(rows - y, columns - x).min() > feather_px for x in range(81)] for y in range(70)])
    assert same(np.asarray(result.image)[far], np.asarray(image)[far])
    assert not same(np.asarray(result.image)[repainted], np.asarray(image)[repainted])


@pytest.mark.parametrize("overlap_px", [0, 9])
def test_an_extended_canvas_keeps_the_picture_in_its_place(random_pair, scene, overlap_px):
    """
    The result is exactly the extension larger than the input, at any side, and holds the input's pixels where they were.
    """
    image, _ = scene
    canvas = Canvas(left_px=21, top_px=3, fill="noise", overlap_px=overlap_px)
    result = generate(make_edit("outpaint", mode="canvas", canvas=canvas), image, None, cpu(random_pair))
    assert {picture.size for picture in (result.image, *result.prepared.values())} == {(85, 67)}
    assert same(result.image.crop((21, 3, 85, 67)), image)


def test_an_extended_picture_is_not_shrunk_needlessly():
    """
    A model of one scale sees an extended picture at the scale of the picture, up to half its area again; others at their area.
    """
    pocket = Sizes(area=128**2, max_area=192 * 128, multiple=8)
    assert working_size((192, 128), at_scale_of=(128, 128), sizes=pocket) == (192, 128)
    assert working_size((384, 256), at_scale_of=(256, 256), sizes=pocket) == (192, 128)
    assert working_size((192, 128), at_scale_of=(192, 128), sizes=pocket) == (192, 128)
    assert working_size((256, 256), at_scale_of=(256, 256), sizes=pocket) == (128, 128)
    assert working_size((60, 60), at_scale_of=(60, 60), sizes=pocket) == (128, 128)
    sdxl = Sizes(area=1024**2, max_area=1024**2, multiple=64)
    assert working_size((4000, 3000), at_scale_of=(4000, 3000), sizes=sdxl) == (1152, 896)
    assert working_size((1536, 1024), at_scale_of=(1024, 1024), sizes=sdxl) == (1280, 832)
    assert working_size((10, 4000), at_scale_of=(10, 4000), sizes=sdxl)[0] == 64


def test_a_refiner_that_is_not_there_is_asked_for_in_vain(tmp_path, random_pair, scene):
    """
    A hand-over without a refiner is refused, and the error says where to put one.
    """
    image, mask = scene
    (tmp_path / "base").symlink_to(random_pair / "base")
    with pytest.raises(CheckpointError, match="has no refiner; put one into a folder `refiner`"):
        generate(make_edit(high_noise_frac=0.8), image, mask, cpu(tmp_path))


def test_a_refiner_given_more_noise_than_it_was_trained_on_warns_once(random_pair, scene):
    """
    Below the fraction that a refiner was trained from, a run goes on with one warning that names both.
    """
    image, mask = scene
    trained = replace(cpu(random_pair), refiner_from=0.8)
    with pytest.warns(CautionWarning, match=r"0\.6.*trained from 0\.8") as caught:
        generate(make_edit(high_noise_frac=0.6), image, mask, trained)
    assert [warning.category for warning in caught].count(CautionWarning) == 1
    generate(make_edit(num_inference_steps=20, high_noise_frac=0.8), image, mask, trained)


def test_a_pictures_time_is_without_the_loading_of_models(random_pair, scene):
    """
    What the first refined picture of a process waits for the refiner is not counted as its own.
    """
    image, mask = scene
    pair = cpu(random_pair)

    def load_slowly() -> Any:
        time.sleep(2)
        return pair.refiner

    began = time.perf_counter()
    made = generate(make_edit(high_noise_frac=0.6), image, mask, replace(pair, _load_refiner=load_slowly))
    assert time.perf_counter() - began - made.seconds > 2


def test_masks_that_do_not_fit_are_refused(random_pair, scene):
    """
    A missing mask, or one of another size than the image, is an error that names the sample.
    """
    image, mask = scene
    with pytest.raises(MaskError, match="'disc', inpaint: the sample has no mask"):
        generate(make_edit(), image, None, cpu(random_pair))
    with pytest.raises(MaskError, match="'disc', inpaint: the mask is 32x32 and the image 64x64"):
        generate(make_edit(), image, mask.resize((32, 32)), cpu(random_pair))
