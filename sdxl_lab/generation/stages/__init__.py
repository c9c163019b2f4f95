"""The stages that pictures are made in: diffusers' pipelines, a file a kind of work. Only `plain.py`, to compare with, calls others."""

from __future__ import annotations

from collections.abc import Mapping

from sdxl_lab.generation.stages._stage import Stage, blended
from sdxl_lab.generation.stages.image_to_image import ImageToImageStage, SDImageToImageStage
from sdxl_lab.generation.stages.inpaint import InpaintStage, SDInpaintStage
from sdxl_lab.generation.stages.text_to_image import SDTextToImageStage, TextToImageStage

__all__ = ["STAGES", "ImageToImageStage", "SDTextToImageStage", "Stage", "TextToImageStage", "blended", "stage_of"]

STAGES: dict[str, type[Stage]] = {
    "StableDiffusionXLInpaintPipeline": InpaintStage,
    "StableDiffusionXLImg2ImgPipeline": ImageToImageStage,
    "StableDiffusionXLPipeline": TextToImageStage,
    "StableDiffusionInpaintPipeline": SDInpaintStage,
    "StableDiffusionImg2ImgPipeline": SDImageToImageStage,
    "StableDiffusionPipeline": SDTextToImageStage,
}
"""By diffusers' class, as `Family.pipelines` names it."""


def stage_of(pipelines: Mapping[str, str], work: str, role: str) -> type[Stage]:
    """Choose what a picture is made in.

    Args:
        pipelines: The family's.
        work: The kind of work, `Task.pipeline`.
        role: `base` or `refiner`, which always starts from a picture or its latents: refiners know an aesthetic score instead of a size.
    """
    return STAGES[pipelines["image_to_image" if role == "refiner" and work == "text_to_image" else work]]
