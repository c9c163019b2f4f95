"""Train the small Stable Diffusion 2 from nothing: `python -m sdxl_lab.pocket.training.sd2`.

Everything is kept in the user's cache folder: training pictures, masks, latents, and each stage's state every two
minutes. A later call goes on where an earlier one stopped, so a killed process loses minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionInpaintPipeline, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from sdxl_lab.pocket.training.architecture import build_scheduler, build_tokenizer
from sdxl_lab.pocket.training.sd2.autoencoder import train_vae
from sdxl_lab.pocket.training.sd2.diffusion import train_base, train_inpaint, train_text_encoder
from sdxl_lab.pocket.training.train import default_folder
from sdxl_lab.pocket.training.under_way import as_command

WEIGHTS = Path(__file__).parents[2] / "sd2"
STAGES = {"vae": 2200, "text": 400, "base": 5400, "inpaint": 2000, "weights": 0}
"""The stages in order, and how many steps each takes."""


def main() -> None:
    """Run the stages up to the one asked for; a stage that is done already is only loaded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", nargs="?", choices=STAGES, default="weights", help="the last stage to run (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=default_folder(), help="training state (default: %(default)s)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the finished checkpoints go (default: the package)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.folder, arguments.weights, arguments.stage)


def train(folder: Path, weights: Path, stage: str = "weights") -> None:
    """Train what a stage needs, then the stage.

    Args:
        folder: Where pictures, masks, latents and training states are kept.
        weights: Where the last stage writes the two checkpoints.
        stage: One of `STAGES`.
    """
    vae = train_vae(folder, steps=STAGES["vae"])
    if stage == "vae":
        return
    tokenizer = build_tokenizer()
    text_encoder = train_text_encoder(tokenizer, folder, steps=STAGES["text"])
    if stage == "text":
        return
    base = train_base(text_encoder, vae, tokenizer, folder, steps=STAGES["base"])
    if stage == "base":
        return
    inpaint = train_inpaint(base, vae, tokenizer, folder, steps=STAGES["inpaint"])
    if stage == "weights":
        write_weights(weights, tokenizer, vae, base["text_encoder"], base["unet"], inpaint)


def write_weights(
    folder: Path, tokenizer: CLIPTokenizer, vae: AutoencoderKL, text_encoder: CLIPTextModel, base: UNet2DConditionModel, inpaint: UNet2DConditionModel
) -> None:
    """Write both checkpoints as diffusers lays them out, in fp16.

    Args:
        folder: Gets `base/` and `inpaint/`.
        tokenizer: Of the text encoder.
        vae: The autoencoder, its scaling factor set.
        text_encoder: Of both.
        base: The UNet of 4 channels.
        inpaint: The UNet of 9 channels.
    """
    shared = {
        "vae": vae, "text_encoder": text_encoder, "tokenizer": tokenizer, "scheduler": build_scheduler(),
        "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False,
    }  # fmt: skip
    StableDiffusionPipeline(**shared, unet=base).to(torch.float16).save_pretrained(folder / "base")
    StableDiffusionInpaintPipeline(**shared, unet=inpaint).to(torch.float16).save_pretrained(folder / "inpaint")


if __name__ == "__main__":
    as_command(main)
