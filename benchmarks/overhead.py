"""What the lab adds to diffusers: from sample and spec to decoded picture, caches emptied, against the bare pipeline calls.

Use: python benchmarks/overhead.py [CHECKPOINT] [PAIRS] [STEPS]      (the built-in pocket checkpoint, 30 alternating pairs, 30 steps)
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sdxl_lab.checkpoints import Checkpoint, load
from sdxl_lab.generate import generate
from sdxl_lab.spec import Compute, Denoising, Edit, EditSettings


def scene(side_px: int) -> tuple[Image.Image, Image.Image]:
    """A picture and the mask of a disc in its middle."""
    rows, columns = np.mgrid[:side_px, :side_px]
    pixels = np.stack([rows, columns, (rows + columns) // 2], axis=-1) * 255 // side_px
    disc = (rows - side_px / 2) ** 2 + (columns - side_px / 2) ** 2 < (side_px / 4) ** 2
    return Image.fromarray(pixels.astype(np.uint8)), Image.fromarray(disc.astype(np.uint8) * 255)


def bare(checkpoint: Checkpoint, edit: Edit, image: Image.Image, mask: Image.Image) -> Image.Image:
    """The same picture by diffusers alone: one call, or two if there is a refiner."""
    denoising = edit.settings.denoising
    shared: dict[str, Any] = dict(prompt=edit.prompt, mask_image=mask, width=image.width, height=image.height, strength=denoising.strength)
    shared |= dict(num_inference_steps=denoising.num_inference_steps, guidance_scale=denoising.guidance_scale)
    for pipeline in filter(None, (checkpoint.base, checkpoint.refiner)):
        pipeline.set_progress_bar_config(disable=True)
    seeded = torch.Generator().manual_seed
    if denoising.high_noise_frac is None:
        return checkpoint.base(image=image, generator=seeded(edit.seed), **shared).images[0]
    cut = denoising.high_noise_frac
    latents = checkpoint.base(image=image, generator=seeded(edit.seed), denoising_end=cut, output_type="latent", **shared).images
    return checkpoint.refiner(image=latents, generator=seeded(edit.seed), denoising_start=cut, **shared).images[0]


def main(name: str = "pocket", pairs: str = "30", steps: str = "30") -> None:
    """Print the median ratio of both times, for the base alone and for both hand-overs."""
    checkpoint = load(name, Compute(device="cpu", dtype="float32", threads=1))
    image, mask = scene(round(checkpoint.sizes.area**0.5))
    plans: dict[str, dict[str, Any]] = {"base alone": dict(), "base and refiner, stock": dict(high_noise_frac=0.8, handover="stock")}
    plans["base and refiner, consistent"] = dict(high_noise_frac=0.8)
    for plan, choice in plans.items():
        settings = EditSettings(denoising=Denoising(num_inference_steps=int(steps), **choice))
        edit = Edit(sample="disc", task="inpaint", prompt="a red star on grass", seed=7, settings=settings)
        results = {"lab": generate(edit, image, mask, checkpoint).raw, "bare": bare(checkpoint, edit, image, mask)}
        equal = "equal" if np.array_equal(*map(np.asarray, results.values())) else "different: called twice, diffusers hands over as stock does"
        times: dict[str, list[float]] = {"lab": [], "bare": []}
        for pair in range(int(pairs)):
            for side in ("lab", "bare") if pair % 2 else ("bare", "lab"):
                began = time.perf_counter()
                if side == "lab":
                    generate(edit, image, mask, checkpoint)
                else:
                    bare(checkpoint, edit, image, mask)
                times[side].append(time.perf_counter() - began)
        ratio = statistics.median(lab / plain for lab, plain in zip(times["lab"], times["bare"], strict=True))
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            results["lab"].save(Path(folder) / "picture.png")
            png_s = time.perf_counter() - began
        lab_s, bare_s = statistics.median(times["lab"]), statistics.median(times["bare"])
        print(f"{plan}: median ratio {ratio:.3f} (lab {lab_s:.3f} s, bare {bare_s:.3f} s, PNG {png_s * 1e3:.1f} ms more; pictures {equal})")


if __name__ == "__main__":
    main(*sys.argv[1:])
