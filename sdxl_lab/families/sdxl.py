"""Stable Diffusion XL 1.0 as it was published (arXiv:2307.01952)."""

from __future__ import annotations

from sdxl_lab.families._architecture import BASE, FIXED_VAE, INPAINT, LATENT_COLORS, PIPELINES, REFINER, SINGLE_FILES, sizes
from sdxl_lab.families._family import Family, Published

SDXL = Family(
    names={"sdxl": Published(base=BASE, refiner=REFINER), "sdxl-inpaint": Published(base=INPAINT, refiner=REFINER)},
    pipelines=PIPELINES,
    sizes=sizes,
    refiner_from=0.8,  # its model card: trained on the last 200 of 1000 timesteps
    fixed_vae=FIXED_VAE,
    single_files=SINGLE_FILES,
    preview=LATENT_COLORS,
)
