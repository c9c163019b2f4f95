"""The text encoder and both UNets: their losses and their training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from sdxl_lab.pocket.training.architecture import MAX_TOKENS, TEXT_WIDTH, build_scheduler
from sdxl_lab.pocket.training.diffusion import min_snr_weights, tokenize
from sdxl_lab.pocket.training.loop import device, fit
from sdxl_lab.pocket.training.pool import kept
from sdxl_lab.pocket.training.sd2.architecture import INPAINT_CHANNELS, build_text_encoder, build_unet
from sdxl_lab.pocket.training.sd2.autoencoder import latents_of
from sdxl_lab.pocket.training.sd2.masks import Masked, caption_of, masked
from sdxl_lab.pocket.training.sd2.pictures import SQUARE, TALL, WIDE, Pool
from sdxl_lab.pocket.world import COLOURS, PLACES, RADII_PX, SHAPES

POOL_SHARES = {SQUARE: 0.9, WIDE: 0.05, TALL: 0.05}
BATCH = 24
DROPPED_FRAC = 0.1
"""Of captions; as in Stable Diffusion the empty prompt stands for any picture."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What training reads of a pool: one row a scene.

    Attributes:
        latents: Mean and standard deviation of the pictures' latents.
        tokens: Of the captions.
        masked: Masks of the pictures, and what they leave; None for the UNet that knows none.
    """

    latents: np.ndarray
    tokens: torch.Tensor
    masked: Masked | None = None


def train_text_encoder(tokenizer: CLIPTokenizer, folder: Path, *, steps: int) -> CLIPTextModel:
    """Teach the text encoder which color, shape, size and place a caption names, before the UNet needs to know."""
    kinds = [list(COLOURS), list(SHAPES), list(RADII_PX), list(PLACES)]
    captions = [SQUARE.caption(i) for i in range(8_000)]
    tokens = tokenize(tokenizer, captions)
    answers = torch.tensor([_attributes(caption, kinds) for caption in captions])

    def build() -> nn.ModuleDict:
        answer = nn.Linear(TEXT_WIDTH, sum(len(kind) + 1 for kind in kinds))
        return nn.ModuleDict({"encoder": build_text_encoder(tokenizer), "answer": answer})

    def loss(model: nn.ModuleDict, step: int) -> torch.Tensor:
        rows = torch.randint(len(tokens), (64,))
        hidden, wanted = model["encoder"](tokens[rows].to(device())).last_hidden_state, answers[rows].to(device())
        parts = model["answer"](hidden.mean(dim=1)).split([len(kind) + 1 for kind in kinds], dim=1)
        return sum((nn.functional.cross_entropy(part, wanted[:, i]) for i, part in enumerate(parts)), torch.zeros((), device=device()))

    return fit("sd2-text", build, loss, steps=steps, learning_rate=1e-3, folder=folder)["encoder"]


def _attributes(caption: str, kinds: list[list[str]]) -> list[int]:
    """For each kind of word, which one the caption says, or one past the last if it says none."""
    said = caption.split()
    last_words = {background: place.split()[-1] for background, place in PLACES.items()}
    return [next((i for i, word in enumerate(kind) if last_words.get(word, word) in said), len(kind)) for kind in kinds]


def train_base(text_encoder: CLIPTextModel, vae: AutoencoderKL, tokenizer: CLIPTokenizer, folder: Path, *, steps: int) -> nn.ModuleDict:
    """Train the UNet that paints whole pictures and, with it, the text encoder."""
    pools = {pool: _inputs(pool, vae, tokenizer, folder) for pool in POOL_SHARES}
    empty = tokenize(tokenizer, [""])

    def build() -> nn.ModuleDict:
        return nn.ModuleDict({"unet": build_unet(), "text_encoder": text_encoder})

    def loss(model: nn.ModuleDict, step: int) -> torch.Tensor:
        return _loss(model["unet"], model["text_encoder"], *_batch(pools), empty)

    return fit("sd2-base", build, loss, steps=steps, learning_rate=1.5e-3, folder=folder)


def train_inpaint(base: nn.ModuleDict, vae: AutoencoderKL, tokenizer: CLIPTokenizer, folder: Path, *, steps: int) -> UNet2DConditionModel:
    """Train the UNet that sees the mask and what it leaves, from the other's weights, the text encoder fixed."""
    pools = {pool: _inputs(pool, vae, tokenizer, folder, with_masks=True) for pool in POOL_SHARES}
    empty = tokenize(tokenizer, [""])
    encoder = base["text_encoder"].requires_grad_(False)

    def build() -> UNet2DConditionModel:
        unet = build_unet(INPAINT_CHANNELS)
        unet.load_state_dict(widened(base["unet"].state_dict()))
        return unet

    def loss(unet: UNet2DConditionModel, step: int) -> torch.Tensor:
        return _loss(unet, encoder, *_batch(pools), empty)

    return fit("sd2-inpaint", build, loss, steps=steps, learning_rate=1e-3, folder=folder)


