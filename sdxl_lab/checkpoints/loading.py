"""Checkpoints: a name, folder, single file or hub id becomes a base and a refiner, on the right device in the right dtype."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from threading import RLock
from typing import Any
from weakref import WeakValueDictionary

import torch

from sdxl_lab import progress
from sdxl_lab.adapters import ADAPTERS, Put
from sdxl_lab.checkpoints.configurations import MODELS, SHARED
from sdxl_lab.checkpoints.hub import Repository
from sdxl_lab.checkpoints.locating import HUB_ID, Source, configuration, identify, locate
from sdxl_lab.checkpoints.memory import end_of_memory_told, free_bytes
from sdxl_lab.checkpoints.model_state import state_of
from sdxl_lab.checkpoints.needs import fastest_offload, needs_of
from sdxl_lab.checkpoints.offload import Residence
from sdxl_lab.checkpoints.outlines import Outline, computed_by, device_name, outline
from sdxl_lab.checkpoints.own_defaults import defaults, few_steps, suited, traits, traits_of
from sdxl_lab.checkpoints.shapes import shapes_of
from sdxl_lab.checkpoints.single_files import Part, SingleFile
from sdxl_lab.checkpoints.thrift import keep_in_eight_bits, work_in_tiles
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.checkpoints.whole_weights import is_known_whole, remember_whole, require_filled, require_whole, require_whole_file
from sdxl_lab.families import Family, Sizes, family_of
from sdxl_lab.process.threads import machine_threads, use_threads
from sdxl_lab.process.unchanged import watch
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.cautions import Traits
from sdxl_lab.spec.computed_by import ComputedBy
from sdxl_lab.spec.resolved_spec import CheckpointIdentity

__all__ = [
    "HUB_ID",
    "Checkpoint",
    "CheckpointError",
    "Outline",
    "Sizes",
    "defaults",
    "few_steps",
    "forget",
    "identify",
    "load",
    "on_this_machine",
    "outline",
    "settle",
    "suited",
    "traits",
]

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

LOADS = 5
"""How often a checkpoint is read while another thread disturbs that."""

_loading = RLock()
"""One thread loads at a time: what others ask for may be the same, and libraries that load set torch's default dtype for the whole process."""

