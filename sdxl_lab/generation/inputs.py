"""What comes before a model: the image to edit, and the keys by which pictures share work. Loads no pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sdxl_lab.images import masks, pictures
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.spec.edit import Edit


def as_edited(edit: Edit, image: Image.Image) -> Image.Image:
    """Bring a picture to RGB, and extend its canvas where the edit says so.

    Args:
        edit: What to paint, and every setting.
        image: The sample's image, any size.

    Raises:
        MaskError: The canvas cannot be extended so.
    """
    image, canvas = pictures.rgb(image, **edit.settings.image.model_dump()), edit.settings.canvas
    return masks.extend_canvas(image, **canvas.sides, fill=canvas.fill, seed=edit.seed) if canvas.extends else image


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What of an input's pixels a trajectory depends on.

    Attributes:
        size: (width, height) at which the UNets see it.
        image_sha256: Of the image's bytes at that size, hex; likewise `mask_sha256`.
    """

    size: tuple[int, int]
    image_sha256: str
    mask_sha256: str

    @classmethod
    def of(cls, image: Image.Image, mask_image: Image.Image) -> Pixels:
        """Those of an image and its mask, both at the working size."""
        image_sha256, mask_sha256 = (hashlib.sha256(picture.tobytes()).hexdigest() for picture in (image, mask_image))
        return cls(size=image.size, image_sha256=image_sha256, mask_sha256=mask_sha256)


def trajectory_key(edit: Edit, pixels: Pixels, scope: Hashable) -> Hashable:
    """Everything that changes the base's trajectory: pictures with one key share one, each as far as its hand-over.

    Args:
        edit: The picture to make.
        pixels: What it starts from.
        scope: Names the models, and what else changes their bits: `ComputedBy.trajectories`.
    """
    denoising, mask = edit.settings.denoising, edit.settings.mask
    return (scope, pixels, edit.seed, repr(SCHEDULERS[denoising.scheduler]), mask.latent_mask, *sorted(base_call(edit, pixels.size).items()))


def refined_key(edit: Edit, pixels: Pixels, scope: Hashable) -> Hashable:
    """Everything that changes the refiner's tail: pictures with one key share all of it. The arguments are those of `trajectory_key`."""
    denoising = edit.settings.denoising
    return (trajectory_key(edit, pixels, scope), denoising.high_noise_frac, denoising.handover, edit.settings.refiner.model_dump_json())


def base_call(edit: Edit, size: tuple[int, int]) -> dict[str, Any]:
    """What the base is called with, beside image and mask.

    Args:
        edit: The picture to make.
        size: (width, height) at which the UNets see it.
    """
    denoising = edit.settings.denoising
    conditioning = {name: value for name, value in edit.settings.conditioning.model_dump().items() if value is not None}
    return {
        "prompt": edit.prompt,
        "negative_prompt": edit.negative_prompt,
        "width": size[0],
        "height": size[1],
        "strength": denoising.strength,
        "num_inference_steps": denoising.num_inference_steps,
        "guidance_scale": denoising.guidance_scale,
        **conditioning,
    }
