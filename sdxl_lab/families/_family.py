"""What is to be said of a family of checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdxl_lab.files.digests import cache_folder

OF_THE_REFINER: Mapping[str, str] = dict.fromkeys(("denoising.high_noise_frac", "denoising.handover", "refiner"), "has no refiner")
"""What of the settings only a refiner gives a meaning, and why a checkpoint has not that one."""

CONFIGURATIONS = Path(__file__).parent / "configurations"
"""Folders in diffusers' layout, of configurations alone, of what was published as single files too."""

Architecture = int | tuple[int, int] | tuple[int, int, str] | None
"""What tells single files apart whose models are built alike: channels; generation and channels; these and the prediction; None of a refiner."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the pictures are that a checkpoint was made for.

    Attributes:
        area: Pixels it was trained at.
        max_area: Pixels it can make.
        multiple: Of which the working size's sides are multiples, in pixels.
        cell_px: Side of a latent cell, in pixels.
    """

    area: int
    max_area: int
    multiple: int
    cell_px: int = 8


@dataclass(frozen=True, kw_only=True)
class Published:
    """Where a checkpoint is on the hub.

    Attributes:
        base: Repository of its base, `owner/name`.
        refiner: The same of its refiner, or None.
        license: What its license is called, and what that asks for in a few words; None if nobody looked.
        configuration: Folder in diffusers' layout that says how its base's models are built, so that what they take is known before they are here;
            None if that has to be asked of the hub.
        differs: What they say otherwise, by the name of the model.
    """

    base: str
    refiner: str | None = None
    license: str | None = None
    configuration: Path | None = None
    differs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Lender:
    """Where single files have from what they do not hold.

    Attributes:
        configuration: Folder in diffusers' layout, with or without weights. A tokenizer in it that has no words of its own reads CLIP's.
        vae: Repository of the VAE for files that hold none; None where it lies in that folder, and of refiners, which take their base's.
    """

    configuration: Path
    vae: str | None = None


@dataclass(frozen=True, kw_only=True)
class Made:
    """A checkpoint that a command makes on this machine, as one file in the lab's cache folder.

    Attributes:
        name: Of the file, inside that folder.
        command: What makes it.
    """

    name: str
    command: str

    @property
    def file(self) -> Path:
        """Where it is once it is made."""
        return cache_folder() / self.name


@dataclass(frozen=True, kw_only=True)
class Distilled:
    """How checkpoints are used that were distilled to few steps in one way.

    Attributes:
        num_inference_steps: What most of them were made for.
        scheduler: What they were published with.
        guidance_scale: Likewise, of those whose UNet is not told it.
        schedulers: What else draws their steps as they were trained to take them.
    """

    num_inference_steps: int
    scheduler: str
    guidance_scale: float = 0.0
    schedulers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LatentColors:
    """How the latents of an autoencoder look at a glance: a linear map from a latent cell to red, green and blue, in [-1, 1] as its decoder has them.

    Attributes:
        matrix: Red, green and blue of each latent channel; the latents are scaled, as the UNets know them.
        bias: Red, green and blue of latents that are zero.
    """

    matrix: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Checkpoints that are loaded and used in one way.

    Attributes:
        names: What people call its checkpoints, and where these are: on the hub, in a folder with a base and perhaps a refiner beside it, or
            where a command makes them.
        recognizes: Whether a folder or file that somebody gives by its path is of this family; nothing of it was checked yet.
        pipelines: Name of diffusers' class by kind of work.
        text_encoders: Names of its base's text encoders in those, the one that pools last.
        told: What those are told as they are made, besides what their configuration says; a component that is None is never loaded.
        sizes: Of a base, by the configurations of its UNet and VAE.
        num_inference_steps: Its own default; likewise `strength` and `guidance_scale`.
        suits: Of `denoising`, what suits its checkpoints for a kind of work otherwise than the task says, by `Task.pipeline`.
        distilled: Words that name those of its checkpoints that were distilled to few steps, and how these are used; empty if there are none.
        downloads: Repositories of the hub that people take for one of its checkpoints and that are none as a whole, and what to do instead.
        moved: Repositories of the hub that are gone, or that their owners closed, to the name of the same checkpoint here.
        refiner_from: Share of the training timesteps from which its refiner was trained on, the least `high_noise_frac`; None if unknown.
        gpu_dtype: What its UNets compute in on a GPU.
        has_half_vae: Whether its VAEs compute in float16, too, whatever their configurations say: those that are older than such a key.
        threads: CPU threads, or None for the machine's own.
        fixed_vae: Repository of the VAE that `compute.vae` `fp16-fix` means, or None.
        shapes: Of some weights of its single files, by the names that the original layout has for them: what a file must hold to be of this family.
        generations: Of Stable Diffusion before XL, all of whose single files are of this family, of any size: 1 and 2; empty elsewhere.
        single_files: Whose configuration a single file shares: of a base by its UNet's input channels, under None of a refiner. Before XL by
            generation and channels, and where the same weights may have been trained on either noise by what they predict as well.
        preview: How its latents look at a glance, or None where nobody knows.
        knows: What its models were trained on, where that is a world of their own, and what to take for other pictures; empty where it is anything.
        lacks: Settings that its checkpoints have not, by dotted path, a section standing for all that is in it: why, as what follows "which", such as
            `has no refiner`.
    """

    pipelines: Mapping[str, str]
    sizes: Callable[[Mapping[str, Any], Mapping[str, Any]], Sizes]
    text_encoders: tuple[str, ...] = ("text_encoder", "text_encoder_2")
    told: Mapping[str, Any] = field(default_factory=lambda: {"add_watermarker": False})
    names: Mapping[str, Path | Published | Made] = field(default_factory=dict)
    recognizes: Callable[[Path], bool] = lambda path: False
    num_inference_steps: int = 70
    strength: float = 0.99
    guidance_scale: float = 7.5
    suits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    distilled: Mapping[str, Distilled] = field(default_factory=dict)
    downloads: Mapping[str, str] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    refiner_from: float | None = None
    gpu_dtype: str = "float16"
    has_half_vae: bool = False
    threads: int | None = None
    fixed_vae: str | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    generations: frozenset[int] = frozenset()
    single_files: Mapping[Architecture, Lender] = field(default_factory=dict)
    preview: LatentColors | None = None
    knows: str = ""
    lacks: Mapping[str, str] = field(default_factory=dict)
