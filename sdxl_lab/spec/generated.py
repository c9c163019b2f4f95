"""A finished picture, as it goes from the models to metrics and records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from sdxl_lab.images import boxes
from sdxl_lab.images.boxes import Box
from sdxl_lab.spec.edit import Edit
from sdxl_lab.tasks import RESULT, TASKS


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The part of a picture that the models saw, where that was not all of it.

    Attributes:
        box: (left, top, right, bottom) in pixels of the picture in its canvas.
        size: (width, height) in pixels at which they saw it.
    """

    box: Box
    size: tuple[int, int]

    @property
    def upscale(self) -> float:
        """How many times larger than in the picture they saw it, along a side."""
        return boxes.magnified(self.size, boxes.size_of(self.box))

    def told(self, picture: tuple[int, int]) -> str:
        """Say what they saw, how large, and what the crop gained.

        Args:
            picture: (width, height) of the picture in its canvas, in pixels.
        """
        width, height = boxes.size_of(self.box)
        seen_width, seen_height = self.size
        gain = boxes.magnified(picture, (width, height))
        return (
            f"{width}x{height} pixels at ({self.box[0]}, {self.box[1]}), seen at {seen_width}x{seen_height}: {self.upscale:.3g} times its own size, "
            f"and {gain:.3g} times as large as where so many pixels show the whole picture"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Generated:
    """One finished picture and how it came about.

    Attributes:
        edit: What was painted: the edit that was given, with what it left open filled in.
        image: The result at the input's size plus the extension; outside the feathered mask it is the input, exactly.
        raw: The decoded picture at the working size, before compositing; of a crop, that alone.
        input_image: The input as edited, RGB, extended where the canvas was; None, as the masks may be, for a task without one.
        mask_image: What was repainted, mode "L", 0 and 255, of `image`'s size.
        seam_image: What of that was composited, less than all where an extended canvas overlaps the input; same mode and size.
        working_size: (width, height) in pixels at which the UNets saw the picture.
        stretch: Width's scale over height's between input, or its crop, and working size; 1.0 keeps the aspect.
        base_steps: UNet evaluations by the base that this picture is made of.
        refiner_steps: The same by the refiner, 0 without one.
        seconds: Wall time of this call, less whatever was remembered.
        frame: The crop that the models saw; None for the whole picture.
        notes: What is to be said of it that nobody could know before.
    """

    edit: Edit
    image: Image.Image
    raw: Image.Image
    input_image: Image.Image | None
    mask_image: Image.Image | None
    seam_image: Image.Image | None
    working_size: tuple[int, int]
    stretch: float
    base_steps: int
    refiner_steps: int
    seconds: float
    frame: Frame | None = None
    notes: tuple[str, ...] = ()

    @property
    def prepared(self) -> Mapping[str, Image.Image]:
        """What the picture was made from, by role: the pixels of each of its files but the result."""
        return {role.name: getattr(self, role.key) for role in TASKS[self.edit.task].roles if role != RESULT}
