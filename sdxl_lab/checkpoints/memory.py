"""Whether a checkpoint and a picture fit a GPU: which offloading is the fastest that does, and what to try when memory ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from sdxl_lab.errors import LabError

DECODING = 769
"""Numbers that are alive at once while SDXL's VAE decodes, for each pixel: the most of all models, since a guided step of either UNet holds 189.

Both are the peaks of live tensors when diffusers 0.42.1 runs models of SDXL's size on the meta device, which a test repeats, with attention that
holds no matrix of all pairs, as on a GPU.
"""

RESERVE_BYTES = 1 << 30
"""For what torch's kernels need beside tensors, and for gaps between these."""


class GpuMemoryError(LabError):
    """A GPU that has not enough memory for a checkpoint and a picture."""


def fastest_offload(weights_bytes: Mapping[str, int], *, pixels: int, decoder_bytes: int, free_bytes: int) -> str:
    """Choose where models wait, by what is free before any of them is on the GPU.

    Args:
        weights_bytes: Name of a model to the bytes of its weights, those of the refiner's UNet among them.
        pixels: The largest picture that is made.
        decoder_bytes: Bytes of one number in the VAE: 4 in float32.
        free_bytes: What may be used of the GPU.

    Returns:
        `none`, `model` or `sequential`, which takes the least and is taken where nothing else fits.
    """
    room_bytes = free_bytes - RESERVE_BYTES - DECODING * decoder_bytes * pixels
    if sum(weights_bytes.values()) <= room_bytes:
        return "none"
    return "model" if max(weights_bytes.values()) <= room_bytes else "sequential"


def free_bytes(device: torch.device) -> int:
    """What torch may still use of a GPU of CUDA: what nobody holds, and what it holds itself without using it."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


@contextmanager
def end_of_memory_told(*, dtype: torch.dtype, decoder: torch.dtype, offload: str) -> Iterator[None]:
    """While the block runs, let the end of a GPU's memory name the settings that take less.

    Args:
        dtype: Of the UNets.
        decoder: Of the VAE.
        offload: What leaves the GPU as it is: `none`, `model` or `sequential`.

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
        steps = "; then ".join(thriftier(dtype=dtype, decoder=decoder, offload=offload))
        raise GpuMemoryError(f"the GPU is out of memory ({reason}). End what else uses it, or set {steps}.") from error


def thriftier(*, dtype: torch.dtype, decoder: torch.dtype, offload: str) -> list[str]:
    """Name the settings that take less memory than those in use, the one to try first at first; the arguments are those of `end_of_memory_told`."""
    steps = []
    if dtype == torch.float32:
        steps.append("compute.dtype to float16 (half of it, other pixels)")
    elif dtype == torch.float16 and decoder == torch.float32:
        steps.append("compute.vae to fp16-fix (half of it to decode, as fast, other pixels)")
    if offload == "none":
        steps.append("compute.offload to model (one model at a time on the GPU, the same pixels, slower)")
    if offload != "sequential":
        steps.append("compute.offload to sequential (one layer at a time, the same pixels, much slower)")
    return steps or ["a smaller canvas, or take another GPU: nothing takes less than sequential offloading"]
