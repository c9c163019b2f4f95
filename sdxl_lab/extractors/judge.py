"""The pocket world's judge: a small classifier of shape, color and background that comes with the lab."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sdxl_lab.extractors._extractor import Asked, Extractor, ExtractorError, Kind
from sdxl_lab.extractors._preprocessing import Preprocessing
from sdxl_lab.files.digests import digest_of_file

if TYPE_CHECKING:
    import torch
    from torch import nn

NAME = "judge"
WEIGHTS = Path(__file__).parents[1] / "pocket" / "weights" / "judge.safetensors"
SIDE_PX = 128
WIDTHS = (3, 24, 48, 96, 128)
ANSWERS = ("colour", "shape", "background")


def trunk() -> nn.Sequential:
    """The layers below the judge's answers, with random weights: from pictures (N, 3, H, W) in [-1, 1] to maps (N, 128, H / 32, W / 32)."""
    from torch import nn

    layers: list[nn.Module] = [nn.AvgPool2d(2)]
    for narrow, wide in pairwise(WIDTHS):
        layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.GroupNorm(8, wide), nn.SiLU()]
        layers += [nn.Conv2d(wide, wide, 3, padding=1), nn.GroupNorm(8, wide), nn.SiLU()]
    return nn.Sequential(*layers)


def pooled(maps: torch.Tensor) -> torch.Tensor:
    """The judge's 256 features: the largest value of each map, then its mean."""
    import torch

    return torch.cat([maps.amax(dim=(2, 3)), maps.mean(dim=(2, 3))], dim=1)


class Judge(Extractor):
    """The judge as an extractor; its classes are all triples of its three answers, taken for independent."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "judge")
        self._seen = Preprocessing(size=(SIDE_PX, SIDE_PX), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    @property
    def weights(self) -> str:
        """SHA-256 of its file."""
        return digest_of_file(WEIGHTS)

    @property
    def label(self) -> str:
        """Its name: there is one judge."""
        return self.name

    def preprocessing(self) -> dict[str, Any]:
        """Pictures of the world, 128x128, stay as they are."""
        return self._seen.document()

    def load(self) -> Any:
        """Its trunk, and the weights of its answers by their names."""
        import torch
        from safetensors.torch import load_file

        weights = {name: weight.float() for name, weight in load_file(WEIGHTS).items()}
        layers = trunk()
        layers.load_state_dict({name.removeprefix("features."): weight for name, weight in weights.items() if name.startswith("features.")})
        return layers.eval(), {kind: (weights[f"answers.{kind}.weight"], weights[f"answers.{kind}.bias"]) for kind in ANSWERS}, torch

    def embed(self, images: list[Image.Image]) -> np.ndarray:
        """Its 256 features."""
        layers, _, torch = self.network
        with torch.no_grad():
            return pooled(layers(torch.from_numpy(np.stack([self._seen(image) for image in images])))).numpy()

    def classify(self, images: list[Image.Image]) -> np.ndarray:
        """The probabilities of 10 x 9 x 9 triples of color, shape and background, "none" among them."""
        _, answers, torch = self.network
        features = torch.from_numpy(self.embed(images))
        joint = torch.ones(len(images), 1)
        for weight, bias in answers.values():
            each = torch.nn.functional.linear(features, weight, bias).softmax(dim=1)
            joint = (joint[:, :, None] * each[:, None, :]).flatten(1)
        return joint.numpy()


def _open(asked: Asked) -> Extractor:
    if asked.model != NAME:
        raise ExtractorError(f"judge: got {asked.model!r} as model; there is one judge, which comes with the lab: leave the model out")
    return Judge(asked.name)


KIND = Kind(
    sentence="the pocket world's judge, 256 features, which comes with the lab and knows nothing of other pictures",
    model=NAME,
    open=_open,
    classifies=True,
)
