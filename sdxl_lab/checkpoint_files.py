"""A checkpoint's part on disk, base or refiner: a folder in diffusers' layout or one .safetensors file, checked before it is loaded."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab import digests
from sdxl_lab.errors import LabError

if TYPE_CHECKING:
    import torch

INDEX = "model_index.json"
MODELS = ("unet", "vae", "text_encoder", "text_encoder_2")
SHARED = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
"""What a refiner takes from its base, as far as its index names it at all."""

CONFIGURATION = (INDEX, "scheduler/*.json", "tokenizer/*", "tokenizer_2/*", *(f"{model}/config.json" for model in MODELS))
"""Patterns of the files that say what a pipeline is like, without its weights."""

VARIANT = "fp16"
LIBRARIES = ("diffusers", "transformers")
PICKLED = (".bin", ".ckpt", ".pt", ".pth")
INDEX_ENDINGS = (".index.json", f".index.{VARIANT}.json")
SHARD = re.compile(r"[\w.-]+\.safetensors")
FIRST_LAYER = "model.diffusion_model.input_blocks.0.0.weight"


class CheckpointError(LabError):
    """A checkpoint that is not there, not whole, or not one this lab can use."""


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
        index = read_json(self.path / INDEX)
        return tuple(name for name, value in index.items() if not name.startswith("_") and isinstance(value, list) and value and value[0] is not None)

    @cached_property
    def variant(self) -> str | None:
        """`fp16` if any component has files of that variant."""
        return VARIANT if any(self.path.glob(f"*/*.{VARIANT}*.safetensors")) else None

    def check(self) -> None:
        """See that everything needed is there and readable.

        Raises:
            CheckpointError: It names what is missing or broken, and what to do.
        """
        index = read_json(self.path / INDEX)
        foreign = [name for name in self.components if index[name][0] not in LIBRARIES]
        if foreign:
            raise CheckpointError(
                f"{self.path / INDEX} takes {foreign[0]} from {index[foreign[0]][0]!r}; allowed are {' and '.join(LIBRARIES)}: a checkpoint brings "
                "no code of its own."
            )
        for component in ("unet", *(() if self.is_refiner else SHARED[:3])):
            if component not in self.components:
                raise CheckpointError(f"{self.path / INDEX} names no {component}; a pipeline of Stable Diffusion XL is needed.")
        for component in self._needed(MODELS):
            if not (self.path / component / "config.json").is_file():
                raise CheckpointError(f"{self.path / component}/config.json is missing, though {INDEX} names {component}; copy it from the source.")
            for file in self._weights(component):
                _check_weights(file)
        unet = read_json(self.path / "unet" / "config.json")
        if unet.get("in_channels") not in (4, 9) or unet.get("addition_embed_type") != "text_time":
            raise CheckpointError(
                f"{self.path / 'unet'} takes {unet.get('in_channels')} channels and {unet.get('addition_embed_type')!r} conditioning; allowed are "
                "4 or 9 channels and 'text_time', as Stable Diffusion XL has."
            )

    def digest(self) -> str:
        """sha256, hex, of the files that are read."""
        files = [self.path / INDEX]
        for component in self._needed(self.components):
            inside = sorted(path for path in (self.path / component).iterdir() if path.is_file() and not path.name.startswith("."))
            weights = self._weights(component) if component in MODELS else []
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

    def load(self, dtype: torch.dtype, shared: Mapping[str, Any]) -> Any:
        """The pipeline, its VAE in float32 wherever it needs that to stay exact.

        Args:
            dtype: Of UNet and text encoders.
            shared: Components that are taken instead of this folder's own, as far as its index names them.
        """
        import torch
        from diffusers import StableDiffusionXLInpaintPipeline

        given = {name: model for name, model in shared.items() if name in self.components}
        wide_vae = "vae" not in given and _needs_float32(read_json(self.path / "vae" / "config.json"), dtype)
        dtypes = {"default": dtype, "vae": torch.float32 if wide_vae else dtype}
        with _failures_named(self.path):
            return StableDiffusionXLInpaintPipeline.from_pretrained(
                self.path, variant=self.variant, dtype=dtypes, use_safetensors=True, add_watermarker=False, **given
            )

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

    def _weights(self, component: str) -> list[Path]:
        """The weight files of a component: one, or the shards that its index names."""
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
        """Input channels of its UNet: 9 if it was trained to inpaint."""
        with safe_file(self.path) as file:
            if FIRST_LAYER not in file.keys():  # noqa: SIM118 - the file is no mapping
                raise CheckpointError(f"{self.path} holds no {FIRST_LAYER}; a whole Stable Diffusion XL checkpoint is needed, not a LoRA or a VAE.")
            return file.get_slice(FIRST_LAYER).get_shape()[1]

    def check(self) -> None:
        """See that the file is whole and a Stable Diffusion XL checkpoint.

        Raises:
            CheckpointError: It is not.
        """
        if self.in_channels not in (4, 9):
            raise CheckpointError(f"{self.path} takes {self.in_channels} channels; allowed are 4 or 9.")

    def digest(self) -> str:
        """sha256, hex, of the file."""
        return digests.digest_of([self.path], root=self.path.parent)

    def load(self, dtype: torch.dtype, shared: Mapping[str, Any], *, configuration: Path) -> Any:
        """The pipeline, its VAE in float32 wherever it needs that to stay exact.

        Args:
            dtype: Of UNet and text encoders.
            shared: Components that are taken instead of the file's own, as far as the configuration names them.
            configuration: A folder in diffusers' layout, without weights: what the file does not say of itself.
        """
        import torch
        from diffusers import AutoencoderKL, StableDiffusionXLInpaintPipeline

        layout = PipelineFolder(configuration)
        given = {name: model for name, model in shared.items() if name in layout.components}
        with _failures_named(self.path):
            # The pipeline's method has one dtype for all models, and what it has rounded stays rounded.
            if "vae" not in given and _needs_float32(read_json(configuration / "vae" / "config.json"), dtype):
                given["vae"] = AutoencoderKL.from_single_file(str(self.path), config=str(configuration), subfolder="vae", dtype=torch.float32)
            return StableDiffusionXLInpaintPipeline.from_single_file(
                str(self.path), config=str(configuration), dtype=dtype, add_watermarker=False, **given
            )


Part = PipelineFolder | SingleFile


def digest_of_parts(parts: list[str | None]) -> str:
    """One digest, hex, for base and refiner."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@contextlib.contextmanager