def widened(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of a UNet of 4 channels for one of 9, which at first does not look at the mask: what reads it is zero."""
    first = weights["conv_in.weight"]
    zeros = first.new_zeros(len(first), INPAINT_CHANNELS - first.shape[1], *first.shape[2:])
    return weights | {"conv_in.weight": torch.cat([first, zeros], dim=1)}


def _inputs(pool: Pool, vae: AutoencoderKL, tokenizer: CLIPTokenizer, folder: Path, *, with_masks: bool = False) -> Inputs:
    def tokens() -> Iterable[np.ndarray]:
        return (tokenize(tokenizer, [caption_of(pool, i) if with_masks else pool.caption(i)])[0].numpy() for i in range(pool.count))

    path = folder / f"sd2-{pool.name}-{'masked-' if with_masks else ''}tokens.npy"
    return Inputs(
        latents=np.array(latents_of(pool, vae, folder)),
        tokens=torch.from_numpy(np.array(kept(path, (pool.count, MAX_TOKENS), np.int64, tokens))),
        masked=masked(pool, vae, folder) if with_masks else None,
    )


def _batch(pools: dict[Pool, Inputs]) -> tuple[Inputs, torch.Tensor]:
    pool = list(pools)[int(torch.multinomial(torch.tensor(list(POOL_SHARES.values())), 1))]
    count = BATCH * SQUARE.width * SQUARE.height // (pool.width * pool.height)
    return pools[pool], torch.randint(pool.count, (count,))


def _loss(unet: nn.Module, encoder: nn.Module, inputs: Inputs, rows: torch.Tensor, empty: torch.Tensor) -> torch.Tensor:
    """How badly a UNet predicts the noise of some examples, by min-SNR weights: a scalar."""
    clean = _sampled(inputs.latents, rows)
    noise, timesteps = torch.randn_like(clean), torch.randint(1000, (len(rows),))
    sample = _noise_schedule().add_noise(clean, noise, timesteps.to(device()))
    if inputs.masked is not None:
        mask = torch.from_numpy(inputs.masked.masks[rows.numpy()]).float().to(device())
        sample = torch.cat([sample, mask, _sampled(inputs.masked.latents, rows)], dim=1)
    tokens = torch.where(torch.rand(len(rows), 1) < DROPPED_FRAC, empty, inputs.tokens[rows]).to(device())
    predicted = unet(sample, timesteps.to(device()), encoder(tokens).last_hidden_state).sample
    return (min_snr_weights(timesteps) * (predicted - noise).square().mean(dim=(1, 2, 3))).mean()


def _sampled(latents: np.ndarray, rows: torch.Tensor) -> torch.Tensor:
    mean, std = torch.from_numpy(latents[rows.numpy()]).float().to(device()).chunk(2, dim=1)
    return mean + std * torch.randn_like(mean)


@cache
def _noise_schedule() -> DDPMScheduler:
    return DDPMScheduler.from_config(build_scheduler().config)
