"""Fit how the pocket checkpoint's latents look at a glance: `python -m sdxl_lab.pocket.training.preview` prints what `families/pocket.py` holds.

The map that is nearest to the pictures in the least squares, from one latent cell to the mean of its pixels. With `pocket-sd2` behind it, it prints
what `families/pocket_sd2.py` holds.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

from sdxl_lab.checkpoints.loading import load
from sdxl_lab.families import LatentColors
from sdxl_lab.pocket.training.autoencoder import to_tensor
from sdxl_lab.pocket.training.under_way import as_command
from sdxl_lab.pocket.world import draw, sample_scene
from sdxl_lab.settings.sections import Compute

FIRST_SEED = 7_000_000
DIGITS = 4


def cells(vae: AutoencoderKL, seeds: range) -> tuple[np.ndarray, np.ndarray]:
    """Latents of scenes, and how these look from afar.

    Args:
        vae: The autoencoder.
        seeds: Of the scenes.

    Returns:
        Scaled latents (N, 4, h, w), and the means of each one's pixels in [-1, 1], (N, 3, h, w), both float64.
    """
    side_px = vae.config.sample_size
    pictures = to_tensor(np.stack([np.asarray(draw(sample_scene(seed)).resize((side_px, side_px), Image.Resampling.LANCZOS)) for seed in seeds]))
    with torch.no_grad():
        latents = torch.cat([vae.encode(batch).latent_dist.mean for batch in torch.split(pictures, 8)]) * vae.config.scaling_factor
    return latents.double().numpy(), torch.nn.functional.avg_pool2d(pictures, side_px // latents.shape[-1]).double().numpy()


def fit(latents: np.ndarray, pooled: np.ndarray) -> LatentColors:
    """Fit the map from what `cells` returns."""
    known, wanted = (np.moveaxis(values, 1, -1).reshape(-1, values.shape[1]) for values in (latents, pooled))
    solution = np.linalg.lstsq(np.column_stack([known, np.ones(len(known))]), wanted, rcond=None)[0]
    *matrix, bias = (tuple(float(number) for number in row) for row in solution.round(DIGITS))
    return LatentColors(matrix=tuple(matrix), bias=bias)


def main() -> None:
    """Print the map."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default="pocket", help="whose autoencoder (default: %(default)s)")
    parser.add_argument("--count", type=int, default=500, help="scenes it is fitted to (default: %(default)s)")
    asked = parser.parse_args()
    print(fit(*cells(load(asked.checkpoint, Compute(device="cpu")).base.vae, range(FIRST_SEED, FIRST_SEED + asked.count))))


if __name__ == "__main__":
    as_command(main, goes_on=False)
