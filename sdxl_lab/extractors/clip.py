"""CLIP's picture embeddings, projected to where they meet those of texts (Radford et al., arXiv:2103.00020), by transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab.extractors._extractor import Asked, Extractor, Kind
from sdxl_lab.extractors._models import ModelFolder, model_folder

NAME = "clip"


class Clip(Extractor):
    """A CLIP model.

    Args:
        name: As `Extractor` takes it.
        folder: Where it lies.
    """

    def __init__(self, name: str, folder: ModelFolder) -> None:
        super().__init__(name, folder.called)
        self.folder = folder
        folder.check(("clip",))

    @property
    def weights(self) -> str:
        """As `ModelFolder.weights`."""
        return self.folder.weights

    def preprocessing(self) -> dict[str, Any]:
        """As its `preprocessor_config.json` says."""
        return self.folder.preprocessing.document()

    def load(self) -> Any:
        """The whole model, with its text encoder."""
        from transformers import CLIPModel

        return self.folder.load(CLIPModel)

    def embed(self, images: list[Image.Image]) -> np.ndarray:
        """Embeddings, not normalized."""
        import torch

        seen = torch.from_numpy(np.stack([self.folder.preprocessing(image) for image in images])).to(self.network.device)
        with torch.no_grad():
            return self.network.get_image_features(pixel_values=seen).pooler_output.float().cpu().numpy()


def _open(asked: Asked) -> Extractor:
    return Clip(asked.name, model_folder(asked))


KIND = Kind(
    sentence="CLIP's picture embeddings (ViT-L/14 unless another is named), by transformers",
    model="openai/clip-vit-large-patch14",
    open=_open,
)
