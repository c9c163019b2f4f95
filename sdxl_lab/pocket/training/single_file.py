"""Writes a pipeline as one .safetensors file in the layout Stable Diffusion XL was published in, which most fine-tuned checkpoints have."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab.files.disk import write_whole

if TYPE_CHECKING:
    import torch

_UNET_OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_UNET_RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0", "conv2": "out_layers.3"}
_UNET_RESNET |= {"conv_shortcut": "skip_connection"}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_CLIP_LAYER = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "self_attn.out_proj": "attn.out_proj"}


def write_single_file(pipeline: Any, path: Path, *, with_vae: bool = True, metadata: Mapping[str, str] | None = None) -> Path:
    """Write all weights of a base or a refiner into one file; the same weights and metadata give the same bytes.

    Args:
        pipeline: Diffusers' pipeline, whose models have the dtype that is written.
        path: The file, whole or absent.
        with_vae: Whether its autoencoder is written too; readers take that of the configuration where there is none.
        metadata: What the file's header says of it, such as `modelspec.title`.

    Returns:
        `path`.

    Raises:
        DiskError: The disk is full or not writable.
    """
    from safetensors.torch import save

    tensors = tensors_of(pipeline, with_vae=with_vae)
    content = save({name: value.contiguous().clone() for name, value in tensors.items()}, dict(metadata or {}))
    write_whole(path, _in_order(content))
    return path


def tensors_of(pipeline: Any, *, with_vae: bool = True) -> dict[str, torch.Tensor]:
    """All weights of a base or a refiner by their names in the layout.

    Args:
        pipeline: Its models; those of shapes alone give weights of shapes alone.
        with_vae: Whether its autoencoder's are among them.
    """
    tensors = {f"model.diffusion_model.{unet_name(pipeline.unet, name)}": value for name, value in pipeline.unet.state_dict().items()}
    if with_vae:
        tensors |= {f"first_stage_model.{name}": value for name, value in (_vae_tensor(*item) for item in pipeline.vae.state_dict().items())}
    for name, value in pipeline.text_encoder.state_dict().items() if pipeline.text_encoder else ():
        tensors[f"conditioner.embedders.0.transformer.text_model.{name.removeprefix('text_model.')}"] = value
    second = f"conditioner.embedders.{1 if pipeline.text_encoder else 0}.model"
    tensors |= {f"{second}.{name}": value for name, value in _open_clip(pipeline.text_encoder_2.state_dict()).items()}
    return tensors


def _in_order(content: bytes) -> bytes:
    """The same file with its metadata sorted, which safetensors writes in any order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    written = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written + content[end:]


def _renamed(name: str, names: dict[str, str]) -> str:
    """A parameter's name with its module's replaced, if it is among the names."""
    module, _, parameter = name.rpartition(".")
    return f"{names.get(module, module)}.{parameter}"


def unet_name(unet: Any, name: str) -> str:
    """Where the layout of 2023 counts all blocks of a side in one row, diffusers counts stages and layers."""
    each = unet.config.layers_per_block + 1
    if match := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", name):
        kind, index, rest = match.groups()
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(index)}.{_renamed(rest, _UNET_RESNET)}"
    match = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name)
    if match is None:
        return _renamed(name, _UNET_OUTSIDE)
    side, stage, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    blocks, position = ("input_blocks", stage * each + layer + 1) if side == "down" else ("output_blocks", stage * each + layer)
    if kind == "resnets":
        return f"{blocks}.{position}.0.{_renamed(rest, _UNET_RESNET)}"
    if kind == "attentions":
        return f"{blocks}.{position}.1.{rest}"
    if kind == "downsamplers":
        return f"{blocks}.{stage * each + each}.0.{rest.replace('conv', 'op')}"
    return f"{blocks}.{stage * each + each - 1}.{2 if 'CrossAttn' in unet.config.up_block_types[stage] else 1}.{rest}"


def _vae_tensor(name: str, value: torch.Tensor) -> tuple[str, torch.Tensor]:
    """The old autoencoder numbers its decoder's stages from the other end, and its attention is made of convolutions."""
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
    name = re.sub(r"encoder\.down_blocks\.(\d)\.resnets", r"encoder.down.\1.block", name)
    name = re.sub(r"encoder\.down_blocks\.(\d)\.downsamplers\.0", r"encoder.down.\1.downsample", name)
    name = re.sub(r"decoder\.up_blocks\.(\d)\.resnets", lambda match: f"decoder.up.{3 - int(match[1])}.block", name)
    name = re.sub(r"decoder\.up_blocks\.(\d)\.upsamplers\.0", lambda match: f"decoder.up.{3 - int(match[1])}.upsample", name)
    if match := re.fullmatch(r"(\w+)\.mid_block\.attentions\.0\.(.+)", name):
        value = value[..., None, None] if value.ndim == 2 else value
        return f"{match[1]}.mid.attn_1.{_renamed(match[2], _VAE_ATTENTION)}", value
    return name, value


def _open_clip(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """OpenCLIP keeps query, key and value in one matrix, and its projection the other way around."""
    import torch

    weights = {name.removeprefix("text_model."): value for name, value in weights.items()}
    tensors = {
        "positional_embedding": weights.pop("embeddings.position_embedding.weight"),
        "token_embedding.weight": weights.pop("embeddings.token_embedding.weight"),
        "text_projection": weights.pop("text_projection.weight").T,
        "ln_final.weight": weights.pop("final_layer_norm.weight"),
        "ln_final.bias": weights.pop("final_layer_norm.bias"),
    }
    weights.pop("embeddings.position_ids", None)
    for name, value in weights.items():
        _, _, index, rest = name.split(".", 3)
        block = f"transformer.resblocks.{index}"
        if match := re.fullmatch(r"self_attn\.q_proj\.(weight|bias)", rest):
            parts = [weights[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            tensors[f"{block}.attn.in_proj_{match[1]}"] = torch.cat(parts)
        elif not re.match(r"self_attn\.[kv]_proj", rest):
            tensors[f"{block}.{_renamed(rest, _CLIP_LAYER)}"] = value
    return tensors
