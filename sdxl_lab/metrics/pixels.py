"""What metrics share: pictures as arrays, all of one size, and the regions that a mask makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from PIL import Image

from sdxl_lab.errors import LabError
from sdxl_lab.images import boxes, pictures
from sdxl_lab.spec.generated import Generated

_T = TypeVar("_T")


class MetricError(LabError):
    """Pictures that cannot be compared, or a word that names no color."""


def rgb(image: Image.Image) -> np.ndarray:
    """A picture's levels: uint8 of shape (H, W, 3)."""
    return np.asarray(image.convert("RGB"))


def inside(mask_image: Image.Image) -> np.ndarray:
    """Where a mask is white: bool of shape (H, W), at half intensity, as everywhere in the lab."""
    return np.asarray(pictures.grayscale(mask_image)) >= 128


def outside(mask_image: Image.Image) -> np.ndarray:
    """Where a mask is wholly black: bool of shape (H, W). A soft mask's gray is neither inside nor outside."""
    return np.asarray(pictures.grayscale(mask_image)) == 0


def require_one_size(**images: Image.Image) -> None:
    """Refuse pictures of several sizes.

    Args:
        images: What each is, in words with underscores, to the picture.

    Raises:
        MetricError: They differ in size; the message lists them.
    """
    if len({image.size for image in images.values()}) > 1:
        sizes = ", ".join(f"{name.replace('_', ' ')} {image.width}x{image.height}" for name, image in images.items())
        raise MetricError(f"these are measured pixel by pixel and must be of one size, got {sizes}: resize first")


def changes(before: np.ndarray, after: np.ndarray, where: np.ndarray) -> dict[str, float]:
    """Largest and mean change, and the share of changed pixels, in a region; empty if the region is."""
    red, green, blue = np.moveaxis(np.maximum(before, after) - np.minimum(before, after), 2, 0)
    change = np.maximum(np.maximum(red, green), blue)[where]
    if not change.size:
        return {}
    return {"max": float(change.max()), "mean": float(change.mean()), "share": float((change > 0).mean())}


def if_there(measure: Callable[..., _T], *images: Image.Image | None) -> _T | None:
    """Measure pictures; None where one of them is not there."""
    return None if any(image is None for image in images) else measure(*images)


def once(measure: Callable[[Generated], _T]) -> Callable[[Generated], _T]:
    """Compute what several metrics need once for each picture, and forget it with the picture."""
    found: WeakKeyDictionary[Generated, _T] = WeakKeyDictionary()

    def of(made: Generated) -> _T:
        if made not in found:
            found[made] = measure(made)
        return found[made]

    return of


@once
def decoded(made: Generated) -> Image.Image:
    """The picture as decoded, before compositing, brought to the result's size with Lanczos; of a crop, to the size of its box."""
    size = boxes.size_of(made.frame.box) if made.frame else made.image.size
    return made.raw if made.raw.size == size else made.raw.resize(size, Image.Resampling.LANCZOS)


def as_decoded(made: Generated, image: Image.Image | None) -> Image.Image | None:
    """What of a picture of the result's size lies where `decoded` does: nothing else of it was made."""
    return image.crop(made.frame.box) if image and made.frame else image
