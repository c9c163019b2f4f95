"""The generation before, which the lab brings as well: Stable Diffusion 2's architecture, of half of pocket's pictures."""

from __future__ import annotations

from pathlib import Path

from sdxl_lab.families._architecture import sizes
from sdxl_lab.families._family import Family, LatentColors
from sdxl_lab.families._first_generations import LACKS, PIPELINES, TEXT_ENCODERS, TOLD
from sdxl_lab.families._world import KNOWS

WEIGHTS = Path(__file__).parents[1] / "pocket" / "sd2"

POCKET_SD2 = Family(
    names={"pocket-sd2": WEIGHTS / "base", "pocket-sd2-inpaint": WEIGHTS / "inpaint"},
    pipelines=PIPELINES,
    text_encoders=TEXT_ENCODERS,
    told=TOLD,
    sizes=sizes,
    num_inference_steps=30,
    gpu_dtype="float32",  # too small to gain from half precision, or from a second thread
    has_half_vae=True,
    threads=1,
    preview=LatentColors(  # as `python -m sdxl_lab.pocket.training.preview pocket-sd2` prints it
        matrix=((0.2788, 0.1912, 0.1345), (0.2868, 0.7658, 1.301), (0.3485, 0.4529, 0.5791), (-0.211, -0.4678, -0.843)),
        bias=(0.159, 0.1062, 0.0229),
    ),
    knows=KNOWS,
    lacks=LACKS,
)
