"""What comes before a model: the image to edit, and the keys by which pictures share work. Loads no pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image

from sdxl_lab.families import Sizes
from sdxl_lab.generation.frames import sizes_of
from sdxl_lab.generation.regions import Regions
from sdxl_lab.images import pictures
from sdxl_lab.images.canvas import extend_canvas
from sdxl_lab.images.holes import filled
from sdxl_lab.prompts import reading
from sdxl_lab.prompts.reading import Fits, Words
from sdxl_lab.settings.aspects import bucket
from sdxl_lab.settings.documents import canonical
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.settings.sections import PictureSize
from sdxl_lab.spec.edit import Edit
from sdxl_lab.tasks import TASKS


def as_edited(edit: Edit, image: Image.Image) -> Image.Image:
    """Bring a picture to RGB, and extend its canvas where the edit says so.

    Args:
        edit: What to paint, and every setting.
        image: The sample's image, any size.

    Raises:
        MaskError: The canvas cannot be extended so.
    """
    image, canvas = pictures.rgb(image, **edit.settings.image.model_dump()), edit.settings.canvas
    return extend_canvas(image, **canvas.sides, fill=canvas.fill, seed=edit.seed) if canvas.extends else image


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What of an input's pixels a trajectory depends on.

    Attributes:
        size: (width, height) at which the UNets see it.
        image_sha256: Of the image's bytes at that size, hex, None without one; likewise `mask_sha256`.
    """

    size: tuple[int, int]
    image_sha256: str | None
    mask_sha256: str | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What the UNets see before they begin.

    Attributes:
        size: (width, height) in pixels, the working size.
        image: The picture as edited, or the crop of it, of that size, its region to repaint filled; None for a task that needs none.
        mask_image: What is repainted of it, white, of that size; None where all is made.
    """

    size: tuple[int, int]
    image: Image.Image | None
    mask_image: Image.Image | None

    @cached_property
    def pixels(self) -> Pixels:
        """What of it a trajectory depends on."""
        image_sha256, mask_sha256 = (
            None if picture is None else hashlib.sha256(picture.tobytes()).hexdigest() for picture in (self.image, self.mask_image)
        )
        return Pixels(size=self.size, image_sha256=image_sha256, mask_sha256=mask_sha256)


def seen(edit: Edit, input_image: Image.Image | None, found: Regions | None, sizes: Sizes) -> Seen:
    """Bring what an edit starts from to the working size: it is cropped first, scaled then, and what is repainted is filled last.

    Filled before it is scaled, the region would bleed into the pixels around it, which stay.

    Args:
        edit: What to paint, and every setting.
        input_image: What `as_edited` made of the sample's image; None for a task that needs none.
        found: What is repainted of it; None where all is made.
        sizes: What the checkpoint was made for.
    """
    size = found.scaled.size if found else sizes_of(edit, input_image and input_image.size, sizes)[1]
    part = input_image.crop(found.frame.box) if input_image and found and found.frame else input_image
    image = part and part.resize(size, Image.Resampling.LANCZOS)
    if image and found and edit.settings.mask.fill != "original":
        image = filled(image, found.scaled, edit.settings.mask.fill, seed=edit.seed)
    return Seen(size=size, image=image, mask_image=found and found.scaled)


def sized(edit: Edit, sizes: Sizes) -> Edit:
    """Choose the size that an edit made by code leaves open, where no picture has one: the checkpoint's own, square."""
    if TASKS[edit.task].needs_image or edit.settings.size.given:
        return edit
    width, height = bucket("1:1", area=sizes.area, multiple=sizes.multiple)
    size = PictureSize(width=width, height=height)
    return edit.model_copy(update={"settings": edit.settings.model_copy(update={"size": size})})


def unfit_base(edit: Edit, in_channels: int, instead: str) -> str | None:
    """Say why a base cannot do what an edit asks for, and what can.

    Args:
        edit: The picture to make.
        in_channels: Input channels of the base's UNet.
        instead: The name of a checkpoint that can do every task.

    Returns:
        A sentence without its period; None if it can.
    """
    if in_channels == 4 or TASKS[edit.task].area is not None:
        return None
    return (
        f"the checkpoint's UNet has {in_channels} input channels, since it was trained to inpaint, and {edit.task} needs one with 4; take another "
        f"checkpoint, such as {instead}"
    )


def words_of(edit: Edit, fits: Fits) -> Words:
    """What the prompts of an edit say to the text encoders.

    Args:
        edit: The picture to make.
        fits: Whether texts fit into a chunk of the checkpoint's tokenizers.

    Raises:
        PromptError: They are compel's to read, and it is not installed.
    """
    settings = edit.settings
    return reading.words(edit.prompt, edit.negative_prompt, syntax=settings.prompt_syntax, long_prompt=settings.long_prompt, fits=fits)


def trajectory_key(edit: Edit, words: Words, pixels: Pixels, scope: Hashable) -> Hashable:
    """Everything that changes the base's trajectory: pictures with one key share one, each as far as its hand-over.

    Args:
        edit: The picture to make.
        words: What its prompts say, however they are written.
        pixels: What it starts from, at the size at which the UNets see it.
        scope: Names the models, and what else changes their bits: `ComputedBy.trajectories`.
    """
    denoising, mask = edit.settings.denoising, edit.settings.mask
    work = (TASKS[edit.task].pipeline, mask.latent_mask, mask.soft)
    sampler = (SCHEDULERS[denoising.scheduler].class_name, canonical(denoising.told_scheduler))
    call = base_call(edit, pixels.size) | {"prompt": words.prompt, "negative_prompt": words.negative_prompt}
    return (scope, pixels, edit.seed, sampler, *work, *sorted(call.items()))


def refined_key(edit: Edit, words: Words, pixels: Pixels, scope: Hashable) -> Hashable:
    """Everything that changes the refiner's tail: pictures with one key share all of it. The arguments are those of `trajectory_key`."""
    denoising = edit.settings.denoising
    cut = None if denoising.handover == "sdedit" else denoising.high_noise_frac
    return (trajectory_key(edit, words, pixels, scope), cut, denoising.handover, edit.settings.refiner.model_dump_json())


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
