"""A finished picture, as it goes from the models to metrics and records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from sdxl_lab.spec.edit import Edit
from sdxl_lab.tasks import RESULT, TASKS


@dataclass(frozen=True, kw_only=True, eq=False)
class Generated:
    """One finished picture and how it came about.

    Attributes:
        edit: What was painted: the edit that was given, with what it left open filled in.
        image: The result at the input's size plus the extension; outside the feathered mask it is the input, exactly.
        raw: The decoded picture at the working size, before compositing.
        input_image: The input as edited, RGB, extended where the canvas was; None, as the masks may be, for a task without one.
        mask_image: What was repainted, mode "L", 0 and 255, of `image`'s size.
        seam_image: What of that was composited, less than all where an extended canvas overlaps the input; same mode and size.
        working_size: (width, height) in pixels at which the UNets saw the picture.
        stretch: Width's scale over height's between input and working size; 1.0 keeps the aspect.
        base_steps: UNet evaluations by the base that this picture is made of.
        refiner_steps: The same by the refiner, 0 without one.
        seconds: Wall time of this call, less whatever was remembered.
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

    @property
    def prepared(self) -> Mapping[str, Image.Image]:
        """What the picture was made from, by role: the pixels of each of its files but the result."""
        return {role.name: getattr(self, role.key) for role in TASKS[self.edit.task].roles if role != RESULT}
