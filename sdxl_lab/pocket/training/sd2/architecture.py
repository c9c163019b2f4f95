"""The parts of the small Stable Diffusion 2, untrained: that generation's own component classes and layout."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sdxl_lab.pocket.training.architecture import LATENT_CHANNELS, MAX_TOKENS, TEXT_WIDTH
from sdxl_lab.pocket.training.sd2.pictures import SIDE_PX

VAE_CHANNELS = (16, 32, 64)
FACTOR = 2 ** (len(VAE_CHANNELS) - 1)
INPAINT_CHANNELS = 2 * LATENT_CHANNELS + 1
"""Noisy latents, the mask, and the latents of the masked picture, in that order."""


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The one text encoder; the UNet reads its last hidden states, after the final norm."""
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    for name, weight in encoder.named_parameters():
        # CLIP's own 0.02 suits its width; at this width the hidden states would all but vanish.
        if name.endswith("token_embedding.weight"):
            torch.nn.init.normal_(weight, std=0.5)
        elif name.endswith("position_embedding.weight"):
            torch.nn.init.normal_(weight, std=0.1)
    return encoder


def build_vae() -> AutoencoderKL:
    """An autoencoder of factor 4, half of the real one's, because the pictures are an eighth as large."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(VAE_CHANNELS),
        up_block_types=("UpDecoderBlock2D",) * len(VAE_CHANNELS),
        block_out_channels=VAE_CHANNELS,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=SIDE_PX,
        mid_block_add_attention=False,
        force_upcast=False,
    )


def build_unet(in_channels: int = LATENT_CHANNELS) -> UNet2DConditionModel:
    """A UNet as Stable Diffusion 2 has it: attention at every level but the lowest, linear projections, text tokens its only condition.

    Args:
        in_channels: 4, or `INPAINT_CHANNELS`.
    """
    return UNet2DConditionModel(
        sample_size=SIDE_PX // FACTOR,
        in_channels=in_channels,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(32, 64, 112),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=(1, 2, 4),
        cross_attention_dim=TEXT_WIDTH,
        use_linear_projection=True,
        norm_num_groups=16,
    )
