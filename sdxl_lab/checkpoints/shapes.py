"""What is known of a checkpoint's models by their shapes, as much as their size depends on: nothing is downloaded, no weights are read, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sdxl_lab import families
from sdxl_lab.checkpoints.configurations import check_configuration, read_json
from sdxl_lab.checkpoints.files import PipelineFolder, needs_float32
from sdxl_lab.checkpoints.hub import NotCachedError, Repository, only_cached
from sdxl_lab.checkpoints.layers import REFINER, Layers, UNetShape, layers_in, layers_of, unet_shape
from sdxl_lab.checkpoints.locating import Source, lender_of
from sdxl_lab.checkpoints.single_files import Part
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.families import Sizes, family_of
from sdxl_lab.settings.sections import Compute

Configurations = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """The models of a checkpoint, by name, the refiner's UNet as `refiner`.

    Attributes:
        layers: All of a model's layers.
        unets: The shapes of the UNets.
        vae: The VAE's configuration.
        sizes: How large pictures are.
        family: As in `CheckpointIdentity`.
        known_by: What told: `files`, `configurations`, or `name`, of published ones that are not here.
    """

    layers: Mapping[str, Layers]
    unets: Mapping[str, UNetShape]
    vae: Mapping[str, Any]
    sizes: Sizes
    family: str
    known_by: str

    def dtype(self, compute: Compute) -> str:
        """What its UNets and text encoders compute in on a GPU."""
        return family_of(self.family).gpu_dtype if compute.dtype == "auto" else compute.dtype

    def vae_dtype(self, compute: Compute) -> str:
        """What its VAE computes in there."""
        dtype = self.dtype(compute)
        return "float32" if compute.vae is None and needs_float32(self.vae, dtype, family_of(self.family)) else dtype


def shapes_of(source: Source, prediction: str | None = None) -> Shapes:
    """Look at the shapes of a checkpoint's models: at the headers of its files where they are here, else at its configurations.

    Args:
        source: Where it is. The hub is asked for nothing: the local cache tells, and of published checkpoints the name does.
        prediction: As `compute.prediction` has it.

    Raises:
        CheckpointError: Something of it is broken, or neither is here.
    """
    with only_cached():
        family = source.family
        layers, told, known_by = _known(source.base, source, prediction)
        if source.refiner is not None:
            of_refiner, refined, _ = _known(source.refiner, source)
            layers, told = {**layers, REFINER: of_refiner["unet"]}, {**told, REFINER: refined["unet"]}
    _ = layers_of({"vae": told["vae"]})  # which sees that its numbers are some
    return Shapes(
        layers=layers,
        unets={name: unet_shape(name, told[name]) for name in ("unet", REFINER) if name in told},
        vae=told["vae"],
        sizes=family_of(family).sizes(told["unet"], told["vae"]),
        family=family,
        known_by=known_by,
    )


def _known(part: Part | Repository, source: Source, prediction: str | None = None) -> tuple[Mapping[str, Layers], Configurations, str]:
    """A part's layers, its configurations, and what told them."""
    if isinstance(part, Repository):
        return _of_repository(part, source)
    if isinstance(part, PipelineFolder):
        check_configuration(part.path, is_refiner=part.is_refiner)
        return layers_in(part), _configurations(part), "files"
    layers = layers_in(part)
    told = _configurations(PipelineFolder(lender_of(part, source.family, part.predicts(prediction)).configuration, part.is_refiner))
    if _count(layers_of({"unet": told["unet"]})["unet"]) != _count(layers["unet"]):
        raise CheckpointError(f"{part.path} does not say how its models are built; give the checkpoint's folder in diffusers' layout.")
    if not part.is_refiner and "vae" not in layers:  # it is lent one
        layers |= layers_of({"vae": told["vae"]})
    return layers, told, "files"


def _of_repository(part: Repository, source: Source) -> tuple[Mapping[str, Layers], Configurations, str]:
    try:
        folder = replace(part, revision=part.commit).cached()
    except NotCachedError:
        folder = None
    if folder is not None and (here := PipelineFolder(folder, part.is_refiner)).holds_configuration:
        told = _configurations(here)
        try:
            return layers_in(here), told, "files"
        except CheckpointError:  # the weights are not here yet
            return layers_of(told), told, "configurations"
    told = _published(source.base, is_refiner=part.is_refiner)
    if told is None:
        if moved := part.moved():
            raise NotCachedError(f"{part.name} is not in the local cache.{moved}")
        raise NotCachedError(
            f"{part.name} is not in the local cache, and to look at its size nothing is downloaded. Run `hf download {part.name} "
            "--include '*.json'`, which is small, or give sdxl, sd21 or sd15: what has the architecture of one of them takes as much."
        )
    return layers_of(told), told, "name"


def _configurations(part: PipelineFolder) -> Configurations:
    return {name: read_json(part.path / name / "config.json") for name in part.models}


def _published(base: Part | Repository, *, is_refiner: bool = False) -> Configurations | None:
    """What the models of a checkpoint are like that was published under a name here, by its base; None of any other."""
    published = families.published(base.name) if isinstance(base, Repository) else None
    named = published and families.named(published[0])
    if not published or not named or published[1].configuration is None:
        return None
    if is_refiner:
        lender = family_of(named[0]).single_files.get(None)
        return _configurations(PipelineFolder(lender.configuration, is_refiner=True)) if lender else None
    told = _configurations(PipelineFolder(published[1].configuration))
    return {name: {**says, **published[1].differs.get(name, {})} for name, says in told.items()}


def _count(layers: Layers) -> int:
    return sum(layer.numbers for layer in layers)
