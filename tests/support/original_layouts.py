"""Pipelines of Stable Diffusion 1 and 2 as one file in the layout that these were published in, by a table of names written from CompVis' modules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Weights = dict[str, "torch.Tensor"]

UNET, VAE, CLIP, OPEN_CLIP = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.text_model.", "cond_stage_model.model."

RESNET = ["in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3", "skip_connection"]
"""openaimodel.py, ResBlock."""
OF_RESNET = ["norm1", "conv1", "time_emb_proj", "norm2", "conv2", "conv_shortcut"]
"""The same of diffusers' ResnetBlock2D."""


def resnet(rest: str, names: list[str]) -> str:
    """
    A weight of a resnet by other names of its layers.
    """
    layer, _, kind = rest.rpartition(".")
    return f"{names[OF_RESNET.index(layer)]}.{kind}"


def unet(model: Any) -> Weights:
    """
    A UNet's weights: `UNetModel.__init__` goes through levels and counts blocks, so this does too.
    """
    depth, levels = model.config.layers_per_block, len(model.config.block_out_channels)
    places: dict[str, str] = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
    places |= {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2"}
    number = 1
    for level in range(levels):
        for layer in range(depth):
            places[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{number}.0"
            places[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{number}.1"
            number += 1
        if level + 1 < levels:
            places[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
            number += 1
    for index, kind in enumerate(("resnets.0", "attentions.0", "resnets.1")):
        places[f"mid_block.{kind}"] = f"middle_block.{index}"
    number = 0
    for level in range(levels):
        has_attention = "CrossAttn" in model.config.up_block_types[level]
        for layer in range(depth + 1):
            places[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{number}.0"
            places[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{number}.1"
            number += 1
        places[f"up_blocks.{level}.upsamplers.0"] = f"output_blocks.{number - 1}.{2 if has_attention else 1}"
    made = {}
    for name, weight in model.state_dict().items():
        place = max((place for place in places if name.startswith(f"{place}.")), key=len)
        rest = name.removeprefix(f"{place}.")
        made[f"{UNET}{places[place]}.{resnet(rest, RESNET) if '.resnets.' in f'{place}.' else rest}"] = weight
    return made


def vae(model: Any) -> Weights:
    """
    An autoencoder's weights: levels of the decoder are counted from the pixels, and attention is made of convolutions.
    """
    last = len(model.config.block_out_channels) - 1
    made = {}
    for name, weight in model.state_dict().items():
        kind = name.rpartition(".")[2]
        if match := re.fullmatch(r"(en|de)coder\.mid_block\.attentions\.0\.(.+)\.\w+", name):
            layer = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}[match[2]]
            made[f"{VAE}{match[1]}coder.mid.attn_1.{layer}.{kind}"] = weight[:, :, None, None] if weight.ndim == 2 else weight
        elif match := re.fullmatch(r"(en|de)coder\.mid_block\.resnets\.(\d)\.(.+)", name):
            made[f"{VAE}{match[1]}coder.mid.block_{int(match[2]) + 1}.{match[3].replace('conv_shortcut', 'nin_shortcut')}"] = weight
        elif match := re.fullmatch(r"encoder\.down_blocks\.(\d)\.(resnets\.(\d)|downsamplers\.0)\.(.+)", name):
            place = f"block.{match[3]}" if match[3] else "downsample"
            made[f"{VAE}encoder.down.{match[1]}.{place}.{match[4].replace('conv_shortcut', 'nin_shortcut')}"] = weight
        elif match := re.fullmatch(r"decoder\.up_blocks\.(\d)\.(resnets\.(\d)|upsamplers\.0)\.(.+)", name):
            place = f"block.{match[3]}" if match[3] else "upsample"
            made[f"{VAE}decoder.up.{last - int(match[1])}.{place}.{match[4].replace('conv_shortcut', 'nin_shortcut')}"] = weight
        else:
            made[f"{VAE}{name.replace('conv_norm_out', 'norm_out')}"] = weight
    return made


def clip(model: Any) -> Weights:
    """
    The text encoder of Stable Diffusion 1: transformers' names of 2022, and the numbers of the positions, which it stored.
    """
    import torch

    weights = {f"{CLIP}{name.removeprefix('text_model.')}": weight for name, weight in model.state_dict().items()}
    return weights | {f"{CLIP}embeddings.position_ids": torch.arange(model.config.max_position_embeddings)[None]}


def open_clip(model: Any) -> Weights:
    """
    The text encoder of Stable Diffusion 2: OpenCLIP's, with what is never used of it, its last layer and the projection.
    """
    import torch

    held = {name.removeprefix("text_model."): weight for name, weight in model.state_dict().items()}
    width = model.config.hidden_size
    made = {
        f"{OPEN_CLIP}token_embedding.weight": held["embeddings.token_embedding.weight"],
        f"{OPEN_CLIP}positional_embedding": held["embeddings.position_embedding.weight"],
        f"{OPEN_CLIP}ln_final.weight": held["final_layer_norm.weight"],
        f"{OPEN_CLIP}ln_final.bias": held["final_layer_norm.bias"],
        f"{OPEN_CLIP}text_projection": torch.ones(width, width),
        f"{OPEN_CLIP}logit_scale": torch.ones(()),
    }
    named = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2", "attn.out_proj": "self_attn.out_proj"}
    for layer in range(model.config.num_hidden_layers):
        there, here = f"{OPEN_CLIP}transformer.resblocks.{layer}", f"encoder.layers.{layer}"
        for kind in ("weight", "bias"):
            made |= {f"{there}.{theirs}.{kind}": held[f"{here}.{ours}.{kind}"] for theirs, ours in named.items()}
            made[f"{there}.attn.in_proj_{kind}"] = torch.cat([held[f"{here}.self_attn.{letter}_proj.{kind}"] for letter in "qkv"])
    unused = {name.replace(".resblocks.0.", ".resblocks.23."): weight for name, weight in made.items() if ".resblocks.0." in name}
    return made | unused


def original(folder: Path) -> Weights:
    """
    All weights of a folder in the original layout, in float32.

    Args:
        folder: As `write_first_generation` writes one.
    """
    import json

    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    first = not json.loads((folder / "unet" / "config.json").read_text())["use_linear_projection"]
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    weights = {
        **unet(UNet2DConditionModel.from_pretrained(folder / "unet")),
        **vae(AutoencoderKL.from_pretrained(folder / "vae")),
        **(clip(encoder) if first else open_clip(encoder)),
    }
    noise = {"betas": torch.linspace(0.00085, 0.012, 1000), "alphas_cumprod": torch.ones(1000)}  # which training leaves in its files
    return {name: weight.detach().contiguous().clone() for name, weight in (weights | noise).items()}
