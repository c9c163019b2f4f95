"""DINOv2's class token after the last norm (Oquab et al., arXiv:2304.07193), by transformers; what Stein et al. take (arXiv:2306.04675)."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab.extractors._extractor import Asked, Extractor, Kind
from sdxl_lab.extractors._models import ModelFolder, model_folder

NAME = "dinov2"


class DinoV2(Extractor):
    """A DINOv2 model, with registers or without.

    Args:
        name: As `Extractor` takes it.
        folder: Where it lies.
    """

    def __init__(self, name: str, folder: ModelFolder) -> None:
        super().__init__(name, folder.called)
        self.folder = folder
        folder.check(("dinov2", "dinov2_with_registers"))

    @property
    def weights(self) -> str:
        """As `ModelFolder.weights`."""
        return self.folder.weights

    def preprocessing(self) -> dict[str, Any]:
        """As its `preprocessor_config.json` says."""
        return self.folder.preprocessing.document()

    def load(self) -> Any:
        """The model, of whichever of the two types."""
        from transformers import AutoModel

        return self.folder.load(AutoModel)

    def embed(self, images: list[Image.Image]) -> np.ndarray:
        """The class token after the last norm."""
        import torch

        seen = torch.from_numpy(np.stack([self.folder.preprocessing(image) for image in images])).to(self.network.device)
        with torch.no_grad():
            return self.network(pixel_values=seen).pooler_output.float().cpu().numpy()


def _open(asked: Asked) -> Extractor:
    return DinoV2(asked.name, model_folder(asked))


KIND = Kind(
    sentence="DINOv2's class token (ViT-L/14 unless another is named), by transformers",
    model="facebook/dinov2-large",
    open=_open,
)
