"""The autoencoder: training it, and the latents of the training pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from sdxl_lab.pocket.training.architecture import build_vae
from sdxl_lab.pocket.training.loop import device, fit
from sdxl_lab.pocket.training.pool import Pool, kept

SQUARE = Pool("square", 0, 40_000)
WIDE = Pool("wide", 1_000_000, 5_000, width=192)
TALL = Pool("tall", 2_000_000, 5_000, height=192)
PATCH_PX = 64


def train_vae(folder: Path) -> AutoencoderKL:
    """Train the autoencoder on patches, then set its scaling factor so that latents have unit variance."""
    pictures = SQUARE.pictures(folder)

    def loss(vae: AutoencoderKL, step: int) -> torch.Tensor:
        target = _patches(pictures, step, 16)
        latents = vae.encode(target).latent_dist
        return reconstruction_loss(vae.decode(latents.sample()).sample, target) + 1e-3 * latents.kl().mean() / latents.mean[0].numel()

    vae = fit("vae", build_vae, loss, steps=3000, learning_rate=2e-3, folder=folder)
    with torch.no_grad():
        latents = torch.cat([vae.encode(_patches(pictures, step, 32)).latent_dist.mean for step in range(8)])
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 4))
    return vae


def train_decoder(vae: AutoencoderKL, folder: Path) -> AutoencoderKL:
    """Train the decoder further, the encoder fixed, on slightly noisy latents: what a UNet leaves is never exact."""
    pictures = SQUARE.pictures(folder)
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)

    def loss(vae: AutoencoderKL, step: int) -> torch.Tensor:
        target = _patches(pictures, 1_000_000 + step, 16)
        with torch.no_grad():
            latents = vae.encode(target).latent_dist.sample()
            latents += 0.06 / vae.config.scaling_factor * torch.randn_like(latents) * torch.rand(len(latents), 1, 1, 1, device=latents.device)
        return reconstruction_loss(vae.decode(latents).sample, target)

    return fit("decoder", lambda: vae, loss, steps=2500, learning_rate=1e-3, folder=folder)


def latents_of(pool: Pool, vae: AutoencoderKL, folder: Path, batch: int = 50) -> np.ndarray:
    """Mean and standard deviation of each picture's latents, scaled: float16 of shape (count, 8, height / 8, width / 8)."""

    def rows() -> Iterable[np.ndarray]:
        pictures = pool.pictures(folder)
        for start in range(0, pool.count, batch):
            with torch.no_grad():
                latents = vae.encode(to_tensor(pictures[start : start + batch]).to(vae.device)).latent_dist
            yield from (torch.cat([latents.mean, latents.std], dim=1) * vae.config.scaling_factor).half().cpu().numpy()

    return kept(folder / f"{pool.name}-latents.npy", (pool.count, 8, pool.height // 8, pool.width // 8), np.float16, rows)


def _patches(pictures: np.ndarray, step: int, count: int) -> torch.Tensor:
    rng = np.random.RandomState(step)
    corners = zip(rng.randint(len(pictures), size=count), *rng.randint(SQUARE.width - PATCH_PX + 1, size=(2, count)), strict=True)
    patches = np.stack([pictures[i, y : y + PATCH_PX, x : x + PATCH_PX] for i, y, x in corners])
    return to_tensor(patches).to(device())


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """From uint8 of shape (N, H, W, 3) to float32 of shape (N, 3, H, W) in [-1, 1]."""
    return torch.tensor(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L1 and L2, edges at three scales, and colour over 4 by 4 pixels, without which red drifts to orange."""
    error = output - target
    pooled = torch.nn.functional.avg_pool2d
    edges = sum((scale.diff(dim=2).abs().mean() + scale.diff(dim=3).abs().mean()) for scale in (error, pooled(error, 2), pooled(error, 4)))
    return error.abs().mean() + error.square().mean() + 0.6 * edges + 1.5 * pooled(error, 4).abs().mean()
