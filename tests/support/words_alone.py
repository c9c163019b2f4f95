"""Tasks that work from words alone, to be registered in tests, and a dataset of nothing but words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from sdxl_lab.settings.sections import Denoising, EditSettings, PromptAndSeed, SizeAsAsked
from sdxl_lab.tasks import RESULT, Area, Task


class WordsHyperparameters(PromptAndSeed):
    """What such a task takes."""

    denoising: Denoising = Denoising()
    size: SizeAsAsked = SizeAsAsked()


def everything(settings: EditSettings, size: tuple[int, int], mask: Image.Image | None, cell_px: float) -> Area:
    """The whole picture."""
    white = Image.new("L", size, 255)
    return Area(repainted=white, composited=white)


def words_task(name: str, **others: Any) -> Task:
    """A task that needs neither image nor mask, unless `others` say otherwise."""
    return Task(**{"name": name, "takes": WordsHyperparameters, "needs": lambda _: (), "area": everything, "roles": (RESULT,), **others})


def write_words(folder: Path, *samples: dict[str, Any]) -> Path:
    """Write a dataset of samples without files."""
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps({"samples": samples}))
    return folder
