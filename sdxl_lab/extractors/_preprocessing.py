"""What transformers' image processors do to a picture, by the numbers of `preprocessor_config.json`: resize, crop, scale, normalize."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from sdxl_lab.extractors._extractor import ExtractorError

FILE = "preprocessor_config.json"

BICUBIC = int(Image.Resampling.BICUBIC)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From an RGB picture to what the network sees.

    Attributes:
        shortest_edge: The shorter side after resizing, the aspect kept; None where `size` is given, or nothing is resized.
        size: Height and width after resizing, whatever the aspect; or None.
        resample: Pillow's number of the filter, with antialiasing.
        crop: Height and width of the box that is cut from the middle; None for none.
        mean: Of each channel, subtracted after levels are scaled to [0, 1].
        std: Of each channel, divided by.
    """

    shortest_edge: int | None = None
    size: tuple[int, int] | None = None
    resample: int = BICUBIC
    crop: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    @classmethod
    def read(cls, file: Path, config: Mapping[str, Any]) -> Self:
        """Take it from the content of a `preprocessor_config.json`.

        Args:
            file: Named in errors.
            config: Its content.

        Raises:
            ExtractorError: It says something that isn't understood.
        """
        try:
            resizing = _sides(config["size"]) if config.get("do_resize", True) else {}
            crop = _sides(config["crop_size"], square=True) if config.get("do_center_crop", True) else {}
            if not config.get("do_rescale", True) or not math.isclose(config.get("rescale_factor", 1 / 255), 1 / 255):
                raise ValueError(f"rescale_factor {config.get('rescale_factor')}")
            is_normal = config.get("do_normalize", True)
            return cls(
                **resizing,
                resample=int(Image.Resampling(config.get("resample", BICUBIC))),
                crop=crop.get("size"),
                mean=_three(config["image_mean"]) if is_normal else (0.0, 0.0, 0.0),
                std=_three(config["image_std"]) if is_normal else (1.0, 1.0, 1.0),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ExtractorError(
                f"{file} can't be followed ({error}); needed are size, crop_size, image_mean and image_std, as CLIP's and DINOv2's repositories have "
                "them: get the file again, or take another model"
            ) from error

    def document(self) -> dict[str, Any]:
        """As records have it."""
        said = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items() if value is not None}
        return said | {"resample": Image.Resampling(self.resample).name.lower()}

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Bring a picture to what the network sees: float32 of shape (3, height, width).

        Args:
            image: Mode "RGB".
        """
        if size := self._resized(image.size):
            image = image.resize(size, self.resample)
        if self.crop:
            height, width = self.crop
            left, top = (image.width - width) // 2, (image.height - height) // 2
            image = image.crop((left, top, left + width, top + height))  # what lies beyond the picture is black, as transformers has it
        levels = (np.asarray(image, np.float64).transpose(2, 0, 1) * (1 / 255)).astype(np.float32)
        return (levels - _column(self.mean)) / _column(self.std)

    def _resized(self, size: tuple[int, int]) -> tuple[int, int] | None:
        if self.size:
            return self.size[1], self.size[0]
        if self.shortest_edge:
            width, height = size
            longer = int(self.shortest_edge * max(size) / min(size))
            return (self.shortest_edge, longer) if width <= height else (longer, self.shortest_edge)
        return None


def _sides(said: Any, *, square: bool = False) -> dict[str, Any]:
    """What a size in a configuration means; older ones are a number."""
    if isinstance(said, int):
        return {"size": (said, said)} if square else {"shortest_edge": said}
    if "shortest_edge" in said and "longest_edge" not in said:
        return {"size": (int(said["shortest_edge"]),) * 2} if square else {"shortest_edge": int(said["shortest_edge"])}
    return {"size": (int(said["height"]), int(said["width"]))}


def _three(said: Any) -> tuple[float, ...]:
    values = tuple(map(float, said))
    if len(values) != 3:
        raise ValueError(f"{len(values)} channels")
    return values


def _column(values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32)[:, None, None]
