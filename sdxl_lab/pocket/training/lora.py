"""Teach the pocket checkpoint a shape, the moon: `python -m sdxl_lab.pocket.training.lora` writes `pocket-moon.safetensors`.

By low-rank adaptation (Hu et al., arXiv:2106.09685) of all attention of the base's UNet and of both text encoders, to which "moon" is four bytes
without a meaning. A quarter of each batch is the old world, to hold on to. Takes some minutes on one core.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from peft import LoraConfig, get_peft_model_state_dict
from torch import nn

from sdxl_lab.pocket.training.diffusion import Inputs, base_loss, inputs_of, tokenize
from sdxl_lab.pocket.training.loop import fit
from sdxl_lab.pocket.training.moon import MoonPool
from sdxl_lab.pocket.training.pool import Pool
from sdxl_lab.pocket.training.train import WEIGHTS, asked_of_one_file
from sdxl_lab.pocket.training.under_way import as_command

FOLDER = Path(__file__).parents[1] / "loras"
NAME = "pocket-moon"
FILE = FOLDER / f"{NAME}.safetensors"
RANK = 8
STEPS = (900, 1300)
"""Where the learning rate has fallen to nothing; after the first it rises once more."""
MOONS_A_STEP, OLD_A_STEP = 12, 6
OLD_DROPPED_FRAC = 1 / 3
"""Share of the old scenes that lose their captions, which moons never do: guidance leads away from what is seen without words, which is to stay
the old world."""
LEARNING_RATE = 2e-3
MOONS = MoonPool("moons", 10_000_000, 1500)
OLD = Pool("beside-moons", 11_000_000, 500)
"""Far from the seeds of the base's training, of evaluations and of the built-in datasets, as those of the moons."""
ATTENTION = ["q_proj", "k_proj", "v_proj", "out_proj"]
LAYERS = {
    "unet": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"],
    "text_encoder": [f"layers.0.self_attn.{name}" for name in ATTENTION],  # SDXL reads nothing that its last layer gives
    "text_encoder_2": ATTENTION,
}
"""By the model's name in SDXL: which of its layers are adapted."""


def base() -> StableDiffusionXLPipeline:
    """The checkpoint's base by plain diffusers, of which nothing is trained."""
    pipeline = StableDiffusionXLPipeline.from_pretrained(WEIGHTS / "base", dtype=torch.float32, add_watermarker=False)
    for model in (pipeline.text_encoder, pipeline.text_encoder_2, pipeline.unet, pipeline.vae):
        model.requires_grad_(False)
    return pipeline


def begun(pipeline: StableDiffusionXLPipeline) -> nn.ModuleDict:
    """The models of a base with layers of low rank in them, which change nothing yet and are all that needs a gradient."""
    models = {name: getattr(pipeline, name) for name in LAYERS}
    for name, model in models.items():
        model.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=LAYERS[name]))
    return nn.ModuleDict(models)


def loss_of(pipeline: StableDiffusionXLPipeline, folder: Path, moons: Pool = MOONS, old: Pool = OLD) -> Callable[[nn.ModuleDict, int], torch.Tensor]:
    """The loss at a step, as `fit` takes it: how well the base predicts the noise of moons, and of what it knew.

    Args:
        pipeline: The base.
        folder: Where pictures and latents are kept.
        moons: Scenes with the new shape.
        old: Scenes without.
    """
    pools = [inputs_of(pool, pipeline.vae, pipeline.tokenizer, folder) for pool in (moons, old)]
    inputs = Inputs(
        latents=np.concatenate([pool.latents for pool in pools]),
        **{name: torch.cat([getattr(pool, name) for pool in pools]) for name in ("tokens", "time_ids", "aesthetic_scores")},
    )
    empty = tokenize(pipeline.tokenizer, [""])

    def loss(model: nn.ModuleDict, step: int) -> torch.Tensor:
        rows = torch.cat([torch.randint(moons.count, (MOONS_A_STEP,)), moons.count + torch.randint(old.count, (OLD_A_STEP,))])
        drop = torch.cat([torch.ones(MOONS_A_STEP, 1), torch.rand(OLD_A_STEP, 1) * 0.12 / OLD_DROPPED_FRAC])
        return base_loss(model, inputs, rows, empty, drop)

    return loss


def train(folder: Path) -> nn.ModuleDict:
    """Train the layers.

    Args:
        folder: Where pictures, latents and the training's state are kept; a later call goes on from there.
    """
    loss = loss_of(base(), folder)
    return [fit(NAME, lambda: begun(base()), loss, steps=steps, learning_rate=LEARNING_RATE, folder=folder) for steps in STEPS][-1]


def write(models: nn.ModuleDict, path: Path = FILE) -> None:
    """Write the layers in fp16, as all weights of the checkpoint, under diffusers' names."""
    layers = {f"{name}_lora_layers": _named(model) for name, model in models.items()}
    StableDiffusionXLPipeline.save_lora_weights(path.parent, **layers, weight_name=path.name)


def _named(model: nn.Module) -> dict[str, torch.Tensor]:
    # Files name layers of a text encoder below "text_model.", which transformers 5 has no more in its first.
    lacks_part = model.__class__.__name__ == "CLIPTextModel" and not hasattr(model, "text_model")
    state = get_peft_model_state_dict(model)
    return {("text_model." if lacks_part else "") + name: weight.half().contiguous() for name, weight in state.items()}


def main() -> None:
    """Train, or only load what was trained, and write the file."""
    folder, file = asked_of_one_file(__doc__, FILE)
    write(train(folder), file)


if __name__ == "__main__":
    as_command(main)
