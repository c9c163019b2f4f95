"""Labels: wrapped to a width, measured, and drawn."""

from __future__ import annotations

import math
from functools import cache

from PIL import Image, ImageDraw, ImageFont

INK = (30, 30, 30)
BREAKS = "_-/."
"""Names of files break behind these."""
_SPACING_FRAC = 0.3


@cache
def font(text_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, which needs no file of the system."""
    return ImageFont.load_default(text_px)


@cache
def wrap(label: str, width_px: int, text_px: int) -> str:
    """Break a label into lines no wider than given, between words where possible, or in names; its own line breaks are kept."""
    letters = font(text_px)
    lines: list[str] = []
    for paragraph in label.splitlines() or [""]:
        line = ""
        for word in paragraph.split():
            joined = f"{line} {word}" if line else word
            if letters.getlength(joined) <= width_px:
                line = joined
                continue
            if line:
                lines.append(line)
            line = word
            while letters.getlength(line) > width_px and len(line) > 1:
                fits = next(length for length in range(len(line) - 1, 0, -1) if length == 1 or letters.getlength(line[:length]) <= width_px)
                cut = _cut(line, fits)
                lines.append(line[:cut])
                line = line[cut:]
        lines.append(line)
    return "\n".join(lines)


def _cut(word: str, most: int) -> int:
    """Where a word is broken that is too long: behind a sign that parts a name, else anywhere; one letter is never left alone where two fit."""
    places = range(most, 1, -1)
    whole = [place for place in places if len(word) - place > 1]
    return next((place for place in whole if word[place - 1] in BREAKS), next(iter(whole), most))


def width(text: str, text_px: int) -> int:
    """Width in pixels of the widest line."""
    return math.ceil(max(font(text_px).getlength(line) for line in text.split("\n")))


def height(text: str, text_px: int) -> int:
    """Height in pixels of lines of equal height, so that labels stand on one line whichever letters they hold."""
    return _height(text.count("\n") + 1, text_px)


@cache
def _height(lines: int, text_px: int) -> int:
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    block = "\n".join(["Ag"] * lines)
    return math.ceil(draw.multiline_textbbox((0, 0), block, font=font(text_px), spacing=_spacing(text_px))[3])


def fit(label: str, width_px: int, height_px: int, text_px: int) -> str:
    """Wrap a label and leave out the lines that don't fit a height; the first is always kept."""
    lines = wrap(label, width_px, text_px).split("\n")
    while len(lines) > 1 and _height(len(lines), text_px) > height_px:
        lines.pop()
    return "\n".join(lines)


def write(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, text_px: int, *, across_px: int | None = None) -> None:
    """Draw lines from a top left corner; each in the middle of `across_px`, where given."""
    left, top = place
    if across_px is None:
        draw.multiline_text(place, text, fill=INK, font=font(text_px), spacing=_spacing(text_px))
        return
    middle = (left + across_px / 2, top)
    draw.multiline_text(middle, text, fill=INK, font=font(text_px), spacing=_spacing(text_px), anchor="ma", align="center")


def _spacing(text_px: int) -> int:
    return round(_SPACING_FRAC * text_px)