_loaded: WeakValueDictionary[Hashable, Checkpoint] = WeakValueDictionary()
_latest: list[Checkpoint] = []
"""One is kept for the next run, since two of SDXL's size fill most GPUs; those before it last as long as somebody holds on to them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """Loaded models, and what they were trained for.

    Attributes:
        base: The base's pipeline.
        identity: Which checkpoint this is, by content.
        device: Where it computes.
        dtype: What the UNets and text encoders compute in. The VAE may be wider.
        offload: What leaves the GPU while it waits: `none`, `model`, `sequential` or `group`.
        sizes: How large the pictures are that it was made for.
        refiner_from: The smallest `high_noise_frac` its refiner was trained for, or None if unknown.
        adapters: What is on the models while a picture is made, and only then.
        in_use: Held by whoever computes with its models, one picture at a time: where they wait and what is set on them is theirs alone.
    """

    base: Any = field(repr=False)
    identity: CheckpointIdentity
    device: torch.device
    dtype: torch.dtype
    offload: str
    sizes: Sizes
    refiner_from: float | None
    _computed_by: ComputedBy
    _load_refiner: Callable[[], Any] = field(repr=False)
    adapters: tuple[Put, ...] = ()
    in_use: RLock = field(default_factory=RLock, repr=False)

    @cached_property
    def refiner(self) -> Any:
        """The refiner's pipeline, loaded when first asked for, sharing VAE and text_encoder_2 with the base; None if there is none."""
        with progress.held(_loading, "waiting for another checkpoint to be loaded"):
            if "refiner" not in vars(self):  # another thread may have loaded it meanwhile
                vars(self)["refiner"] = self._load_refiner()
            return vars(self)["refiner"]

    def with_adapters(self, adapters: Sequence[Put]) -> Checkpoint:
        """The same models, for pictures that are made with adapters on them; without any, itself.

        Args:
            adapters: In the order of `ResolvedSpec.adapters`.
        """
        if not adapters:
            return self
        named = replace(self._computed_by, adapters=tuple(one.digest for one in adapters))
        return replace(self, adapters=tuple(adapters), _computed_by=named, _load_refiner=lambda: self.refiner)

    @contextmanager
    def adapted(self, role: str) -> Iterator[Mapping[int, Any]]:
        """Have the adapters on the models while a stage is at work, by whoever holds `in_use`.

        Args:
            role: Which one, `base` or `refiner`: they share a text encoder, and what is on it may be for one of them alone.

        Yields:
            What a stage uses instead of a pipeline's own components, by the `id` of these.
        """
        pipelines = [self.base, *([refiner] if (refiner := vars(self).get("refiner")) else [])]
        with ExitStack() as stack:
            instead: dict[int, Any] = {}
            for kind in dict.fromkeys(one.kind for one in self.adapters):
                instead |= stack.enter_context(ADAPTERS[kind].on(pipelines, [one for one in self.adapters if one.kind == kind], role))
            yield instead

    def in_text(self, role: str) -> Hashable:
        """Name what of the adapters changes what a stage's text encoders make of a text.

        Args:
            role: As for `adapted`.
        """
        found = (ADAPTERS[one.kind].in_text(one, role) for one in self.adapters)
        return frozenset(content for content in found if content is not None)

    @property
    def computed_by(self) -> ComputedBy:
        """All that changes what its models give, with as many threads as the process has now."""
        return replace(self._computed_by, threads=torch.get_num_threads())

    @property
    def switches(self) -> Mapping[str, Any]:
        """What of `Compute` besides dtype and threads changes what its models give, as it is set."""
        return dict(self._computed_by.switches)

    @property
    def traits(self) -> Traits:
        """What is known of it, for `cautions`: of its refiner only once that is loaded."""
        refiner = self.__dict__.get("refiner")
        return traits_of(
            self.base.unet.config,
            self.base.scheduler.config,
            refiner.scheduler.config if refiner else {},
            area=self.sizes.area,
            few_steps=few_steps(self.identity),
            refiner_from=self.refiner_from,
            has_refiner=True if refiner else None,
            refiner_takes_scores=refiner and bool(refiner.config.requires_aesthetics_score),
        )


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
    if compute.weights:
        _require_choice(identity, compute.weights)
    if compute.layerwise and kind == "mps":
        raise CheckpointError("compute.layerwise is 'fp8', and Apple's GPUs know no numbers of 8 bits; leave it out, or offload.")
    family, dtype = family_of(identity.family), compute.dtype
    if dtype == "auto":
        dtype = "float32" if kind == "cpu" else family.gpu_dtype
    threads = compute.threads or family.threads or machine_threads()
    return compute.model_copy(update={"device": device, "dtype": dtype, "threads": threads, "offload": offload})


def _require_choice(identity: CheckpointIdentity, weights: str) -> None:
    """See that a checkpoint lets its UNet's weights be chosen, and has those that are asked for."""
    base = locate(identity.name, identity.revision).base
    if not isinstance(base, SingleFile):
        raise CheckpointError(
            f"compute.weights is {weights!r}, but {identity.name} is in diffusers' layout, which holds one set of weights and does not say which; "
            "leave it out, or give a single file that holds both."
        )
    base.unet(weights)


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
    with progress.held(_loading, "waiting for another checkpoint to be loaded"):
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
    with _loading:
        if _latest:
            _latest.clear()
            gc.unfreeze()  # kernels freeze what they hold, to pass it over
            gc.collect()


