"""NaN and infinity in what a model gives: found before they become a black picture, and named with their cause and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch

from sdxl_lab.errors import LabError

HALF = (torch.float16, torch.bfloat16)

LARGEST_GUIDANCE = 100.0
"""No model is made for more; far above it the difference between two predictions outgrows any dtype."""


class NotFiniteError(LabError):
    """A model gave NaN or infinity, of which no picture can be made."""


def require_finite(output: torch.Tensor, *, by: str, model: torch.nn.Module, guidance_scale: float = 0.0, has_fixed_vae: bool = True) -> None:
    """See that all of what a model gave are numbers. On a GPU this waits for the model to be done.

    The weights are looked through once something has gone wrong, never before: all of them are gigabytes, and those that spoil a picture
    show in what their model gives.

    Args:
        output: What it gave.
        by: The part of the checkpoint that gave it, for people, such as `the VAE's encoder`.
        model: The model that part belongs to.
        guidance_scale: The guidance that drove it.
        has_fixed_vae: Whether there is a VAE for half precision that could be taken instead.

    Raises:
        NotFiniteError: There is NaN or infinity in it. Names the part, the cause as far as it can be told, and the remedy.
    """
    if bool(torch.isfinite(output).all()):
        return
    found = "NaN" if bool(torch.isnan(output).any()) else "infinity"
    dtype: Any = model.dtype  # of weights that are kept in 8 bits the one they compute in
    remedy = _remedy(by, model, dtype, guidance_scale, has_fixed_vae=has_fixed_vae)
    raise NotFiniteError(f"{by} gave {found} in {str(dtype).removeprefix('torch.')}, and no picture was made: {remedy}.")


def _remedy(by: str, model: torch.nn.Module, dtype: torch.dtype, guidance_scale: float, *, has_fixed_vae: bool) -> str:
    """Why, and what to do, in the order in which the causes exclude each other."""
    is_half = dtype in HALF
    if broken := list(islice(_broken_weights(model), 3)):
        rounded = "; or set compute.dtype to float32, if they are whole in a wider file" if is_half else ""
        found = f"its weights hold NaN or infinity themselves ({', '.join(broken)})"
        return f"{found}; copy or download the checkpoint again, or take another file of it{rounded}"
    if guidance_scale > LARGEST_GUIDANCE:
        return f"guidance_scale is {guidance_scale:g}; choose one below 20"
    if is_half and has_fixed_vae and "VAE" in by:
        return "its numbers outgrow half precision; set compute.vae to fp16-fix, a VAE made for it, or compute.dtype to float32"
    if is_half:
        return "its numbers outgrow half precision; set compute.dtype to float32, or take another file of the checkpoint"
    return "choose another scheduler, a lower guidance_scale or more steps, or take another file of the checkpoint"


def _broken_weights(model: torch.nn.Module) -> Iterator[str]:
    """Names of the weights that hold NaN or infinity, as far as they are in memory: sequential offloading keeps them elsewhere."""
    for name, weight in model.named_parameters():
        # Of numbers of 8 bits torch cannot tell.
        if not weight.is_meta and not bool(torch.isfinite(weight.to(torch.float32) if weight.itemsize == 1 else weight).all()):
            yield name
