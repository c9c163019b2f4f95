"""The model card's contact sheet: the built-in dataset, edited every way the lab knows."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from sdxl_lab.checkpoints.checkpoint import Checkpoint
from sdxl_lab.generation.generate import generate
from sdxl_lab.images.grid import contact_sheet
from sdxl_lab.images.masks import dilate
from sdxl_lab.pocket.dataset import around
from sdxl_lab.pocket.world import EMPTY
from sdxl_lab.settings.sections import Canvas, Denoising, EditSettings, Mask, Mode
from sdxl_lab.spec.edit import Edit

SHEET = Path(__file__).parents[1] / "contact-sheet.png"
DILATED = Mask(kernel_size=17)
BASE = Denoising(num_inference_steps=30)
REFINED = Denoising(num_inference_steps=30, high_noise_frac=0.8)
CANVAS = Canvas(right_px=32, left_px=32)

WAYS: dict[str, tuple[str, Denoising, Mask, Mode | None]] = {
    "inpaint": ("inpaint", BASE, Mask(), None),
    "inpaint, mask dilated": ("inpaint", BASE, DILATED, None),
    "inpaint, dilated and refined": ("inpaint", REFINED, DILATED, None),
    "outpaint the background": ("outpaint", BASE, Mask(), "background"),
    "outpaint the background, dilated and refined": ("outpaint", REFINED, Mask(kernel_size=5), "background"),
    "outpaint the canvas, 32 pixels on both sides": ("outpaint", REFINED, Mask(), "canvas"),
}


def draw_sheet(checkpoint: Checkpoint) -> Image.Image:
    """Edit each built-in scene in every way of `WAYS`, one row a scene, prompts beside it."""
    rows, cells = [], []
    for edited in around():
        (image, mask), sample = edited.pictures().values(), edited.metadata()
        row: list[Image.Image | None] = [image, mask, dilate(mask, DILATED.kernel_size)]
        for task, denoising, used, mode in WAYS.values():
            settings = EditSettings(denoising=denoising, mask=used, mode=mode, canvas=CANVAS if mode == "canvas" else Canvas())
            prompt = EMPTY[edited.scene.background] if mode == "canvas" else sample[task]["prompt"]
            edit = Edit(sample=edited.name, task=task, prompt=prompt, seed=sample[task]["seed"], settings=settings)
            too_wide = mode == "canvas" and image.width > image.height
            row.append(None if too_wide else generate(edit, image, mask, checkpoint).image)
        rows.append(f"inpaint: {sample['inpaint']['prompt']}\n\noutpaint: {sample['outpaint']['prompt']}")
        cells.append(row)
    return contact_sheet(rows=rows, columns=["input", "mask", "mask dilated", *WAYS], cells=cells, cell_px=None)
