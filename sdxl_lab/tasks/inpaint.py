"""Repaint the object: what the sample's mask shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdxl_lab.settings.dilation import with_kernel
from sdxl_lab.settings.sections import EditSettings
from sdxl_lab.tasks._task import Area, MaskHyperparameters, Task, area_of_mask

if TYPE_CHECKING:
    from PIL import Image

REACH = 1 / 16
"""How far a mask is grown on each side where nobody says, as a share of the picture's shorter side. `docs/study.md`: less leaves
the old outline, more shows no gain."""


def _complete(asked: Mapping[str, Any], size: tuple[int, int] | None) -> Mapping[str, Any]:
    assert size is not None  # it needs an image
    return with_kernel(asked, size, reach=REACH)


def _fit(settings: EditSettings) -> EditSettings:
    if settings.mode is not None or settings.canvas.extends:
        got = "a canvas to extend" if settings.mode is None else f"mode {settings.mode}"
        raise ValueError(f"got {got} for task inpaint, which repaints the mask of the picture as it is; leave it out, or take task outpaint")
    return settings


def _area(settings: EditSettings, size: tuple[int, int], mask: Image.Image | None, cell_px: float) -> Area:
    assert mask is not None
    return area_of_mask(settings, mask, cell_px)


INPAINT = Task(
    name="inpaint",
    takes=MaskHyperparameters,
    needs=lambda _: ("image", "mask"),
    area=_area,
    complete=_complete,
    fit=_fit,
    refusals={key: f"inpainting never leaves the picture: move it to hyperparameters.outpaint.{key}" for key in ("canvas", "mode")},
    is_default=True,
    since="0.1.0",
)
