"""Whatever else has Stable Diffusion XL's architecture, in any size, those among it that were distilled to few steps."""

from __future__ import annotations

from sdxl_lab.families._architecture import DISTILLED, DOWNLOADS, FIXED_VAE, LATENT_COLORS, PIPELINES, SINGLE_FILES, sizes
from sdxl_lab.families._family import Family

CUSTOM = Family(
    pipelines=PIPELINES,
    sizes=sizes,
    distilled=DISTILLED,
    downloads=DOWNLOADS,
    fixed_vae=FIXED_VAE,
    single_files=SINGLE_FILES,
    preview=LATENT_COLORS,  # nearly all were trained on the latents of SDXL's autoencoder; where one was not, shapes show in wrong colors
)
