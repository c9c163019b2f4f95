"""CLIP's picture embeddings, projected to where they meet those of texts (Radford et al., arXiv:2103.00020), by transformers."""

from __future__ import annotations

from functools import cached_property
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
        processor: Where it lies how pictures and texts are read; the same folder if left out.
    """

    def __init__(self, name: str, folder: ModelFolder, processor: ModelFolder | None = None) -> None:
        super().__init__(name, folder.called)
        self.folder = folder
        self.processor = processor or folder
        folder.check(("clip",))
        _ = self.processor.preprocessing

    @property
    def weights(self) -> str:
        """As `ModelFolder.weights`."""
        return self.folder.weights

    def preprocessing(self) -> dict[str, Any]:
        """As its `preprocessor_config.json` says."""
        return self.processor.preprocessing.document()

    def load(self) -> Any:
        """The whole model, with its text encoder."""
        from transformers import CLIPModel

        return self.folder.load(CLIPModel)

    def embed(self, images: list[Image.Image]) -> np.ndarray:
        """Embeddings, not normalized."""
        import torch

        seen = torch.from_numpy(np.stack([self.processor.preprocessing(image) for image in images])).to(self.network.device)
        with torch.no_grad():
            return self.network.get_image_features(pixel_values=seen).pooler_output.float().cpu().numpy()

    def identity_with_texts(self) -> dict[str, Any]:
        """What it is by content, how it reads texts included.

        Raises:
            ExtractorError: It has no tokenizer.
        """
        return self.identity() | {"tokenizer": self.processor.tokenizer}

    def embed_text(self, text: str) -> np.ndarray:
        """The embedding of a text, not normalized: shape (d,). What is longer than it reads is cut off, as `is_cut` says."""
        import torch

        read = self.tokens(text, truncation=True, max_length=self.longest, return_tensors="pt").to(self.network.device)
        with torch.no_grad():
            return (
                self.network.get_text_features(input_ids=read["input_ids"], attention_mask=read["attention_mask"])
                .pooler_output[0]
                .float()
                .cpu()
                .numpy()
            )

    def is_cut(self, text: str) -> bool:
        """Whether a text is longer than it reads."""
        return len(self.tokens(text, verbose=False)["input_ids"]) > self.longest

    @property
    def longest(self) -> int:
        """Tokens that it reads, begin and end included."""
        return int(self.folder.config["text_config"].get("max_position_embeddings", 77))

    @property
    def scale(self) -> float:
        """What its cosines were multiplied by as it was trained."""
        return float(self.network.logit_scale.detach().exp())

    @cached_property
    def tokens(self) -> Any:
        """Its tokenizer."""
        from transformers import CLIPTokenizer

        return CLIPTokenizer.from_pretrained(self.processor.path, local_files_only=True)


def open_clip(asked: Asked, processor: Asked | None = None) -> Clip:
    """Find a CLIP model that looks at pictures and texts.

    Args:
        asked: The model.
        processor: What says how they are read, where that is another repository.

    Raises:
        ExtractorError: One of them isn't there, or isn't what it takes.
    """
    return Clip(asked.name, model_folder(asked), model_folder(processor, with_weights=False) if processor else None)


def _open(asked: Asked) -> Extractor:
    return Clip(asked.name, model_folder(asked))


KIND = Kind(
    sentence="CLIP's picture embeddings (ViT-L/14 unless another is named), by transformers",
    model="openai/clip-vit-large-patch14",
    open=_open,
)
