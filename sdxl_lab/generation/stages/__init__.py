"""The stages that pictures are made in, each a file: diffusers' pipelines, by the kind of work. The only room that calls one."""

from __future__ import annotations

from dataclasses import dataclass

from sdxl_lab.generation.stages._stage import Stage, blended
from sdxl_lab.generation.stages.image_to_image import ImageToImageStage
from sdxl_lab.generation.stages.inpaint import InpaintStage
from sdxl_lab.generation.stages.text_to_image import TextToImageStage

__all__ = ["STAGES", "Stage", "Stages", "blended"]


@dataclass(frozen=True, kw_only=True)
class Stages:
    """What a kind of work is made in.

    Attributes:
        base: The base's pipeline.
        refiner: The refiner's, which always starts from a picture or its latents: refiners know an aesthetic score instead of a size.
    """

    base: type[Stage]
    refiner: type[Stage]


STAGES: dict[str, Stages] = {
    "inpaint": Stages(base=InpaintStage, refiner=InpaintStage),
    "image_to_image": Stages(base=ImageToImageStage, refiner=ImageToImageStage),
    "text_to_image": Stages(base=TextToImageStage, refiner=ImageToImageStage),
}
"""By `Task.pipeline`."""
