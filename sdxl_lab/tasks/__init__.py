"""The ways of making a picture of a sample, each a file.

`TASKS["retouch"] = Task(name="retouch", ...)` adds one everywhere.
"""

from __future__ import annotations

from sdxl_lab.tasks._task import DEFAULTS, INPUT, MASK, NEUTRAL, RESULT, Area, Role, Task, area_of_mask
from sdxl_lab.tasks.image_to_image import IMAGE_TO_IMAGE
from sdxl_lab.tasks.inpaint import INPAINT
from sdxl_lab.tasks.outpaint import OUTPAINT
from sdxl_lab.tasks.text_to_image import TEXT_TO_IMAGE

__all__ = ["DEFAULTS", "INPUT", "MASK", "NEUTRAL", "RESULT", "TASKS", "Area", "Role", "Task", "area_of_mask"]

TASKS: dict[str, Task] = {task.name: task for task in (INPAINT, OUTPAINT, IMAGE_TO_IMAGE, TEXT_TO_IMAGE)}
"""Every task by its name. Asked each time, copied nowhere, so that one that is added is there at once."""
