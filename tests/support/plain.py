"""What diffusers makes of a picture with pipelines of its own; this lab has no part in it but for the table of what a scheduler is set to."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from tests.support.edits import NEGATIVE, PROMPT, SEED, STEPS

CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_2s": ("DPMSolverSinglestepScheduler", {}),
    "dpmpp_3m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "kdpm2": ("KDPM2DiscreteScheduler", {}),
    "kdpm2_a": ("KDPM2AncestralDiscreteScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}),
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
}
"""The schedulers that are promised, as diffusers names and sets them."""

UNCHECKED: dict[str, Any] = dict(safety_checker=None, feature_extractor=None, requires_safety_checker=False)
"""What pipelines before XL are told, so that none of their pictures is made black."""


@cache
def pipeline(kind: str, folder: Path) -> Any:
    """
    Diffusers' own pipeline, loaded once.
    """
    import diffusers

    told = {"add_watermarker": False} if "XL" in kind else UNCHECKED
    loaded = getattr(diffusers, kind).from_pretrained(folder, **told)
    loaded.set_progress_bar_config(disable=True)
    return loaded, loaded.scheduler.config


def plain(kind: str, folder: Path, scheduler: str, **arguments: Any) -> Any:
    """
    What a call of diffusers' pipeline returns, the seed fresh: the picture, or the latents as they leave it.
    """
    import diffusers
    import torch

    loaded, config = pipeline(kind, folder)
    name, changes = CHANGES[scheduler]
    loaded.scheduler = getattr(diffusers, name).from_config(config, **changes)
    words = dict(prompt=PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, generator=torch.Generator().manual_seed(SEED))
    made = loaded(**words | arguments).images
    return made if arguments.get("output_type") == "latent" else made[0]
