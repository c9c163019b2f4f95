"""Repaint what is around the object: its background, or a canvas beyond the picture's borders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from sdxl_lab.settings.dilation import with_kernel
from sdxl_lab.settings.hyperparams import merge
from sdxl_lab.settings.knobs import Knob
from sdxl_lab.settings.sections import Canvas, EditSettings, Mode
from sdxl_lab.tasks._task import Area, MaskHyperparameters, Task, area_of_mask

if TYPE_CHECKING:
    from PIL import Image

REACH: Mapping[Mode, float] = {"background": 1 / 128, "canvas": 0}
"""By mode: how far a region is grown on each side where nobody says, as a share of the picture's shorter side. A canvas overlaps the picture by
a setting of its own."""

SIDES = "left_px, right_px, top_px, bottom_px"


class OutpaintHyperparameters(MaskHyperparameters):
    """What outpainting may be told.

    Attributes:
        canvas: The extension, for mode `canvas`.
        mode: `background` (the default) repaints all but the object, `canvas` paints beyond the borders.
    """

    canvas: Canvas = Canvas()
    mode: Annotated[Mode, Knob(is_shown=True)] = Field(default="background", description="one of background, canvas")


def _needs(settings: EditSettings) -> Sequence[str]:
    return ("image",) if settings.mode == "canvas" else ("image", "mask")


def _complete(asked: Mapping[str, Any], size: tuple[int, int] | None) -> Mapping[str, Any]:
    assert size is not None  # it needs an image
    mode: Mode = asked.get("mode", "background")
    kept = {key: value for key, value in asked.items() if key != "canvas" or mode == "canvas"}
    return with_kernel(merge(kept, {"mode": mode}), size, reach=REACH[mode])


def _fit(settings: EditSettings) -> EditSettings:
    settings = settings if settings.mode else settings.model_copy(update={"mode": "background"})
    if settings.mode == "canvas" and not settings.canvas.extends:
        raise ValueError(f"got 0 pixels on every side with mode canvas; give the canvas at least one of {SIDES}, or take mode background")
    if settings.mode == "background" and settings.canvas.extends:
        raise ValueError("got mode background, which leaves the canvas as it is, with a canvas to extend; take mode canvas, or leave canvas out")
    return settings


def _contradictions(given: Mapping[str, Any]) -> Sequence[str]:
    is_canvas, extends = given.get("mode") == "canvas", Canvas.model_validate(given.get("canvas", {})).extends
    if is_canvas and not extends:
        return [f"canvas: got 0 pixels on every side with mode canvas; give at least one of {SIDES}, or take mode background"]
    if extends and not is_canvas:
        return ["mode: got background, which leaves the canvas as it is, with a canvas to extend; take mode canvas, or leave canvas out"]
    return []


def _area(settings: EditSettings, size: tuple[int, int], mask: Image.Image | None, cell_px: float) -> Area:
    if settings.mode == "canvas":
        from sdxl_lab.images import masks, soft_masks  # not above: the gate asks tasks for their settings, and is light
        from sdxl_lab.images.canvas import canvas_mask

        within, around = (canvas_mask(size, **settings.canvas.sides, overlap_px=px) for px in (settings.canvas.overlap_px, 0))
        repainted = masks.dilate(within, settings.mask.kernel_size, settings.mask.iterations)
        is_soft = settings.mask.soft != "off"
        return Area(repainted=soft_masks.faded(repainted, settings.mask.blur_px) if is_soft else repainted, composited=around)
    assert mask is not None
    return area_of_mask(settings, mask, cell_px, is_background=True)


OUTPAINT = Task(
    name="outpaint",
    takes=OutpaintHyperparameters,
    needs=_needs,
    area=_area,
    complete=_complete,
    fit=_fit,
    contradictions=_contradictions,
    is_default=True,
    since="0.1.0",
)
