"""What takes less memory and makes other pixels: weights of 8 bits, and a VAE that works in tiles. Both are diffusers' own."""

from __future__ import annotations

from typing import Any

import torch

from sdxl_lab.checkpoints.needs import tile_side_px
from sdxl_lab.families import Sizes


def keep_in_eight_bits(unet: Any, dtype: torch.dtype) -> None:
    """Keep a UNet's weights as float8 e4m3; each layer's are made wide while it computes. Norms stay as they are.

    What has hooks that offload it must get these first: they then carry bytes in place of wide numbers.

    Args:
        unet: As it was loaded.
        dtype: What it computes in.
    """
    unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)


def work_in_tiles(vae: Any, sizes: Sizes) -> None:
    """Let a VAE encode and decode what is larger than a tile in overlapping tiles.

    diffusers takes a tile to be as large as the pictures that the VAE's configuration speaks of, 1024 pixels of SDXL's, so that none of its
    pictures would be cut.

    Args:
        vae: As it was loaded.
        sizes: Of the checkpoint.
    """
    side_px, latent_px = tile_side_px(sizes), 2 ** (len(vae.config.block_out_channels) - 1)
    vae.tile_sample_min_size, vae.tile_latent_min_size = side_px, side_px // latent_px
    vae.enable_tiling()
