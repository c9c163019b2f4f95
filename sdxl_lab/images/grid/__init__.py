"""Pictures and labels laid out as one labeled picture, and the crops that show details."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from sdxl_lab.images.grid import lettering
from sdxl_lab.images.grid.table import MAX_PIXELS, Cell, GridError, Table
from sdxl_lab.wording import counted

__all__ = ["MAX_PIXELS", "Axis", "Cell", "Cells", "GridError", "captioned_sheet", "contact_sheet", "contact_sheets", "details_box", "labelled_grids"]

_TEXT_PX = 14
_GAP_PX = 8
_ROW_LABEL_PX = 150
_CELL_PER_TEXT = 20
_ROW_LABEL_LETTERS = 10
_CAPTION_LINES = 6
_FEWEST_ACROSS = 4

Cells = Sequence[Sequence[Image.Image | None]]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What differs along one side of a grid.

    Attributes:
        name: What it is, such as "guidance_scale".
        values: A label for each column or row.
    """

    name: str
    values: tuple[str, ...]


def labelled_grids(
    *,
    x: Axis,
    y: Axis,
    cells: Sequence[Sequence[Cell]],
    title: str = "",
    constants: Mapping[str, str] | None = None,
    cell_px: int | None = 256,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Image.Image, ...]:
    """Lay pictures out along two axes, with their names and values, a title, and what all pictures have in common.

    Letters grow with the cells, so that they can still be read when the sheet is shown small. Long texts are wrapped. If one sheet would
    exceed the limit there are several, as few as can be, each of them complete: with title, legend, its own labels, and a line that says
    which part it is.

    Args:
        x: What differs between columns.
        y: What differs between rows.
        cells: For each value of `y` a picture for each value of `x`. A text stands for a picture that there is not and says why, such as
            "failed: out of memory"; None says "missing". Both are hatched.
        title: Stands above all; "" for none.
        constants: Settings that are the same in all pictures, name to value.
        cell_px: Longest side a picture is shown with; larger ones are scaled down, smaller ones are left. None leaves all at their size.
        max_pixels: Most pixels of one sheet.

    Returns:
        One or more new mode "RGB" pictures.

    Raises:
        GridError: Axes and cells don't agree, nothing is to be shown, or a single picture exceeds the limit.
    """
    _check(y.values, x.values, cells, cell_px)
    shown = [["missing" if cell is None else _fitted(cell, cell_px) for cell in row] for row in cells]
    largest = max((max(cell.size) for row in shown for cell in row if isinstance(cell, Image.Image)), default=0)
    text_px = max(_TEXT_PX, largest // _CELL_PER_TEXT)
    widest = max(lettering.width(value, text_px) for value in y.values)
    same = "; ".join(f"{name}: {value}" for name, value in (constants or {}).items())
    table = Table(
        rows=y.values,
        columns=x.values,
        cells=shown,
        text_px=text_px,
        row_label_px=min(widest, _ROW_LABEL_LETTERS * text_px),
        gap_px=max(_GAP_PX, text_px // 2),
        title=title,
        legend=(f"across: {x.name}; down: {y.name}", f"the same in all: {same}" if same else ""),
        across=x.name,
        down=y.name,
        centered=True,
    )
    if table.fits(max_pixels):
        return (table.draw(table.whole),)
    reserved = f"part 999 of 999: {x.name} {_longest(x.values)} to {_longest(x.values)}, {y.name} {_longest(y.values)} to {_longest(y.values)}"
    parts = table.split(max_pixels, note=reserved)
    notes = [
        f"part {number} of {len(parts)}: {x.name} {_from_to(x.values[slice(*part.across)])}, {y.name} {_from_to(y.values[slice(*part.down)])}"
        for number, part in enumerate(parts, 1)
    ]
    return tuple(table.draw(part, note=note) for part, note in zip(parts, notes, strict=True))


def contact_sheet(*, rows: Sequence[str], columns: Sequence[str], cells: Cells, cell_px: int | None = 256) -> Image.Image:
    """Lay pictures out as one labeled sheet.

    Args:
        rows: A label for each row, shown on the left; wrapped, line breaks kept.
        columns: A label for each column, shown above; wrapped, line breaks kept.
        cells: For each row a picture for each column; None leaves a gray field.
        cell_px: Longest side a picture is shown with; larger ones are scaled down, smaller ones are left. None leaves all at their size.

    Returns:
        A new mode "RGB" picture of at most `MAX_PIXELS`.

    Raises:
        GridError: Labels and cells don't agree, nothing is to be shown, or it doesn't fit on one sheet.

    Examples:
        >>> from PIL import Image
        >>> contact_sheet(rows=["circle"], columns=["red", "blue"], cells=[[Image.new("RGB", (64, 64), color) for color in ("red", "blue")]]).mode
        'RGB'
    """
    sheets = contact_sheets(rows=rows, columns=columns, cells=cells, cell_px=cell_px)
    if len(sheets) > 1:
        raise GridError(
            f"{counted(len(rows), 'row')} of {counted(len(columns), 'picture')} would fill {len(sheets)} sheets; "
            "make cell_px smaller, or use contact_sheets"
        )
    return next(iter(sheets))


def contact_sheets(
    *, rows: Sequence[str], columns: Sequence[str], cells: Cells, cell_px: int | None = 256, max_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, ...]:
    """Lay pictures out as labeled sheets, as few as the limit allows.

    Args:
        rows: As in `contact_sheet`; likewise `columns`, `cells` and `cell_px`.
        columns: See `rows`.
        cells: See `rows`.
        cell_px: See `rows`.
        max_pixels: Most pixels of one sheet. Rows go to the next sheet first; a row that is too large alone is broken between its columns.

    Returns:
        One or more new mode "RGB" pictures, each with the labels of its own rows and columns.

    Raises:
        GridError: Labels and cells don't agree, nothing is to be shown, or a single picture exceeds the limit.
    """
    _check(rows, columns, cells, cell_px)
    shown = [[_fitted(cell, cell_px) for cell in row] for row in cells]
    table = Table(rows=rows, columns=columns, cells=shown, text_px=_TEXT_PX, row_label_px=_ROW_LABEL_PX, gap_px=_GAP_PX)
    return tuple(table.draw(part) for part in table.split(max_pixels))


def captioned_sheet(*, captions: Sequence[str], pictures: Sequence[Image.Image], cell_px: int = 256) -> Image.Image:
    """Lay pictures out one after the other, each above its caption, in about as many rows as columns.

    Args:
        captions: A text for each picture; wrapped, and cut after six lines.
        pictures: One or more.
        cell_px: Longest side a picture is shown with; larger ones are scaled down, smaller ones are left.

    Returns:
        A new mode "RGB" picture of at most `MAX_PIXELS`.

    Raises:
        GridError: Captions and pictures don't agree, nothing is to be shown, or it doesn't fit on one sheet.
    """
    _check(captions, ["picture"], [[picture] for picture in pictures], cell_px)
    cells = [_captioned(picture, caption, cell_px) for picture, caption in zip(pictures, captions, strict=True)]
    across = min(len(cells), max(_FEWEST_ACROSS, math.isqrt(len(cells) - 1) + 1))
    rows = [cells[start : start + across] for start in range(0, len(cells), across)]
    wide = max(cell.width for cell in cells) + _GAP_PX
    tall = [max(cell.height for cell in row) + _GAP_PX for row in rows]
    size = across * wide + _GAP_PX, sum(tall) + _GAP_PX
    if math.prod(size) > MAX_PIXELS:
        raise GridError(f"{counted(len(cells), 'picture')} would fill {math.prod(size):,} pixels, allowed are {MAX_PIXELS:,}; make cell_px smaller")
    sheet = Image.new("RGB", size, "white")
    for index, row in enumerate(rows):
        for column, cell in enumerate(row):
            sheet.paste(cell, (_GAP_PX + column * wide, _GAP_PX + sum(tall[:index])))
    return sheet


def details_box(mask_image: Image.Image, *, margin_frac: float = 0.15) -> tuple[int, int, int, int]:
    """Find the part of a picture that shows what was repainted.

    Args:
        mask_image: Mask of size (W, H), mode "L", white where repainted. Of several masks of one picture take the largest.
        margin_frac: Share of the box's own width and height added on each side, 0 or more.

    Returns:
        Left, top, right and bottom in pixels, as `Image.crop` takes them, inside the picture.

    Raises:
        GridError: The mask has no white pixel.
    """
    box = mask_image.convert("L").point([0] * 128 + [255] * 128).getbbox()
    if box is None:
        raise GridError("the mask has no white pixel, so there are no details to show")
    left, top, right, bottom = box
    across, down = math.ceil((right - left) * margin_frac), math.ceil((bottom - top) * margin_frac)
    return max(left - across, 0), max(top - down, 0), min(right + across, mask_image.width), min(bottom + down, mask_image.height)


def _check(rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[Cell]], cell_px: int | None) -> None:
    if not rows or not columns:
        raise GridError(f"a sheet needs rows and columns, got {len(rows)} and {len(columns)}")
    if len(cells) != len(rows) or any(len(row) != len(columns) for row in cells):
        found = sorted({len(row) for row in cells})
        raise GridError(
            f"{counted(len(rows), 'row label')} and {counted(len(columns), 'column label')} take as many cells, "
            f"got {counted(len(cells), 'row')} of {found}"
        )
    if cell_px is not None and cell_px < 1:
        raise GridError(f"cell_px is {cell_px}; it must be 1 or more, or None for the pictures' own size")


def _captioned(picture: Image.Image, caption: str, cell_px: int) -> Image.Image:
    """A picture above its caption."""
    picture = _scaled(picture, cell_px)
    width = max(picture.width, _ROW_LABEL_PX)
    most = lettering.height("\n".join(["Ag"] * _CAPTION_LINES), _TEXT_PX)
    text = lettering.fit(caption, width, most, _TEXT_PX)
    cell = Image.new("RGB", (width, picture.height + _GAP_PX // 2 + lettering.height(text, _TEXT_PX)), "white")
    cell.paste(picture.convert("RGB"), (0, 0))
    lettering.write(ImageDraw.Draw(cell), (0, picture.height + _GAP_PX // 2), text, _TEXT_PX)
    return cell


def _fitted(cell: Cell, cell_px: int | None) -> Cell:
    return _scaled(cell, cell_px) if isinstance(cell, Image.Image) and cell_px is not None else cell


def _scaled(picture: Image.Image, most_px: int) -> Image.Image:
    if max(picture.size) <= most_px:
        return picture
    scale = most_px / max(picture.size)
    size = max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)
    return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _longest(values: Sequence[str]) -> str:
    return max(values, key=len)


def _from_to(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}"
