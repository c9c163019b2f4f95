"""A table of pictures with its labels: how large a part of it is, how to split it, and how to draw it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageDraw

from sdxl_lab.errors import LabError
from sdxl_lab.images.grid import lettering

MAX_PIXELS = 100_000_000
"""Most pixels a sheet may have; larger ones make browsers and viewers fail."""

_PAPER, _EMPTY, _HATCH, _RULE = "white", (235, 235, 235), (214, 214, 214), (150, 150, 150)
_NARROWEST_PX = 96
_TITLE_SCALE = 1.5

Cell = Image.Image | str | None
Span = tuple[int, int]


class GridError(LabError):
    """Pictures that can't be laid out as asked."""


class Part(NamedTuple):
    """The rows and the columns, each from one to before another, that go on one sheet."""

    down: Span
    across: Span


class _Layout(NamedTuple):
    left: int
    top: int
    heading: tuple[tuple[str, int], ...]
    widths: tuple[int, ...]
    heights: tuple[int, ...]
    size: tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Pictures and their labels.

    Attributes:
        rows: A label for each row.
        columns: A label for each column.
        cells: For each row a picture for each column, already of the size it is shown with; a text says why there is none, None only that.
        text_px: Size of the letters.
        row_label_px: Width of the row labels.
        gap_px: Width of the gaps between pictures and labels.
        title: Stands above all, in larger letters; "" for none.
        legend: Lines below the title.
        across: What the columns are, above their labels; "" for none.
        down: What the rows are, left of their labels, turned; "" for none.
        centered: Whether pictures and column labels stand in the middle of their columns, not at the left.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[Cell]]
    text_px: int
    row_label_px: int
    gap_px: int
    title: str = ""
    legend: tuple[str, ...] = ()
    across: str = ""
    down: str = ""
    centered: bool = False

    @property
    def whole(self) -> Part:
        """All rows and columns."""
        return Part((0, len(self.rows)), (0, len(self.columns)))

    def fits(self, max_pixels: int) -> bool:
        """Whether all of it is one sheet of at most so many pixels."""
        return self._area(self.whole, "") <= max_pixels

    def split(self, max_pixels: int, *, note: str = "") -> tuple[Part, ...]:
        """Divide the table into as few parts as a limit allows.

        Args:
            max_pixels: Most pixels of a sheet. Rows go to the next sheet first; a row that is too large alone is broken between columns.
            note: A line that each sheet will carry too.

        Raises:
            GridError: A single picture exceeds the limit.
        """
        parts: list[Part] = []
        row = 0
        while row < len(self.rows):
            column, height = 0, 1
            while column < len(self.columns):
                width = len(self.columns) - column
                while width > 1 and self._area(Part((row, row + 1), (column, column + width)), note) > max_pixels:
                    width -= 1
                while width == len(self.columns) and row + height < len(self.rows):
                    if self._area(Part((row, row + height + 1), (0, width)), note) > max_pixels:
                        break
                    height += 1
                part = Part((row, row + height), (column, column + width))
                if (area := self._area(part, note)) > max_pixels:
                    raise GridError(
                        f"the picture in row {self.rows[row]!r} alone makes a sheet of {area:,} pixels, allowed are {max_pixels:,}; "
                        "make cell_px smaller"
                    )
                parts.append(part)
                column += width
            row += height
        return tuple(parts)

    def draw(self, part: Part, *, note: str = "") -> Image.Image:
        """Draw a part on a sheet of its own, with the labels of its rows and columns.

        Args:
            part: Which rows and columns.
            note: A line below the legend.
        """
        layout = self._layout(part, note)
        sheet = Image.new("RGB", layout.size, _PAPER)
        pen = ImageDraw.Draw(sheet)
        top = self.gap_px
        for text, text_px in layout.heading:
            lettering.write(pen, (self.gap_px, top), text, text_px)
            top += lettering.height(text, text_px) + self.gap_px
        lefts = [layout.left + sum(width + self.gap_px for width in layout.widths[:index]) for index in range(len(layout.widths))]
        self._draw_axes(sheet, pen, layout, top)
        for label, left, width in zip(self.columns[slice(*part.across)], lefts, layout.widths, strict=True):
            text = lettering.wrap(label, width, self.text_px)
            place = (left, layout.top - self.gap_px - lettering.height(text, self.text_px))
            lettering.write(pen, place, text, self.text_px, across_px=width if self.centered else None)
        top = layout.top
        for label, row, height in zip(self.rows[slice(*part.down)], self.cells[slice(*part.down)], layout.heights, strict=True):
            text = lettering.wrap(label, self.row_label_px, self.text_px)
            lettering.write(pen, (layout.left - self.gap_px - self.row_label_px, top), text, self.text_px)
            for cell, left, width in zip(row[slice(*part.across)], lefts, layout.widths, strict=True):
                if isinstance(cell, Image.Image):
                    sheet.paste(cell.convert("RGB"), (left + (width - cell.width) // 2 if self.centered else left, top))
                else:
                    self._draw_missing(sheet, (left, top), (width, height), cell)
            top += height + self.gap_px
        return sheet

    def _draw_axes(self, sheet: Image.Image, pen: ImageDraw.ImageDraw, layout: _Layout, top: int) -> None:
        if self.across:
            room = layout.size[0] - layout.left - self.gap_px
            text = lettering.wrap(self.across, room, self.text_px)
            lettering.write(pen, (layout.left, top), text, self.text_px, across_px=room)
            rule = top + lettering.height(text, self.text_px) + self.gap_px // 2
            pen.line((layout.left, rule, layout.size[0] - self.gap_px - 1, rule), fill=_RULE)
        if self.down:
            room = layout.size[1] - layout.top - self.gap_px
            text = lettering.wrap(self.down, room, self.text_px)
            strip = Image.new("RGB", (room, lettering.height(text, self.text_px)), _PAPER)
            lettering.write(ImageDraw.Draw(strip), (0, 0), text, self.text_px, across_px=room)
            sheet.paste(strip.rotate(90, expand=True), (self.gap_px, layout.top))
            rule = self.gap_px + strip.height + self.gap_px // 2
            pen.line((rule, layout.top, rule, layout.size[1] - self.gap_px - 1), fill=_RULE)

    def _draw_missing(self, sheet: Image.Image, place: tuple[int, int], size: tuple[int, int], reason: str | None) -> None:
        field = Image.new("RGB", size, _EMPTY)
        if reason is not None:
            pen = ImageDraw.Draw(field)
            for start in range(-size[1], size[0], 2 * self.gap_px):
                pen.line((start, size[1], start + size[1], 0), fill=_HATCH, width=2)
            text = lettering.fit(reason, max(size[0] - 2 * self.gap_px, 1), size[1] - 2 * self.gap_px, self.text_px)
            tall = lettering.height(text, self.text_px)
            wide = lettering.width(text, self.text_px)
            left, top = (size[0] - wide) // 2, (size[1] - tall) // 2
            pen.rectangle(
                (left - self.gap_px // 2, top - self.gap_px // 2, left + wide + self.gap_px // 2, top + tall + self.gap_px // 2), fill=_EMPTY
            )
            lettering.write(pen, (0, top), text, self.text_px, across_px=size[0])
        sheet.paste(field, place)

    def _area(self, part: Part, note: str) -> int:
        return math.prod(self._layout(part, note).size)

    def _layout(self, part: Part, note: str) -> _Layout:
        cells = [row[slice(*part.across)] for row in self.cells[slice(*part.down)]]
        rows, columns = self.rows[slice(*part.down)], self.columns[slice(*part.across)]
        widths = tuple(max(_NARROWEST_PX, *(_side(cell, 0) for cell in column)) for column in zip(*cells, strict=True))
        row_texts = [lettering.wrap(label, self.row_label_px, self.text_px) for label in rows]
        heights = tuple(
            max(lettering.height(text, self.text_px), *(_side(cell, 1) for cell in row)) for text, row in zip(row_texts, cells, strict=True)
        )
        if self.centered:  # a row or column without any picture is as large as the largest
            pictures = [cell for row in self.cells for cell in row if isinstance(cell, Image.Image)]
            usual = [max((picture.size[axis] for picture in pictures), default=2 * _NARROWEST_PX) for axis in (0, 1)]
            empty = [not any(isinstance(cell, Image.Image) for cell in line) for line in cells]
            heights = tuple(max(height, usual[1] if none else _NARROWEST_PX) for height, none in zip(heights, empty, strict=True))
            empty = [not any(isinstance(cell, Image.Image) for cell in line) for line in zip(*cells, strict=True)]
            widths = tuple(max(width, usual[0]) if none else width for width, none in zip(widths, empty, strict=True))
        tall = sum(height + self.gap_px for height in heights)
        turned = lettering.height(lettering.wrap(self.down, tall - self.gap_px, self.text_px), self.text_px) + self.gap_px if self.down else 0
        left = (3 if self.down else 2) * self.gap_px + turned + self.row_label_px
        wide = left + sum(width + self.gap_px for width in widths)
        heading = self._heading(wide - 2 * self.gap_px, note)
        above = self.gap_px + sum(lettering.height(text, text_px) + self.gap_px for text, text_px in heading)
        if self.across:
            above += lettering.height(lettering.wrap(self.across, wide - left - self.gap_px, self.text_px), self.text_px) + self.gap_px
        labels = (lettering.wrap(label, width, self.text_px) for label, width in zip(columns, widths, strict=True))
        header = max(lettering.height(text, self.text_px) for text in labels)
        top = above + header + self.gap_px
        return _Layout(left, top, heading, widths, heights, (wide, top + tall))

    def _heading(self, width_px: int, note: str) -> tuple[tuple[str, int], ...]:
        lines = [(self.title, round(_TITLE_SCALE * self.text_px)), *((line, self.text_px) for line in (*self.legend, note))]
        return tuple((lettering.wrap(line, width_px, text_px), text_px) for line, text_px in lines if line)


def _side(cell: Cell, axis: int) -> int:
    return cell.size[axis] if isinstance(cell, Image.Image) else 0
