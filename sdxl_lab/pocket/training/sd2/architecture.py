"""The parts of the small Stable Diffusion 2, untrained: that generation's own component classes and layout."""

from __future__ import annotations

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from sdxl_lab.pocket.training import architecture
from sdxl_lab.pocket.training.architecture import LATENT_CHANNELS, TEXT_WIDTH, spread_embeddings, text_config
from sdxl_lab.pocket.training.sd2.pictures import SIDE_PX

VAE_CHANNELS = (16, 32, 64)
FACTOR = 2 ** (len(VAE_CHANNELS) - 1)
INPAINT_CHANNELS = 2 * LATENT_CHANNELS + 1
"""Noisy latents, the mask, and the latents of the masked picture, in that order."""


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The one text encoder; the UNet reads its last hidden states, after the final norm."""
    encoder = CLIPTextModel(text_config(tokenizer, hidden_act="gelu"))
    spread_embeddings(encoder)
    return encoder


def build_vae() -> AutoencoderKL:
    """An autoencoder of factor 4, half of the real one's, because the pictures are an eighth as large."""
    return architecture.build_vae(VAE_CHANNELS, SIDE_PX)


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
