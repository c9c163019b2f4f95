"""Train the pocket checkpoint from nothing: `python -m sdxl_lab.pocket.training.train`.

Everything is kept in the user's cache folder: training pictures, latents, and each stage's state every two minutes.
A later call goes on where an earlier one stopped, so a killed process loses minutes. Stages whose inputs are ready
can run at the same time, a process each, with `--stage` and `--threads 1`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTokenizer

from sdxl_lab.pocket.training.architecture import build_scheduler, build_tokenizer
from sdxl_lab.pocket.training.autoencoder import train_decoder, train_vae
from sdxl_lab.pocket.training.diffusion import train_base, train_refiner, train_text_encoders
from sdxl_lab.pocket.training.judge import Judge, train_judge
from sdxl_lab.pocket.training.under_way import as_command

WEIGHTS = Path(__file__).parents[1] / "weights"
STAGES = ("vae", "text", "base", "refiner", "decoder", "judge", "weights")
BASE_STEPS = 7500
REFINER_STEPS = 2000


def main() -> None:
    """Run the stages asked for; a stage that is done already is only loaded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=default_folder(), help="training state (default: %(default)s)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the finished checkpoint goes (default: the package)")
    parser.add_argument("--stage", choices=STAGES, default="weights", help="the last stage to run (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.folder, arguments.weights, arguments.stage)


def asked_of_one_file(about: str | None, file: Path) -> tuple[Path, Path]:
    """What a command is told that trains one small file to go with the checkpoint, and computes in one thread, since bits depend on it.

    Args:
        about: What the command says of itself.
        file: The one of the package.

    Returns:
        The folder with the training's state, and where the file goes.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=default_folder(), help="training state (default: %(default)s)")
    parser.add_argument("--file", type=Path, default=file, help="where the file goes (default: the package)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    return arguments.folder, arguments.file


def default_folder() -> Path:
    """`sdxl_lab/pocket-training` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sdxl_lab" / "pocket-training"


def train(folder: Path, weights: Path, stage: str = "weights") -> None:
    """Train what a stage needs, then the stage.

    Args:
        folder: Where pictures, latents and training states are kept.
        weights: Where the last stage writes the checkpoint.
        stage: One of `STAGES`.
    """
    if stage == "judge":
        train_judge(folder)
        return
    tokenizer = build_tokenizer()
    if stage == "text":
        train_text_encoders(tokenizer, folder)
        return
    vae = train_vae(folder)
    if stage == "decoder":
        train_decoder(vae, folder)
    if stage in ("vae", "decoder"):
        return
    base = train_base(train_text_encoders(tokenizer, folder), vae, tokenizer, folder, steps=BASE_STEPS)
    if stage == "base":
        return
    refiner = train_refiner(base, vae, tokenizer, folder, steps=REFINER_STEPS)
    if stage == "weights":
        write_weights(weights, tokenizer, train_decoder(vae, folder), base, refiner, train_judge(folder))


def write_weights(folder: Path, tokenizer: CLIPTokenizer, vae: AutoencoderKL, base: nn.ModuleDict, refiner: nn.Module, judge: Judge) -> None:
    """Write base and refiner as diffusers lays them out, in fp16, and the judge beside them.

    Args:
        folder: Gets `base/`, `refiner/` and `judge.safetensors`.
        tokenizer: Of both text encoders.
        vae: The autoencoder, its scaling factor set.
        base: `unet`, `text_encoder` and `text_encoder_2`.
        refiner: The refiner's UNet.
        judge: The judge.
    """
    shared = {"vae": vae, "text_encoder_2": base["text_encoder_2"], "tokenizer_2": tokenizer, "scheduler": build_scheduler()}
    StableDiffusionXLInpaintPipeline(
        **shared, text_encoder=base["text_encoder"], tokenizer=tokenizer, unet=base["unet"], add_watermarker=False
    ).to(torch.float16).save_pretrained(folder / "base")  # fmt: skip
    StableDiffusionXLImg2ImgPipeline(
        **shared, text_encoder=None, tokenizer=None, unet=refiner,
        requires_aesthetics_score=True, force_zeros_for_empty_prompt=False, add_watermarker=False,
    ).to(torch.float16).save_pretrained(folder / "refiner")  # fmt: skip
    save_file({name: weight.half().contiguous() for name, weight in judge.state_dict().items()}, folder / "judge.safetensors")


if __name__ == "__main__":
    as_command(main)
