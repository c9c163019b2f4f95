"""How true the autoencoder is, and how well base and refiner predict noise: figures that need no picture made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionXLInpaintPipeline
from torch import nn

from sdxl_lab.pocket.training.autoencoder import to_tensor
from sdxl_lab.pocket.training.card import Figure, mean
from sdxl_lab.pocket.training.diffusion import REFINER_TIMESTEPS, encode, noise_prediction_errors, tokenize
from sdxl_lab.pocket.training.under_way import each
from sdxl_lab.pocket.world import Scene, caption, draw

BIN = 50


def peak_signal_to_noise(vae: AutoencoderKL, scenes: Sequence[Scene]) -> tuple[Figure, np.ndarray]:
    """PSNR in dB of each scene encoded and decoded, and the decoded pictures, uint8 of shape (N, H, W, 3)."""
    pictures = np.stack([np.asarray(draw(scene)) for scene in scenes])
    decoded = []
    for batch in each(torch.split(to_tensor(pictures), 8), "autoencoder", unit="batch"):
        with torch.no_grad():
            decoded.append(vae.decode(vae.encode(batch).latent_dist.mean).sample)
    levels = ((torch.cat(decoded).clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    errors = ((levels.astype(np.float64) - pictures) ** 2).mean(axis=(1, 2, 3))
    return mean("autoencoder: PSNR on unseen scenes", 10 * np.log10(255**2 / errors), " dB", ">= 30"), levels


def noise_errors(base: StableDiffusionXLInpaintPipeline, refiner: StableDiffusionXLInpaintPipeline, scenes: Sequence[Scene]) -> list[Figure]:
    """In each bin of 50 timesteps below the refiner's limit, the refiner's squared error in percent of the base's, in pairs."""
    text = nn.ModuleDict({"text_encoder": base.text_encoder, "text_encoder_2": base.text_encoder_2})
    latents = _latents(base.vae, scenes)
    figures = []
    for first in each(range(0, REFINER_TIMESTEPS, BIN), "noise errors", unit="bin"):
        ratios = []
        for start in range(0, len(scenes), 32):
            rows = torch.arange(start, min(start + 32, len(scenes)))
            tokens = tokenize(base.tokenizer, [caption(scenes[i]) for i in rows])
            sizes = torch.tensor([[scenes[i].height, scenes[i].width] for i in rows], dtype=torch.float32)
            nowhere = torch.zeros_like(sizes)
            errors = []
            for unet, time_ids in (
                (base.unet, torch.cat([sizes, nowhere, sizes], dim=1)),
                (refiner.unet, torch.cat([sizes, nowhere, torch.full((len(rows), 1), 6.5)], dim=1)),
            ):
                torch.manual_seed(start)
                timesteps = torch.randint(first, first + BIN, (len(rows),))
                with torch.no_grad():
                    hidden, pooled = encode(text, tokens)
                    hidden = hidden[..., -unet.config.cross_attention_dim :]
                    errors.append(noise_prediction_errors(unet, latents, rows, timesteps, hidden, {"text_embeds": pooled, "time_ids": time_ids}))
            ratios.append(errors)
        on_base, on_refiner = (torch.cat([pair[i] for pair in ratios]).numpy() for i in (0, 1))
        figures.append(mean(f"refiner's noise error over the base's, t {first} to {first + BIN}", 100 * on_refiner / on_base, "%", "< 100"))
    return figures


def _latents(vae: AutoencoderKL, scenes: Sequence[Scene]) -> np.ndarray:
    pictures = to_tensor(np.stack([np.asarray(draw(scene)) for scene in scenes]))
    with torch.no_grad():
        encoded = [vae.encode(batch).latent_dist for batch in torch.split(pictures, 8)]
    scaled = torch.cat([torch.cat([e.mean, e.std], dim=1) for e in encoded]) * vae.config.scaling_factor
    return scaled.numpy()
