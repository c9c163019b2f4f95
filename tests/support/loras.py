"""Files of LoRAs with random numbers for a checkpoint, in the ways in which trainers name their layers, and diffusers with them loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

ENDS = {
    "unet": ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "ff.net.2"),
    "text_encoder": ("q_proj", "out_proj", "fc1"),
    "text_encoder_2": ("k_proj", "out_proj", "fc2"),
}
"""The layers that a test's LoRA is for, by the ends of their names."""
CONVOLUTIONS = ("conv1", "conv2", "downsamplers.0.conv", "upsamplers.0.conv", "conv_shortcut", "conv_in", "conv_out")

TABLES = ("token_embedding.weight", "position_embedding.weight")

Matrices = Mapping[tuple[str, str], tuple[Any, Any]]
"""By model and layer: `lora_A` and `lora_B`."""


@cache
def layers_in(folder: Path) -> dict[tuple[str, str], tuple[int, ...]]:
    """
    Model and layer to the shape of its weights, of a base in diffusers' layout, as its files have them; tables of tokens left out.
    """
    from safetensors import safe_open

    found = {}
    for part in ENDS:
        for file in (folder / part).glob("*.safetensors"):
            with safe_open(file, "np") as held:
                for name in held.keys():  # noqa: SIM118 - the file is no mapping
                    if name.endswith(".weight") and len(shape := held.get_slice(name).get_shape()) in (2, 4) and not name.endswith(TABLES):
                        found[part, name.removesuffix(".weight")] = tuple(shape)
    return found


def matrices(
    folder: Path, seed: int, *, rank: int = 4, parts: Sequence[str] = tuple(ENDS), ends: Mapping[str, Sequence[str]] = ENDS, size: float = 0.3
) -> Matrices:
    """
    Random ones for the layers that end so.
    """
    import torch

    random, made = torch.Generator().manual_seed(seed), {}
    for (part, path), shape in sorted(layers_in(folder).items()):
        if part in parts and path.endswith(tuple(ends[part])):
            down, up = (rank, *shape[1:]), (shape[0], rank, *([1, 1] if len(shape) == 4 else []))
            made[part, path] = tuple(torch.randn(*of, generator=random) * size for of in (down, up))
    return made


def as_diffusers(made: Matrices) -> dict[str, Any]:
    """
    Named as diffusers and peft write them today.
    """
    return {f"{part}.{path}.lora_{letter}.weight": one for (part, path), pair in made.items() for letter, one in zip("AB", pair, strict=True)}


def as_older(made: Matrices) -> dict[str, Any]:
    """
    Named as diffusers wrote them before it had peft, when attention had processors.
    """
    named = {}
    for (part, path), pair in made.items():
        layer = re.sub(r"(attn\d)\.(to_[qkv]|to_out)(\.0)?$", r"\1.processor.\2_lora", path)
        layer = re.sub(r"self_attn\.(q|k|v|out)_proj$", r"self_attn.to_\1_lora", layer)
        middle = "" if layer.endswith("_lora") else ".lora_linear_layer" if part != "unet" else ".lora"
        named |= {f"{part}.{layer}{middle}.{end}.weight": one for end, one in zip(("down", "up"), pair, strict=True)}
    return named


def as_kohya(made: Matrices, alpha: float | None = None, *, published: bool = False, alone: bool = False) -> dict[str, Any]:
    """
    Named as kohya's scripts do, with an alpha a layer; `published` numbers the UNet's blocks as the file of SDXL does.

    Of a text encoder that is `alone` layers have another name.
    """
    import torch

    begins = {"unet": "lora_unet", "text_encoder": "lora_te" if alone else "lora_te1", "text_encoder_2": "lora_te2"}
    named = {}
    for (part, path), pair in made.items():
        whole = path if part == "unet" or path.startswith(("text_model", "text_projection")) else f"text_model.{path}"
        layer = f"{begins[part]}_{(as_published(whole) if published and part == 'unet' else whole).replace('.', '_')}"
        named |= {f"{layer}.lora_{end}.weight": one for end, one in zip(("down", "up"), pair, strict=True)}
        if alpha is not None:
            named[f"{layer}.alpha"] = torch.tensor(alpha)
    return named


BLOCKS = {
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "down_blocks.1.attentions.0": "input_blocks.3.1",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.0.upsamplers.0": "output_blocks.1.2",
    "up_blocks.1.resnets.0": "output_blocks.2.0",
    "up_blocks.1.resnets.1": "output_blocks.3.0",
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
}
"""The blocks of the random checkpoints' UNet, counted by hand, and what is in them."""


def as_published(path: str) -> str:
    """
    A layer of the random checkpoints' UNet as the file of SDXL would call it.
    """
    for here, there in BLOCKS.items():
        path = re.sub(rf"(^|\.){re.escape(here)}($|\.)", rf"\g<1>{there}\g<2>", path)
    return path


def write(path: Path, named: Mapping[str, Any], *, dtype: Any = None, metadata: Mapping[str, str] | None = None) -> Path:
    """
    Write a file.
    """
    from safetensors.torch import save_file

    save_file({name: one.to(dtype or one.dtype).contiguous() for name, one in named.items()}, path, metadata=dict(metadata or {}) or None)
    return path


@contextmanager
def loaded_by_diffusers(pipeline: Any, files: Mapping[str, Path], weights: Mapping[str, Any]) -> Iterator[Any]:
    """
    A pipeline with LoRAs loaded by its own means, in this order, each with its weight; without them afterwards.
    """
    import warnings

    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    levels = of_diffusers.get_verbosity(), of_transformers.get_verbosity()
    of_diffusers.set_verbosity_error()
    of_transformers.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Already found a `peft_config`")
            for name in weights:
                pipeline.load_lora_weights(str(files[name]), adapter_name=name)
        pipeline.set_adapters(list(weights), list(weights.values()))
        yield pipeline
    finally:
        pipeline.unload_lora_weights()
        of_diffusers.set_verbosity(levels[0])
        of_transformers.set_verbosity(levels[1])


def two_files(folder: Path, base: Path) -> dict[str, Path]:
    """
    LoRAs for the UNet and both text encoders: one as diffusers names its layers, one as kohya does, with an alpha that is half the rank.
    """
    return {
        "moon": write(folder / "moon.safetensors", as_diffusers(matrices(base, 1))),
        "sun": write(folder / "sun.safetensors", as_kohya(matrices(base, 2, rank=8), 4.0)),
    }


def put_of(files: Mapping[str, Path], weights: Mapping[str, Any]) -> list[Any]:
    """
    What a run has on its models, in a run's order: each LoRA by its weight, or by all that it is asked.
    """
    from sdxl_lab.adapters.loras import Lora
    from sdxl_lab.runs.adapted import read

    asked = {name: Lora(file=str(files[name]), **(told if isinstance(told, dict) else {"weight": told})) for name, told in weights.items()}
    return sorted((read("loras", name, one, files[name])[0] for name, one in asked.items()), key=lambda one: one.digest)


def by_peft(put: Sequence[Any]) -> dict[str, Any]:
    """
    The same as diffusers' `set_adapters` takes it, in the order of what the files hold.
    """
    told = {}
    for one in sorted(put, key=lambda one: one.content.digest):
        text = one.asked.weight if one.asked.text_encoder_weight is None else one.asked.text_encoder_weight
        told[one.name] = {"unet": one.asked.weight, "text_encoder": text, "text_encoder_2": text}
    return told
