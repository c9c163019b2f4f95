"""A picture before and after, on one small sheet: what it was made from with the mask's outline, and what was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter

from sdxl_lab.images.grid.beside import beside, scaled
from sdxl_lab.images.masks import binarize
from sdxl_lab.records.picture import UNREADABLE, Picture
from sdxl_lab.tasks import INPUT, MASK, RESULT

LAYOUT = 1
"""Of the sheet: another number for one that looks otherwise."""
SIDE_PX = 512
_OUTLINE_PER_SIDE = 1 / 200
_INK, _EDGE = (255, 230, 0), (0, 0, 0)


def before_after(picture: Picture, lines: Sequence[str]) -> Image.Image:
    """Show a picture beside what it was made from; of words alone it stands by itself.

    Args:
        picture: As recorded. A file of its that cannot be read is a gray field.
        lines: What stands above: which picture it is, and how it was made.

    Returns:
        A new mode "RGB" picture, whose cells have `SIDE_PX` as their longest side.
    """
    cells: dict[str, Image.Image | None] = {}
    if INPUT.name in picture.files:
        before, mask = (_read(picture.files[role.name], mode) if role.name in picture.files else None for role, mode in ((INPUT, "RGB"), (MASK, "L")))
        is_outlined = before is not None and mask is not None and mask.size == before.size
        cells["input, mask outlined" if is_outlined else "input"] = outlined(before, mask) if before and mask and is_outlined else before
    cells[RESULT.name] = _read(picture.image, "RGB")
    return beside(cells, lines, cell_px=SIDE_PX)


def outlined(image: Image.Image, mask_image: Image.Image) -> Image.Image:
    """Draw the outline of a mask's white region on a picture, yellow between black, so that it is seen on any ground.

    Args:
        image: Mode "RGB", of size (W, H).
        mask_image: Mode "L", of size (W, H), 0 and 255.

    Returns:
        A new mode "RGB" picture of size (W, H). Where the white region meets the picture's border there is no line.
    """
    width = max(round(max(image.size) * _OUTLINE_PER_SIDE), 1)
    drawn, around, within, rings = image.copy(), mask_image, mask_image, []
    for _ in range(2 * width):  # many small filters take less time than a large one
        around, within = around.filter(ImageFilter.MaxFilter(3)), within.filter(ImageFilter.MinFilter(3))
        rings.append(ImageChops.subtract(around, within))
    drawn.paste(_EDGE, mask=rings[-1])
    drawn.paste(_INK, mask=rings[width - 1])
    return drawn


def _read(path: Path, mode: str) -> Image.Image | None:
    try:
        with Image.open(path) as image:
            return scaled(binarize(image) if mode == "L" else image.convert(mode), SIDE_PX)
    except UNREADABLE:
        return None
