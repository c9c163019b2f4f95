"""What is known of a checkpoint before its weights are loaded: as much as planning needs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from sdxl_lab import families
from sdxl_lab.checkpoints import noise_schedules
from sdxl_lab.checkpoints.configurations import check_configuration, read_json
from sdxl_lab.checkpoints.hub import Repository
from sdxl_lab.checkpoints.locating import configuration, locate
from sdxl_lab.checkpoints.single_files import Part
from sdxl_lab.families import Sizes, family_of
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.settings.sections import Compute, Denoising
from sdxl_lab.spec.computed_by import ComputedBy
from sdxl_lab.spec.identities import CheckpointIdentity


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A checkpoint whose configuration was checked.

    Attributes:
        sizes: As `Checkpoint` has them.
        models: Names the models, once they are loaded.
        in_channels: Input channels of its base's UNet: 9 if it was trained to inpaint.
        has_refiner: Whether there is a refiner.
        configuration: Folder that says what its base is like.
        named: The name under which its base comes with a refiner; None if it has no such name.
        instead: The name of a checkpoint like it that can do every task.
    """

    sizes: Sizes
    models: Hashable
    in_channels: int
    has_refiner: bool
    configuration: Path
    named: str | None = None
    instead: str = "sdxl"

    @cached_property
    def base_scheduler(self) -> Mapping[str, Any]:
        """The configuration of the base's own scheduler."""
        return noise_schedules.completed(self.configuration)

    def makes_as_many_steps_as_asked(self, denoising: Denoising) -> bool:
        """Whether it is known without building the scheduler that it evaluates the UNet once for each step."""
        noise = self._noise(denoising)
        is_known = SCHEDULERS[denoising.scheduler].is_plain and noise_schedules.is_common(noise)
        return is_known and noise_schedules.spends(noise, denoising.num_inference_steps)

    def spaced_evenly(self, denoising: Denoising) -> noise_schedules.EvenlySpaced | None:
        """The timesteps of a scheduler, where they are known without building it."""
        is_even = SCHEDULERS[denoising.scheduler].is_evenly_spaced and not denoising.karras
        is_known = is_even and self.makes_as_many_steps_as_asked(denoising)
        return noise_schedules.EvenlySpaced.of(self._noise(denoising)) if is_known else None

    def _noise(self, denoising: Denoising) -> Mapping[str, Any]:
        return {**self._own_noise, **({"timestep_spacing": denoising.timestep_spacing} if denoising.timestep_spacing else {})}

    @cached_property
    def _own_noise(self) -> Mapping[str, Any]:
        return noise_schedules.written(self.configuration)


def outline(identity: CheckpointIdentity, compute: Compute) -> Outline:
    """Describe a checkpoint without loading its weights.

    Args:
        identity: What `identify` made of its name.
        compute: Where and how, settled.

    Raises:
        CheckpointError: Its configuration is not there, or something of it is odd.
    """
    source = locate(identity.name, identity.revision)
    base = configuration(source.base, source.family, compute.prediction)
    check_configuration(base)
    for part in (base, configuration(source.refiner, source.family) if source.refiner else None):
        if part and not noise_schedules.is_common(noise_schedules.written(part)):
            noise_schedules.completed(part)
    unet = read_json(base / "unet" / "config.json")
    return Outline(
        sizes=family_of(source.family).sizes(unet, read_json(base / "vae" / "config.json")),
        models=computed_by(identity, compute).models(device_name(compute)),
        in_channels=unet["in_channels"],
        has_refiner=source.refiner is not None,
        configuration=base,
        named=_with_refiner(source.base),
        instead=families.for_all_tasks(source.name, source.family),
    )


def _with_refiner(base: Part | Repository) -> str | None:
    published = families.published(base.name) if isinstance(base, Repository) else None
    return published[0] if published and published[1].refiner else None


def computed_by(identity: CheckpointIdentity, compute: Compute) -> ComputedBy:
    """All that changes what a checkpoint's models give, with no adapter on them.

    Args:
        identity: Which checkpoint.
        compute: Where and how, settled.
    """
    return ComputedBy.of(identity.digest, compute, dtype=compute.dtype, threads=compute.threads or 1)


def device_name(compute: Compute) -> str:
    """The one name of a device, as torch writes it."""
    return str(torch.device(compute.device))
