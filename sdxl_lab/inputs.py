"""What comes before a model: an edit's image and mask as the UNets see them, and the keys by which pictures share work. Loads no pipeline."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sdxl_lab import masks, pictures
from sdxl_lab.checkpoints import Sizes
from sdxl_lab.spec import Edit


def working_size(size: tuple[int, int], *, at_scale_of: tuple[int, int], area: int, max_area: int, multiple: int) -> tuple[int, int]:
    """The size at which the UNets see a picture: about the area they were trained at, at the picture's aspect.

    A picture between `area` and `max_area` keeps its scale. So does an extended one, as far as `max_area` allows: a model that has seen one
    scale of texture alone fails on a shrunk picture, but not on a wider one.

    Args:
        size: (width, height) of the picture as edited, in pixels.
        at_scale_of: (width, height) of the picture before its canvas was extended.
        area: Pixels the checkpoint was trained at.
        max_area: Pixels it can make.
        multiple: Of which both sides must be multiples, in pixels.

    Returns:
        (width, height) in pixels.
    """
    pixels = at_scale_of[0] * at_scale_of[1]
    scale = 1.0 if area <= pixels <= max_area else math.sqrt(area / pixels)
    scale = min(scale, math.sqrt(max_area / (size[0] * size[1])))
    width, height = (max(round(side * scale / multiple), 1) * multiple for side in size)
    return width, height


def prepare(edit: Edit, image: Image.Image, mask: Image.Image | None) -> tuple[Image.Image, Image.Image, Image.Image]:
    """Extend the canvas, invert and dilate the mask: all that comes before a model, in the pixels of the input.

    Args:
        edit: What to paint, and every setting.
        image: The sample's image, any size.
        mask: The sample's mask of that size, white is the object; None only for outpainting with mode `canvas`.

    Returns:
        The image to edit, RGB; what is repainted of it; and what of that is composited. The masks are of the image's size, mode "L", 0 and 255.

    Raises:
        MaskError: There is no mask, or nothing of it would be repainted.
    """
    settings = edit.settings
    image = pictures.rgb(image, **settings.image.model_dump())
    if settings.mode == "canvas":
        sides = {name: getattr(settings.canvas, name) for name in ("left_px", "right_px", "top_px", "bottom_px", "fill")}
        extended, repainted = masks.extend_canvas(image, **sides, overlap_px=settings.canvas.overlap_px, seed=edit.seed)
        _, added = masks.extend_canvas(image, **sides, overlap_px=0, seed=edit.seed)
        return extended, masks.dilate(repainted, settings.mask.kernel_size, settings.mask.iterations), added
    if mask is None:
        raise masks.MaskError(
            f"sample {edit.sample!r} has no mask, and {edit.task} repaints by mask; add one to its metadata, or outpaint with mode canvas."
        )
    if mask.size != image.size:
        sizes = f"{mask.width}x{mask.height} and the image {image.width}x{image.height}"
        raise masks.MaskError(f"the mask of sample {edit.sample!r} is {sizes}; they must have one size: redraw or resize the mask.")
    if settings.mode == "background":
        mask = masks.invert(mask)
    repainted = masks.dilate(mask, settings.mask.kernel_size, settings.mask.iterations)
    return image, repainted, repainted


def at_working_size(image: Image.Image, mask_image: Image.Image, *, at_scale_of: tuple[int, int], sizes: Sizes) -> tuple[Image.Image, Image.Image]:
    """Scale a prepared picture and its mask to what the UNets see.

    Args:
        image: As `prepare` returns it.
        mask_image: What is repainted of it.
        at_scale_of: (width, height) of the picture before its canvas was extended.
        sizes: What the checkpoint was made for.

    Returns:
        Both at the working size; the mask holds only 0 and 255.
    """
    size = working_size(image.size, at_scale_of=at_scale_of, area=sizes.area, max_area=sizes.max_area, multiple=sizes.multiple)
    return image.resize(size, Image.Resampling.LANCZOS), masks.binarize(mask_image.resize(size, Image.Resampling.LANCZOS))


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
        scope: Names the models, and what else changes their bits: the checkpoint's `scope`, and the thread count.
    """
    denoising, mask = edit.settings.denoising, edit.settings.mask
    return (scope, pixels, edit.seed, denoising.scheduler, mask.latent_mask, *sorted(base_call(edit, pixels.size).items()))


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
