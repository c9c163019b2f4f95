"""Latents as a small picture at once, for whoever watches: a linear map, as good as such a map can be, where the decoder takes longer than a step."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from sdxl_lab.families import Family, family_of


def preview(latents: torch.Tensor, family: Family | str) -> Image.Image | None:
    """Show clean latents, one pixel a latent cell.

    Args:
        latents: As the UNets know them, scaled: (1, 4, H/8, W/8), of any dtype, on any device. What a `Step` holds.
        family: Of the checkpoint, or its word: `checkpoint.identity.family`.

    Returns:
        A new mode "RGB" picture of (W/8, H/8), which the caller scales up; None where nobody knows how the family's latents look.
    """
    colors = (family_of(family) if isinstance(family, str) else family).preview
    if colors is None:
        return None
    # With numpy, which no switch of torch reaches.
    cells = np.moveaxis(latents[0].float().cpu().numpy(), 0, -1) @ np.asarray(colors.matrix, np.float32) + np.asarray(colors.bias, np.float32)
    levels = np.nan_to_num((cells + 1) * 127.5).clip(0, 255)
    return Image.fromarray(np.rint(levels).astype(np.uint8))
