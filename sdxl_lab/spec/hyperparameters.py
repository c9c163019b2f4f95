"""The model of the nested dictionary `hyperparameters`: what all tasks share, and once more what each of them takes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import create_model

from sdxl_lab.adapters import ADAPTERS, Adapter
from sdxl_lab.settings.sections import Canvas, Compute, Conditioning, Crop, Denoising, ImageReading, MaskAsAsked, PromptAndSeed, Refiner, SizeAsAsked
from sdxl_lab.tasks import TASKS, Task


class CommonHyperparameters(PromptAndSeed):
    """The keys that hold for every task that takes them; what is not given stays unset.

    Attributes:
        denoising: See `Denoising`; likewise `refiner`, `mask`, `conditioning`, `canvas`, `size`, `crop`, `image` and `compute`.
    """

    denoising: Denoising = Denoising()
    refiner: Refiner = Refiner()
    mask: MaskAsAsked = MaskAsAsked()
    conditioning: Conditioning = Conditioning()
    canvas: Canvas = Canvas()
    size: SizeAsAsked = SizeAsAsked()
    crop: Crop = Crop()
    image: ImageReading = ImageReading()
    compute: Compute = Compute()


def hyperparameters() -> type[CommonHyperparameters]:
    """The model for what there is now: the common keys, each kind of adapters by its name, and by each task's name the keys that it takes."""
    return _of(tuple(TASKS.items()), tuple(ADAPTERS.items()))


@lru_cache(maxsize=16)
def _of(tasks: tuple[tuple[str, Task], ...], adapters: tuple[tuple[str, Adapter], ...]) -> type[CommonHyperparameters]:
    fields: dict[str, Any] = {kind: (adapter.section, adapter.section()) for kind, adapter in adapters}
    fields |= {name: (task.takes, task.takes()) for name, task in tasks}
    return create_model("Hyperparameters", __base__=CommonHyperparameters, **fields)
