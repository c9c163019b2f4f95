"""What torch computes with on this machine: which device, how much memory it has, and whether it computes rightly."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from sdxl_lab.checkpoints.locating import locate
from sdxl_lab.checkpoints.memory import free_bytes
from sdxl_lab.checkpoints.needs import fastest_offload, needs_of
from sdxl_lab.checkpoints.settling import DTYPES, settle
from sdxl_lab.checkpoints.shapes import shapes_of
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.identities import CheckpointIdentity

KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
"""The ways in which torch computes attention. Without the first three a GPU holds a matrix of all pairs of pixels."""

NEARNESS = {torch.float32: 1e-2, torch.float16: 5e-2, torch.bfloat16: 2e-1}
"""How far the trial's numbers, of about 1, may be from those of the CPU: TF32 and half precision round them."""


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """Where pictures of SDXL are computed, if nobody says where.

    Attributes:
        device: `cuda`, `mps` or `cpu`, as torch writes it.
        dtype: Of its UNets there: `float16`.
        name: The GPU's; empty for none.
        capability: Of CUDA, such as `8.6`; empty elsewhere.
        total_bytes: Memory of the GPU, 0 where torch does not tell.
        free_bytes: What of it may be used now.
        build: Which GPUs torch was built for: `CUDA 12.6`, `ROCm 6.2`, or `the CPU alone`.
        warned: What torch said when it looked for GPUs.
    """

    device: str
    dtype: str
    name: str
    capability: str
    total_bytes: int
    free_bytes: int
    build: str
    warned: tuple[str, ...]


def accelerator() -> Accelerator:
    """See where pictures of SDXL are computed, with the settings as they come."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        compute = settle(Compute(), CheckpointIdentity(name="sdxl", digest="", family="sdxl"))
    is_cuda = compute.device == "cuda"
    device = torch.device(compute.device)
    build = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU alone"
    return Accelerator(
        device=compute.device,
        dtype=compute.dtype,
        name=torch.cuda.get_device_name(device) if is_cuda else "an Apple GPU" if device.type == "mps" else "",
        capability=".".join(map(str, torch.cuda.get_device_capability(device))) if is_cuda else "",
        total_bytes=torch.cuda.mem_get_info(device)[1] if is_cuda else 0,
        free_bytes=free_bytes(device) if is_cuda else 0,
        build=build,
        warned=tuple(str(warning.message) for warning in heard),
    )


def offload_for_sdxl(room_bytes: int) -> str:
    """Choose as `compute.offload: auto` does for SDXL's pair at 1024x1024 in half precision, its VAE in float32.

    Args:
        room_bytes: What is free of a GPU's memory.
    """
    shapes = shapes_of(locate("sdxl"))
    return fastest_offload(needs_of(shapes, Compute(dtype="float16"), pixels=shapes.sizes.max_area, is_refined=True), room_bytes)


def computes_rightly(device: str, dtype: str) -> bool:
    """Convolve and multiply on a device, and compare with the CPU in float32.

    Args:
        device: As torch writes it.
        dtype: `float32`, `float16` or `bfloat16`.

    Raises:
        RuntimeError: torch has no program for this device, or the device refuses.
    """
    draw = torch.Generator().manual_seed(0)
    pixels, kernel = torch.randn(1, 8, 16, 16, generator=draw), torch.randn(8, 8, 3, 3, generator=draw) / 8.5

    def compute(where: str, kind: torch.dtype) -> torch.Tensor:
        convolved = functional.conv2d(pixels.to(where, kind), kernel.to(where, kind), padding=1)
        return (convolved.flatten(2) @ convolved.flatten(2).mT / 256).float().cpu()

    expected, found = compute("cpu", torch.float32), compute(device, DTYPES[dtype])
    return bool(((expected - found).abs() <= NEARNESS[DTYPES[dtype]] * (1 + expected.abs())).all())


def attention_kernels(device: str, dtype: str) -> list[str]:
    """Try each way of computing attention, with heads as SDXL's UNet has them.

    Args:
        device: As torch writes it.
        dtype: `float32`, `float16` or `bfloat16`.

    Returns:
        Those of `KERNELS` that are on and work.
    """
    heads = torch.ones(1, 10, 256, 64, device=device, dtype=DTYPES[dtype])

    def works(kernel: SDPBackend) -> bool:
        try:
            with sdpa_kernel(kernel), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch says why a kernel does not fit
                return bool(functional.scaled_dot_product_attention(heads, heads, heads).isfinite().all())
        except RuntimeError:
            return False

    return [name for name, kernel in KERNELS.items() if works(kernel)]
