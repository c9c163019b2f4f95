"""Fine-tune the pocket checkpoint to styles of its own: `python -m sdxl_lab.pocket.styles` makes `pocket-neon` and `pocket-paper`, a file each.

As people fine-tune the large SDXL: the base's UNet is trained on, on pictures of one style under the same captions, and text encoders and
autoencoder stay as they are. Takes some minutes a style on one core. A call that is stopped goes on later where it was.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionXLInpaintPipeline
from torch import nn

from sdxl_lab.families.pocket import WEIGHTS
from sdxl_lab.files.digests import cache_folder
from sdxl_lab.pocket.training.diffusion import base_loss, inputs_of, tokenize
from sdxl_lab.pocket.training.looks import LOOKS
from sdxl_lab.pocket.training.loop import device, fit
from sdxl_lab.pocket.training.pool import Pool
from sdxl_lab.pocket.training.single_file import write_single_file
from sdxl_lab.pocket.training.under_way import as_command, in_course

FIRST_SEED = 9_000_000
"""Far from the seeds of the base's training, of the evaluation, of the built-in datasets and of the embedding."""
COUNT = 2000
STEPS = 600
BATCH = 8
LEARNING_RATE = 1e-3
EMA_DECAY = 0.98

WITHOUT_VAE = frozenset({"paper"})
"""Styles whose file has no autoencoder, as many that people publish; it is then the checkpoint's own."""
METADATA = {
    "modelspec.sai_model_spec": "1.0.1",
    "modelspec.architecture": "stable-diffusion-xl-v1-base",
    "modelspec.implementation": "sgm",
    "modelspec.license": "Apache-2.0",
    "modelspec.resolution": "128x128",
    "modelspec.prediction_type": "epsilon",
    "modelspec.description": "The pocket checkpoint of sdxl_lab, fine-tuned to a style.",
}
"""What a file says of itself, by Stability AI's Model Metadata Specification; without a date, so that the same weights are the same bytes."""


@dataclass(frozen=True)
class StyledPool(Pool):
    """Training examples that are drawn in a style.

    Attributes:
        look: A key of `LOOKS`.
    """

    look: str = "neon"

    def draw(self, index: int) -> np.ndarray:
        """The picture at an index: uint8 of shape (height, width, 3)."""
        return np.asarray(self.example(index).draw(LOOKS[self.look]))


def loss_of(base: StableDiffusionXLInpaintPipeline, folder: Path, pool: Pool) -> Callable[[nn.Module, int], torch.Tensor]:
    """The loss of a UNet at a step, as `fit` takes it: how well it predicts the noise of a style's pictures when it is told their captions.

    Args:
        base: The checkpoint's base, of which text encoders and autoencoder are used.
        folder: Where pictures and latents are kept.
        pool: The pictures.
    """
    inputs, empty = inputs_of(pool, base.vae, base.tokenizer, folder), tokenize(base.tokenizer, [""])

    def loss(unet: nn.Module, step: int) -> torch.Tensor:
        rows, drop = torch.randint(pool.count, (BATCH,)), torch.rand(BATCH, 1)
        return base_loss({**base.components, "unet": unet}, inputs, rows, empty, drop)

    return loss


def train(look: str, folder: Path, *, steps: int = STEPS, count: int = COUNT) -> StableDiffusionXLInpaintPipeline:
    """Train the base's UNet on a style.

    Args:
        look: A key of `LOOKS`.
        folder: Where pictures, latents and the training's state are kept; a later call goes on from there.
        steps: Steps in all.
        count: How many pictures it is trained on.

    Returns:
        The base, with the UNet's new weights.
    """
    base = StableDiffusionXLInpaintPipeline.from_pretrained(WEIGHTS / "base", dtype=torch.float32, add_watermarker=False).to(device())
    for model in (base.text_encoder, base.text_encoder_2, base.vae):
        model.requires_grad_(False)
    loss = loss_of(base, folder, StyledPool(look, FIRST_SEED, count, look=look))
    base.unet = fit(look, lambda: base.unet, loss, steps=steps, learning_rate=LEARNING_RATE, folder=folder, ema_decay=EMA_DECAY)
    return base


def make(look: str, folder: Path, *, steps: int = STEPS, count: int = COUNT) -> Path:
    """Train a style and write its file, unless it is there.

    Args:
        look: A key of `LOOKS`.
        folder: Where the file goes. What training keeps lies beside it in a folder, until the file is whole.
        steps: As in `train`; likewise `count`.
        count: See `steps`.

    Returns:
        The file, in half precision. One of `WITHOUT_VAE` has no autoencoder.

    Raises:
        DiskError: The disk is full or not writable.
    """
    file = _file(look, folder)
    if not file.exists():
        state = folder / f"pocket-{look}-training"
        base = train(look, state, steps=steps, count=count).to(torch.float16, silence_dtype_warnings=True)
        write_single_file(base, file, with_vae=look not in WITHOUT_VAE, metadata=METADATA | {"modelspec.title": f"pocket-{look}"})
        shutil.rmtree(state, ignore_errors=True)
    return file


def _file(look: str, folder: Path) -> Path:
    return folder / f"pocket-{look}.safetensors"


def main() -> None:
    """Make each style's file that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=cache_folder(), help="where the files go (default: %(default)s, where their names find them)")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)  # bits depend on it
    missing = [look for look in LOOKS if not _file(look, folder).exists()]
    for look in in_course(missing):
        make(look, folder)
    for look in LOOKS:
        print(_file(look, folder))


if __name__ == "__main__":
    as_command(main)
