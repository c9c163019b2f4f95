"""The text encoders, the base and the refiner: their losses and their training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTokenizer

from sdxl_lab.pocket.training.architecture import MAX_TOKENS, TEXT_WIDTH, build_scheduler, build_text_encoders, build_unet
from sdxl_lab.pocket.training.autoencoder import SQUARE, TALL, WIDE, latents_of
from sdxl_lab.pocket.training.examples import Example
from sdxl_lab.pocket.training.loop import device, fit
from sdxl_lab.pocket.training.pool import Pool
from sdxl_lab.pocket.world import COLOURS, PLACES, RADII_PX, SHAPES

REFINER_TIMESTEPS = 300
POOL_SHARES = {SQUARE: 0.84, WIDE: 0.08, TALL: 0.08}
BATCH_LATENT_PIXELS = 40 * 16 * 16
MIN_SNR_GAMMA = 5.0


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What training reads of a pool: one row an example."""

    latents: np.ndarray
    tokens: torch.Tensor
    time_ids: torch.Tensor
    aesthetic_scores: torch.Tensor


def inputs_of(pool: Pool, vae: AutoencoderKL, tokenizer: CLIPTokenizer, folder: Path) -> Inputs:
    """Latents, tokens and micro-conditioning of a pool."""
    examples = [pool.example(i) for i in range(pool.count)]
    return Inputs(
        latents=np.array(latents_of(pool, vae, folder)),
        tokens=tokenize(tokenizer, [e.caption for e in examples]),
        time_ids=torch.tensor([e.time_ids for e in examples], dtype=torch.float32),
        aesthetic_scores=torch.tensor([e.aesthetic_score for e in examples]),
    )


def tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> torch.Tensor:
    """Token ids of shape (N, 32), as the pipelines make them."""
    return tokenizer(list(texts), padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt").input_ids


def build_text_model(tokenizer: CLIPTokenizer) -> nn.ModuleDict:
    """Both text encoders under their names in SDXL."""
    return nn.ModuleDict(dict(zip(("text_encoder", "text_encoder_2"), build_text_encoders(tokenizer), strict=True)))


def train_text_encoders(tokenizer: CLIPTokenizer, folder: Path) -> nn.ModuleDict:
    """Teach the text encoders which colour, shape, size and place a caption names, before the base needs to know."""
    kinds = [list(COLOURS), list(SHAPES), list(RADII_PX), list(PLACES)]
    examples = [SQUARE.example(i) for i in range(20_000)]
    tokens = tokenize(tokenizer, [e.caption for e in examples])
    answers = torch.tensor([_attributes(e, kinds) for e in examples])
    answer_count = sum(len(kind) + 1 for kind in kinds)

    def build() -> nn.ModuleDict:
        heads = {"of_pooled": nn.Linear(TEXT_WIDTH, answer_count), "of_tokens": nn.Linear(2 * TEXT_WIDTH, answer_count)}
        return nn.ModuleDict({"text": build_text_model(tokenizer), **heads})

    def loss(model: nn.ModuleDict, step: int) -> torch.Tensor:
        rows = torch.randint(len(tokens), (128,))
        hidden, pooled = encode(model["text"], tokens[rows].to(device()))
        wanted, total = answers[rows].to(device()), torch.zeros((), device=device())
        for guess in (model["of_pooled"](pooled), model["of_tokens"](hidden.mean(dim=1))):
            parts = guess.split([len(kind) + 1 for kind in kinds], dim=1)
            total = total + sum(nn.functional.cross_entropy(part, wanted[:, i]) for i, part in enumerate(parts))
        return total

    return fit("text", build, loss, steps=800, learning_rate=1e-3, folder=folder)["text"]


def _attributes(example: Example, kinds: Sequence[Sequence[str]]) -> list[int]:
    """For each kind of word, which one the caption says, or one past the last if it says none."""
    scene, said = example.scene, example.caption
    named = (
        scene.colour if scene.shape else None,
        scene.shape,
        scene.size if scene.size in said.split() else None,
        scene.background if scene.shape is None or said.endswith(_last_words(scene.background)) else None,
    )
    return [kind.index(word) if word in kind else len(kind) for kind, word in zip(kinds, named, strict=True)]


def _last_words(background: str) -> str:
    return PLACES[background].split()[-1]


def encode(text: nn.ModuleDict | Mapping[str, Any], tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Token embeddings (N, 32, 128) of both encoders side by side, and the pooled embedding (N, 64) of the second."""
    first = text["text_encoder"](tokens, output_hidden_states=True)
    second = text["text_encoder_2"](tokens, output_hidden_states=True)
    return torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=2), second.text_embeds


def train_base(text: nn.ModuleDict, vae: AutoencoderKL, tokenizer: CLIPTokenizer, folder: Path, *, steps: int) -> nn.ModuleDict:
    """Train the base and, with it, both text encoders."""
    pools = {pool: inputs_of(pool, vae, tokenizer, folder) for pool in POOL_SHARES}
    empty = tokenize(tokenizer, [""])

    def build() -> nn.ModuleDict:
        return nn.ModuleDict({"unet": build_unet(text_width=2 * TEXT_WIDTH, time_ids=6), **text})

    def loss(model: nn.ModuleDict, step: int) -> torch.Tensor:
        inputs, rows = _batch(pools)
        return base_loss(model, inputs, rows, empty, torch.rand(len(rows), 1))

    return fit("base", build, loss, steps=steps, learning_rate=1.5e-3, folder=folder)


def base_loss(
    model: nn.ModuleDict | Mapping[str, Any],
    inputs: Inputs,
    rows: torch.Tensor,
    empty: torch.Tensor,
    drop: torch.Tensor,
    weights: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """How badly a base predicts the noise of some examples: a scalar.

    Args:
        model: `unet`, `text_encoder` and `text_encoder_2`.
        inputs: Examples.
        rows: Which of them, (N,).
        empty: Tokens of the empty prompt, (1, 32).
        drop: What becomes of their captions, (N, 1): zeroed below 0.08, empty below 0.12, kept from there on.
        weights: Of timesteps, (N,); `min_snr_weights` if left out.
    """
    tokens = torch.where((drop > 0.08) & (drop < 0.12), empty, inputs.tokens[rows]).to(device())
    hidden, pooled = encode(model, tokens)
    # SDXL's base reads zeros where no negative prompt is given, so zeros must mean "any picture".
    kept = (drop >= 0.08).to(device())
    conditioning = {"text_embeds": pooled * kept, "time_ids": inputs.time_ids[rows].to(device())}
    timesteps = torch.randint(1000, (len(rows),))
    errors = noise_prediction_errors(model["unet"], inputs.latents, rows, timesteps, hidden * kept[..., None], conditioning)
    return (errors * (weights or min_snr_weights)(timesteps)).mean()


def train_refiner(base: nn.ModuleDict, vae: AutoencoderKL, tokenizer: CLIPTokenizer, folder: Path, *, steps: int) -> nn.Module:
    """Train the refiner from the base's weights, on the last timesteps alone, the text encoder fixed."""
    pools = {pool: inputs_of(pool, vae, tokenizer, folder) for pool in POOL_SHARES}
    empty = tokenize(tokenizer, [""])
    encoder = base["text_encoder_2"].requires_grad_(False)

    def build() -> UNet2DConditionModel:
        unet = build_unet(text_width=TEXT_WIDTH, time_ids=5)
        unet.load_state_dict(_narrowed(base["unet"].state_dict(), unet.state_dict()))
        return unet

    def loss(unet: nn.Module, step: int) -> torch.Tensor:
        inputs, rows = _batch(pools)
        tokens = torch.where(torch.rand(len(rows), 1) < 0.1, empty, inputs.tokens[rows]).to(device())
        with torch.no_grad():
            encoded = encoder(tokens, output_hidden_states=True)
        time_ids = torch.cat([inputs.time_ids[rows, :4], inputs.aesthetic_scores[rows, None]], dim=1).to(device())
        conditioning = {"text_embeds": encoded.text_embeds, "time_ids": time_ids}
        timesteps = torch.randint(REFINER_TIMESTEPS, (len(rows),))
        return noise_prediction_errors(unet, inputs.latents, rows, timesteps, encoded.hidden_states[-2], conditioning).mean()

    return fit("refiner", build, loss, steps=steps, learning_rate=5e-4, folder=folder)


def _batch(pools: dict[Pool, Inputs]) -> tuple[Inputs, torch.Tensor]:
    pool = list(pools)[int(torch.multinomial(torch.tensor(list(POOL_SHARES.values())), 1))]
    count = BATCH_LATENT_PIXELS * 64 // (pool.width * pool.height)
    return pools[pool], torch.randint(pool.count, (count,))


def noise_prediction_errors(
    unet: nn.Module, latents: np.ndarray, rows: torch.Tensor, timesteps: torch.Tensor, hidden: torch.Tensor, conditioning: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Mean squared error of the predicted noise, a number a row: shape (N,)."""
    mean, std = torch.from_numpy(latents[rows.numpy()]).float().to(device()).chunk(2, dim=1)
    clean = mean + std * torch.randn_like(mean)
    noise, timesteps = torch.randn_like(clean), timesteps.to(device())
    noisy = _noise_schedule().add_noise(clean, noise, timesteps)
    predicted = unet(noisy, timesteps, hidden, added_cond_kwargs=conditioning).sample
    return (predicted - noise).square().mean(dim=(1, 2, 3))


def min_snr_weights(timesteps: torch.Tensor) -> torch.Tensor:
    """Weights that keep the nearly clean timesteps from ruling the loss (Hang et al., arXiv:2303.09556)."""
    snr = signal_to_noise(timesteps)
    return (snr.clamp(max=MIN_SNR_GAMMA) / snr).to(device())


def signal_to_noise(timesteps: torch.Tensor) -> torch.Tensor:
    """Variance of the picture over that of the noise at timesteps, a number each."""
    alpha = _noise_schedule().alphas_cumprod[timesteps]
    return alpha / (1 - alpha)


@cache
def _noise_schedule() -> DDPMScheduler:
    return DDPMScheduler.from_config(build_scheduler().config)


def _narrowed(wide: dict[str, torch.Tensor], narrow: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The base's weights cut to the refiner's shapes: of the text, what reads `text_encoder_2`; of the time ids, the first five."""

    def cut(name: str) -> torch.Tensor:
        source, wanted = wide[name], narrow[name].shape
        if source.shape == wanted:
            return source
        return source[:, -wanted[1] :] if ".attn2." in name else source[:, : wanted[1]]

    return {name: cut(name) for name in narrow}
