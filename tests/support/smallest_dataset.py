"""A dataset of one noisy picture, its mask, and the smallest metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab.datasets.metadata import SMALLEST_METADATA

SMALLEST = json.loads(SMALLEST_METADATA)


def draw(size: tuple[int, int] = (24, 16)) -> Image.Image:
    """Draw uniform colors."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))


def lay_out(folder: Path, metadata: Any = None) -> Path:
    """Write a dataset of one picture and one mask, with the smallest metadata unless told."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    draw().save(folder / "images/octopus.png")
    mask = Image.new("L", (24, 16))
    mask.paste(255, (4, 4, 12, 12))
    mask.save(folder / "masks/octopus.png")
    (folder / "metadata.json").write_text(json.dumps(SMALLEST if metadata is None else metadata))
    return folder


def changed(**fields: Any) -> dict[str, Any]:
    """Return the smallest metadata with some fields of its sample changed."""
    return {"samples": [{**SMALLEST["samples"][0], **fields}]}
