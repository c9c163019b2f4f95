"""The autoencoder: training it, and the latents of the training pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL

from sdxl_lab.pocket.training.autoencoder import reconstruction_loss, to_tensor
from sdxl_lab.pocket.training.loop import device, fit
from sdxl_lab.pocket.training.pool import kept
from sdxl_lab.pocket.training.sd2.architecture import FACTOR, build_vae
from sdxl_lab.pocket.training.sd2.pictures import SQUARE, Pool

BATCH = 16


def train_vae(folder: Path, *, steps: int) -> AutoencoderKL:
    """Train the autoencoder on whole pictures, its latents slightly noisy as a UNet leaves them, then set its scaling factor for unit variance."""
    pictures = SQUARE.pictures(folder)

    def batch(step: int) -> torch.Tensor:
        rows = np.random.RandomState(step).randint(len(pictures), size=BATCH)
        return to_tensor(pictures[rows]).to(device())

    def loss(vae: AutoencoderKL, step: int) -> torch.Tensor:
        target = batch(step)
        with torch.autocast(device().type, torch.bfloat16):
            latents = vae.encode(target).latent_dist
            sample = latents.sample()
            noise = 0.06 * sample.std(dim=(0, 2, 3), keepdim=True).detach() * torch.rand(BATCH, 1, 1, 1, device=device()) * torch.randn_like(sample)
            output = vae.decode(sample + noise).sample
        return (
            reconstruction_loss(output.float(), target)
            + hue_loss(output.float(), target)
            + 1e-3 * latents.kl().float().mean() / latents.mean[0].numel()
        )

    vae = fit("sd2-vae", build_vae, loss, steps=steps, learning_rate=2e-3, folder=folder)
    with torch.no_grad():
        balance(vae, torch.cat([vae.encode(batch(step)).latent_dist.mean for step in range(16)]))
    vae.register_to_config(scaling_factor=1.0)
    return vae


def hue_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """How far colors are off over 4 by 4 pixels, whatever their lightness: few pixels have much of it, so it is learned last."""
    error = torch.nn.functional.avg_pool2d(output - target, 4)
    return 3 * (error - error.mean(dim=1, keepdim=True)).abs().mean()


@torch.no_grad()
def balance(vae: AutoencoderKL, latents: torch.Tensor) -> None:
    """Give each latent channel mean 0 and variance 1, and leave what is decoded as it is.

    One scaling factor serves all channels, so that one that varies little would drown in the noise of diffusion.

    Args:
        vae: The autoencoder; the layers next to its latents are changed.
        latents: What it makes of many pictures, (N, channels, h, w).
    """
    mean, std = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    to_latents: Any = vae.quant_conv
    from_latents: Any = vae.post_quant_conv
    channels = len(mean)
    to_latents.weight[:channels] /= std[:, None, None, None]
    to_latents.bias[:channels] = (to_latents.bias[:channels] - mean) / std
    to_latents.bias[channels:] -= 2 * std.log()  # logarithms of variances
    from_latents.bias += from_latents.weight[:, :, 0, 0] @ mean
    from_latents.weight *= std[:, None, None]


def latents_of(pool: Pool, vae: AutoencoderKL, folder: Path, batch: int = 50) -> np.ndarray:
    """Mean and standard deviation of each picture's latents, scaled: float16 of shape (count, 8, height / 4, width / 4)."""

    def rows() -> Iterable[np.ndarray]:
        pictures = pool.pictures(folder)
        for start in range(0, pool.count, batch):
            yield from encoded(vae, pictures[start : start + batch])

    return kept(folder / f"sd2-{pool.name}-latents.npy", (pool.count, 8, pool.height // FACTOR, pool.width // FACTOR), np.float16, rows)


@torch.no_grad()
def encoded(vae: AutoencoderKL, pictures: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of pictures' latents, scaled, as `latents_of` has them.

    Args:
        vae: The autoencoder.
        pictures: As `to_tensor` takes them.
    """
    latents = vae.encode(to_tensor(pictures).to(vae.device)).latent_dist
    return (torch.cat([latents.mean, latents.std], dim=1) * vae.config.scaling_factor).half().cpu().numpy()
