"""Checkpoints: a name, folder, single file or hub id becomes a base and a refiner, on the right device in the right dtype."""

from __future__ import annotations

import gc
from collections.abc import Hashable
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import torch

from sdxl_lab import progress
from sdxl_lab.checkpoints.checkpoint import Checkpoint, one_loads
from sdxl_lab.checkpoints.configurations import MODELS, SHARED
from sdxl_lab.checkpoints.locating import Source, locate
from sdxl_lab.checkpoints.memory import end_of_memory_told, free_bytes
from sdxl_lab.checkpoints.model_state import state_of
from sdxl_lab.checkpoints.needs import fastest_offload, needs_of_any
from sdxl_lab.checkpoints.offload import Residence
from sdxl_lab.checkpoints.outlines import computed_by, device_name
from sdxl_lab.checkpoints.own_defaults import few_steps
from sdxl_lab.checkpoints.parts import load_part, vae_instead
from sdxl_lab.checkpoints.settling import DTYPES, settle
from sdxl_lab.checkpoints.shapes import shapes_of
from sdxl_lab.checkpoints.thrift import keep_in_eight_bits, work_in_tiles
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.checkpoints.whole_weights import require_weights_of
from sdxl_lab.families import family_of
from sdxl_lab.process.threads import use_threads
from sdxl_lab.process.unchanged import watch
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.identities import CheckpointIdentity

_loaded: WeakValueDictionary[Hashable, Checkpoint] = WeakValueDictionary()
_latest: list[Checkpoint] = []
"""One is kept for the next run, since two of SDXL's size fill most GPUs; those before it last as long as somebody holds on to them."""


def load(checkpoint: str | CheckpointIdentity, compute: Compute | None = None) -> Checkpoint:
    """Load a checkpoint, or return the same one again: the latest, or one that is still in use elsewhere. Sets torch's thread count.

    Of two threads that ask for the same at once, one loads it; each gets the thread count for itself.

    Args:
        checkpoint: A name as in `identify`, or what `identify` made of one, whose content is then required.
        compute: Where and how, `auto` where left out.

    Raises:
        CheckpointError: As in `identify`; or the content has changed since.
    """
    name, revision = (checkpoint, None) if isinstance(checkpoint, str) else (checkpoint.name, checkpoint.revision)
    source = locate(name, revision)
    identity = source.identity
    if not isinstance(checkpoint, str) and identity.digest != checkpoint.digest:
        raise CheckpointError(
            f"checkpoint {name!r} has changed: its digest was {checkpoint.digest[:12]} and is now {identity.digest[:12]}. "
            "Resolve the run again, or put the old files back."
        )
    compute = settle(compute or Compute(), identity)
    use_threads(compute.threads or 1)
    key = key_of(identity, compute)
    with progress.held(one_loads, "waiting for another checkpoint to be loaded"):
        loaded = _loaded.get(key)
        if loaded is None:
            forget()
            loaded = _loaded[key] = _load(source, compute)
        _latest[:] = [loaded]
    return loaded


def key_of(identity: CheckpointIdentity, compute: Compute) -> Hashable:
    """Name what `load` makes: under one key it would be the same in all.

    Args:
        identity: Which checkpoint. Under another name the same content may be of another family, with other defaults.
        compute: Where and how, settled.
    """
    return (computed_by(identity, compute).models(device_name(compute)), compute.offload, identity.family, few_steps(identity))


def forget() -> None:
    """Let go of the checkpoint loaded last; its memory is free once nobody else holds it."""
    with one_loads:
        if _latest:
            _latest.clear()
            gc.unfreeze()  # kernels freeze what they hold, to pass it over
            gc.collect()


def _load(source: Source, compute: Compute) -> Checkpoint:
    device, dtype, family = torch.device(compute.device), DTYPES[compute.dtype], family_of(source.family)
    require_weights_of(source)
    base = load_part(source.base, source.family, dtype, vae_instead(source, compute), compute)
    sizes = family.sizes(base.unet.config, base.vae.config)
    if compute.layerwise:
        keep_in_eight_bits(base.unet, dtype)
    if compute.vae_tiling:
        work_in_tiles(base.vae, sizes)
    residence = Residence(device, _fitting(source, compute) if compute.offload == "auto" else compute.offload)
    told = partial(end_of_memory_told, dtype=dtype, decoder=base.vae.dtype, offload=residence.offload, switches=compute.changing)
    progress.tell(f"moving the base to {device}")
    with told():
        residence.admit(base, MODELS)
    progress.tell("looking through the base's weights")
    watch.add("the loaded base", base, state_of)

    def load_refiner() -> Any:
        if source.refiner is None:
            return None
        refiner = load_part(source.refiner, source.family, dtype, {name: getattr(base, name) for name in SHARED})
        if compute.layerwise:
            keep_in_eight_bits(refiner.unet, dtype)
        progress.tell(f"moving the refiner to {device}")
        with told():
            residence.admit(refiner, ("unet",))
        progress.tell("looking through the refiner's weights")
        watch.add("the loaded refiner", refiner, partial(state_of, less=SHARED))
        return refiner

    return Checkpoint(
        base=base,
        identity=source.identity,
        device=device,
        dtype=dtype,
        offload=residence.offload,
        sizes=sizes,
        refiner_from=family.refiner_from,
        _computed_by=computed_by(source.identity, compute),
        _load_refiner=load_refiner,
    )


def _fitting(source: Source, compute: Compute) -> str:
    """The fastest offloading that fits, with the refiner, where there is one."""
    return fastest_offload(needs_of_any(shapes_of(source, compute.prediction), compute), free_bytes(torch.device(compute.device)))