def safe_file(path: Path) -> Iterator[Any]:
    """A .safetensors file, opened.

    Raises:
        CheckpointError: It is missing, cut off, or something else by that name, as a pointer of Git LFS is.
    """
    from safetensors import SafetensorError, safe_open

    try:
        # As numpy's, since torch would be imported for nothing: only names and shapes are read.
        with safe_open(path, "np") as file:
            yield file
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; copy or download the checkpoint again.") from None
    except (SafetensorError, OSError) as error:
        size_bytes = path.stat().st_size
        raise CheckpointError(
            f"{path} ({size_bytes} bytes) is no whole .safetensors file: {error}. Download it again (with `git lfs pull` if it came by git)."
        ) from error


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


def _check_weights(path: Path) -> None:
    with safe_file(path):
        pass


def _needs_float32(vae_config: Mapping[str, Any], dtype: torch.dtype) -> bool:
    """Whether a VAE overflows (float16) or bands (bfloat16) in a dtype."""
    import torch

    return dtype == torch.bfloat16 or bool(vae_config.get("force_upcast", True))


def read_json(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises:
        CheckpointError: It is missing, or no JSON object.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; a pipeline's folder as diffusers saves it is needed, {INDEX} first.") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON ({error}); copy or download it again.") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no JSON object, but {type(content).__name__}; copy or download it again.")
    return content


@contextlib.contextmanager
def _failures_named(path: Path) -> Iterator[None]:
    """Loading without the libraries' progress bars, and with an error that says what failed."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be loaded: {error}. Compare it with its source, or download it again.") from error
    finally:
        diffusers_logging.enable_progress_bar()
        transformers_logging.enable_progress_bar()
