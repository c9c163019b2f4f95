"""Stable Diffusion 1 (arXiv:2112.10752) and 2: one text encoder, no sizes as conditioning, and no refiner.

The filter that 1.x was published with is never loaded: it makes pictures black, and a lab has to see what a model gives.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sdxl_lab.families._architecture import sizes
from sdxl_lab.families._family import Family, LatentColors

PIPELINES = {
    "inpaint": "StableDiffusionInpaintPipeline",
    "image_to_image": "StableDiffusionImg2ImgPipeline",
    "text_to_image": "StableDiffusionPipeline",
}
TOLD = {"safety_checker": None, "feature_extractor": None, "image_encoder": None, "requires_safety_checker": False}
TEXT_ENCODER = "CLIPTextModel"


def recognizes(path: Path) -> bool:
    """Whether a folder in diffusers' layout, or the base in one, is of this architecture, by its index and what its UNet is told.

    Args:
        path: Of a folder or a file.
    """
    base = path / "base" if (path / "base").is_dir() else path
    index = _json(base / "model_index.json")
    named = index.get("text_encoder")
    is_alone = isinstance(named, list) and named[-1:] == [TEXT_ENCODER] and not any(index.get(f"text_encoder_{n}") for n in (2, 3))
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
    pipelines=PIPELINES,
    text_encoders=("text_encoder",),
    told=TOLD,
    sizes=sizes,
    num_inference_steps=50,
    has_half_vae=True,
    # ComfyUI, comfy/latent_formats.py, SD15.latent_rgb_factors, for both generations' autoencoders; the picture is (x + 1) / 2 there too.
    preview=LatentColors(
        matrix=((0.3512, 0.2297, 0.3227), (0.325, 0.4974, 0.235), (-0.2829, 0.1762, 0.2721), (-0.212, -0.2616, -0.7177)),
        bias=(0.0, 0.0, 0.0),
    ),
)
