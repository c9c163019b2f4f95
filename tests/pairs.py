"""A random pair of the pocket architecture, for tests in which weights do not matter."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline

from sdxl_lab.pocket.architecture import (
    build_scheduler,
    build_text_encoders,
    build_tokenizer,
    build_unet,
    build_vae,
)


def write_random_pair(folder: Path) -> Path:
    """Write an untrained base and refiner, as diffusers lays them out.

    Args:
        folder: Gets `base/` and `refiner/`.

    Returns:
        The folder.
    """
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    text_encoder, text_encoder_2 = build_text_encoders(tokenizer)
    shared = {"vae": build_vae(), "text_encoder_2": text_encoder_2, "tokenizer_2": tokenizer, "scheduler": build_scheduler()}
    base = {"text_encoder": text_encoder, "tokenizer": tokenizer, "unet": build_unet(text_width=128, time_ids=6), "add_watermarker": False}
    StableDiffusionXLInpaintPipeline(**shared, **base).save_pretrained(folder / "base")
    refiner = {"text_encoder": None, "tokenizer": None, "unet": build_unet(text_width=64, time_ids=5), "add_watermarker": False}
    conditioned = {"requires_aesthetics_score": True, "force_zeros_for_empty_prompt": False}
    StableDiffusionXLImg2ImgPipeline(**shared, **refiner, **conditioned).save_pretrained(folder / "refiner")
    return folder
