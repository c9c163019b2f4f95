"""A loaded checkpoint: its pipelines, where and how they compute, and what they were trained for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock, RLock, get_ident
from typing import Any

import torch

from sdxl_lab import progress
from sdxl_lab.adapters import ADAPTERS, Put
from sdxl_lab.checkpoints.own_defaults import few_steps, traits_of
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.families import Sizes
from sdxl_lab.spec.cautions import Traits
from sdxl_lab.spec.computed_by import ComputedBy
from sdxl_lab.spec.identities import CheckpointIdentity

one_loads = RLock()
"""One thread loads at a time: what others ask for may be the same, and libraries that load set torch's default dtype for the whole process."""


class Turn:
    """Whose turn it is to compute with some models: one picture's at a time."""

    def __init__(self) -> None:
        self._lock, self._holder = Lock(), 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have it while a block lasts. Another thread that has it is waited for.

        Raises:
            CheckpointError: This thread has it, as in a picture's `on_step`.
        """
        if self._holder == get_ident():
            raise CheckpointError(
                "another picture of these models is being made by this thread, whose on_step may have asked for this one; make this one after it"
            )
        with progress.held(self._lock, "waiting for another picture of these models"):
            self._holder = get_ident()
            try:
                yield
            finally:
                self._holder = 0


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
        in_use: Taken by whoever computes with its models, one picture at a time: where they wait and what is set on them is theirs alone.
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
    in_use: Turn = field(default_factory=Turn, repr=False)

    @cached_property
    def refiner(self) -> Any:
        """The refiner's pipeline, loaded when first asked for, sharing VAE and text_encoder_2 with the base; None if there is none."""
        with progress.held(one_loads, "waiting for another checkpoint to be loaded"):
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
        """Have the adapters on the models while a stage is at work, by whoever has `in_use`.

        Args:
            role: Which one, `base` or `refiner`: they share a text encoder, and what is on it may be for one of them alone.

        Yields:
            What a stage uses instead of a pipeline's own components, by the `id` of these.
        """
        pipelines = [self.base, *([refiner] if (refiner := vars(self).get("refiner")) else [])]
        with ExitStack() as stack:
            instead: dict[int, Any] = {}
            for kind in dict.fromkeys([*(one.kind for one in self.adapters), *ADAPTERS]):
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
