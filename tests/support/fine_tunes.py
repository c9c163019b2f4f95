"""Single files of the pocket checkpoint's shapes, as people fine-tune them: with EMA weights, in shards, without a VAE, of v-prediction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab.families.pocket import WEIGHTS
from sdxl_lab.pocket.training.single_file import write_single_file

if TYPE_CHECKING:
    import torch

BASE = WEIGHTS / "base"
UNET, VAE = "model.diffusion_model.", "first_stage_model."


def pocket_pipeline() -> Any:
    """
    Diffusers' own pipeline of the pocket checkpoint's base.
    """
    import torch
    from diffusers import StableDiffusionXLInpaintPipeline

    return StableDiffusionXLInpaintPipeline.from_pretrained(BASE, dtype=torch.float32, add_watermarker=False, use_safetensors=True)


def write_fine_tune(pipeline: Any, path: Path) -> dict[str, torch.Tensor]:
    """
    Write a single file whose UNet is another than the pipeline's, and read it.
    """
    from safetensors.torch import load_file, save_file

    weights = load_file(write_single_file(pipeline, path))
    weights = {name: weight * 1.01 if name.startswith(UNET) else weight for name, weight in weights.items()}
    save_file(weights, path)
    return weights


def averages(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """
    Averages of a UNet's weights as trainers store them beside these, by a rule of their own: the path in the model, without dots.
    """
    import torch

    made = {f"model_ema.{''.join(name.split('.')[1:])}": weight * 0.5 for name, weight in weights.items() if name.startswith(UNET)}
    return made | {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(1000, dtype=torch.int)}


def write_shards(weights: Mapping[str, torch.Tensor], folder: Path, stem: str, *, ending: str = ".safetensors") -> Path:
    """
    Write weights into two files, and the index that lists them.
    """
    from safetensors.torch import save_file

    names = sorted(weights)
    files = [f"{stem}-0000{number}-of-00002{ending}" for number in (1, 2)]
    parts = [names[::2], names[1::2]]
    for file, part in zip(files, parts, strict=True):
        save_file({name: weights[name].contiguous() for name in part}, folder / file)
    index = folder / f"{stem}{ending}.index.json"
    listed = {name: file for file, part in zip(files, parts, strict=True) for name in part}
    index.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": listed}))
    return index
