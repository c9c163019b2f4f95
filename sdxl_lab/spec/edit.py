"""One picture to make: sample, task, words, seed, and every setting."""

from __future__ import annotations

from pydantic import ValidationInfo, field_validator

from sdxl_lab.settings.sections import EditSettings, Seed, Settings, Task, Text


class Edit(Settings):
    """One picture to make.

    Attributes:
        sample: Name of the sample it starts from.
        task: `inpaint` or `outpaint`, which means `mode` `background` where the settings name none.
        prompt: The text to paint.
        negative_prompt: The text to lead away from, or None, which is not the empty text.
        seed: From -2**63 to 2**64 - 1, as torch takes it.
        settings: Everything else it depends on.
    """

    sample: Text
    task: Task
    prompt: Text
    negative_prompt: Text | None = None
    seed: Seed
    settings: EditSettings

    @field_validator("settings")
    @classmethod
    def _fit_to_task(cls, settings: EditSettings, info: ValidationInfo) -> EditSettings:
        """Choose the mode where none is named, and refuse a mode and a canvas that do not fit the task."""
        task = info.data.get("task")
        if task == "outpaint" and settings.mode is None:
            settings = settings.model_copy(update={"mode": "background"})
        if task == "inpaint" and (settings.mode is not None or settings.canvas.extends):
            got = "a canvas to extend" if settings.mode is None else f"mode {settings.mode}"
            raise ValueError(f"got {got} for task inpaint, which repaints the mask of the picture as it is; leave it out, or take task outpaint")
        if settings.mode == "canvas" and not settings.canvas.extends:
            sides = "left_px, right_px, top_px, bottom_px"
            raise ValueError(f"got 0 pixels on every side with mode canvas; give the canvas at least one of {sides}, or take mode background")
        if settings.mode == "background" and settings.canvas.extends:
            raise ValueError("got mode background, which leaves the canvas as it is, with a canvas to extend; take mode canvas, or leave canvas out")
        return settings
