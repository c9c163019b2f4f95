"""Pictures and labels laid out as one labelled picture, and the crops that show details."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from sdxl_lab.errors import LabError

MAX_PIXELS = 100_000_000
"""Most pixels a sheet may have; larger ones make browsers and viewers fail."""

_PAPER, _INK, _EMPTY = "white", (30, 30, 30), (235, 235, 235)
_FONT_PX = 14
_GAP_PX = 8
_ROW_LABEL_PX = 150
_NARROWEST_PX = 96

Cells = Sequence[Sequence[Image.Image | None]]


class GridError(LabError):
    """Pictures that can't be laid out as asked."""


def contact_sheet(*, rows: Sequence[str], columns: Sequence[str], cells: Cells, cell_px: int | None = 256) -> Image.Image:
    """Lay pictures out as one labelled sheet.

    Args:
        rows: A label for each row, shown on the left; wrapped, line breaks kept.
        columns: A label for each column, shown above; wrapped, line breaks kept.
        cells: For each row a picture for each column; None leaves a gray field.
        cell_px: Longest side a picture is shown with; larger ones are scaled down, smaller ones are left. None leaves all at their size.

    Returns:
        A new mode "RGB" picture of at most `MAX_PIXELS`.

    Raises:
        GridError: Labels and cells don't agree, nothing is to be shown, or it doesn't fit on one sheet.
    """
    sheets = contact_sheets(rows=rows, columns=columns, cells=cells, cell_px=cell_px)
    if len(sheets) > 1:
        raise GridError(f"{len(rows)} rows of {len(columns)} pictures need {len(sheets)} sheets; make cell_px smaller, or use contact_sheets")
    return next(iter(sheets))


def contact_sheets(
    *, rows: Sequence[str], columns: Sequence[str], cells: Cells, cell_px: int | None = 256, max_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, ...]:
    """Lay pictures out as labelled sheets, as few as the limit allows.

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
    sheets: list[Image.Image] = []
    row = 0
    while row < len(rows):
        column, height = 0, 1
        while column < len(columns):
            width = len(columns) - column
            while width > 1 and _area(rows, columns, shown, (row, row + 1), (column, column + width)) > max_pixels:
                width -= 1
            while width == len(columns) and row + height < len(rows):
                if _area(rows, columns, shown, (row, row + height + 1), (0, width)) > max_pixels:
                    break
                height += 1
            part = (row, row + height), (column, column + width)
            if (area := _area(rows, columns, shown, *part)) > max_pixels:
                raise GridError(
                    f"the picture in row {rows[row]!r} alone makes a sheet of {area:,} pixels, allowed are {max_pixels:,}; make cell_px smaller"
                )
            sheets.append(_draw(rows, columns, shown, *part))
            column += width
        row += height
    return tuple(sheets)


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


def _check(rows: Sequence[str], columns: Sequence[str], cells: Cells, cell_px: int | None) -> None:
    if not rows or not columns:
        raise GridError(f"a sheet needs rows and columns, got {len(rows)} and {len(columns)}")
    if len(cells) != len(rows) or any(len(row) != len(columns) for row in cells):
        found = sorted({len(row) for row in cells})
        raise GridError(f"{len(rows)} row labels and {len(columns)} column labels need as many cells, got {len(cells)} rows of {found}")
    if cell_px is not None and cell_px < 1:
        raise GridError(f"cell_px is {cell_px}; it must be 1 or more, or None for the pictures' own size")


def _fitted(cell: Image.Image | None, cell_px: int | None) -> Image.Image | None:
    if cell is None or cell_px is None or max(cell.size) <= cell_px:
        return cell
    scale = cell_px / max(cell.size)
    size = max(round(cell.width * scale), 1), max(round(cell.height * scale), 1)
    return cell.convert("RGB").resize(size, Image.Resampling.LANCZOS)


Span = tuple[int, int]


def _layout(rows: Sequence[str], columns: Sequence[str], shown: Cells, down: Span, across: Span) -> tuple[list[int], list[int], int]:
    """Return the widths of the columns, the heights of the rows, and the height of the column labels, for a part of the table."""
    part = [row[slice(*across)] for row in shown[slice(*down)]]
    widths = [max(_NARROWEST_PX, *(cell.width if cell else 0 for cell in cells)) for cells in zip(*part, strict=True)]
    heights = [
        max(_text_height(_wrap(label, _ROW_LABEL_PX)), *(cell.height if cell else 0 for cell in row))
        for label, row in zip(rows[slice(*down)], part, strict=True)
    ]
    header = max(_text_height(_wrap(label, width)) for label, width in zip(columns[slice(*across)], widths, strict=True))
    return widths, heights, header


def _size(widths: list[int], heights: list[int], header: int) -> tuple[int, int]:
    return _GAP_PX + _ROW_LABEL_PX + sum(width + _GAP_PX for width in widths) + _GAP_PX, 2 * _GAP_PX + header + sum(
        height + _GAP_PX for height in heights
    )


def _area(rows: Sequence[str], columns: Sequence[str], shown: Cells, down: Span, across: Span) -> int:
    return math.prod(_size(*_layout(rows, columns, shown, down, across)))


def _draw(rows: Sequence[str], columns: Sequence[str], shown: Cells, down: Span, across: Span) -> Image.Image:
    widths, heights, header = _layout(rows, columns, shown, down, across)
    sheet = Image.new("RGB", _size(widths, heights, header), _PAPER)
    draw = ImageDraw.Draw(sheet)
    lefts = [2 * _GAP_PX + _ROW_LABEL_PX + sum(width + _GAP_PX for width in widths[:index]) for index in range(len(widths))]
    for label, left, width in zip(columns[slice(*across)], lefts, widths, strict=True):
        text = _wrap(label, width)
        draw.multiline_text((left, _GAP_PX + header - _text_height(text)), text, fill=_INK, font=_font(), spacing=_spacing())
    top = 2 * _GAP_PX + header
    for label, row, height in zip(rows[slice(*down)], shown[slice(*down)], heights, strict=True):
        draw.multiline_text((_GAP_PX, top), _wrap(label, _ROW_LABEL_PX), fill=_INK, font=_font(), spacing=_spacing())
        for cell, left, width in zip(row[slice(*across)], lefts, widths, strict=True):
            if cell is None:
                draw.rectangle((left, top, left + width - 1, top + height - 1), fill=_EMPTY)
            else:
                sheet.paste(cell.convert("RGB"), (left, top))
        top += height + _GAP_PX
    return sheet


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_PX)


def _spacing() -> int:
    return 4


def _wrap(label: str, width_px: int) -> str:
    """Break a label into lines no wider than given, between words where possible."""
    font = _font()
    lines: list[str] = []
    for paragraph in label.splitlines() or [""]:
        line = ""
        for word in paragraph.split():
            joined = f"{line} {word}" if line else word
            if font.getlength(joined) <= width_px:
                line = joined
                continue
            if line:
                lines.append(line)
            line = word
            while font.getlength(line) > width_px and len(line) > 1:
                cut = next(length for length in range(len(line) - 1, 0, -1) if length == 1 or font.getlength(line[:length]) <= width_px)
                lines.append(line[:cut])
                line = line[cut:]
        lines.append(line)
    return "\n".join(lines)


def _text_height(text: str) -> int:
    """Measure lines of equal height, so that labels stand on one line whichever letters they hold."""
    lines = "\n".join("Ag" for _ in text.split("\n"))
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    return math.ceil(draw.multiline_textbbox((0, 0), lines, font=_font(), spacing=_spacing())[3])
