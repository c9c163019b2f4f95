"""Configurations of schedulers as checkpoints are published with them."""

from __future__ import annotations

from typing import Any

SDXL: dict[str, Any] = {
    "_class_name": "EulerDiscreteScheduler",
    "_diffusers_version": "0.19.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
    "use_karras_sigmas": False,
}
"""As stabilityai/stable-diffusion-xl-base-1.0 has it, and with it whoever puts the UNet of Lightning or of LCM in its place."""

TURBO = {key: value for key, value in SDXL.items() if key != "use_karras_sigmas"} | {
    "_class_name": "EulerAncestralDiscreteScheduler",
    "_diffusers_version": "0.24.0.dev0",
    "timestep_spacing": "trailing",
}
"""As stabilityai/sdxl-turbo has it."""
