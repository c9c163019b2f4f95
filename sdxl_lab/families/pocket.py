"""The checkpoint that the lab brings: Stable Diffusion XL's architecture, small enough for one core."""

from __future__ import annotations

from pathlib import Path

from sdxl_lab.families._architecture import FIXED_VAE, PIPELINES, sizes
from sdxl_lab.families._family import Family, LatentColors, Lender, Made
from sdxl_lab.families._world import KNOWS

WEIGHTS = Path(__file__).parents[1] / "pocket" / "weights"

STYLES = "python -m sdxl_lab.pocket.styles"
"""What fine-tunes the checkpoint to styles of its own."""

POCKET = Family(
    names={
        "pocket": WEIGHTS,
        "pocket-neon": Made(name="pocket-neon.safetensors", command=STYLES),
        "pocket-paper": Made(name="pocket-paper.safetensors", command=STYLES),
    },
    pipelines=PIPELINES,
    sizes=sizes,
    num_inference_steps=30,
    refiner_from=0.7,
    gpu_dtype="float32",  # too small to gain from half precision, or from a second thread
    threads=1,
    fixed_vae=FIXED_VAE,
    shapes={
        "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight": (667, 64),
        "conditioner.embedders.1.model.token_embedding.weight": (667, 64),
    },
    knows=KNOWS,
    single_files={4: Lender(configuration=WEIGHTS / "base"), None: Lender(configuration=WEIGHTS / "refiner")},
    preview=LatentColors(  # as `python -m sdxl_lab.pocket.training.preview` prints it
        matrix=((-0.4167, -0.4776, -0.4759), (-0.5844, -0.5407, -0.3797), (-0.6848, -0.7704, -0.582), (0.5306, 0.8914, 0.9768)),
        bias=(0.0657, 0.0222, -0.0236),
    ),
)
