"""What the file of a LoRA holds: two matrices for each layer that it changes, whose product is added to the layer's own weights."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sdxl_lab.adapters._adapter import AdapterError, Tensor
from sdxl_lab.adapters._lora_names import OTHER_KINDS, PARTS, family_of, listed, plain, split, text_encoders, text_width
from sdxl_lab.adapters._lora_said import Said
from sdxl_lab.settings.documents import digest_of

DTYPES = ("F32", "F16", "BF16", "F64")
TAKE = "take a LoRA for Stable Diffusion XL, 2 or 1, as the checkpoint is"
METADATA = "lora_adapter_metadata"
"""Under which diffusers writes what peft was told in training."""

MOST_REPEATED = 2
"""How many parts of a pattern may repeat."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What a LoRA has for one layer.

    Attributes:
        part: The model's name in its pipeline.
        name: The layer's, as the file has it behind that of the model.
        own: All of what the file calls it, such as `lora_unet_mid_block_attentions_0_proj_in`.
        down: `lora_A`, (rank, in) of a linear layer, (rank, in, height, width) of a convolution.
        up: `lora_B`, (out, rank), or (out, rank, 1, 1).
        scale: `alpha`, by which the product is multiplied once it is divided by the rank.
    """

    part: str
    name: str
    own: str
    down: Tensor
    up: Tensor
    scale: float

    @property
    def rank(self) -> int:
        """How many columns and rows the two have in common."""
        return self.down.shape[0]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a layer's weights have the shape that it is for."""
        down, up = self.down.shape, self.up.shape
        return len(shape) == len(down) and (up[0], *down[1:]) == tuple(shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """All that a file holds.

    Attributes:
        layers: In the file's order.
        digest: sha256, hex, over names, types, shapes and numbers of its tensors, whatever else the file says of itself.
        text_width: How wide the text is that its cross attention reads, None if it changes none.
        text_encoders: How many text encoders the checkpoints have that it is for, None if its names do not tell.
        said: What it says of itself.
    """

    layers: tuple[Layer, ...]
    digest: str
    text_width: int | None
    text_encoders: int | None
    said: Said

    def of(self, part: str) -> list[Layer]:
        """Its layers for one model."""
        return [layer for layer in self.layers if layer.part == part]

    @cached_property
    def parts(self) -> frozenset[str]:
        """The models that it has layers for."""
        return frozenset(layer.part for layer in self.layers)


def content_of(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Content:
    """Take what a file holds.

    Args:
        tensors: By name.
        metadata: What the file says of itself, of which scales are read that diffusers keeps there.

    Raises:
        AdapterError: It is no LoRA, or one that cannot be applied.
    """
    if not tensors:
        raise AdapterError(f"it holds nothing; {TAKE}")
    if kind := next((kind for part, kind in OTHER_KINDS.items() if any(part in name for name in tensors)), None):
        raise AdapterError(
            f"it is {kind}, and only plain LoRAs are applied, of linear layers and convolutions; take one, or merge it into a checkpoint"
        )
    if family := family_of(tensors):
        raise AdapterError(f"it is for {family}; {TAKE}")
    found: dict[tuple[str, str], dict[str, str]] = {}
    strange = []
    for name in tensors:
        if (told := split(name)) is None:
            strange.append(name)
        else:
            part, layer, role = told
            found.setdefault((part, layer), {})[role] = name
    if strange:
        raise AdapterError(f"it holds {len(strange)} tensors of {len(tensors)} that are no LoRA's, {listed(strange)}; {TAKE}")
    spelled = Counter((part, plain(layer)) for part, layer in found)
    if twice := [layer for part, layer in found if spelled[part, plain(layer)] > 1]:
        raise AdapterError(f"it has more than one LoRA for a layer, {listed(twice)}; take another file")
    scales = _scales_told(metadata)
    layers = tuple(_layer(part, name, held, tensors, scales.get(part, {})) for (part, name), held in found.items())
    counted = {"text_width": text_width(tensors), "text_encoders": text_encoders(tensors)}
    return Content(layers=layers, digest=_digest(tensors, layers), **counted, said=Said.of(metadata))


def _layer(part: str, name: str, held: Mapping[str, str], tensors: Mapping[str, Tensor], told: Mapping[str, Any]) -> Layer:
    first = next(iter(held.values()))
    shown = first[: len(next(begin for begin in PARTS if first.startswith(begin))) + len(name)]
    if missing := [role for role in ("down", "up") if role not in held]:
        has = "alpha" if len(missing) == 2 else {"down": "lora_B (lora_up)", "up": "lora_A (lora_down)"}[missing[0]]
        lacks = "any matrix" if len(missing) == 2 else {"down": "lora_A (lora_down)", "up": "lora_B (lora_up)"}[missing[0]]
        raise AdapterError(f"{shown} has {has} without {lacks}; the file is not whole: download it again, or take another")
    down, up = (_kept(held[role], tensors[held[role]]) for role in ("down", "up"))
    is_pair = len(down.shape) == len(up.shape) in (2, 4) and up.shape[1] == down.shape[0] > 0 and set(up.shape[2:]) <= {1}
    if not is_pair:
        got = f"{[*down.shape]} and {[*up.shape]}"
        raise AdapterError(f"{shown} has matrices of {got}, whose product is none; needed are [rank, in] and [out, rank]: take another file")
    alpha = tensors[held["alpha"]] if "alpha" in held else None
    return Layer(part=part, name=name, own=shown, down=down, up=up, scale=_scale(shown, alpha, name, down.shape[0], told))


def _kept(name: str, tensor: Tensor) -> Tensor:
    if tensor.dtype not in DTYPES:
        raise AdapterError(f"{name} is of type {tensor.dtype}; allowed are {', '.join(DTYPES)}: convert it")
    kept = Tensor(dtype=tensor.dtype, shape=tensor.shape, data=memoryview(bytes(tensor.data)))  # whatever becomes of the file
    if not kept.is_finite:
        raise AdapterError(f"{name} holds NaN or infinity, of which no picture can be made; train it again, or take another file")
    return kept


def _scale(shown: str, alpha: Tensor | None, name: str, rank: int, told: Mapping[str, Any]) -> float:
    try:
        value = _told_scale(name, rank, told) if alpha is None else _alpha(alpha)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise AdapterError(f"{shown} has an alpha that is no number; train it again, or take another file")
    return value


def _alpha(tensor: Tensor) -> float:
    return tensor.number if tensor.dtype in (*DTYPES, "I32", "I64") and tensor.count == 1 else math.nan


def _told_scale(name: str, rank: int, told: Mapping[str, Any]) -> float:
    """alpha, as peft was told it in training."""
    matching = (value for pattern, value in told.get("alpha_pattern", {}).items() if pattern.match(name))
    alpha = float(next(matching, told.get("lora_alpha", rank)))
    return alpha * math.sqrt(rank) if told.get("use_rslora") else alpha


def _scales_told(metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What diffusers keeps of peft's configuration, by model."""
    found: dict[str, dict[str, Any]] = {}
    try:
        told = json.loads(metadata.get(METADATA, "{}"))
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise AdapterError(f"its {METADATA}, by which its layers are scaled, is no JSON object; download it again, or take another file")
    for key, value in told.items():
        part, _, name = key.partition(".")
        found.setdefault(part, {})[name] = _by_pattern(value) if name == "alpha_pattern" else value
    return found


def _by_pattern(told: Any) -> dict[re.Pattern[str], Any]:
    """Values by what matches a layer's name, or its end, as peft's `get_pattern_key` has it: a regular expression."""
    if not isinstance(told or {}, dict):
        raise AdapterError(f"its alpha_pattern is {json.dumps(told)[:40]}, and should be alphas by names of layers; take another file")
    try:
        return {_compiled(pattern): value for pattern, value in (told or {}).items()}
    except (re.error, OverflowError, RecursionError) as error:
        raise AdapterError(f"its alpha_pattern names layers by what is no regular expression ({error}); take another file") from error


def _compiled(pattern: str) -> re.Pattern[str]:
    if len(re.findall(r"[*+{]", pattern)) > MOST_REPEATED or re.search(r"\)[*+{]", pattern):  # which may take for ever, and anybody wrote it
        raise AdapterError(f"its alpha_pattern has {pattern[:40]!r}, which repeats more than is tried; take another file")
    return re.compile(rf"(.*\.)?({pattern})$")


def _digest(tensors: Mapping[str, Tensor], layers: tuple[Layer, ...]) -> str:
    held = [[name, tensor.dtype, list(tensor.shape), hashlib.sha256(tensor.data).hexdigest()] for name, tensor in sorted(tensors.items())]
    scales = sorted([layer.part, plain(layer.name), layer.scale] for layer in layers)
    return digest_of({"tensors": held, "scales": scales})
