"""What is painted on: the picture that lies on a bench, and the mask as strokes make it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from PIL import Image

from sdxl_lab.bench.opened import Opened, with_mask
from sdxl_lab.images import masks, pictures
from sdxl_lab.images.png import png
from sdxl_lab.images.strokes import Painted
from sdxl_lab.images.strokes import strokes as strokes_of
from sdxl_lab.viewing.display import webp

MOST_SHOWN_PX = 2048
"""Longest side of a picture as pages get it; its mask is exact."""

_tokens = itertools.count(1)


class Surface:
    """A picture and its mask.

    Args:
        base: What lies on the bench, before anybody painted.

    Attributes:
        token: Tells it from what lay there before.
        revision: Counts its changes.
        opened: What lies on the bench with what was painted.
    """

    def __init__(self, base: Opened) -> None:
        self.token, self.revision = next(_tokens), 0
        self.opened = self._base = base

    @cached_property
    def picture(self) -> Image.Image | None:
        """What is painted on, mode "RGB"; None for words alone."""
        image = self._base.picture()
        return image and pictures.rgb(image)

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) in pixels; None for words alone."""
        return self.picture and self.picture.size

    @cached_property
    def _painted(self) -> Painted:
        assert self.size is not None
        given = self._base.mask()
        return Painted(self.size, given)

    @cached_property
    def _without_mask(self) -> Opened:
        """The picture in memory, wherever it lies: strokes follow each other faster than it is read."""
        return with_mask(self._base, None)

    @property
    def strokes(self) -> Sequence[Mapping[str, Any]]:
        """All that were painted, in order."""
        return [] if self.size is None else [one.plain for one in self._painted.strokes]

    @property
    def mask(self) -> Image.Image | None:
        """The mask as it is now, mode "L"; None where nothing of it is white."""
        return None if self.size is None or not self.has_mask else self._painted.image

    @property
    def has_mask(self) -> bool:
        """Whether any of the picture is to be repainted by it."""
        return self.size is not None and bool(self._painted.white.any())

    def change(self, keep: int, add: Sequence[Mapping[str, Any]]) -> None:
        """Paint.

        Args:
            keep: How many of the strokes stay.
            add: Strokes that follow them.

        Raises:
            StrokeError: One is none.
        """
        if self.size is not None:
            self._painted.change(keep, strokes_of(add))
            self.opened = with_mask(self._without_mask, self.mask) if self._painted.strokes else self._base
            self.revision += 1  # only now: who reads it from another thread must not take the mask before for this one

    def is_of(self, opened: Opened) -> bool:
        """Whether this is what lies on a bench."""
        return opened is self.opened or opened is self._base

    def as_value(self) -> dict[str, Any]:
        """What pages are told of it."""
        width, height = self.size or (0, 0)
        return {
            "token": self.token,
            "name": self._base.name,
            "width": width,
            "height": height,
            "has_image": self.size is not None,
            "has_mask": self._base.mask() is not None,
            "task": self._base.task,
        }

    @cached_property
    def buffers(self) -> list[bytes]:
        """The picture as pages show it, and the mask that was given, as files."""
        if self.picture is None:
            return []
        given = self._base.mask()
        return [webp(self.picture, MOST_SHOWN_PX), *([] if given is None else [png(masks.binarize(given))])]
