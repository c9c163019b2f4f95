"""Pictures in a notebook: small WebP images beside each other, so that a saved notebook stays small."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from sdxl_lab.images.webp import webp_file

MAX_SIDE_PX = 256
WEBP_QUALITY = 80
ROW = 8
MOST = 64


def webp(image: Image.Image, max_side_px: int = MAX_SIDE_PX) -> bytes:
    """Encode a picture for the screen, no larger than it needs to be.

    Args:
        image: A picture of any size, mode "RGB" or "L".
        max_side_px: Longest side of the result in pixels; smaller pictures keep their size.

    Returns:
        A WebP file.
    """
    small = image.convert("RGB")
    small.thumbnail((max_side_px, max_side_px))
    return webp_file(small, method=2, quality=WEBP_QUALITY)  # half the time of the usual method 4, for one more byte in thirty


def small(picture: Image.Image | Path | str, max_side_px: int = MAX_SIDE_PX) -> bytes:
    """Encode a picture for the screen, wherever it is.

    Args:
        picture: The picture, or the file that holds it.
        max_side_px: As for `webp`.

    Returns:
        A WebP file.
    """
    if isinstance(picture, Image.Image):
        return webp(picture, max_side_px)
    with Image.open(picture) as image:
        return webp(image, max_side_px)


def source(file: bytes) -> str:
    """The address of an image that stands in the page itself.

    Args:
        file: A WebP file.
    """
    return f"data:image/webp;base64,{base64.b64encode(file).decode()}"


def show(pictures: Mapping[str, Image.Image | Path], max_side_px: int = MAX_SIDE_PX) -> None:
    """Show labelled pictures beside each other in a notebook.

    The notebook holds explicit WebP bytes. A bare PIL image as a cell's value would be stored as PNG and as JPEG.

    Args:
        pictures: Label to picture, or to the file that holds it.
        max_side_px: Longest side of each in pixels.

    Examples:
        >>> show({"made": picture.image})
        <IPython.core.display.HTML object>
    """
    from IPython.display import HTML, display

    display(HTML("".join(_figure(label, small(picture, max_side_px)) for label, picture in pictures.items())))


class Gallery:
    """Labelled pictures that appear in a notebook one by one, beside each other in rows.

    A row is one output of the cell, replaced when a picture joins it, so a saved notebook holds each picture once. Beyond `MOST` the oldest row
    makes room for a new one: a notebook that makes hundreds of pictures stays small.

    Examples:
        >>> Gallery().add("made", picture.image)
        <IPython.core.display.HTML object>
    """

    def __init__(self) -> None:
        self._rows: list[tuple[Any, list[str]]] = []

    def add(self, label: str, picture: Image.Image | Path | str) -> None:
        """Show one more picture.

        Args:
            label: Stands below it.
            picture: The picture, or the file that holds it.
        """
        from IPython.display import HTML, display

        figure = _figure(label, small(picture))
        if not self._rows or len(self._rows[-1][1]) == ROW:
            self._rows.append((display(HTML(figure), display_id=True), [figure]))
        else:
            handle, figures = self._rows[-1]
            figures.append(figure)
            handle.update(HTML("".join(figures)))
        if len(self._rows) > MOST // ROW:
            handle, figures = self._rows.pop(0)
            handle.update(HTML(f"<p>{len(figures)} earlier pictures: they are in the run's folder.</p>"))


def _figure(label: str, file: bytes) -> str:
    text = html.escape(label)
    return (
        '<figure style="display:inline-block;margin:4px;text-align:center">'
        f'<img src="{source(file)}" alt="{text}"><figcaption style="font-size:smaller">{text}</figcaption></figure>'
    )
