"""The checkpoint that the lab brings: Stable Diffusion XL's architecture, small enough for one core."""

from __future__ import annotations

from pathlib import Path

from sdxl_lab.families._architecture import FIXED_VAE, PIPELINES, SINGLE_FILES, sizes
from sdxl_lab.families._family import Family

WEIGHTS = Path(__file__).parents[1] / "pocket" / "weights"

POCKET = Family(
    names={"pocket": WEIGHTS},
    pipelines=PIPELINES,
    sizes=sizes,
    num_inference_steps=30,
    refiner_from=0.7,
    gpu_dtype="float32",  # too small to gain from half precision, or from a second thread
    threads=1,
    fixed_vae=FIXED_VAE,
    single_files=SINGLE_FILES,
)
