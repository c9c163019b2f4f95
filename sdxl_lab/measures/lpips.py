"""LPIPS: how unlike two pictures look, by the features of AlexNet or VGG16, whose weights somebody gives; no package is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sdxl_lab import progress
from sdxl_lab.files.digests import digest_of_file
from sdxl_lab.images.pictures import rgb
from sdxl_lab.measures._measure import Measure, MeasureError, Models, Opened, Told, file_given
from sdxl_lab.process.imports import importing
from sdxl_lab.spec.generated import Generated

if TYPE_CHECKING:
    import torch

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""By which LPIPS brings levels in [-1, 1] to what the networks were trained on."""
EPS = 1e-10
LEAST_PX = 64


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """The part of a network of torchvision's that LPIPS looks through.

    Attributes:
        name: Of the network.
        convolutions: Of each one that is read its number in `features`, and the (stride, padding) in pixels.
        pool: The side of the window of max pooling, in pixels, which moves by 2.
        pooled_before: Numbers of the convolutions in front of which it is pooled.
        compared: After which, rectified, features are compared.
    """

    name: str
    convolutions: Mapping[int, tuple[int, int]]
    pool: int
    pooled_before: frozenset[int]
    compared: tuple[int, ...]


ALEXNET = Backbone(
    name="AlexNet",
    convolutions={0: (4, 2), 3: (1, 2), 6: (1, 1), 8: (1, 1), 10: (1, 1)},
    pool=3,
    pooled_before=frozenset([3, 6]),
    compared=(0, 3, 6, 8, 10),
)
VGG16 = Backbone(
    name="VGG16",
    convolutions=dict.fromkeys((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), (1, 1)),
    pool=2,
    pooled_before=frozenset([5, 10, 17, 24]),
    compared=(2, 7, 14, 21, 28),
)


class Lpips:
    """LPIPS of version 0.1, with linear weights.

    Args:
        backbone: A file of weights, named as torchvision names those of AlexNet or VGG16; their classifiers may lack.
        linear: A file of the five linear layers, named as the package lpips names them.

    Source:
        Zhang, Isola, Efros, Shechtman and Wang, The unreasonable effectiveness of deep features as a perceptual metric, CVPR 2018,
        arXiv:1801.03924.
    """

    def __init__(self, backbone: Path, linear: Path) -> None:
        self.backbone = backbone
        self.linear = linear

    def identity(self) -> dict[str, Any]:
        """What it is by content."""
        return {"backbone": digest_of_file(self.backbone), "linear": digest_of_file(self.linear)}

    def distance(self, before: Image.Image, after: Image.Image) -> float:
        """How unlike two pictures look.

        Args:
            before: Of size (W, H), 64 pixels or more on each side, any mode; compared as RGB, at this size.
            after: The other, of the same size.

        Returns:
            From 0, they are the same.

        Raises:
            MeasureError: They differ in size or are too small, or the weights are not what they should be.
        """
        import torch

        if before.size != after.size or min(before.size) < LEAST_PX:
            sizes = f"{before.width}x{before.height} and {after.width}x{after.height}"
            raise MeasureError(f"got pictures of {sizes} pixels; LPIPS takes two of one size, {LEAST_PX} or more on each side")
        network, total = self.network, 0.0
        with torch.no_grad():
            for mine, other, weights in zip(network.features(before), network.features(after), network.linear, strict=True):
                total += float((((_unit(mine) - _unit(other)) ** 2) * weights).sum(dim=1).mean())
        return total

    @cached_property
    def network(self) -> _Network:
        """Its weights, read once."""
        progress.tell("loading LPIPS")
        with importing:
            return _Network(_weights(self.backbone), self.backbone, _weights(self.linear), self.linear)


class _Network:
    """The backbone's forward, up to the last features that are compared."""

    def __init__(self, weights: Mapping[str, torch.Tensor], backbone: Path, linear: Mapping[str, torch.Tensor], file: Path) -> None:
        self.kind = _kind(weights, backbone)
        self._layers = {number: self._layer(weights, number, backbone) for number in self.kind.convolutions}
        widths = [len(self._layers[number][1]) for number in self.kind.compared]
        self.linear = [_linear(linear, index, width, file, self.kind) for index, width in enumerate(widths)]

    def features(self, image: Image.Image) -> list[torch.Tensor]:
        """What is compared, rectified: each of shape (1, channels, height, width)."""
        import torch
        from torch.nn import functional

        levels = torch.from_numpy(np.asarray(rgb(image), np.float32).transpose(2, 0, 1)[None] / 127.5 - 1)
        seen = (levels - torch.tensor(SHIFT)[None, :, None, None]) / torch.tensor(SCALE)[None, :, None, None]
        compared = []
        for number, (stride, padding) in self.kind.convolutions.items():
            if number in self.kind.pooled_before:
                seen = functional.max_pool2d(seen, self.kind.pool, 2)
            seen = functional.conv2d(seen, *self._layers[number], stride=stride, padding=padding).relu()
            if number in self.kind.compared:
                compared.append(seen)
        return compared

    @staticmethod
    def _layer(weights: Mapping[str, torch.Tensor], number: int, file: Path) -> tuple[torch.Tensor, torch.Tensor]:
        try:
            return weights[f"features.{number}.weight"].float(), weights[f"features.{number}.bias"].float()
        except KeyError as error:
            raise MeasureError(f"{file.name} lacks {error}; give the weights of torchvision's AlexNet or VGG16, whole") from None


def _kind(weights: Mapping[str, torch.Tensor], file: Path) -> Backbone:
    first = weights.get("features.0.weight")
    side = first.shape[-1] if first is not None and first.ndim == 4 else None
    if side not in (11, 3):
        raise MeasureError(
            f"{file.name} is neither AlexNet nor VGG16 as torchvision names their weights (features.0.weight and so on); give one of them"
        )
    return ALEXNET if side == 11 else VGG16


def _linear(weights: Mapping[str, torch.Tensor], index: int, width: int, file: Path, kind: Backbone) -> torch.Tensor:
    found = weights.get(f"lin{index}.model.1.weight")
    if found is None or found.numel() != width:
        got = "nothing" if found is None else f"{found.numel()} weights"
        raise MeasureError(
            f"{file.name} has {got} as lin{index}.model.1.weight, and {kind.name} takes {width}; give the linear weights for {kind.name}"
        )
    return found.float().reshape(1, width, 1, 1)


def _weights(file: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a file; nothing in it is run."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise MeasureError(f"{file} can't be read as weights ({str(error).strip().splitlines()[0]}); get it again") from error
    except Exception as error:  # what is no plain weights; its class is a private one of pickle's
        raise MeasureError(f"{file} holds more than weights, and nothing else is loaded ({type(error).__name__}); give it as .safetensors") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise MeasureError(f"{file} holds no weights by their names; give a state dict, as .safetensors if you can")
    return found


def _unit(features: torch.Tensor) -> torch.Tensor:
    return features / ((features**2).sum(dim=1, keepdim=True).sqrt() + EPS)


def _open(models: Models) -> Opened:
    models.need("lpips", "lpips_linear")
    linear = file_given("lpips_linear", models.place("lpips_linear"))
    lpips = models.once("lpips", lambda place: Lpips(file_given("lpips", place), linear))

    def of(made: Generated, _: Told) -> float | None:
        return None if made.input_image is None else lpips.distance(made.input_image, made.image)

    files = {"lpips": lpips.backbone.name, "lpips_linear": lpips.linear.name}
    return Opened(name="lpips", of=of, networks={"lpips": lpips.identity()}, models=files)


MEASURES = (Measure(name="lpips", open=_open),)
