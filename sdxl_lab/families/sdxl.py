"""Stable Diffusion XL as stabilityai published it: 1.0 (arXiv:2307.01952), 0.9 before it, and Turbo, which needs few steps (arXiv:2311.17042)."""

from __future__ import annotations

from sdxl_lab.families._architecture import (
    BASE,
    DISTILLED,
    FIXED_VAE,
    INPAINT,
    LATENT_COLORS,
    PIPELINES,
    REFINER,
    SINGLE_FILES,
    sizes,
)
from sdxl_lab.families._family import CONFIGURATIONS, Family, Published

OPEN = "CreativeML Open RAIL++-M: any use but those that it lists as harmful"
COMMUNITY = "Stability AI Community License (sai-nc-community on the hub): for commercial use see https://stability.ai/license"
RESEARCH = "SDXL 0.9 Research License: research alone, no commercial use; its terms have to be accepted on the hub"

SDXL = Family(
    names={
        "sdxl": Published(base=BASE, refiner=REFINER, license=OPEN, configuration=CONFIGURATIONS / "sdxl"),
        "sdxl-inpaint": Published(base=INPAINT, refiner=REFINER, license=OPEN, configuration=CONFIGURATIONS / "sdxl-inpaint"),
        "sdxl-turbo": Published(
            base="stabilityai/sdxl-turbo", license=COMMUNITY, configuration=CONFIGURATIONS / "sdxl", differs={"unet": {"sample_size": 64}}
        ),
        "sdxl-0.9": Published(
            base="stabilityai/stable-diffusion-xl-base-0.9",
            refiner="stabilityai/stable-diffusion-xl-refiner-0.9",
            license=RESEARCH,
            configuration=CONFIGURATIONS / "sdxl",
        ),
    },
    pipelines=PIPELINES,
    sizes=sizes,
    distilled=DISTILLED,
    refiner_from=0.8,  # its model card: trained on the last 200 of 1000 timesteps
    fixed_vae=FIXED_VAE,
    single_files=SINGLE_FILES,
    preview=LATENT_COLORS,
)
