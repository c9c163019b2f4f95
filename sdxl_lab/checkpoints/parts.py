"""A base or a refiner becomes a pipeline, whole and in the dtype that is asked for, with a VAE from elsewhere where it has one."""

from __future__ import annotations

from typing import Any

import torch

from sdxl_lab.checkpoints.hub import Repository
from sdxl_lab.checkpoints.locating import Source, configuration
from sdxl_lab.checkpoints.settling import DTYPES
from sdxl_lab.checkpoints.single_files import Part, SingleFile
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.checkpoints.whole_weights import require_filled, require_whole
from sdxl_lab.families import Family, family_of
from sdxl_lab.settings.sections import Compute

LOADS = 5
"""How often a checkpoint is read while another thread disturbs that."""


def load_part(part: Part | Repository, family: str, dtype: torch.dtype, shared: dict[str, Any], compute: Compute | None = None) -> Any:
    """Read a base or a refiner. Files from the hub are seen to lack no weight here; those of this machine were before.

    Args:
        part: Its files; what the hub has is fetched.
        family: The checkpoint's, which says what kind of pipeline it becomes.
        dtype: What its UNet and text encoders are to compute in.
        shared: Components that it gets instead of its own, by name.
        compute: Which of a single file's UNets, by `weights`, and what it predicts, by `prediction`; None for what the file says.

    Returns:
        diffusers' pipeline, on the CPU.

    Raises:
        CheckpointError: Something of it is broken, or another thread sets torch's default dtype again and again.
    """
    of, compute = family_of(family), compute or Compute()
    if isinstance(part, Repository):
        part = part.fetch()
        require_whole(part)
    for _ in range(LOADS):
        if isinstance(part, SingleFile):
            told = configuration(part, family, compute.prediction)
            pipeline = part.load(dtype, shared, configuration=told, family=of, weights=compute.weights)
            require_filled(pipeline, part.path)
        else:
            pipeline = part.load(dtype, shared, family=of)
        if _is_of(pipeline, dtype):
            return pipeline
    raise CheckpointError(
        "while the checkpoint was loaded, another thread set torch's default dtype again and again; load it before that one begins."
    )


def _is_of(pipeline: Any, dtype: torch.dtype) -> bool:
    """Whether its text encoders have the dtype they were asked for: transformers makes them of the process's default dtype."""
    encoders = [encoder for name in ("text_encoder", "text_encoder_2") if (encoder := getattr(pipeline, name, None)) is not None]
    return all(weight.dtype == dtype for encoder in encoders for weight in encoder.parameters())


def vae_instead(source: Source, compute: Compute) -> dict[str, Any]:
    """Load the VAE that stands in place of the base's own.

    Args:
        source: Where the checkpoint is.
        compute: Where and how, settled.

    Returns:
        It by its name in a pipeline; nothing where the base has its own.

    Raises:
        CheckpointError: The checkpoint's family has no such VAE.
    """
    dtype = DTYPES[compute.dtype]
    if compute.vae == "fp16-fix":
        return {"vae": _fixed_vae(family_of(source.family), dtype)}
    if source.lent_vae is None:
        return {}
    folder = source.lent_vae.fetch_vae() if isinstance(source.lent_vae, Repository) else source.lent_vae
    return {"vae": folder.load_vae(dtype, family_of(source.family))}


def _fixed_vae(family: Family, dtype: torch.dtype) -> Any:
    """The VAE that decodes in half precision."""
    if family.fixed_vae is None:
        raise CheckpointError("compute.vae is 'fp16-fix', but the checkpoint's family has no such VAE; leave it out.")
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(Repository(family.fixed_vae).fetch_files("config.json", "diffusion_pytorch_model.safetensors"), dtype=dtype)
