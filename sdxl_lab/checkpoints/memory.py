"""What is free of a GPU, and what to try when its memory ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from sdxl_lab.errors import LabError


class GpuMemoryError(LabError):
    """A GPU that has not enough memory for a checkpoint and a picture."""


def free_bytes(device: torch.device) -> int:
    """What torch may still use of a GPU of CUDA: what nobody holds, and what it holds itself without using it."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


@contextmanager
def end_of_memory_told(*, dtype: torch.dtype, decoder: torch.dtype, offload: str, switches: Mapping[str, Any]) -> Iterator[None]:
    """While the block runs, let the end of a GPU's memory name the settings that take less.

    Args:
        dtype: Of the UNets.
        decoder: Of the VAE.
        offload: What leaves the GPU as it is; not `auto`.
        switches: What else of `Compute` changes pixels, as it is set.

    Raises:
        GpuMemoryError: Memory came to its end.
    """
    try:
        yield
    except RuntimeError as error:
        # That of CUDA has a class of its own, that of Apple's GPUs only words.
        if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in str(error):
            raise
        reason = str(error).strip().partition("\n")[0].partition(" If reserved")[0][:300]
        steps = "; then ".join(thriftier(dtype=dtype, decoder=decoder, offload=offload, switches=switches))
        raise GpuMemoryError(f"the GPU is out of memory ({reason}). End what else uses it, or set {steps}.") from error


def thriftier(*, dtype: torch.dtype, decoder: torch.dtype, offload: str, switches: Mapping[str, Any]) -> list[str]:
    """Name the settings that take less memory than those in use, the one to try first at first; the arguments are those of `end_of_memory_told`."""
    steps = []
    if dtype == torch.float32:
        steps.append("compute.dtype to float16 (half of it, other pixels)")
    elif dtype == torch.float16 and decoder == torch.float32:
        steps.append("compute.vae to fp16-fix (half of it to decode, as fast, other pixels)")
    if offload == "none":
        steps.append("compute.offload to model (one model at a time on the GPU, the same pixels, slower)")
    if not switches.get("vae_tiling"):
        steps.append("compute.vae_tiling to true (a quarter of it to decode, other pixels)")
    if offload in ("none", "model") and not switches.get("layerwise"):
        steps.append("compute.layerwise to fp8 (half of the UNets' weights, other pixels)")
    if offload in ("none", "model"):
        steps.append("compute.offload to group, or sequential (one layer at a time, the same pixels, slower)")
    return steps or ["a smaller canvas, or take another GPU: nothing takes less than offloading by layers"]
