"""Fine-tune the pocket checkpoint to styles of its own: `python -m sdxl_lab.pocket.styles` makes `pocket-neon` and `pocket-paper`, a file each.

As people fine-tune the large SDXL: the base's UNet is trained on, on pictures of one style under the same captions, and text encoders and
autoencoder stay as they are. Takes some minutes a style on one core. A call that is stopped goes on later where it was.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLInpaintPipeline

from sdxl_lab.families.pocket import WEIGHTS
from sdxl_lab.files.digests import cache_folder
from sdxl_lab.pocket.training.autoencoder import latents_of
from sdxl_lab.pocket.training.diffusion import encode, min_snr_weights, noise_prediction_errors, signal_to_noise, tokenize
from sdxl_lab.pocket.training.looks import LOOKS
from sdxl_lab.pocket.training.loop import device, fit
from sdxl_lab.pocket.training.pool import Pool
from sdxl_lab.pocket.training.single_file import write_single_file

FIRST_SEED = 9_000_000
"""Far from the seeds of the base's training, of the evaluation, of the built-in datasets and of the embedding."""
COUNT = 2000
STEPS = 600
BATCH = 8
LEARNING_RATE = 1e-3
EMA_DECAY = 0.98
MOST_WEIGHT = 10.0

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


def loss_of(base: StableDiffusionXLInpaintPipeline, folder: Path, pool: Pool) -> Any:
    """The loss of a UNet at a step, as `fit` takes it: how well it predicts the noise of a style's pictures when it is told their captions.

    Args:
        base: The checkpoint's base, of which text encoders and autoencoder are used.
        folder: Where pictures and latents are kept.
        pool: The pictures.
    """
    examples = [pool.example(index) for index in range(pool.count)]
    latents = np.array(latents_of(pool, base.vae, folder))
    with torch.no_grad():
        tokens = tokenize(base.tokenizer, ["", *(example.caption for example in examples)]).to(device())
        hidden, pooled = (torch.cat(parts) for parts in zip(*(encode(base.components, some) for some in tokens.split(100)), strict=True))
    time_ids = torch.tensor([example.time_ids for example in examples], dtype=torch.float32, device=device())

    def loss(unet: torch.nn.Module, step: int) -> torch.Tensor:
        rows = torch.randint(pool.count, (BATCH,))
        drop = torch.rand(BATCH)
        # As the base was trained: the empty caption now and then, and zeros, which stand for no negative prompt.
        said = torch.where((drop > 0.08) & (drop < 0.12), 0, 1 + rows)
        kept = (drop >= 0.08).to(device())[:, None]
        timesteps = torch.randint(1000, (BATCH,))
        conditioning = {"text_embeds": pooled[said] * kept, "time_ids": time_ids[rows]}
        errors = noise_prediction_errors(unet, latents, rows, timesteps, hidden[said] * kept[..., None], conditioning)
        return (errors * min_snr_weights(timesteps) * noisy_weights(timesteps)).mean()

    return loss


def noisy_weights(timesteps: torch.Tensor) -> torch.Tensor:
    """Weights that let noisy timesteps learn as quickly as others how bright and of which color a style is as a whole, which a picture begins with.

    Where noise is more than signal they are those of an error in the picture instead of in the noise, up to `MOST_WEIGHT`.

    Args:
        timesteps: (N,), from 0.
    """
    return (1 / signal_to_noise(timesteps)).clamp(1, MOST_WEIGHT).to(device())


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
    file = folder / f"pocket-{look}.safetensors"
    if not file.exists():
        state = folder / f"pocket-{look}-training"
        base = train(look, state, steps=steps, count=count).to(torch.float16, silence_dtype_warnings=True)
        write_single_file(base, file, with_vae=look not in WITHOUT_VAE, metadata=METADATA | {"modelspec.title": f"pocket-{look}"})
        shutil.rmtree(state, ignore_errors=True)
    return file


def main() -> None:
    """Make each style's file that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=cache_folder(), help="where the files go (default: %(default)s, where their names find them)")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)  # bits depend on it
    for look in LOOKS:
        print(make(look, folder))


if __name__ == "__main__":
    main()
