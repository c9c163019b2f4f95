"""What of a picture is repainted, as its task says, and what that is at the working size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops

from sdxl_lab.families import Sizes
from sdxl_lab.generation.frames import WHOLE, crop_that_matters, framed, whole_size, without_crop
from sdxl_lab.images import boxes, masks, soft_masks
from sdxl_lab.images.holes import FROM_AROUND, nothing_around
from sdxl_lab.settings.sections import Conditioning, Crop, Denoising, EditSettings, Mask, Refiner
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Frame
from sdxl_lab.spec.resolved_spec import as_it_matters
from sdxl_lab.tasks import TASKS


def specks_ignored(cell_px: int) -> str:
    """What is said of specks that are left out.

    Args:
        cell_px: Side of a latent cell.
    """
    cell = f"{cell_px}x{cell_px} pixels at the working size"
    return f"the mask has specks, smaller than a latent cell ({cell}), and they are ignored; mask.specks keep takes the mask as it is"


@dataclass(frozen=True, kw_only=True, eq=False)
class Regions:
    """What of a picture is repainted. All masks are mode "L", 0 and 255, or of a soft one what is between them, too.

    Attributes:
        repainted: In the pixels of the picture as edited, extended where the canvas was.
        composited: What of that is composited, less than all where an extended canvas overlaps the input; of the same size.
        scaled: `repainted` as the UNets see it, at the working size; of a crop, what of it they see.
        frame: The crop that they see; None for the whole picture.
        crop: What of the edit's `crop` decided about it.
        idle: What of what is asked for makes no difference, a soft mask, a crop or what closes a seam, and why, a sentence each; and a blur that
            reaches too far.
        has_ignored: Whether specks were left out.
        is_soft: Whether there is anything to repaint in part.
        parts: What people call the white regions of `repainted`.
        cell_px: Side of a latent cell of the checkpoint's, in pixels of `scaled`.
    """

    repainted: Image.Image
    composited: Image.Image
    scaled: Image.Image
    frame: Frame | None = None
    crop: Crop = WHOLE
    idle: tuple[str, ...] = ()
    has_ignored: bool = False
    is_soft: bool = False
    parts: str = "regions to repaint"
    cell_px: int = 8

    def change(self, mode: masks.LatentMask) -> np.ndarray:
        """How far each latent cell is repainted: what `soft_masks.latent_change` says of `scaled`."""
        return soft_masks.latent_change(self.scaled, mode=mode, factor=self.cell_px)

    def same_as(self, other: Regions) -> bool:
        """Whether the same picture comes of both."""
        return self.frame == other.frame and all(
            ImageChops.difference(getattr(self, name), getattr(other, name)).getbbox() is None for name in ("repainted", "composited", "scaled")
        )


def regions(edit: Edit, size: tuple[int, int], mask: Image.Image | None, sizes: Sizes) -> Regions:
    """Find what of a picture is repainted.

    Args:
        edit: What to paint, and every setting.
        size: (width, height) of the sample's picture, in pixels.
        mask: The sample's mask of that size, white is the object; None where the task needs none.
        sizes: What the checkpoint was made for.

    Raises:
        MaskError: There is no mask, the canvas cannot be extended so, nothing would be repainted, or all that is seen would be and is to be filled
            from around it; the message names sample and task.
        CropError: The crop is smaller than a latent cell; likewise.
    """
    task, settings = TASKS[edit.task], edit.settings
    assert task.area is not None, f"{edit.task} makes all of a picture"
    mask = _of_sample(edit, size, mask) if "mask" in task.needs(settings) else None
    whole = whole_size(settings, size, sizes)
    try:
        area, frame = framed(task, settings, size, mask, sizes)
    except masks.MaskError as error:
        raise type(error)(f"{_named(edit)}: {error}") from None
    part, working = area.repainted.crop(frame.box) if frame else area.repainted, frame.size if frame else whole
    is_soft = settings.mask.soft != "off" and soft_masks.has_grays(area.repainted)
    # Lanczos would ring around an edge, and gray has a meaning here.
    scaled = part.resize(working, Image.Resampling.BILINEAR) if is_soft else masks.binarize(part.resize(working, Image.Resampling.LANCZOS))
    # Black specks are none here: a corner that a dilated region leaves is no fault of the mask.
    seen = masks.without_specks(scaled, sizes.cell_px**2, holes=False) if area.ignores_specks and not is_soft else scaled
    if settings.mask.fill in FROM_AROUND and _is_all(seen):
        raise masks.MaskError(f"{_named(edit)}: {nothing_around(settings.mask.fill)}")
    has_seam = not _is_all(area.composited.crop(frame.box) if frame else area.composited)
    idle = (
        _too_wide(settings.mask, area.repainted.size) if is_soft else _without_softness(settings.mask),
        None if frame else without_crop(settings.crop),
        None if has_seam else _without_seam(settings.mask),
    )
    return Regions(
        repainted=area.repainted,
        composited=area.composited,
        scaled=seen,
        frame=frame,
        crop=crop_that_matters(settings.crop, frame, boxes.magnified(whole, area.repainted.size)),
        idle=tuple(line for line in idle if line),
        has_ignored=area.has_ignored or ImageChops.difference(scaled, seen).getbbox() is not None,
        is_soft=is_soft,
        parts=area.parts,
        cell_px=sizes.cell_px,
    )


def placing(settings: EditSettings) -> EditSettings:
    """The settings without those that decide what is painted, but not where: two edits of one task that differ in these alone have one region."""
    return settings.model_copy(update={"denoising": Denoising(), "refiner": Refiner(), "conditioning": Conditioning()})


def settled(edit: Edit, size: tuple[int, int], mask: Image.Image | None, sizes: Sizes) -> Regions:
    """Find what is repainted, as `regions` does, and call specks ignored only where that makes another picture."""
    found = regions(edit, size, mask, sizes)
    if not found.has_ignored:
        return found
    whole = regions(as_it_matters(edit, has_specks=False), size, mask, sizes)
    return whole if found.same_as(whole) else found


def require_cells(edit: Edit, found: Regions) -> None:
    """Make sure that each region to repaint has a latent cell.

    Args:
        edit: What to paint.
        found: What `regions` made of it.

    Raises:
        MaskError: One has none. The message names sample and task, and where the region lies in the pixels of the picture as edited.
    """
    (width, height), scaled = found.repainted.size, found.scaled
    seen = found.frame.box if found.frame else (0, 0, width, height)
    if scaled.getbbox() is None or (found.is_soft and not found.change(edit.settings.mask.latent_mask).any()):
        raise masks.MaskError(
            f"{_named(edit)}: what is to be repainted of the picture's {width}x{height} pixels vanishes at the working size of "
            f"{scaled.width}x{scaled.height}; dilate the mask (mask.kernel_size), or let the models see what is around it alone "
            "(crop.padding_mask_crop, such as 32)"
        )
    lost = masks.vanishing(scaled, factor=found.cell_px) if edit.settings.mask.latent_mask == "nearest" and not found.is_soft else []
    if lost:
        across, down = (side / of for side, of in zip(boxes.size_of(seen), scaled.size, strict=True))
        left, top, right, bottom = lost[0]
        at = f"({round(seen[0] + left * across)}, {round(seen[1] + top * down)})"
        box = f"{math.ceil((right - left) * across)}x{math.ceil((bottom - top) * down)} pixels at {at}"
        raise masks.MaskError(
            f"{_named(edit)}: {len(lost)} of the {found.parts} would vanish, the first about {box}: "
            f"at the working size of {scaled.width}x{scaled.height}, latent_mask nearest looks at one pixel in "
            f"{found.cell_px}x{found.cell_px} only. Take mask.latent_mask cover, dilate it, or clean it"
        )


def without_steps(edit: Edit, lightest: float, steps: int) -> str | None:
    """Say why a soft mask repaints nothing in so many steps.

    Args:
        edit: What to paint.
        lightest: Of all that `Regions.change` says of it, 0 to 1.
        steps: Evaluations of the whole schedule, by base and refiner together.

    Returns:
        A sentence without its period; None if it repaints something.
    """
    if edit.settings.mask.soft != "threshold" or repainted_steps(lightest, steps) >= 1:
        return None
    return (
        f"{_named(edit)}: the lightest latent cell of the mask is {lightest:.2g} of white, and the last {lightest:.2g} of {steps} steps are none, so "
        f"nothing would be repainted; take mask.soft blend, {math.ceil(1 / lightest)} steps or more, or a lighter mask"
    )


def repainted_steps(change: float | np.ndarray, steps: int) -> np.ndarray:
    """In how many of the steps of a schedule, the last ones, a gray from 0 to 1 is repainted by `threshold`.

    Source:
        Levin and Fried, Differential Diffusion: Giving Each Pixel Its Strength, arXiv:2306.00950.
    """
    return np.floor(steps * np.asarray(change) + 1e-9)  # a mean of 64 grays is off by less


def _without_softness(mask: Mask) -> str | None:
    if mask.soft == "off":
        advice = "take mask.soft threshold, or mask.feather_px, which fades what is painted into the input"
        return f"mask.blur_px has no effect: mask.soft is off; {advice}." if mask.blur_px else None
    blur = " and mask.blur_px have" if mask.blur_px else " has"
    return f"mask.soft{blur} no effect: the region to repaint has no gray; a mask.blur_px above 0 gives it a soft edge, where it has one."


def _too_wide(mask: Mask, picture: tuple[int, int]) -> str | None:
    """Say that a blur leaves nothing as it is; None if its strip may end in the picture."""
    if mask.blur_px < max(picture):
        return None
    width, height = picture
    return f"mask.blur_px {mask.blur_px} reaches beyond the picture's {width}x{height} pixels, so that all of it is repainted in part: take less."


def _without_seam(asked: Mask) -> str | None:
    """Say that what is asked for the seam makes no difference to a picture without one; None if nothing is."""
    given = [f"mask.{name}" for name in ("color_match", "blend") if getattr(asked, name) != getattr(Mask(), name)]
    if not given:
        return None
    return f"{' and '.join(given)} {'has' if len(given) == 1 else 'have'} no effect: all that the models see is repainted, so there is no seam."


def _is_all(mask_image: Image.Image) -> bool:
    """Whether no pixel is wholly kept."""
    return mask_image.histogram()[0] == 0


def _of_sample(edit: Edit, size: tuple[int, int], mask: Image.Image | None) -> Image.Image:
    if mask is None:
        raise masks.MaskError(
            f"{_named(edit)}: the sample has no mask, and {edit.task} repaints by mask; add one to its metadata, or outpaint with mode canvas."
        )
    if mask.size != size:
        got = f"{mask.width}x{mask.height} and the image {size[0]}x{size[1]}"
        raise masks.MaskError(f"{_named(edit)}: the mask is {got}; they must have one size: redraw or resize the mask.")
    return mask


def _named(edit: Edit) -> str:
    return f"sample {edit.sample!r}, {edit.task}"
