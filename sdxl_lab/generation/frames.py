"""What of a picture the models see, and how large: all of it, or what is around the region that is repainted."""

from __future__ import annotations

import math

from PIL import Image

from sdxl_lab.families import Sizes
from sdxl_lab.images import boxes, masks
from sdxl_lab.images.boxes import Box
from sdxl_lab.images.white import MaskError
from sdxl_lab.settings.sections import Crop, EditSettings
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Frame
from sdxl_lab.tasks import TASKS, Area, Task

MOST_STRETCHED = 4
"""As SDXL's trained sizes are: a longer crop is seen with more around it."""

WHOLE = Crop()
"""What there was before there was a choice: the models see all of a picture."""


class CropError(MaskError):
    """A crop that the models cannot work at."""


def working_size(size: tuple[int, int], *, at_scale_of: tuple[int, int], sizes: Sizes) -> tuple[int, int]:
    """The size at which the UNets see a picture: about the area they were trained at, at the picture's aspect.

    A picture between `area` and `max_area` keeps its scale. So does an extended one, as far as `max_area` allows: a model that has seen one
    scale of texture alone fails on a shrunk picture, but not on a wider one.

    Args:
        size: (width, height) of the picture as edited, in pixels.
        at_scale_of: (width, height) of the picture before its canvas was extended.
        sizes: What the checkpoint was made for.

    Returns:
        (width, height) in pixels.
    """
    pixels = at_scale_of[0] * at_scale_of[1]
    scale = 1.0 if sizes.area <= pixels <= sizes.max_area else math.sqrt(sizes.area / pixels)
    scale = min(scale, math.sqrt(sizes.max_area / (size[0] * size[1])))
    width, height = (max(round(side * scale / sizes.multiple), 1) * sizes.multiple for side in size)
    return width, height


def sizes_of(edit: Edit, size: tuple[int, int] | None, sizes: Sizes) -> tuple[tuple[int, int], tuple[int, int]]:
    """The size of a finished picture, and the one at which the UNets see all of it.

    Args:
        edit: What to paint.
        size: (width, height) of the sample's picture, in pixels, None for a task that needs none; so are both that are returned.
        sizes: What the checkpoint was made for.
    """
    return TASKS[edit.task].size_of(edit.settings, size), whole_size(edit.settings, size, sizes)


def whole_size(settings: EditSettings, size: tuple[int, int] | None, sizes: Sizes) -> tuple[int, int]:
    """The size at which the UNets see all of a picture; the arguments and what is returned are as for `sizes_of`."""
    if given := settings.size.given:
        return given
    assert size is not None  # without one there is a size that was asked for
    return working_size(settings.canvas.around(size), at_scale_of=size, sizes=sizes)


def cell_area(size: tuple[int, int], working: tuple[int, int], cell_px: int) -> float:
    """How many pixels of a sample's picture a latent cell has.

    Args:
        size: (width, height) of that picture, in pixels.
        working: (width, height) at which the UNets see it.
        cell_px: Side of the cell there.
    """
    return cell_px**2 * size[0] * size[1] / (working[0] * working[1])


def framed(task: Task, settings: EditSettings, size: tuple[int, int], mask: Image.Image | None, sizes: Sizes) -> tuple[Area, Frame | None]:
    """Find what of a picture is repainted, and what of it the models see.

    Specks are smaller than a latent cell. In a crop cells are small, and specks would widen it: there a cell's size is the one that it has in the
    crop around the mask's largest region alone.

    Args:
        task: One that repaints a part.
        settings: All settings.
        size: (width, height) of the sample's picture, in pixels.
        mask: The sample's mask of that size, white is the object; None where the task needs none.
        sizes: What the checkpoint was made for.

    Returns:
        What is repainted; and the crop, None for the whole picture.

    Raises:
        MaskError: As the task's `area` does; or a crop is smaller than a latent cell.
    """
    assert task.area is not None, f"{task.name} makes all of a picture"
    whole, picture = whole_size(settings, size, sizes), settings.canvas.around(size)

    def found(cell: float) -> tuple[Area, Frame | None]:
        area = task.area(settings, size, mask, cell)  # pyright: ignore[reportOptionalCall]
        box = area.repainted.getbbox()
        return area, frame_of(settings, box, picture, whole, sizes) if box else None

    if settings.crop.padding_mask_crop is not None and mask is not None:
        _, around_largest = found(masks.largest_region(mask))
        if around_largest:
            area, frame = found((sizes.cell_px / around_largest.upscale) ** 2)
            if frame:
                return area, frame
    return found(cell_area(size, whole, sizes.cell_px))


