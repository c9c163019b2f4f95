"""A checkpoint's part on disk, base or refiner: a folder in diffusers' layout or one .safetensors file, checked before it is loaded."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab import progress
from sdxl_lab.checkpoints.configurations import INDEX, MODELS, SHARED, check_configuration, components_in, read_json
from sdxl_lab.checkpoints.licenses import CARD
from sdxl_lab.checkpoints.weight_files import BASE, REFINER, SUFFIX, CheckpointError, require_kind, safe_file, shapes_in
from sdxl_lab.files import digests
from sdxl_lab.process.imports import importing

if TYPE_CHECKING:
    import torch

CONFIGURATION = (INDEX, CARD, "scheduler/*.json", "tokenizer/*", "tokenizer_2/*", *(f"{model}/config.json" for model in MODELS))
"""Patterns of the files that say what a pipeline is like, and under which license, without its weights."""

PIPELINE = "StableDiffusionXLInpaintPipeline"
VARIANT = "fp16"
PICKLED = (".bin", ".ckpt", ".pt", ".pth")
INDEX_ENDINGS = (".index.json", f".index.{VARIANT}.json")
SHARD = re.compile(r"[\w.-]+\.safetensors")
FIRST_LAYER = "model.diffusion_model.input_blocks.0.0.weight"
LONGEST_REASON = 300
VAE_PREFIX = "first_stage_model."


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
        needed = [f"{name}/config.json" for name in (("unet",) if self.is_refiner else MODELS)]
        return all((self.path / name).is_file() for name in (INDEX, *needed))

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
                chosen += self._choose_weights(component, inside)
        return chosen

    def load(self, dtype: torch.dtype, shared: Mapping[str, Any], *, class_name: str = PIPELINE) -> Any:
        """The pipeline, its VAE in float32 wherever it needs that to stay exact.

        Args:
            dtype: Of UNet and text encoders.
            shared: Components that are taken instead of this folder's own, as far as its index names them.
            class_name: Of the pipeline in diffusers.
        """
        progress.tell("loading diffusers")
        kind = _imported(class_name)
        import torch

        given = {name: model for name, model in shared.items() if name in self.components}
        wide_vae = "vae" not in given and needs_float32(read_json(self.path / "vae" / "config.json"), str(dtype))
        dtypes = {"default": dtype, "vae": torch.float32 if wide_vae else dtype}
        with _failures_named(self.path, "the refiner" if self.is_refiner else "the base"):
            return kind.from_pretrained(self.path, variant=self.variant, dtype=dtypes, use_safetensors=True, add_watermarker=False, **given)

    @property
    def models(self) -> list[str]:
        """Names of the models whose weights are read from here."""
        return self._needed(MODELS)

    def _needed(self, names: tuple[str, ...]) -> list[str]:
        return [name for name in names if name in self.components and not (self.is_refiner and name in SHARED)]

    def _choose_weights(self, component: str, names: list[str]) -> list[str]:
        """The weight files of a component: one, or shards and their index."""
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
                return [folder / name for name in _shards(index)]
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
        if pickled:
            raise CheckpointError(
                f"{folder} holds pickled weights alone ({', '.join(pickled)}), which can run code when they are loaded; only .safetensors are read. "
                "Take the checkpoint's .safetensors files, or convert it on a machine you trust with diffusers' save_pretrained."
            )
        raise CheckpointError(f"{folder / stem}.safetensors is missing; copy or download the checkpoint again.")


@dataclass(frozen=True)
class SingleFile:
    """All of a pipeline in one .safetensors file, in the layout Stable Diffusion XL was published in.

    Attributes:
        path: The file.
        is_refiner: Whether VAE and text encoders come from the base.
    """

    path: Path
    is_refiner: bool = False

    @cached_property
    def in_channels(self) -> int:
        """Input channels of its UNet: 9 if it was trained to inpaint.

        Raises:
            CheckpointError: It is no whole file, or of another kind.
        """
        shapes = shapes_in(self.path)
        require_kind(self.path, shapes, REFINER if self.is_refiner else BASE)
        for part, first in (("UNet", FIRST_LAYER), ("VAE", VAE_PREFIX)):
            if not (self.is_refiner and part == "VAE") and not any(name.startswith(first) for name in shapes):
                raise CheckpointError(f"{self.path} holds no {part}, no weight called {first}...; take a file that holds all parts.")
        return shapes[FIRST_LAYER][1]

    def check(self) -> None:
        """See that the file is whole, and a base or a refiner of Stable Diffusion XL as is needed.

        Raises:
            CheckpointError: It is not.
        """
        if self.in_channels not in (4, 9):
            raise CheckpointError(f"{self.path} takes {self.in_channels} channels; allowed are 4 or 9: a UNet for pictures, or one for inpainting.")

    def looked_at(self) -> list[Path]:
        """All that decides what `check` and `digest` find: the file."""
        return [self.path]

    def digest(self) -> str:
        """sha256, hex, of the file."""
        return digests.digest_of([self.path], root=self.path.parent)

    def load(self, dtype: torch.dtype, shared: Mapping[str, Any], *, configuration: Path, class_name: str = PIPELINE) -> Any:
        """The pipeline, its VAE in float32 wherever it needs that to stay exact.

        Args:
            dtype: Of UNet and text encoders.
            shared: Components that are taken instead of the file's own, as far as the configuration names them.
            configuration: A folder in diffusers' layout, without weights: what the file does not say of itself.
            class_name: Of the pipeline in diffusers.
        """
        progress.tell("loading diffusers")
        kind = _imported(class_name)
        import diffusers
        import torch

        layout = PipelineFolder(configuration)
        given = {name: model for name, model in shared.items() if name in layout.components}
        with _failures_named(self.path, "the refiner" if self.is_refiner else "the base"), _lower_case(self.path) as path:
            # The pipeline's method has one dtype for all models, and what it has rounded stays rounded.
            if "vae" not in given and needs_float32(read_json(configuration / "vae" / "config.json"), str(dtype)):
                given["vae"] = diffusers.AutoencoderKL.from_single_file(str(path), config=str(configuration), subfolder="vae", dtype=torch.float32)
            return kind.from_single_file(str(path), config=str(configuration), dtype=dtype, add_watermarker=False, **given)


Part = PipelineFolder | SingleFile


def digest_of_parts(parts: list[str | None]) -> str:
    """One digest, hex, for base and refiner."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _imported(class_name: str) -> Any:
    """A pipeline's class, once all schedulers are imported: it does that itself, to look which ones could take its scheduler's place."""
    with importing:
        import diffusers
        from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers

        for scheduler in KarrasDiffusionSchedulers:
            getattr(diffusers, scheduler.name, None)
        return getattr(diffusers, class_name)


