"""What settings leave to checkpoint and machine: the device, the dtype, the threads."""

from __future__ import annotations

import torch

from sdxl_lab.checkpoints.locating import locate
from sdxl_lab.checkpoints.single_files import SingleFile
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.families import family_of
from sdxl_lab.process.threads import machine_threads
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.identities import CheckpointIdentity

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def settle(compute: Compute, identity: CheckpointIdentity) -> Compute:
    """Choose what `compute` leaves to checkpoint and machine: device, dtype and threads.

    On a GPU the family's dtype, float32 on a CPU. The thread count changes the bits on a CPU: the family's, else the machine's own. Where CUDA
    is, offloading stays `auto` until the checkpoint is loaded.

    Raises:
        CheckpointError: The machine has no such device, offloading is asked for without a GPU, or weights of 8 bits on Apple's, which has none;
            or the checkpoint does not have the weights that are asked for.
    """
    device = compute.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = torch.device(device).type
    if (kind == "cuda" and not torch.cuda.is_available()) or (kind == "mps" and not torch.backends.mps.is_available()):
        raise CheckpointError(f"compute.device is {device!r}, which this machine or this build of torch does not have; choose auto or cpu.")
    offload = "none" if compute.offload == "auto" and kind != "cuda" else compute.offload
    if offload != "none" and kind == "cpu":
        raise CheckpointError(f"compute.offload is {offload!r}, but there is no GPU to offload from; choose none, or auto.")
    if compute.weights or compute.prediction or family_of(identity.family).generations:
        _require_choices(identity, compute)
    if compute.layerwise and kind == "mps":
        raise CheckpointError("compute.layerwise is 'fp8', and Apple's GPUs know no numbers of 8 bits; leave it out, or offload.")
    family, dtype = family_of(identity.family), compute.dtype
    if dtype == "auto":
        dtype = "float32" if kind == "cpu" else family.gpu_dtype
    threads = compute.threads or family.threads or machine_threads()
    return compute.model_copy(update={"device": device, "dtype": dtype, "threads": threads, "offload": offload})


def _require_choices(identity: CheckpointIdentity, compute: Compute) -> None:
    """See that a checkpoint lets its UNet's weights be chosen and has those that are asked for, and that it is known what they predict."""
    base = locate(identity.name, identity.revision).base
    if isinstance(base, SingleFile):
        if compute.weights:
            base.unet(compute.weights)
        base.require_prediction(compute.prediction)
        return
    if compute.weights:
        raise CheckpointError(
            f"compute.weights is {compute.weights!r}, but {identity.name} is in diffusers' layout, which holds one set of weights and does not say "
            "which; leave it out, or give a single file that holds both."
        )
    if compute.prediction:
        raise CheckpointError(
            f"compute.prediction is {compute.prediction!r}, but {identity.name} is in diffusers' layout, whose scheduler/scheduler_config.json says "
            "what is predicted; leave it out."
        )


def on_this_machine(compute: Compute) -> Compute:
    """Move what was computed elsewhere to the nearest device that is here: the same one, one of its kind, any GPU, or the CPU.

    Args:
        compute: Where and how something was computed. The rest of it stays, but for offloading, which a CPU has not.
    """
    kind, _, index = compute.device.partition(":")
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if here.get(kind) and not (kind == "cuda" and int(index or 0) >= torch.cuda.device_count()):
        return compute
    device = kind if here.get(kind) else next(name for name, is_here in here.items() if is_here)
    return compute.model_copy(update={"device": device} | ({"offload": "none"} if device == "cpu" else {}))
