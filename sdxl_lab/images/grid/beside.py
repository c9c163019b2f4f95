"""A few pictures beside each other on one sheet, with letters that can be read when the sheet is shown small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from sdxl_lab.images.grid import lettering

_TEXT_PER_CELL = 14
_LINES = 3


def beside(pictures: Mapping[str, Image.Image | None], lines: Sequence[str] = (), *, cell_px: int = 512) -> Image.Image:
    """Lay pictures out in one row, each under its label, below lines of text.

    Args:
        pictures: Label to picture, of any size: each is shown with `cell_px` as its longest side, smaller ones with sharp pixels. None is a gray
            field: what is lost.
        lines: Stand above all, wrapped; each is cut after three lines.
        cell_px: In pixels; letters are a 14th of it.

    Returns:
        A new mode "RGB" picture.

    Examples:
        >>> from PIL import Image
        >>> beside({"before": Image.new("RGB", (64, 64)), "after": Image.new("RGB", (64, 32))}, cell_px=128).width
        274
    """
    text_px = max(cell_px // _TEXT_PER_CELL, 12)
    gap = text_px // 2
    cells = {
        label: scaled(picture.convert("RGB"), cell_px) if picture else Image.new("RGB", (cell_px, cell_px), "lightgray")
        for label, picture in pictures.items()
    }
    width = sum(cell.width + gap for cell in cells.values()) + gap
    above = [lettering.fit(line, width - 2 * gap, lettering.height("\n" * (_LINES - 1), text_px), text_px) for line in lines]
    labels = {label: lettering.fit(label, cell.width, lettering.height("\n", text_px), text_px) for label, cell in cells.items()}
    tops = [gap]
    for text in above:
        tops.append(tops[-1] + lettering.height(text, text_px) + gap // 2)
    label_top = tops[-1] + (gap // 2 if above else 0)
    top = label_top + max(lettering.height(text, text_px) for text in labels.values()) + gap // 2
    sheet = Image.new("RGB", (width, top + max(cell.height for cell in cells.values()) + gap), "white")
    pen = ImageDraw.Draw(sheet)
    for text, place in zip(above, tops, strict=False):
        lettering.write(pen, (gap, place), text, text_px)
    left = gap
    for label, cell in cells.items():
        lettering.write(pen, (left, label_top), labels[label], text_px)
        sheet.paste(cell, (left, top))
        left += cell.width + gap
    return sheet


def scaled(picture: Image.Image, side_px: int) -> Image.Image:
    """Give a picture a longest side in pixels; a smaller one keeps its sharp pixels, only larger."""
    scale = side_px / max(picture.size)
    size = max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)
    return picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
