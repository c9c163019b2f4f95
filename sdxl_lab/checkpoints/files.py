"""A checkpoint's part on disk, base or refiner, as a folder in diffusers' layout, checked before it is loaded."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab import progress
from sdxl_lab.checkpoints.configurations import INDEX, MODELS, SHARED, check_configuration, components_in, read_json
from sdxl_lab.checkpoints.licenses import CARD
from sdxl_lab.checkpoints.weight_files import CheckpointError, safe_file
from sdxl_lab.families import FAMILIES, OTHER, Family
from sdxl_lab.files import digests
from sdxl_lab.process.imports import importing

if TYPE_CHECKING:
    import torch

CONFIGURATION = (INDEX, CARD, "scheduler/*.json", "tokenizer/*", "tokenizer_2/*", *(f"{model}/config.json" for model in MODELS))
"""Patterns of the files that say what a pipeline is like, and under which license, without its weights."""

VARIANT = "fp16"
PICKLED = (".bin", ".ckpt", ".pt", ".pth")
INDEX_ENDINGS = (".index.json", f".index.{VARIANT}.json")
SHARD = re.compile(r"[^/\\:\0]+\.safetensors", re.IGNORECASE)
LONGEST_REASON = 300


@dataclass(frozen=True)
class PipelineFolder:
    """A pipeline as diffusers saves it: `model_index.json`, and a folder for each component.

    Of each component the half-precision variant is read if it is there: it is what the hub's repositories are used by, at half the size.

    Attributes:
        path: The folder.
        is_refiner: Whether VAE and text encoders come from the base, and may be missing here.
    """

    path: Path
    is_refiner: bool = False

    @cached_property
    def components(self) -> tuple[str, ...]:
        """Names of the components that the index says are there."""
        return components_in(read_json(self.path / INDEX))

    @cached_property
    def variant(self) -> str | None:
        """`fp16` if any component has files of that variant."""
        return VARIANT if any(self.path.glob(f"*/*.{VARIANT}*.safetensors")) else None

    @property
    def holds_configuration(self) -> bool:
        """Whether what says how its models are built is all there, as part of a repository may not be."""
        if not (self.path / INDEX).is_file():
            return False
        return all((self.path / name / "config.json").is_file() for name in (("unet",) if self.is_refiner else self.models))

    def check(self) -> None:
        """See that everything needed is there and readable.

        Raises:
            CheckpointError: It names what is missing or broken, and what to do.
        """
        check_configuration(self.path, is_refiner=self.is_refiner)
        for component in self.models:
            for file in self.weights(component):
                with safe_file(file):
                    pass

    def looked_at(self) -> list[Path]:
        """All that decides what `check` and `digest` find: the folders and what lies in them.

        Raises:
            OSError: It is no pipeline, or can't be listed.
        """
        (self.path / INDEX).stat()  # else it may be any folder, and hold anything
        folders = [self.path, *(Path(entry.path) for entry in os.scandir(self.path) if entry.is_dir())]
        return [*folders, *(Path(entry.path) for folder in folders for entry in os.scandir(folder) if not entry.is_dir())]

    def digest(self) -> str:
        """sha256, hex, of the files that are read."""
        files = [self.path / INDEX]
        for component in self._needed(self.components):
            inside = sorted(path for path in (self.path / component).iterdir() if path.is_file() and not path.name.startswith("."))
            weights = self.weights(component) if component in MODELS else []
            files += [path for path in inside if path.suffix in (".json", ".txt") and not path.name.endswith(INDEX_ENDINGS)] + weights
        return digests.digest_of(files, root=self.path)

    def choose(self, names: list[str]) -> list[str]:
        """Which files of a repository are read, once its index is here.

        Args:
            names: All of its files, as paths inside it.

        Raises:
            CheckpointError: There are no .safetensors weights for a component.
        """
        chosen = [INDEX]
        for component in self._needed(self.components):
            inside = [name for name in names if name.rpartition("/")[0] == component]
            chosen += [name for name in inside if name.endswith((".json", ".txt")) and not name.endswith(INDEX_ENDINGS)]
            if component in MODELS:
                chosen += self.choose_weights(component, inside)
        return chosen

    def load(self, dtype: torch.dtype, shared: Mapping[str, Any], *, family: Family = FAMILIES[OTHER]) -> Any:
        """The pipeline, its VAE in float32 wherever it needs that to stay exact.

        Args:
            dtype: Of UNet and text encoders.
            shared: Components that are taken instead of this folder's own, as far as its index names them.
            family: Which says what pipeline it becomes.
        """
        progress.tell("loading diffusers")
        kind = pipeline_class(family.pipelines["inpaint"])
        import torch

        given = {name: model for name, model in shared.items() if name in self.components}
        wide_vae = "vae" not in given and needs_float32(read_json(self.path / "vae" / "config.json"), dtype, family)
        dtypes = {"default": dtype, "vae": torch.float32 if wide_vae else dtype}
        with failures_named(self.path, "the refiner" if self.is_refiner else "the base"):
            return kind.from_pretrained(self.path, variant=self.variant, dtype=dtypes, use_safetensors=True, **family.told, **given)

    def load_vae(self, dtype: torch.dtype, family: Family) -> Any:
        """Its VAE alone, in float32 wherever it needs that to stay exact.

        Args:
            dtype: Of the UNet beside it.
            family: Of that.
        """
        import diffusers
        import torch

        wide = torch.float32 if needs_float32(read_json(self.path / "vae" / "config.json"), dtype, family) else dtype
        variant = VARIANT if any(f".{VARIANT}" in file.name for file in self.weights("vae")) else None
        return diffusers.AutoencoderKL.from_pretrained(self.path, subfolder="vae", variant=variant, dtype=wide, use_safetensors=True)

    @property
    def models(self) -> list[str]:
        """Names of the models whose weights are read from here."""
        return self._needed(MODELS)

    def _needed(self, names: tuple[str, ...]) -> list[str]:
        return [name for name in names if name in self.components and not (self.is_refiner and name in SHARED)]

    def choose_weights(self, component: str, names: list[str]) -> list[str]:
        """The weight files of a component among the names of its files: one, or shards and their index."""
        stem = f"{component}/{_stem(component)}"
        for middle in (f".{VARIANT}", ""):
            if (single := f"{stem}{middle}.safetensors") in names:
                return [single]
            if (index := f"{stem}.safetensors.index{middle}.json") in names:
                return [index, *(name for name in names if name.startswith(f"{stem}{middle}-") and name.endswith(".safetensors"))]
        raise CheckpointError(
            f"{component} has no .safetensors weights there, only {', '.join(names) or 'nothing'}; take a checkpoint that has them."
        )

    def weights(self, component: str) -> list[Path]:
        """The weight files of a component: one, or the shards that its index names.

        Raises:
            CheckpointError: There are none that are .safetensors.
        """
        folder, stem = self.path / component, _stem(component)
        for middle in (f".{VARIANT}", ""):
            if (single := folder / f"{stem}{middle}.safetensors").is_file():
                return [single]
            if (index := folder / f"{stem}.safetensors.index{middle}.json").is_file():
                return [folder / name for name in shards_in(index)]
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
        if pickled:
            raise CheckpointError(
                f"{folder} holds pickled weights alone ({', '.join(pickled)}), which can run code when they are loaded; only .safetensors are read. "
                "Take the checkpoint's .safetensors files, or convert it on a machine you trust with diffusers' save_pretrained."
            )
        raise CheckpointError(f"{folder / stem}.safetensors is missing; copy or download the checkpoint again.")


def digest_of_parts(parts: list[str | None]) -> str:
    """One digest, hex, for base and refiner."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def pipeline_class(class_name: str) -> Any:
    """A pipeline's class, once all schedulers are imported: it does that itself, to look which ones could take its scheduler's place."""
    with importing:
        import diffusers
        from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers

        for scheduler in KarrasDiffusionSchedulers:
            getattr(diffusers, scheduler.name, None)
        return getattr(diffusers, class_name)


