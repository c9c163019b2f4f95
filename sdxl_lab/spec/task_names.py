"""Names of tasks, checked against those that there are when they are looked at, and not before."""

from __future__ import annotations

from typing import Annotated

from sdxl_lab.settings.choices import OneOf
from sdxl_lab.tasks import TASKS

ELSEWHERE = {
    **dict.fromkeys(("txt2img", "t2i", "text2img", "text2image", "txt2image", "text-to-image"), "write text_to_image"),
    **dict.fromkeys(("img2img", "i2i", "image2image", "im2im", "image-to-image", "variation", "variations"), "write image_to_image"),
    **dict.fromkeys(("inpainting", "infill", "fill"), "write inpaint"),
    **dict.fromkeys(("outpainting", "uncrop", "expand"), "write outpaint"),
}
"""What other tools call our tasks."""

TaskName = Annotated[str, OneOf(table=TASKS, refused=ELSEWHERE)]


def by_default() -> tuple[str, ...]:
    """The tasks of a run to which none are given."""
    return tuple(name for name, task in TASKS.items() if task.is_default)


def some() -> str:
    """What `tasks` may be, in words."""
    return f"a list of one or more of {', '.join(TASKS)}"