def frame_of(settings: EditSettings, region: Box, picture: tuple[int, int], whole: tuple[int, int], sizes: Sizes) -> Frame | None:
    """Find what the models see of a picture.

    First the region grows by `context_factor` and the padding as far as the picture goes, then to the aspect of the size at which it is seen, by
    moving inwards where the picture ends. It is cropped first and scaled then.

    Args:
        settings: All settings.
        region: The box of what is repainted, in pixels of the picture in its canvas.
        picture: (width, height) of that.
        whole: (width, height) at which the UNets would see all of it.
        sizes: What the checkpoint was made for.

    Returns:
        The crop; None for all of it: none is asked for, there is nothing beside it, or it would not be seen `min_upscale` times larger.

    Raises:
        CropError: The crop is smaller than a latent cell.
    """
    crop = settings.crop
    if crop.padding_mask_crop is None:
        return None
    padding = max(crop.padding_mask_crop, settings.mask.feather_px)  # the soft edge is painted, too
    across, down = (padding + math.ceil((crop.context_factor - 1) * side / 2) for side in boxes.size_of(region))
    box = _not_too_long(boxes.grown(region, across_px=across, down_px=down, within=picture), picture)
    size = settings.size.given or working_size(boxes.size_of(box), at_scale_of=boxes.size_of(box), sizes=sizes)
    frame = Frame(box=boxes.widened(box, size, within=picture), size=size)
    width, height = boxes.size_of(frame.box)
    if (width, height) == picture or frame.upscale < crop.min_upscale * boxes.magnified(whole, picture):
        return None
    if min(width, height) < (cell_px := sizes.cell_px):
        raise CropError(
            f"only {width}x{height} pixels of the picture would be seen, less than a latent cell ({cell_px}x{cell_px}); give crop.padding_mask_crop "
            "more of them, such as 32"
        )
    return frame


def crop_that_matters(crop: Crop, frame: Frame | None, whole: float) -> Crop:
    """What of the settings of a crop decides about the picture.

    Args:
        crop: As asked for.
        frame: What came of it.
        whole: How many times its own size the whole picture would be seen.
    """
    if frame is None:
        return WHOLE
    is_larger = frame.upscale >= WHOLE.min_upscale * whole
    return crop.model_copy(update={"min_upscale": WHOLE.min_upscale}) if is_larger else crop


def without_crop(asked: Crop) -> str | None:
    """Say why a crop that is asked for makes no difference to a picture that is seen as a whole.

    Args:
        asked: Its settings.

    Returns:
        A sentence; None if none is asked for.
    """
    if asked == WHOLE:
        return None
    if asked.padding_mask_crop is None:
        given = [f"crop.{name}" for name in ("context_factor", "min_upscale") if getattr(asked, name) != getattr(WHOLE, name)]
        return f"{' and '.join(given)} {'has' if len(given) == 1 else 'have'} no effect: only crop.padding_mask_crop crops, and may be 0."
    if asked.min_upscale > WHOLE.min_upscale:
        return f"crop has no effect: it would not be seen {asked.min_upscale:g} times as large as the whole picture, as crop.min_upscale asks."
    return "crop has no effect: the region to repaint with what is around it is all of the picture, or would be seen no larger than in that."


def _not_too_long(box: Box, picture: tuple[int, int]) -> Box:
    width, height = boxes.size_of(box)
    if width > MOST_STRETCHED * height:
        return boxes.widened(box, (MOST_STRETCHED, 1), within=picture)
    if height > MOST_STRETCHED * width:
        return boxes.widened(box, (1, MOST_STRETCHED), within=picture)
    return box