def shards_in(index: Path) -> list[str]:
    """Names of the files that an index says a model is cut into."""
    weight_map = read_json(index).get("weight_map")
    names = list(weight_map.values()) if isinstance(weight_map, dict) else []
    if not names or not all(isinstance(name, str) and SHARD.fullmatch(name) for name in names):
        raise CheckpointError(f"{index} names no shards; its weight_map must name .safetensors files beside it: copy or download it again.")
    return sorted(set(names))


def _stem(component: str) -> str:
    """What a component's weight files are called, as transformers and diffusers save them."""
    return "model" if component.startswith("text") else "diffusion_pytorch_model"


def needs_float32(vae_config: Mapping[str, Any], dtype: torch.dtype | str, family: Family) -> bool:
    """Whether a VAE overflows (float16) or bands (bfloat16) in a dtype.

    Args:
        vae_config: What its config.json says.
        dtype: Its name, with or without torch's before it.
        family: The checkpoint's.
    """
    return str(dtype).endswith("bfloat16") or (not family.has_half_vae and bool(vae_config.get("force_upcast", True)))


@contextlib.contextmanager
def failures_named(path: Path, name: str) -> Iterator[None]:
    """Loading without the libraries' progress bars, and with an error that says what failed."""
    from diffusers.loaders.single_file_utils import SingleFileComponentError
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    bar = diffusers_logging.tqdm
    diffusers_logging.tqdm = partial(_telling, bar, f"loading {name}")
    try:
        yield
    except (OSError, TypeError, ValueError, RuntimeError, KeyError, SingleFileComponentError) as error:
        if "meta tensor" in str(error):  # weights that no file filled
            raise CheckpointError(f"{path} lacks weights of its UNet or its VAE; download it again, or take another file of it.") from error
        reason = " ".join(str(error).split())[:LONGEST_REASON].rstrip(".")
        raise CheckpointError(f"{path} cannot be loaded: {reason}. Compare it with its source, or download it again.") from error
    finally:
        diffusers_logging.tqdm = bar
        diffusers_logging.enable_progress_bar()
        transformers_logging.enable_progress_bar()


def _telling(bar: Any, what: str, *args: Any, **kwargs: Any) -> Any:
    """In place of diffusers' bar over the components of a pipeline, pairs of a name and a class; its other bars as they are."""
    if not args or not str(kwargs.get("desc", "")).startswith("Loading pipeline components"):
        return bar(*args, **kwargs)
    return _told(list(args[0]), what)


def _told(pairs: list[tuple[str, Any]], what: str) -> Iterator[tuple[str, Any]]:
    for number, pair in enumerate(pairs, 1):
        progress.tell(f"{what}: {pair[0]}", done=number, total=len(pairs), unit="component")
        yield pair
