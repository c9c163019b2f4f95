"""What the lab adds to diffusers: from sample and spec to decoded picture, caches emptied, against the bare pipeline calls.

Use: python benchmarks/overhead.py [FOLDER] [PAIRS] [STEPS] [DEVICE]      (the built-in pocket checkpoint, 30 alternating pairs, 30 steps, cpu)

FOLDER holds a pair in diffusers' layout, `base` and `refiner`. On `cuda` both sides compute in half precision, as the lab chooses there.
`listening` is the lab with a preview of each step, over the lab without.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from sdxl_lab.checkpoints.loading import load
from sdxl_lab.families.pocket import WEIGHTS
from sdxl_lab.generation.generate import generate
from sdxl_lab.generation.previews import preview
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings
from sdxl_lab.spec.edit import Edit
from sdxl_lab.tasks import TASKS


def scene(side_px: int) -> tuple[Image.Image, Image.Image]:
    """A picture and the mask of a disc in its middle."""
    rows, columns = np.mgrid[:side_px, :side_px]
    pixels = np.stack([rows, columns, (rows + columns) // 2], axis=-1) * 255 // side_px
    disc = (rows - side_px / 2) ** 2 + (columns - side_px / 2) ** 2 < (side_px / 4) ** 2
    return Image.fromarray(pixels.astype(np.uint8)), Image.fromarray(disc.astype(np.uint8) * 255)


PIPELINES = {"inpaint": ("Inpaint", "Inpaint"), "text_to_image": ("", "Img2Img"), "image_to_image": ("Img2Img", "Img2Img")}
"""Kinds of diffusers' pipelines for base and refiner, by task."""


def plain_pairs(folder: Path, device: str, dtype: torch.dtype) -> dict[str, list[Any]]:
    """Base and refiner as diffusers' documentation loads them, by task."""
    variant = "fp16" if any(folder.glob("base/*/*.fp16.safetensors")) else None
    options: dict[str, Any] = dict(dtype=dtype, variant=variant, use_safetensors=True, add_watermarker=False)
    loaded: Any = diffusers.StableDiffusionXLInpaintPipeline
    base = loaded.from_pretrained(folder / "base", **options)
    refiner = loaded.from_pretrained(folder / "refiner", **options, vae=base.vae, text_encoder_2=base.text_encoder_2, tokenizer_2=base.tokenizer_2)
    parts = [base.to(device), refiner.to(device)]
    pairs = {
        task: [getattr(diffusers, f"StableDiffusionXL{kind}Pipeline").from_pipe(part) for kind, part in zip(kinds, parts, strict=True)]
        for task, kinds in PIPELINES.items()
    }
    for pipeline in (pipeline for pair in pairs.values() for pipeline in pair):
        pipeline.set_progress_bar_config(disable=True)
    return pairs


def bare(pair: list[Any], edit: Edit, image: Image.Image, mask: Image.Image) -> Image.Image:
    """The same picture by diffusers alone: one call, or two if there is a refiner."""
    base, refiner = pair
    denoising = edit.settings.denoising
    shared: dict[str, Any] = dict(prompt=edit.prompt, num_inference_steps=denoising.num_inference_steps, guidance_scale=denoising.guidance_scale)
    size: dict[str, Any] = dict(width=image.width, height=image.height)
    masked = size | dict(mask_image=mask, strength=denoising.strength) if edit.task == "inpaint" else {}
    start = {"text_to_image": size, "image_to_image": dict(image=image, strength=denoising.strength), "inpaint": masked | dict(image=image)}[
        edit.task
    ]
    seeded = torch.Generator().manual_seed
    if denoising.high_noise_frac is None:
        return base(generator=seeded(edit.seed), **start, **shared).images[0]
    cut = denoising.high_noise_frac
    latents = base(generator=seeded(edit.seed), denoising_end=cut, output_type="latent", **start, **shared).images
    return refiner(image=latents, generator=seeded(edit.seed), denoising_start=cut, **masked, **shared).images[0]


def main(folder: str = str(WEIGHTS), pairs: str = "30", steps: str = "30", device: str = "cpu") -> None:
    """Print the median ratio of both times, for each task with the base alone and with a refiner, and for inpainting with both hand-overs."""
    checkpoint = load(folder, Compute(device=device, threads=1))
    plain = plain_pairs(Path(folder), device, checkpoint.dtype)
    image, mask = scene(round(checkpoint.sizes.area**0.5))
    stock: dict[str, Any] = dict(high_noise_frac=0.8, handover="stock")
    plans: dict[str, tuple[str, dict[str, Any]]] = {"base alone": ("inpaint", {}), "base and refiner, stock": ("inpaint", stock)}
    plans["base and refiner, consistent"] = ("inpaint", dict(high_noise_frac=0.8))
    for task in ("text_to_image", "image_to_image"):
        plans |= {f"{task}, base alone": (task, {}), f"{task}, stock": (task, stock)}
    for plan, (task, choice) in plans.items():
        pair, inputs = plain[task], (image if TASKS[task].needs_image else None, mask)
        settings = EditSettings(denoising=Denoising(num_inference_steps=int(steps), **choice))
        edit = Edit(sample="disc", task=task, prompt="a red star on grass", seed=7, settings=settings)
        results = {"lab": (first := generate(edit, *inputs, checkpoint)).raw, "bare": bare(pair, first.edit, image, mask)}
        equal = "equal" if np.array_equal(*map(np.asarray, results.values())) else "different: called twice, diffusers hands over as stock does"
        make = partial(generate, edit, *inputs, checkpoint)
        sides: dict[str, Callable[[], object]] = {
            "lab": make,
            "bare": partial(bare, pair, first.edit, image, mask),
            "heard": partial(make, on_step=lambda step: preview(step.latents, checkpoint.identity.family)),
        }
        times: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(int(pairs)):
            for side in list(sides) if number % 2 else reversed(sides):
                began = time.perf_counter()
                sides[side]()
                times[side].append(time.perf_counter() - began)
        ratio, heard = (
            statistics.median(one / other for one, other in zip(times[a], times[b], strict=True)) for a, b in (("lab", "bare"), ("heard", "lab"))
        )
        with tempfile.TemporaryDirectory() as temporary:
            began = time.perf_counter()
            results["lab"].save(Path(temporary) / "picture.png")
            png_s = time.perf_counter() - began
        took = ", ".join(f"{side} {statistics.median(times[side]):.3f} s" for side in ("lab", "bare"))
        print(f"{plan}: median ratio {ratio:.3f} ({took}, listening {heard:.3f}, PNG {png_s * 1e3:.1f} ms more; pictures {equal})")


if __name__ == "__main__":
    main(*sys.argv[1:])
