"""What is known of a checkpoint before its weights are loaded: as much as planning needs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from sdxl_lab.checkpoints import noise_schedules
from sdxl_lab.checkpoints.configurations import check_configuration, read_json
from sdxl_lab.checkpoints.locating import configuration, locate
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.settings.sections import Compute, Denoising
from sdxl_lab.spec.computed_by import ComputedBy
from sdxl_lab.spec.resolved_spec import CheckpointIdentity

SMALL_SIDE_PX = 512
"""Checkpoints trained below this side are pocket-like: sides in multiples of 8, and half as much area again for an extended picture."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the pictures are that a checkpoint was made for.

    Attributes:
        area: Pixels it was trained at.
        max_area: Pixels it can make.
        multiple: Of which the working size's sides are multiples, in pixels.
    """

    area: int
    max_area: int
    multiple: int

    @classmethod
    def of(cls, unet_config: Mapping[str, Any], vae_config: Mapping[str, Any]) -> Sizes:
        """Those of a base, by the configurations of its UNet and VAE."""
        side_px = unet_config["sample_size"] * 2 ** (len(vae_config["block_out_channels"]) - 1)
        small = side_px < SMALL_SIDE_PX
        return cls(area=side_px**2, max_area=side_px**2 * 3 // 2 if small else side_px**2, multiple=8 if small else 64)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A checkpoint whose configuration was checked.

    Attributes:
        sizes: As `Checkpoint` has them.
        models: Names the models, once they are loaded.
        has_refiner: Whether there is a refiner.
        configuration: Folder that says what its base is like.
    """

    sizes: Sizes
    models: Hashable
    has_refiner: bool
    configuration: Path

    @cached_property
    def base_scheduler(self) -> Mapping[str, Any]:
        """The configuration of the base's own scheduler."""
        return noise_schedules.completed(self.configuration)

    def makes_as_many_steps_as_asked(self, denoising: Denoising) -> bool:
        """Whether it is known without building the scheduler that it evaluates the UNet once for each step."""
        is_known = SCHEDULERS[denoising.scheduler].is_plain and noise_schedules.is_common(self._noise)
        return is_known and denoising.num_inference_steps <= self._noise["num_train_timesteps"]

    @cached_property
    def _noise(self) -> Mapping[str, Any]:
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
    base = configuration(source.base)
    check_configuration(base)
    for part in (base, configuration(source.refiner) if source.refiner else None):
        if part and not noise_schedules.is_common(noise_schedules.written(part)):
            noise_schedules.completed(part)
    return Outline(
        sizes=Sizes.of(read_json(base / "unet" / "config.json"), read_json(base / "vae" / "config.json")),
        models=computed_by(identity, compute).models(device_name(compute)),
        has_refiner=source.refiner is not None,
        configuration=base,
    )


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
