"""Weights of 8 bits and a VAE in tiles: diffusers' own bits, whatever was made before and wherever models wait."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sdxl_lab.checkpoints.configurations import MODELS
from sdxl_lab.errors import LabError
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings, PictureSize, Refiner
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.identities import CheckpointIdentity
from tests.support.edits import NEGATIVE, PROMPT, SEED, make_edit, same


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, load, NotFiniteError, require_finite, Residence, settle, state_of, torch, TrajectoryCache
    import torch

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.checkpoints.model_state import state_of
    from sdxl_lab.checkpoints.offload import Residence
    from sdxl_lab.checkpoints.settling import settle
    from sdxl_lab.generation.finite import NotFiniteError, require_finite
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache


STEPS = 3
SCORES: dict[str, float] = {"aesthetic_score": 6.5, "negative_aesthetic_score": 2.0}
SWITCHES: tuple[dict[str, Any], ...] = ({}, {"layerwise": "fp8"}, {"vae_tiling": True}, {"layerwise": "fp8", "vae_tiling": True})


@cache
def loaded(folder: Path, **compute: Any) -> Any:
    """
    The checkpoint in a folder, on one thread; held, so that it is loaded once.
    """
    return load(str(folder), Compute(device="cpu", threads=1, **compute))


def words(high_noise_frac: float | None = None) -> Edit:
    """
    A picture from words alone, as diffusers makes it.
    """
    settings = EditSettings(
        denoising=Denoising(num_inference_steps=STEPS, guidance_scale=5.0, high_noise_frac=high_noise_frac),
        refiner=Refiner(**SCORES) if high_noise_frac else Refiner(),
        size=PictureSize(width=64, height=64),
    )
    return Edit(sample="words", task="text_to_image", prompt=PROMPT, negative_prompt=NEGATIVE, seed=SEED, settings=settings)


def of_diffusers(folder: Path, kind: str, *, layerwise: str | None = None, vae_tiling: bool = False) -> Any:
    """
    A pipeline of diffusers, with its own ways to take less memory; tiles of half a picture.
    """
    import diffusers

    pipeline = getattr(diffusers, kind).from_pretrained(folder, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    if layerwise:
        pipeline.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    if vae_tiling:
        pipeline.vae.enable_tiling()
        pipeline.vae.tile_sample_min_size, pipeline.vae.tile_latent_min_size = 32, 32 // pipeline.vae_scale_factor
    return pipeline


@pytest.mark.parametrize("switches", SWITCHES[1:], ids=str)
def test_pictures_are_those_of_plain_diffusers(random_pair, switches):
    """
    From words, and by the refiner after that, a picture is the one that diffusers' pipelines make, set the same way, and none without.
    """
    asked: dict[str, Any] = dict(prompt=PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, guidance_scale=5.0)

    def seeded() -> Any:
        return torch.Generator().manual_seed(SEED)

    base = of_diffusers(random_pair / "base", "StableDiffusionXLPipeline", **switches)
    expected = base(**asked, height=64, width=64, generator=seeded()).images[0]
    assert same(expected, generate(words(), None, None, loaded(random_pair, **switches)).raw)
    latents = base(**asked, height=64, width=64, denoising_end=0.6, output_type="latent", generator=seeded()).images
    refiner = of_diffusers(random_pair / "refiner", "StableDiffusionXLImg2ImgPipeline", **switches)
    expected = refiner(**asked, **SCORES, image=latents, denoising_start=0.6, generator=seeded()).images[0]
    assert same(expected, generate(words(high_noise_frac=0.6), None, None, loaded(random_pair, **switches)).raw)


def test_what_is_remembered_is_of_its_own_setting(random_pair, scene):
    """
    Pictures that are made one after the other from one cache, set in each way, are those made alone, and no two are equal.
    """
    cache, image = TrajectoryCache(), scene[0]
    edit = make_edit("image_to_image", num_inference_steps=STEPS)
    checkpoints = [loaded(random_pair, **switches) for switches in SWITCHES]
    together = [generate(edit, image, None, checkpoint, trajectories=cache).raw for checkpoint in checkpoints]
    assert all(same(generate(edit, image, None, checkpoint).raw, made) for checkpoint, made in zip(checkpoints, together, strict=True))
    assert not any(same(one, other) for index, one in enumerate(together) for other in together[:index])


@pytest.mark.parametrize("offload", ["model", "sequential", "group"])
def test_weights_of_8_bits_may_wait_anywhere(random_pair, offload):
    """
    However models are brought to where they compute, weights of 8 bits give the same picture, and the models are afterwards what they were.
    """
    resident = loaded(random_pair, layerwise="fp8", vae_tiling=True)
    base = of_diffusers(random_pair / "base", "StableDiffusionXLInpaintPipeline", layerwise="fp8", vae_tiling=True)
    Residence(torch.device("cpu"), offload).admit(base, MODELS)
    before = state_of(base)
    assert same(generate(words(), None, None, resident).raw, generate(words(), None, None, replace(resident, base=base)).raw)
    assert state_of(base) == before


def test_hooks_that_diffusers_takes_off_after_the_first_picture_change_no_state(random_pair):
    """
    With CUDA, group offloading follows the first call by hooks that it then takes off again: to a warm kernel the models are what they were.
    """
    from diffusers.hooks import HookRegistry, ModelHook

    base = of_diffusers(random_pair / "base", "StableDiffusionXLInpaintPipeline")
    Residence(torch.device("cpu"), "group").admit(base, MODELS)
    before = state_of(base)
    registry = HookRegistry.check_if_exists_or_initialize(base.unet.conv_in)
    registry.register_hook(ModelHook(), "follows")
    assert state_of(base) == before
    registry.remove_hook("follows")
    assert state_of(base) == before
    base.unet.conv_in.forward = lambda image: image
    assert state_of(base) != before


def test_a_broken_weight_of_8_bits_is_named():
    """
    NaN is found among weights of 8 bits too, and told to be of the dtype that they compute in.
    """
    from diffusers import UNet2DConditionModel

    from tests.conftest import OTHER_SIZES

    unet: Any = UNet2DConditionModel(cross_attention_dim=24, projection_class_embeddings_input_dim=5 * 8 + 24, **OTHER_SIZES).eval()
    unet.conv_out.bias.data[0] = float("nan")
    unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float16)
    with pytest.raises(NotFiniteError, match=r"float16, .* weights hold NaN .*conv_out\.bias"):
        require_finite(torch.full((1,), float("nan")), by="the base's UNet", model=unet)


def test_apples_gpus_are_told_to_have_no_numbers_of_8_bits(monkeypatch):
    """
    Before anything is loaded.
    """
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    identity = CheckpointIdentity(name="sdxl", digest="0", family="sdxl")
    with pytest.raises(LabError, match=r"compute\.layerwise .* Apple's GPUs .* leave it out"):
        settle(Compute(device="mps", layerwise="fp8"), identity)


def test_tiles_are_half_of_the_pictures_that_a_checkpoint_was_made_for():
    """
    512 pixels of SDXL's 1024, whatever the VAE's own configuration says.
    """
    from sdxl_lab.checkpoints.thrift import work_in_tiles
    from sdxl_lab.families import Sizes

    vae = SimpleNamespace(config=SimpleNamespace(block_out_channels=(128, 256, 512, 512)), enable_tiling=lambda: None)
    work_in_tiles(vae, Sizes(area=1024**2, max_area=1024**2, multiple=64))
    assert (vae.tile_sample_min_size, vae.tile_latent_min_size) == (512, 64)
