"""DINOv2's class token after the last norm (Oquab et al., arXiv:2304.07193), by transformers; what Stein et al. take (arXiv:2306.04675)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab.extractors._extractor import Asked, Extractor, Kind
from sdxl_lab.extractors._models import ModelFolder, model_folder
from sdxl_lab.images.pictures import rgb

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
        _ = folder.preprocessing

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

    def patches(self, image: Image.Image) -> np.ndarray:
        """What it sees patch by patch, after the last norm.

        Args:
            image: As `features` takes them.

        Returns:
            Float32 of shape (rows, columns, d), of the part of the picture that preprocessing keeps.
        """
        import torch

        seen = self.folder.preprocessing(rgb(image))
        with torch.no_grad():
            tokens = self.network(pixel_values=torch.from_numpy(seen[None]).to(self.network.device)).last_hidden_state[0].float().cpu().numpy()
        rows, columns = (side // self.folder.config["patch_size"] for side in seen.shape[1:])
        return tokens[len(tokens) - rows * columns :].reshape(rows, columns, -1)  # before them stand the class token and registers

    def whiteness(self, mask_image: Image.Image) -> np.ndarray:
        """How white a mask is at each of those patches: from 0 to 1, of shape (rows, columns); exactly 0 where no pixel is white.

        Args:
            mask_image: Of the picture's size, any mode.
        """
        as_it_is = replace(self.folder.preprocessing, resample=int(Image.Resampling.BOX), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        levels, side = as_it_is(rgb(mask_image))[0], self.folder.config["patch_size"]
        rows, columns = (length // side for length in levels.shape)
        return levels[: rows * side, : columns * side].reshape(rows, side, columns, side).mean(axis=(1, 3))


def _open(asked: Asked) -> Extractor:
    return DinoV2(asked.name, model_folder(asked))


KIND = Kind(
    sentence="DINOv2's class token (ViT-L/14 unless another is named), by transformers",
    model="facebook/dinov2-large",
    open=_open,
)
