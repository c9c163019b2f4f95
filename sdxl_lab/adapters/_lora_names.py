"""What the names in a LoRA's file say: which layer of which model each tensor belongs to, as the trainers that are around write it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sdxl_lab.adapters._adapter import Tensor

PARTS: Mapping[str, str] = {
    "unet.": "unet",
    "lora_unet_": "unet",
    "text_encoder.": "text_encoder",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    "lora_te2_": "text_encoder_2",
}
"""How names begin, and of which model of a pipeline these are: diffusers' way and kohya's."""

ENCODERS: Mapping[str, int] = {"lora_te_": 1, "lora_te1_": 2, "lora_te2_": 2, "text_encoder_2.": 2}
"""How many text encoders a checkpoint has whose layers are called so."""

_DOWN = r"\.lora_A|\.lora_down|\.lora\.down|\.lora_linear_layer\.down|_lora\.down"
_UP = r"\.lora_B|\.lora_up|\.lora\.up|\.lora_linear_layer\.up|_lora\.up"
_ENDS: Mapping[str, re.Pattern[str]] = {
    "down": re.compile(rf"(.+?)(?:{_DOWN})\.weight"),
    "up": re.compile(rf"(.+?)(?:{_UP})\.weight"),
    "alpha": re.compile(r"(.+)\.alpha"),
}

OTHER_KINDS: Mapping[str, str] = {
    "hada_": "a LoHa",
    "lokr_": "a LoKr",
    "dora_scale": "a DoRA",
    "lora_magnitude_vector": "a DoRA",
    "lora_mid": "a LoCon in Tucker form (lora_mid)",
    "oft_": "an OFT",
    "boft_": "a BOFT",
    "glora": "a GLoRA",
}
"""Relatives that hold something else than two matrices a layer, by what their names have in them."""

OTHER_FAMILIES: Mapping[str, str] = {
    r".*(joint_blocks|joint_transformer).*|lora_te3_.*|text_encoder_3\..*": "Stable Diffusion 3",
    r".*(double_blocks|single_blocks|single_transformer_blocks).*": "Flux",
    r"(transformer|diffusion_model|lora_transformer)[._].*": "a transformer, such as Flux or Stable Diffusion 3",
}
"""What is no Stable Diffusion XL by its names, nor 1 or 2."""

WIDTHS = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 1280: "the refiner of Stable Diffusion XL", 2048: "Stable Diffusion XL"}
"""How wide the text is that a family's cross attention reads."""


def split(name: str) -> tuple[str, str, str] | None:
    """Tell what a tensor is.

    Args:
        name: As its file has it.

    Returns:
        The model, the layer as the file calls it, and `down`, `up` or `alpha`; None if it is nothing of the kind.
    """
    begin = next((begin for begin in PARTS if name.startswith(begin)), None)
    if begin is None:
        return None
    for role, pattern in _ENDS.items():
        if match := pattern.fullmatch(name.removeprefix(begin)):
            return PARTS[begin], match[1], role
    return None


def plain(layer: str) -> str:
    """A layer's name with underscores alone, in whichever way it was written: `attn1.processor.to_out` of old files is `attn1_to_out_0`.

    Args:
        layer: As a file or a model calls it.
    """
    joined = re.sub(r"(attn\d)\.processor\.", r"\1.", layer).replace(".", "_").removeprefix("text_model_")
    joined = re.sub(r"(attn\d_to_out)$", r"\1_0", joined)
    return re.sub(r"(self_attn)_to_(q|k|v|out)$", r"\1_\2_proj", joined)


