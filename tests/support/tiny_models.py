"""Tiny CLIP and DINOv2 models of random weights, as transformers saves them, and an Inception in TorchScript."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def pictures(count: int, *, size: tuple[int, int] = (40, 30), seed: int = 0) -> list[Image.Image]:
    """
    Random pictures, smooth enough that resizing leaves something.
    """
    rng = np.random.RandomState(seed)
    return [Image.fromarray(rng.randint(0, 256, (8, 8, 3)).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC) for _ in range(count)]


def tiny_clip(folder: Path, *, seed: int = 0) -> Path:
    """
    A CLIP model with its tokenizer, of 32x32 pixels and 16 numbers.
    """
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    from sdxl_lab.pocket.training import architecture

    torch.manual_seed(seed)
    tokenizer = architecture.build_tokenizer()
    layers: dict[str, Any] = dict(hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2)
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    text = dict(vocab_size=len(tokenizer), max_position_embeddings=architecture.MAX_TOKENS, **special, **layers)
    config = CLIPConfig(text_config=text, vision_config=dict(image_size=32, patch_size=8, **layers), projection_dim=16)
    model = CLIPModel(config).eval()
    _spread(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def tiny_dinov2(folder: Path, *, seed: int = 0) -> Path:
    """
    A DINOv2 model of 28x28 pixels and 24 numbers, whose pictures are resized to 32 first, as the published ones are to 256.
    """
    import torch
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    torch.manual_seed(seed)
    model = Dinov2Model(Dinov2Config(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14)).eval()
    _spread(model)
    model.save_pretrained(folder)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    processor = BitImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}, image_mean=mean, image_std=std)
    processor.save_pretrained(folder)
    return folder


def toy_inception(file: Path, *, seed: int = 0) -> Path:
    """
    A network in TorchScript that is called as StyleGAN's Inception is, with 12 features and 7 classes.
    """
    import torch
    from torch import nn

    class Toy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 12, 5, stride=2)
            self.output = nn.Linear(12, 7)

        def forward(
            self,
            img: torch.Tensor,
            return_features: bool = False,  # noqa: FBT001, FBT002 - as StyleGAN's file has it
            no_output_bias: bool = False,  # noqa: FBT001, FBT002
        ) -> torch.Tensor:
            seen = nn.functional.interpolate(img.to(torch.float32) / 127.5 - 1, size=[24, 24], mode="bilinear", align_corners=False)
            features = self.layer(seen).relu().mean(dim=[2, 3])
            if return_features:
                return features
            logits = nn.functional.linear(features, self.output.weight)
            return (logits if no_output_bias else logits + self.output.bias).softmax(dim=1)

    torch.manual_seed(seed)
    toy = Toy().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(toy).save(str(file))
    return file


def _spread(model: Any) -> None:
    """
    Let no two pictures look alike to it.
    """
    import torch

    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.3)
