"""What the families of Stable Diffusion 1 and 2 share (arXiv:2112.10752): one text encoder, no sizes among its words, no refiner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdxl_lab.families._family import OF_THE_REFINER

PIPELINES = {
    "inpaint": "StableDiffusionInpaintPipeline",
    "image_to_image": "StableDiffusionImg2ImgPipeline",
    "text_to_image": "StableDiffusionPipeline",
}

TEXT_ENCODERS = ("text_encoder",)

TOLD: Mapping[str, Any] = {"safety_checker": None, "feature_extractor": None, "image_encoder": None, "requires_safety_checker": False}
"""The filter that they were published with is never loaded: it makes pictures black, and who studies a model has to see what it gives."""

LACKS: Mapping[str, str] = {**OF_THE_REFINER, "conditioning": "is told no sizes", "compute.vae": "decodes in half precision by its own VAE"}