class Places:
    """The layers of a model that a LoRA can be for, under all the names that files have for them.

    Args:
        shapes: Of the weights of its linear layers and convolutions, by path in the model.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        self._paths = {plain(path): path for path in shapes}
        self._paths = {name.replace(".", "_"): path for name, path in _as_published(shapes)} | self._paths

    @classmethod
    def in_weights(cls, weights: Mapping[str, tuple[int, ...]]) -> Places:
        """Those of a model, by the weights that it has: matrices and convolutions, but for tables of tokens.

        Args:
            weights: Name to shape.
        """
        layers = {name.removesuffix(".weight"): shape for name, shape in weights.items() if name.endswith(".weight") and len(shape) in (2, 4)}
        return cls({path: shape for path, shape in layers.items() if not path.endswith(("token_embedding", "position_embedding"))})

    def path(self, layer: str) -> str | None:
        """Where a layer is, which a file calls so; None if the model has none such."""
        return self._paths.get(plain(layer))


def family_of(tensors: Mapping[str, Tensor]) -> str | None:
    """Which other family a file is for, by how its layers are called.

    Args:
        tensors: By name.
    """
    return next((family for pattern, family in OTHER_FAMILIES.items() if any(re.fullmatch(pattern, name) for name in tensors)), None)


def text_encoders(tensors: Mapping[str, Tensor]) -> int | None:
    """How many text encoders the checkpoints have that a file is for; None where its names do not tell.

    Args:
        tensors: By name.
    """
    return next((count for begin, count in ENCODERS.items() if any(name.startswith(begin) for name in tensors)), None)


def text_width(tensors: Mapping[str, Tensor]) -> int | None:
    """How wide the text is that its cross attention reads; None if it has none.

    Args:
        tensors: By name.
    """
    for name, tensor in tensors.items():
        told = split(name)
        if told and told[2] == "down" and plain(told[1]).endswith(("attn2_to_k", "attn2_to_v")) and len(tensor.shape) > 1:
            return tensor.shape[1]
    return None


def listed(names: Sequence[str]) -> str:
    """Three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


_INSIDE = {
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}


def _as_published(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, str]]:
    """The layers of a UNet as the file that SDXL was published in numbers them, whose blocks are one row: name there, and path here."""
    blocks = _blocks(shapes)
    for path in shapes:
        if path in _OUTSIDE:
            yield _OUTSIDE[path], path
        elif match := re.fullmatch(
            r"((?:down_blocks\.\d+|up_blocks\.\d+|mid_block)\.(?:resnets|attentions|downsamplers|upsamplers)\.\d+)\.(.+)", path
        ):
            block, layer = match[1], match[2]
            yield f"{blocks[block]}.{'op' if 'downsamplers' in block else _INSIDE.get(layer, layer) if 'resnets' in block else layer}", path


def _blocks(shapes: Iterable[str]) -> dict[str, str]:
    """By block here, such as `down_blocks.1.attentions.0`: its number there, such as `input_blocks.4.1`."""
    inside = {match[1] for path in shapes if (match := re.match(r"((?:down_blocks\.\d+|up_blocks\.\d+|mid_block)\.[a-z]+\.\d+)\.", path))}
    numbers = {"mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2"}
    for side, there, after in (("down_blocks", "input_blocks", "downsamplers"), ("up_blocks", "output_blocks", "upsamplers")):
        place = 1 if side == "down_blocks" else 0
        for block in range(sum(path.startswith(f"{side}.") and path.endswith(".resnets.0") for path in inside)):
            layer = 0
            while f"{side}.{block}.resnets.{layer}" in inside:
                numbers[f"{side}.{block}.resnets.{layer}"] = f"{there}.{place}.0"
                numbers[f"{side}.{block}.attentions.{layer}"] = f"{there}.{place}.1"
                place, layer = place + 1, layer + 1
            if f"{side}.{block}.{after}.0" in inside:
                has_attention = f"{side}.{block}.attentions.0" in inside
                if after == "downsamplers":
                    numbers[f"{side}.{block}.{after}.0"] = f"{there}.{place}.0"
                    place += 1
                else:
                    numbers[f"{side}.{block}.{after}.0"] = f"{there}.{place - 1}.{2 if has_attention else 1}"
    return numbers
