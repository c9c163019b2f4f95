"""The settings that suit a checkpoint. Imports no torch."""

from __future__ import annotations

from typing import Any

from sdxl_lab.spec import CheckpointIdentity


def defaults(identity: CheckpointIdentity, release: str | None = None) -> dict[str, Any]:
    """The hyperparameters that suit a checkpoint, nested and sparse, over the library's."""
    steps = 30 if identity.family == "pocket" else 70
    return {"denoising": {"num_inference_steps": steps, "strength": 0.99, "guidance_scale": 7.5}}
