"""What soft masks look like: the sheet of docs/editing.md, made by `python -m sdxl_lab.pocket.training.soft_masks docs/images/soft-masks.webp`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from sdxl_lab.checkpoints.loading import load
from sdxl_lab.datasets.sources import fetch
from sdxl_lab.generation.generate import generate
from sdxl_lab.images.grid import contact_sheet
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings, Mask
from sdxl_lab.spec.edit import Edit

WAYS = {"cut at half": "off", "threshold": "threshold", "blend": "blend"}
BLUR_PX, KERNEL, SIDE_PX = 16, 9, 128
DENOISING = Denoising(num_inference_steps=30, strength=0.99, guidance_scale=6.0)


def edit(prompt: str, mask: Mask) -> Edit:
    """A picture of a prompt, with the seed that all have."""
    settings = EditSettings(denoising=DENOISING, mask=mask)
    return Edit(sample="sheet", task="inpaint", prompt=prompt, negative_prompt=None, seed=7, settings=settings)


def sheet() -> Image.Image:
    """Two objects whose masks are blurred, and a scene in which a gradient from left to right says how far it is repainted."""
    scenes, checkpoint = fetch("pocket-scenes"), load("pocket", Compute(device="cpu", threads=1))
    gradient = Image.fromarray(np.tile(np.linspace(0, 255, SIDE_PX).round().astype(np.uint8), (SIDE_PX, 1)))
    asked = [
        ("blue-heart", None, "an orange circle on the beach", Mask(kernel_size=KERNEL, blur_px=BLUR_PX)),
        ("red-circle", None, "a blue star on grass", Mask(kernel_size=KERNEL, blur_px=BLUR_PX)),
        ("red-circle", gradient, "a red circle on the beach", Mask()),
    ]
    rows, cells = [], []
    for name, own, prompt, mask in asked:
        sample = scenes.sample(name)
        image, given = sample.image(), own or sample.mask()
        masks = {way: mask.model_copy(update={"soft": soft} if soft != "off" else {"blur_px": 0}) for way, soft in WAYS.items()}
        made = {way: generate(edit(prompt, settings), image, given, checkpoint) for way, settings in masks.items()}
        rows.append(f"{prompt}\n({'a gradient' if own else f'blur {BLUR_PX} px'})")
        cells.append([image, made["threshold"].mask_image, *(one.image for one in made.values())])
    return contact_sheet(rows=rows, columns=["input", "soft mask", *WAYS], cells=cells, cell_px=None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path, help="where the sheet goes")
    sheet().save(parser.parse_args().picture, quality=80)
