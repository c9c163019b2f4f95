"""What the families of Stable Diffusion XL's architecture share (arXiv:2307.01952), and, of every family, how large pictures are: `sizes`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdxl_lab.families._family import Architecture, Distilled, LatentColors, Sizes

BASE, REFINER = "stabilityai/stable-diffusion-xl-base-1.0", "stabilityai/stable-diffusion-xl-refiner-1.0"
INPAINT = "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"
FIXED_VAE = "madebyollin/sdxl-vae-fp16-fix"
SINGLE_FILES: Mapping[Architecture, str | Path] = {4: BASE, 9: INPAINT, None: REFINER}
PIPELINES = {
    "inpaint": "StableDiffusionXLInpaintPipeline",
    "image_to_image": "StableDiffusionXLImg2ImgPipeline",
    "text_to_image": "StableDiffusionXLPipeline",
}

# ComfyUI, comfy/latent_formats.py, SDXL.latent_rgb_factors and latent_rgb_factors_bias; the picture is (x + 1) / 2 there too.
LATENT_COLORS = LatentColors(
    matrix=((0.3651, 0.4232, 0.4341), (-0.2533, -0.0042, 0.1068), (0.1076, 0.1111, -0.0362), (-0.3165, -0.2492, -0.2188)),
    bias=(0.1084, -0.0175, -0.0011),
)
"""Of SDXL's own autoencoder."""

DISTILLED: Mapping[str, Distilled] = {
    "turbo": Distilled(num_inference_steps=4, scheduler="euler_a"),  # arXiv:2311.17042
    "lightning": Distilled(num_inference_steps=8, scheduler="euler"),  # arXiv:2402.13929
    "hyper": Distilled(num_inference_steps=8, scheduler="ddim"),  # arXiv:2404.13686
    "lcm": Distilled(num_inference_steps=8, scheduler="lcm", guidance_scale=1.0, schedulers=("tcd",)),  # arXiv:2310.04378
    "dmd": Distilled(num_inference_steps=4, scheduler="lcm"),  # arXiv:2405.14867
}
"""As their model cards use them, by a word of their names."""

BY_LORA = "give sdxl, its LoRA as loras, and the steps, guidance and scheduler that its card names"
DOWNLOADS: Mapping[str, str] = {
    "ByteDance/SDXL-Lightning": "run `hf download ByteDance/SDXL-Lightning sdxl_lightning_4step.safetensors`, and give the path of that file",
    "ByteDance/Hyper-SD": f"it holds LoRAs and UNets alone; {BY_LORA}",
    "tianweiy/DMD2": f"it holds LoRAs and UNets alone; {BY_LORA}",
    "latent-consistency/lcm-sdxl": "it is a UNet alone; give a folder of SDXL with it in place of `unet`, called lcm-sdxl",
    "latent-consistency/lcm-lora-sdxl": f"it is a LoRA alone; {BY_LORA}",
}
"""Repositories of the hub that are no checkpoint as a whole, and what to do instead."""

CLIP_L: Mapping[str, Any] = {
    "architectures": ("CLIPTextModel",),
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "vocab_size": 49408,
    "max_position_embeddings": 77,
}
"""OpenAI's text encoder of CLIP ViT-L/14, the first of SDXL's and the one of Stable Diffusion 1."""

_CROSS, _DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
_UNET: Mapping[str, Any] = {"sample_size": 128, "in_channels": 4, "layers_per_block": 2}
CONFIGURATIONS: Mapping[str, Mapping[str, Any]] = {
    "unet": {
        **_UNET,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": (_DOWN, _CROSS, _CROSS),
        "transformer_layers_per_block": (1, 2, 10),
        "cross_attention_dim": 2048,
        "projection_class_embeddings_input_dim": 2816,
    },
    "refiner": {
        **_UNET,
        "block_out_channels": (384, 768, 1536, 1536),
        "down_block_types": (_DOWN, _CROSS, _CROSS, _DOWN),
        "transformer_layers_per_block": 4,
        "cross_attention_dim": 1280,
        "projection_class_embeddings_input_dim": 2560,
    },
    "vae": {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4, "force_upcast": True},
    "text_encoder": CLIP_L,
    "text_encoder_2": {
        "architectures": ("CLIPTextModelWithProjection",),
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "projection_dim": 1280,
        "vocab_size": 49408,
        "max_position_embeddings": 77,
    },
}
"""Of SDXL's base and refiner, as far as the sizes of their models depend on them; a pipeline is never built of these."""

SMALL_SIDE_PX = 512
"""Checkpoints trained below this side are pocket-like: sides in multiples of 8, and half as much area again for an extended picture."""


def sizes(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> Sizes:
    """How large a base's pictures are.

    Args:
        unet: Configuration of its UNet.
        vae: The same of its VAE.
    """
    cell_px = 2 ** (len(vae["block_out_channels"]) - 1)
    side_px = unet["sample_size"] * cell_px
    small = side_px < SMALL_SIDE_PX
    return Sizes(area=side_px**2, max_area=side_px**2 * 3 // 2 if small else side_px**2, multiple=8 if small else 64, cell_px=cell_px)
