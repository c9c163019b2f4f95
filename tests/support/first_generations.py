"""Folders of Stable Diffusion 1.5 and 2 with random weights, as small as can be, and as their repositories are laid out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TEXT_WIDTHS = {1: 16, 2: 24}
"""Of a generation's text encoder: 768 and 1024 in truth."""

HEADS: dict[int, Any] = {1: 2, 2: (2, 4)}
"""What `attention_head_dim` says of each generation, which diffusers takes for the number of heads."""

NOISE: dict[str, Any] = dict(
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule="scaled_linear",
    clip_sample=False,
    num_train_timesteps=1000,
    set_alpha_to_one=False,
    skip_prk_steps=True,
    steps_offset=1,
    trained_betas=None,
)
"""As both generations' files have it, word for word; neither says how steps are spaced."""

CHECKER = {
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "requires_safety_checker": True,
}
"""What the index of a generation 1 names, of which nothing lies in these folders: whoever reads it fails."""


def write_first_generation(
    folder: Path,
    generation: int,
    *,
    in_channels: int = 4,
    prediction: str = "epsilon",
    variant: str | None = None,
    cell_px: int = 8,
    seed: int = 0,
) -> Path:
    """
    Write a pipeline for 64x64 pixels.

    Args:
        folder: Where.
        generation: 1 as Stable Diffusion 1.5, with convolutions around attention, one number of heads and a PNDM scheduler; 2 as 2.1, with linear
            layers, heads by level, `upcast_attention`, another padding and a DDIM scheduler.
        in_channels: 4, or 9 for one that was trained to inpaint.
        prediction: What the UNet predicts: `epsilon` or `v_prediction`.
        variant: `fp16` for weights in half precision, named so.
        cell_px: Side of a latent cell: 8, or 4 for a VAE of one level less.
        seed: Of the weights.
    """
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, StableDiffusionInpaintPipeline, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from sdxl_lab.pocket.training import architecture

    torch.manual_seed(seed)
    width, tokenizer = TEXT_WIDTHS[generation], architecture.build_tokenizer()
    if generation == 2:
        tokenizer.pad_token = "!"
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=64,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=architecture.MAX_TOKENS,
        hidden_act="quick_gelu" if generation == 1 else "gelu",
        **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")},
    )
    text_encoder = CLIPTextModel(config).eval()
    for weight in text_encoder.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    unet = UNet2DConditionModel(
        in_channels=in_channels,
        cross_attention_dim=width,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=HEADS[generation],
        use_linear_projection=generation == 2,
        upcast_attention=generation == 2,
        norm_num_groups=8,
        sample_size=64 // cell_px,
    ).eval()
    vae = architecture.build_vae().eval()
    if cell_px == 4:
        config = {**vae.config, "block_out_channels": (16, 32, 64)}
        config |= {f"{way}_block_types": vae.config[f"{way}_block_types"][:3] for way in ("down", "up")}
        vae = AutoencoderKL.from_config(config).eval()
    vae.register_to_config(scaling_factor=0.18215)
    schedule = NOISE if prediction == "epsilon" and generation == 1 else NOISE | {"prediction_type": prediction}
    kind = PNDMScheduler if generation == 1 else DDIMScheduler
    named = StableDiffusionInpaintPipeline if in_channels == 9 else StableDiffusionPipeline
    components: Any = dict(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=kind.from_config(schedule))
    pipeline: Any = named(**components, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipeline.to(torch.float16 if variant == "fp16" else torch.float32, silence_dtype_warnings=True)
    pipeline.save_pretrained(folder, variant=variant)
    rewrite(folder / "scheduler" / "scheduler_config.json", {"_class_name": kind.__name__, "_diffusers_version": "0.8.0", **schedule})
    rewrite(folder / "vae" / "config.json", drop=("force_upcast",))  # which is younger than they are
    if generation == 1:
        rewrite(folder / "model_index.json", {**json.loads((folder / "model_index.json").read_text()), **CHECKER})
    return folder


def rewrite(path: Path, content: dict[str, Any] | None = None, *, drop: tuple[str, ...] = ()) -> None:
    """
    Write a configuration anew, or leave keys of it out.
    """
    whole = json.loads(path.read_text()) if content is None else content
    path.write_text(json.dumps({key: value for key, value in whole.items() if key not in drop}, indent=2))
