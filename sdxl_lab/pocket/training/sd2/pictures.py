"""The training pictures: the world's scenes at half their size, drawn once and kept as files that training maps into memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sdxl_lab.pocket.training.examples import usual_scene
from sdxl_lab.pocket.training.pool import kept
from sdxl_lab.pocket.training.under_way import undisturbed
from sdxl_lab.pocket.world import SIZE_PX, Scene, caption, draw

SHRINK = 2
SIDE_PX = SIZE_PX // SHRINK
CAPTION_SEED = 500_000_000


def halved(picture: Image.Image) -> Image.Image:
    """A picture, or mask, at half its size, resized as the lab resizes what it gives to a checkpoint."""
    return picture.resize((picture.width // SHRINK, picture.height // SHRINK), Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class Pool:
    """Scenes of one size, by consecutive seeds.

    Attributes:
        name: Name of its files.
        first_seed: Seed of the first scene.
        count: How many it has.
        width, height: Size of its pictures in pixels.
    """

    name: str
    first_seed: int
    count: int
    width: int = SIDE_PX
    height: int = SIDE_PX

    def scene(self, index: int) -> Scene:
        """The scene at an index, twice as large as its picture here."""
        return usual_scene(self.first_seed + index, SHRINK * self.width, SHRINK * self.height)

    def caption(self, index: int) -> str:
        """What the scene is called; the place is left out now and then, the size more often."""
        spoken = np.random.RandomState(CAPTION_SEED + self.first_seed + index).choice(("place", "size and place", "shape"), p=(0.6, 0.32, 0.08))
        return caption(self.scene(index), say_size=spoken == "size and place", say_place=spoken != "shape")

    def draw(self, index: int) -> np.ndarray:
        """The picture at an index: uint8 of shape (height, width, 3)."""
        return np.asarray(halved(draw(self.scene(index))))

    def pictures(self, folder: Path) -> np.ndarray:
        """All pictures, uint8 of shape (count, height, width, 3); drawn by the first call, on every core."""

        def rows() -> Iterable[np.ndarray]:
            with ProcessPoolExecutor(os.cpu_count(), initializer=undisturbed) as workers:
                yield from workers.map(self.draw, range(self.count), chunksize=64)

        return kept(folder / f"sd2-{self.name}-pictures.npy", (self.count, self.height, self.width, 3), np.uint8, rows)


SQUARE = Pool("square", 20_000_000, 24_000)
WIDE = Pool("wide", 21_000_000, 1_200, width=SIDE_PX * 3 // 2)
TALL = Pool("tall", 22_000_000, 1_200, height=SIDE_PX * 3 // 2)
