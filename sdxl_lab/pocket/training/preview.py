"""Fit how the pocket checkpoint's latents look at a glance: `python -m sdxl_lab.pocket.training.preview` prints what `families/pocket.py` holds.

The map that is nearest to the pictures in the least squares, from one latent cell to the mean of its 8x8 pixels.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from diffusers import AutoencoderKL

from sdxl_lab.checkpoints.loading import load
from sdxl_lab.families import LatentColors
from sdxl_lab.pocket.training.autoencoder import to_tensor
from sdxl_lab.pocket.training.under_way import as_command
from sdxl_lab.pocket.world import draw, sample_scene
from sdxl_lab.settings.sections import Compute

FIRST_SEED = 7_000_000
CELL_PX = 8
DIGITS = 4


def cells(vae: AutoencoderKL, seeds: range) -> tuple[np.ndarray, np.ndarray]:
    """Latents of scenes, and how these look from afar.

    Args:
        vae: The autoencoder.
        seeds: Of the scenes.

    Returns:
        Scaled latents (N, 4, H/8, W/8), and the means of 8x8 pixels in [-1, 1], (N, 3, H/8, W/8), both float64.
    """
    pictures = to_tensor(np.stack([np.asarray(draw(sample_scene(seed))) for seed in seeds]))
    with torch.no_grad():
        latents = torch.cat([vae.encode(batch).latent_dist.mean for batch in torch.split(pictures, 8)]) * vae.config.scaling_factor
    return latents.double().numpy(), torch.nn.functional.avg_pool2d(pictures, CELL_PX).double().numpy()


def fit(latents: np.ndarray, pooled: np.ndarray) -> LatentColors:
    """Fit the map from what `cells` returns."""
    known, wanted = (np.moveaxis(values, 1, -1).reshape(-1, values.shape[1]) for values in (latents, pooled))
    solution = np.linalg.lstsq(np.column_stack([known, np.ones(len(known))]), wanted, rcond=None)[0]
    *matrix, bias = (tuple(float(number) for number in row) for row in solution.round(DIGITS))
    return LatentColors(matrix=tuple(matrix), bias=bias)


def main() -> None:
    """Print the map."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="scenes it is fitted to (default: %(default)s)")
    count = parser.parse_args().count
    print(fit(*cells(load("pocket", Compute(device="cpu")).base.vae, range(FIRST_SEED, FIRST_SEED + count))))


if __name__ == "__main__":
    as_command(main, goes_on=False)