def require_weights(identity: CheckpointIdentity) -> None:
    """See that a checkpoint's files lack no weight: a second for models of SDXL's size, after imports that take several.

    Args:
        identity: What `identify` made of its name. What comes from the hub is looked at when it is loaded.

    Raises:
        CheckpointError: One is missing, or of another shape than its configuration asks for.
    """
    _require_whole(locate(identity.name, identity.revision))


def tokenizers(identity: CheckpointIdentity) -> tuple[Path, ...]:
    """Find the tokenizers that a checkpoint's prompts go through; the refiner shares what they make of them.

    Args:
        identity: What `identify` made of its name.

    Returns:
        Their folders.

    Raises:
        CheckpointError: Its configuration is not there.
    """
    source = locate(identity.name, identity.revision)
    base = configuration(source.base, source.family)
    return tuple(folder for name in ("tokenizer", "tokenizer_2") if (folder := base / name).is_dir())


def _load(source: Source, compute: Compute) -> Checkpoint:
    device, dtype, family = torch.device(compute.device), DTYPES[compute.dtype], family_of(source.family)
    _require_whole(source)
    base = _load_part(source.base, source.family, dtype, _vae_instead(source, compute), compute.weights)
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
        refiner = _load_part(source.refiner, source.family, dtype, {name: getattr(base, name) for name in SHARED})
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
    shapes = shapes_of(source)
    needs = needs_of(shapes, compute, pixels=shapes.sizes.max_area, is_refined=source.refiner is not None)
    return fastest_offload(needs, free_bytes(torch.device(compute.device)))


def _require_whole(source: Source) -> None:
    """See that what is here lacks no weight; what comes from the hub is looked at once it is here."""
    parts = [part for part in (source.base, source.refiner) if isinstance(part, Part)]
    if parts and not is_known_whole(source.identity.digest):
        for part in parts:
            if isinstance(part, SingleFile):
                require_whole_file(part, configuration(part, source.family))
            else:
                require_whole(part)
        remember_whole(source.identity.digest)


def _load_part(part: Part | Repository, family: str, dtype: torch.dtype, shared: dict[str, Any], weights: str | None = None) -> Any:
    class_name = family_of(family).pipelines["inpaint"]
    if isinstance(part, Repository):
        part = part.fetch()
        require_whole(part)
    for _ in range(LOADS):
        if isinstance(part, SingleFile):
            pipeline = part.load(dtype, shared, configuration=configuration(part, family), class_name=class_name, weights=weights)
            require_filled(pipeline, part.path)
        else:
            pipeline = part.load(dtype, shared, class_name=class_name)
        if _is_of(pipeline, dtype):
            return pipeline
    raise CheckpointError(
        "while the checkpoint was loaded, another thread set torch's default dtype again and again; load it before that one begins."
    )


def _is_of(pipeline: Any, dtype: torch.dtype) -> bool:
    """Whether its text encoders have the dtype they were asked for: transformers makes them of the process's default dtype."""
    encoders = [encoder for name in ("text_encoder", "text_encoder_2") if (encoder := getattr(pipeline, name, None)) is not None]
    return all(weight.dtype == dtype for encoder in encoders for weight in encoder.parameters())


def _vae_instead(source: Source, compute: Compute) -> dict[str, Any]:
    """The VAE that is loaded in place of the base's own, if any is."""
    dtype = DTYPES[compute.dtype]
    if compute.vae == "fp16-fix":
        return {"vae": _fixed_vae(family_of(source.family), dtype)}
    if source.lent_vae is None:
        return {}
    folder = source.lent_vae.fetch_vae() if isinstance(source.lent_vae, Repository) else source.lent_vae
    return {"vae": folder.load_vae(dtype)}


def _fixed_vae(family: Family, dtype: torch.dtype) -> Any:
    """The VAE that decodes in half precision."""
    if family.fixed_vae is None:
        raise CheckpointError("compute.vae is 'fp16-fix', but the checkpoint's family has no such VAE; leave it out.")
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(Repository(family.fixed_vae).fetch_files("config.json", "diffusion_pytorch_model.safetensors"), dtype=dtype)
