"""The pocket checkpoint's parts, untrained: SDXL's own component classes at a thousandth of their size."""

from __future__ import annotations

import json

from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from sdxl_lab.pocket.world import COLOURS, EMPTY, PLACES, RADII_PX, SHAPES, SIZE_PX

MAX_TOKENS = 32
TEXT_WIDTH = 64
TIME_ID_WIDTH = 32
LATENT_CHANNELS = 4
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
EXTRA_WORDS = "a an and the of with object shape picture photo blurry noisy no nothing empty scene background"


def words() -> list[str]:
    """Every word of the world's captions, and a few that people try."""
    phrases = [*COLOURS, *SHAPES, *RADII_PX, *PLACES, *PLACES.values(), *EMPTY.values(), EXTRA_WORDS]
    return sorted({word for phrase in phrases for word in phrase.split()})


def build_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer that reads each of `words` as one token and any other text byte by byte."""
    letters = sorted(ByteLevel.alphabet())
    # Left to itself the trainer numbers the letters that end a word differently in each process, and so decides ties differently.
    alphabet = [*letters, *(f"{letter}</w>" for letter in letters)]
    bpe = Tokenizer(BPE(end_of_word_suffix="</w>"))
    trainer = BpeTrainer(vocab_size=10_000, min_frequency=1, special_tokens=alphabet, end_of_word_suffix="</w>", show_progress=False)
    bpe.train_from_iterator([*letters, *words()], trainer)
    model = json.loads(bpe.to_str())["model"]
    vocabulary = {token: i for i, token in enumerate([*sorted(model["vocab"], key=model["vocab"].get), BEGIN, END])}
    return CLIPTokenizer(vocab=vocabulary, merges=[tuple(pair) for pair in model["merges"]], model_max_length=MAX_TOKENS)


def build_text_encoders(tokenizer: CLIPTokenizer) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """`text_encoder` and `text_encoder_2`; of both, SDXL reads the hidden states before the last layer."""
    encoders = (
        CLIPTextModel(text_config(tokenizer, hidden_act="quick_gelu")),
        CLIPTextModelWithProjection(text_config(tokenizer, hidden_act="gelu")),
    )
    for encoder in encoders:
        spread_embeddings(encoder)
    return encoders


def text_config(tokenizer: CLIPTokenizer, *, hidden_act: str) -> CLIPTextConfig:
    """The sizes of every text encoder here.

    Args:
        tokenizer: Whose tokens it reads.
        hidden_act: By which the encoders of SDXL differ.
    """
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        hidden_act=hidden_act,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def spread_embeddings(encoder: nn.Module) -> None:
    """Draw the embeddings of an untrained text encoder anew: CLIP's own 0.02 suits its width, and at this one hidden states would all but vanish."""
    for name, weight in encoder.named_parameters():
        if name.endswith("token_embedding.weight"):
            nn.init.normal_(weight, std=0.5)
        elif name.endswith("position_embedding.weight"):
            nn.init.normal_(weight, std=0.1)


def build_vae(channels: tuple[int, ...] = (16, 32, 64, 64), size_px: int = SIZE_PX) -> AutoencoderKL:
    """An autoencoder of SDXL's 4 latent channels.

    Args:
        channels: Of each level, whose number makes the factor: SDXL's 8 with 4 of them.
        size_px: Side of the pictures.
    """
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=size_px,
        mid_block_add_attention=False,
        force_upcast=False,
    )


def build_unet(*, text_width: int, time_ids: int) -> UNet2DConditionModel:
    """A UNet with SDXL's conditioning: text tokens, pooled text and micro-conditioning.

    Args:
        text_width: Width of a text token: both encoders' for the base, `text_encoder_2`'s alone for the refiner.
        time_ids: Numbers of micro-conditioning: 6 for the base, 5 for the refiner.
    """
    return UNet2DConditionModel(
        sample_size=SIZE_PX // 8,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(48, 96, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(1, 3, 4),
        cross_attention_dim=text_width,
        transformer_layers_per_block=1,
        use_linear_projection=True,
        norm_num_groups=16,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_ID_WIDTH,
        projection_class_embeddings_input_dim=time_ids * TIME_ID_WIDTH + TEXT_WIDTH,
    )


def build_scheduler() -> EulerDiscreteScheduler:
    """SDXL's own noise schedule."""
    return EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading")