@contextlib.contextmanager
def _lower_case(path: Path) -> Iterator[Path]:
    """A file under a name that ends in .safetensors: diffusers takes it for a pickle where the ending is in capitals."""
    if path.suffix == SUFFIX:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"{path.stem}{SUFFIX}"
        try:
            link.symlink_to(path.absolute())
        except OSError as error:
            raise CheckpointError(f"{path} ends in capitals, and this system makes no link to it ({error}); rename it to {link.name}.") from error
        yield link


def _shards(index: Path) -> list[str]:
    """Names of the files that an index says a model is cut into."""
    weight_map = read_json(index).get("weight_map")
    names = list(weight_map.values()) if isinstance(weight_map, dict) else []
    if not names or not all(isinstance(name, str) and SHARD.fullmatch(name) for name in names):
        raise CheckpointError(f"{index} names no shards; its weight_map must name .safetensors files beside it: copy or download it again.")
    return sorted(set(names))


def _stem(component: str) -> str:
    """What a component's weight files are called, as transformers and diffusers save them."""
    return "model" if component.startswith("text") else "diffusion_pytorch_model"


def needs_float32(vae_config: Mapping[str, Any], dtype: str) -> bool:
    """Whether a VAE overflows (float16) or bands (bfloat16) in a dtype.

    Args:
        vae_config: What its config.json says.
        dtype: Its name, with or without torch's before it.
    """
    return dtype.endswith("bfloat16") or bool(vae_config.get("force_upcast", True))


@contextlib.contextmanager
def _failures_named(path: Path, name: str) -> Iterator[None]:
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
