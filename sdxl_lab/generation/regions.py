"""What of a picture is repainted: the sample's mask without specks, inverted, dilated, or the canvas around it; and brought to the working size."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image, ImageChops

from sdxl_lab.checkpoints.loading import Sizes
from sdxl_lab.images import masks
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.resolved_spec import as_it_matters

CELL_PX = 8
"""Side of a latent cell, in pixels at the working size."""


SPECKS = (
    "the mask has specks, smaller than a latent cell (8x8 pixels at the working size), and they are ignored; mask.specks keep takes the mask as it is"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Regions:
    """What of a picture is repainted. All masks are mode "L", 0 and 255.

    Attributes:
        repainted: In the pixels of the picture as edited, extended where the canvas was.
        composited: What of that is composited, less than all where an extended canvas overlaps the input; of the same size.
        scaled: `repainted` as the UNets see it, at the working size.
        has_ignored: Whether specks were left out.
    """

    repainted: Image.Image
    composited: Image.Image
    scaled: Image.Image
    has_ignored: bool = False

    def same_as(self, other: Regions) -> bool:
        """Whether the same picture comes of both."""
        return all(
            ImageChops.difference(getattr(self, name), getattr(other, name)).getbbox() is None for name in ("repainted", "composited", "scaled")
        )


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


def sizes_of(edit: Edit, size: tuple[int, int], sizes: Sizes) -> tuple[tuple[int, int], tuple[int, int]]:
    """The size of a picture as edited, and the one at which the UNets see it.

    Args:
        edit: What to paint.
        size: (width, height) of the sample's picture, in pixels; so are both that are returned.
        sizes: What the checkpoint was made for.
    """
    added = sides(edit) if edit.settings.mode == "canvas" else dict.fromkeys(("left_px", "right_px", "top_px", "bottom_px"), 0)
    edited = (size[0] + added["left_px"] + added["right_px"], size[1] + added["top_px"] + added["bottom_px"])
    return edited, working_size(edited, at_scale_of=size, sizes=sizes)


def regions(edit: Edit, size: tuple[int, int], mask: Image.Image | None, sizes: Sizes) -> Regions:
    """Find what of a picture is repainted.

    Args:
        edit: What to paint, and every setting.
        size: (width, height) of the sample's picture, in pixels.
        mask: The sample's mask of that size, white is the object; None only for outpainting with mode `canvas`.
        sizes: What the checkpoint was made for.

    Raises:
        MaskError: There is no mask, the canvas cannot be extended so, or nothing would be repainted; the message names sample and task.
    """
    settings, (_, scaled_size) = edit.settings, sizes_of(edit, size, sizes)
    if settings.mode == "canvas":
        try:
            repainted, composited = (masks.canvas_mask(size, **sides(edit), overlap_px=px) for px in (settings.canvas.overlap_px, 0))
        except masks.MaskError as error:
            raise masks.MaskError(f"{_named(edit)}: {error}") from None
        repainted = masks.dilate(repainted, settings.mask.kernel_size, settings.mask.iterations)
        return Regions(repainted=repainted, composited=composited, scaled=_scaled(repainted, scaled_size))
    if mask is None:
        raise masks.MaskError(
            f"{_named(edit)}: the sample has no mask, and {edit.task} repaints by mask; add one to its metadata, or outpaint with mode canvas."
        )
    if mask.size != size:
        got = f"{mask.width}x{mask.height} and the image {size[0]}x{size[1]}"
        raise masks.MaskError(f"{_named(edit)}: the mask is {got}; they must have one size: redraw or resize the mask.")
    mask, ignores = masks.binarize(mask), settings.mask.specks == "ignore"
    # A speck is looked for before it is dilated, and again at the working size, where thin parts of the mask may have come apart. There black
    # ones are none: a corner that a dilated region leaves is no fault of the mask.
    cleaned = masks.without_specks(mask, CELL_PX**2 * size[0] * size[1] / (scaled_size[0] * scaled_size[1])) if ignores else mask
    object_or_background = masks.invert(cleaned) if settings.mode == "background" else cleaned
    repainted = masks.dilate(object_or_background, settings.mask.kernel_size, settings.mask.iterations)
    scaled = _scaled(repainted, scaled_size)
    seen = masks.without_specks(scaled, CELL_PX**2, holes=False) if ignores else scaled
    has_ignored = any(ImageChops.difference(*pair).getbbox() for pair in ((mask, cleaned), (scaled, seen)))
    return Regions(repainted=repainted, composited=repainted, scaled=seen, has_ignored=has_ignored)


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
    if scaled.getbbox() is None:
        raise masks.MaskError(
            f"{_named(edit)}: what is to be repainted of the picture's {width}x{height} pixels vanishes at the working size of "
            f"{scaled.width}x{scaled.height}; dilate the mask (mask.kernel_size), or crop the picture closer around it"
        )
    lost = masks.vanishing(scaled, factor=CELL_PX) if edit.settings.mask.latent_mask == "nearest" else []
    if lost:
        across, down = width / scaled.width, height / scaled.height
        left, top, right, bottom = lost[0]
        box = f"{math.ceil((right - left) * across)}x{math.ceil((bottom - top) * down)} pixels at ({round(left * across)}, {round(top * down)})"
        what = "holes in the object's mask" if edit.settings.mode == "background" else "regions to repaint"
        raise masks.MaskError(
            f"{_named(edit)}: {len(lost)} of the {what} would vanish, the first about {box}: at the working size of {scaled.width}x{scaled.height}, "
            f"latent_mask nearest looks at one pixel in {CELL_PX}x{CELL_PX} only. Take mask.latent_mask cover, dilate it, or clean it"
        )


def sides(edit: Edit) -> dict[str, int]:
    """How far the canvas is extended: side to pixels of the input."""
    return {name: getattr(edit.settings.canvas, name) for name in ("left_px", "right_px", "top_px", "bottom_px")}


def _scaled(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    return masks.binarize(mask.resize(size, Image.Resampling.LANCZOS))


def _named(edit: Edit) -> str:
    return f"sample {edit.sample!r}, {edit.task}"
