"""Teach the pocket checkpoint a word for blurred pictures: `python -m sdxl_lab.pocket.training.embedding` writes `pocket-blurry.safetensors`.

By textual inversion (Gal et al., arXiv:2208.01618): all that is trained are new vectors in both encoders' tables of tokens, on scenes that are all
blurred, so that they say what these have in common. In a negative prompt the word then leads away from it. Takes some minutes on one core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLInpaintPipeline
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTokenizer

from sdxl_lab.checkpoints.loading import load
from sdxl_lab.pocket.training.autoencoder import latents_of
from sdxl_lab.pocket.training.diffusion import encode, min_snr_weights, noise_prediction_errors, tokenize
from sdxl_lab.pocket.training.examples import Example
from sdxl_lab.pocket.training.loop import device, fit
from sdxl_lab.pocket.training.pool import Pool
from sdxl_lab.pocket.training.train import asked_of_one_file
from sdxl_lab.pocket.training.under_way import as_command
from sdxl_lab.settings.sections import Compute

FOLDER = Path(__file__).parents[1] / "embeddings"
NAME = "pocket-blurry"
FILE = FOLDER / f"{NAME}.safetensors"
VECTORS = 4
STEPS = 800
BATCH = 16
ALONE_FRAC = 0.8
"""Share of the examples whose prompt is the word alone, as negative prompts are; in the others it follows the caption."""


@dataclass(frozen=True)
class BlurredPool(Pool):
    """Training examples that are all blurred nearly as much as the base has ever seen."""

    def example(self, index: int) -> Example:
        """The example at an index, not drawn."""
        rng = np.random.RandomState(self.first_seed + index)
        rng.uniform()  # said whether it is noisy instead, which was tried and sharpens less
        return replace(super().example(index), aesthetic_score=float(rng.uniform(2, 3)), blurred=True)


BLURRED = BlurredPool("blurred", 8_000_000, 1500)
"""Far from the seeds of the base's training, of the evaluation and of the built-in datasets."""


class Vectors(nn.Module):
    """What is learned: vectors for `text_encoder` and `text_encoder_2`, under the names that files for SDXL give them.

    Args:
        clip_l: (vectors, width) to begin with; likewise `clip_g`.
        clip_g: See `clip_l`.
    """

    def __init__(self, clip_l: torch.Tensor, clip_g: torch.Tensor) -> None:
        super().__init__()
        self.clip_l, self.clip_g = nn.Parameter(clip_l), nn.Parameter(clip_g)


def tokens_of(name: str, vectors: int = VECTORS) -> list[str]:
    """The tokens of a word of several vectors, as diffusers numbers them."""
    return [name, *(f"{name}_{number}" for number in range(1, vectors))]


def taught(tokenizer: CLIPTokenizer, tokens: Sequence[str]) -> CLIPTokenizer:
    """A copy of a tokenizer that knows some tokens more."""
    tokenizer = deepcopy(tokenizer)
    tokenizer.add_tokens(list(tokens))
    return tokenizer


def begun(base: StableDiffusionXLInpaintPipeline) -> Vectors:
    """Vectors around that of the word "blurry", which the tokenizers know and no caption of the training said."""
    tables = [encoder.get_input_embeddings().weight.detach().cpu() for encoder in (base.text_encoder, base.text_encoder_2)]
    word = base.tokenizer("blurry").input_ids[1]
    return Vectors(*(table[word] + 0.1 * torch.randn(VECTORS, table.shape[1]) for table in tables))


def encoders_with(base: StableDiffusionXLInpaintPipeline, vectors: Vectors) -> Mapping[str, Any]:
    """Both text encoders as functions that know the vectors after those of their own tables; the models stay as they are."""
    added = {"text_encoder": vectors.clip_l, "text_encoder_2": vectors.clip_g}
    return {name: partial(_longer, getattr(base, name), rows) for name, rows in added.items()}


def _longer(encoder: nn.Module, rows: torch.Tensor, tokens: torch.Tensor, **options: Any) -> Any:
    table = encoder.get_input_embeddings().weight
    (name,) = (name for name, parameter in encoder.named_parameters() if parameter is table)
    return torch.func.functional_call(encoder, {name: torch.cat([table.detach(), rows])}, (tokens,), options)


def loss_of(base: StableDiffusionXLInpaintPipeline, folder: Path, pool: Pool = BLURRED) -> Any:
    """The loss of `Vectors` at a step, as `fit` takes it: how well the base predicts the noise of blurred scenes when it is told the word.

    Args:
        base: The checkpoint's base, of which nothing is trained.
        folder: Where pictures and latents are kept.
        pool: The scenes.
    """
    for model in (base.text_encoder, base.text_encoder_2, base.unet, base.vae):
        model.requires_grad_(False)
    examples = [pool.example(index) for index in range(pool.count)]
    latents = np.array(latents_of(pool, base.vae, folder))
    tokenizer, word = taught(base.tokenizer, tokens_of(NAME)), " ".join(tokens_of(NAME))
    alone, said = tokenize(tokenizer, [word]), tokenize(tokenizer, [f"{example.caption} {word}" for example in examples])
    time_ids = torch.tensor([example.time_ids for example in examples], dtype=torch.float32)

    def loss(vectors: Vectors, step: int) -> torch.Tensor:
        rows = torch.randint(pool.count, (BATCH,))
        tokens = torch.where(torch.rand(BATCH, 1) < ALONE_FRAC, alone, said[rows])
        hidden, pooled = encode(encoders_with(base, vectors), tokens.to(device()))
        timesteps = torch.randint(1000, (BATCH,))
        conditioning = {"text_embeds": pooled, "time_ids": time_ids[rows].to(device())}
        errors = noise_prediction_errors(base.unet, latents, rows, timesteps, hidden, conditioning)
        return (errors * min_snr_weights(timesteps)).mean()

    return loss


def train(folder: Path, steps: int = STEPS) -> Vectors:
    """Train the vectors.

    Args:
        folder: Where pictures, latents and the training's state are kept; a later call goes on from there.
        steps: Steps in all.
    """
    base = load("pocket", Compute(device=device().type)).base
    return fit(NAME, lambda: begun(base), loss_of(base, folder), steps=steps, learning_rate=0.1, folder=folder)


def write(vectors: Vectors, path: Path = FILE) -> None:
    """Write vectors in fp16, as all weights of the checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: rows.detach().half().contiguous() for name, rows in vectors.state_dict().items()}, path)


def main() -> None:
    """Train, or only load what was trained, and write the file."""
    folder, file = asked_of_one_file(__doc__, FILE)
    write(train(folder), file)


if __name__ == "__main__":
    as_command(main)
