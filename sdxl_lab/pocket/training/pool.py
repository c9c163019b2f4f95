"""The training pictures, drawn once and kept as files that training maps into memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdxl_lab.pocket.training.examples import Example, example
from sdxl_lab.pocket.training.under_way import each, undisturbed


@dataclass(frozen=True)
class Pool:
    """Training examples of one size, by consecutive seeds.

    Attributes:
        name: Name of its files.
        first_seed: Seed of the first example.
        count: How many examples it has.
        width, height: Size of its pictures in pixels.
    """

    name: str
    first_seed: int
    count: int
    width: int = 128
    height: int = 128

    def example(self, index: int) -> Example:
        """The example at an index, not drawn."""
        return example(self.first_seed + index, self.width, self.height)

    def draw(self, index: int) -> np.ndarray:
        """The picture at an index: uint8 of shape (height, width, 3)."""
        return np.asarray(self.example(index).draw())

    def pictures(self, folder: Path) -> np.ndarray:
        """All pictures, uint8 of shape (count, height, width, 3); drawn by the first call, on every core."""

        def rows() -> Iterable[np.ndarray]:
            with ProcessPoolExecutor(os.cpu_count(), initializer=undisturbed) as workers:
                yield from workers.map(self.draw, range(self.count), chunksize=64)

        return kept(folder / f"{self.name}-pictures.npy", (self.count, self.height, self.width, 3), np.uint8, rows)


def kept(path: Path, shape: tuple[int, ...], dtype: type, rows: Callable[[], Iterable[np.ndarray]]) -> np.ndarray:
    """An array file mapped into memory, computed row by row where it is not there yet."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        array = np.lib.format.open_memmap(unfinished, "w+", dtype, shape)
        for i, row in enumerate(each(rows(), path.stem.rpartition("-")[2], total=shape[0])):
            array[i] = row
        array.flush()
        unfinished.replace(path)
    return np.load(path, mmap_mode="r")
