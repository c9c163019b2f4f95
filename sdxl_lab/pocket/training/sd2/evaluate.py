"""Measure the small Stable Diffusion 2 on scenes it never saw: `python -m sdxl_lab.pocket.training.sd2.evaluate`.

Prints the figures and rewrites the table and the contact sheet of `pocket/sd2/README.md`. Pictures from words are diffusers'
own; edits are the lab's, of the same unseen scenes and seeds as pocket's, on one core.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from sdxl_lab.checkpoints.checkpoint import Checkpoint
from sdxl_lab.checkpoints.loading import load
from sdxl_lab.generation.generate import generate
from sdxl_lab.images.grid import contact_sheet
from sdxl_lab.pocket.dataset import five
from sdxl_lab.pocket.training.autoencoder import to_tensor
from sdxl_lab.pocket.training.card import Figure, mean, rewrite, share
from sdxl_lab.pocket.training.evaluate import DILATION_PX, FIRST_SEED, GUIDANCE_SCALE, asked, inpaint, right
from sdxl_lab.pocket.training.judge import load_judge
from sdxl_lab.pocket.training.sd2.pictures import SIDE_PX, halved
from sdxl_lab.pocket.training.under_way import as_command, each
from sdxl_lab.pocket.world import SIZE_PX, Scene, caption, draw, sample_scene
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings, Mask
from sdxl_lab.spec.edit import Edit

FOLDER = Path(__file__).parents[2] / "sd2"
CARD, SHEET = FOLDER / "README.md", FOLDER / "contact-sheet.png"
NAMES = ("pocket-sd2", "pocket-sd2-inpaint")
KINDS = ("colour", "shape", "background")
AIMS = {"colour": ">= 85%"}
"""Of inpainting with dilated masks by the checkpoint that was trained to; the other figures only inform."""

DILATED, UNDILATED = 2 * DILATION_PX + 1, 1
MASKS = {"dilated": DILATED, "undilated": UNDILATED}
AIMED_AT = (NAMES[1], "dilated")
INPAINTED = (AIMED_AT, (NAMES[1], "undilated"), (NAMES[0], "dilated"))
"""Which checkpoint inpaints with which masks."""
WAYS = (("inpaint", None, 17), ("outpaint", "background", 5))
"""Tasks of the contact sheet, their mode and the dilation of their masks."""


def enlarged(picture: Image.Image) -> Image.Image:
    """A picture at the size that the judge knows."""
    return picture.resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC)


def judged(pictures: Sequence[Image.Image], wanted: Sequence[Scene], what: str, aims: dict[str, str] | None = None) -> list[Figure]:
    """What share of pictures the judge says shows what was asked for, a figure a kind."""
    verdicts = load_judge().judge([enlarged(picture) for picture in pictures])
    return [share(f"{what}: {'color' if kind == 'colour' else kind}", right(verdicts, wanted, kind), (aims or {}).get(kind, "")) for kind in KINDS]


def text_figures(count: int, of_held_out: int) -> list[Figure]:
    """Text to image by the checkpoint of 4 channels: of usual pairs of color and shape, and of those that training never showed."""
    pipeline = StableDiffusionPipeline.from_pipe(_loaded(NAMES[0]).base)
    pipeline.set_progress_bar_config(disable=True)
    figures = []
    for held_out, pairs, scene_count in ((False, "", count), (True, ", pairs held out of training", of_held_out)):
        scenes, pictures = [sample_scene(FIRST_SEED + 50_000 + i, held_out=held_out) for i in range(scene_count)], []
        for start in each(range(0, scene_count, 8), f"text to image{pairs}", unit="batch"):
            prompts = [caption(scene) for scene in scenes[start : start + 8]]
            generators = [torch.Generator().manual_seed(start + i) for i in range(len(prompts))]
            pictures += pipeline(
                prompts, num_inference_steps=30, guidance_scale=GUIDANCE_SCALE, generator=generators, height=SIDE_PX, width=SIDE_PX
            ).images
        figures += judged(pictures, scenes, f"text to image{pairs}")
    return figures


def inpaint_figures(count: int, name: str, masks: str) -> list[Figure]:
    """Inpainting by a checkpoint, with masks as `MASKS` has them; and against another's prompt, which is chance."""
    edits = [asked(i) for i in range(count)]
    wanted, what = [a.wanted for a in edits], f"{name}, {masks} mask"
    pictures = inpaint(edits, _loaded(name), MASKS[masks], what)
    figures = judged(pictures, wanted, what, AIMS if (name, masks) == AIMED_AT else None)
    if (name, masks) == AIMED_AT:
        figures += judged(pictures, wanted[1:] + wanted[:1], f"{what}, scored against another's prompt", {"colour": "chance", "shape": "chance"})[:2]
    return figures


def part_figures(count: int) -> list[Figure]:
    """The autoencoder on unseen scenes, and the judge on these at 64 pixels, as they are and autoencoded."""
    vae = _loaded(NAMES[0]).base.vae
    scenes = [sample_scene(FIRST_SEED + 200_000 + i) for i in range(count)]
    pictures = [halved(draw(scene)) for scene in scenes]
    levels = np.stack([np.asarray(picture) for picture in pictures])
    decoded = []
    for batch in each(torch.split(to_tensor(levels), 8), "autoencoder", unit="batch"):
        with torch.no_grad():
            decoded.append(vae.decode(vae.encode(batch).latent_dist.mean).sample)
    made = ((torch.cat(decoded).clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    errors = ((made.astype(np.float64) - levels) ** 2).mean(axis=(1, 2, 3))
    figures = [mean("autoencoder: PSNR on unseen scenes", 10 * np.log10(255**2 / errors), " dB")]
    for name, shown in (("true", pictures), ("autoencoded", [Image.fromarray(picture) for picture in made])):
        figures += judged(shown, scenes, f"judge on {name} scenes of 64 pixels")
    return figures


def time_figures(count: int) -> list[Figure]:
    """Seconds that an edit of 30 steps takes on one core, of the process's own time."""
    figures = []
    for name in NAMES:
        seconds, mask = [], Mask(kernel_size=DILATED)
        for a in each([asked(20_000 + i) for i in range(count + 1)], f"{name}, seconds"):
            edit, image, mask_image = a.edit(mask=mask), a.image, a.mask
            began = time.process_time()
            generate(edit, image, mask_image, _loaded(name))
            seconds.append(time.process_time() - began)
        figures.append(mean(f"{name}: an edit of 30 steps on one core", seconds[1:], " s", "< 0.5 s"))  # the first one warms up
    return figures


def measure(count: int) -> list[Figure]:
    """Measure everything, a process a core.

    Args:
        count: Edits that the figure rests on that is aimed at. The others have a third of them, of held-out pairs and of times a sixth.
    """
    fewer, fewest = count // 3, count // 6
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as workers:
        painted = [workers.submit(inpaint_figures, count if which == AIMED_AT else fewer, *which) for which in INPAINTED]
        texts = workers.submit(text_figures, fewer, fewest)
        parts = workers.submit(part_figures, fewer)
        figures = [figure for section in (texts, *painted, parts) for figure in section.result()]
        return figures + workers.submit(time_figures, fewest).result()  # with nothing beside it


@cache
def _loaded(name: str) -> Checkpoint:
    return load(name, Compute(device="cpu", threads=1))


def draw_sheet() -> Image.Image:
    """The built-in scenes, inpainted and given another background by both checkpoints and by pocket: one row a scene, prompts beside it."""
    names = (*NAMES, "pocket")
    rows, cells = [], []
    for edited in five():
        (image, mask), sample = edited.pictures().values(), edited.metadata()
        row: list[Image.Image | None] = [image, mask]
        for task, mode, kernel_size in WAYS:
            settings = EditSettings(denoising=Denoising(num_inference_steps=30), mask=Mask(kernel_size=kernel_size), mode=mode)
            edit = Edit(sample=edited.name, task=task, prompt=sample[task]["prompt"], seed=sample[task]["seed"], settings=settings)
            row += [generate(edit, image, mask, _loaded(name)).image for name in names]
        rows.append(f"inpaint: {sample['inpaint']['prompt']}\n\noutpaint: {sample['outpaint']['prompt']}")
        cells.append(row)
    columns = [f"{task}, {name}" for task, _, _ in WAYS for name in names]
    return contact_sheet(rows=rows, columns=["input", "mask", *columns], cells=cells, cell_px=None)


def main() -> None:
    """Measure, print, and rewrite the model card and its contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=216, help="pictures a figure rests on (default: %(default)s)")
    figures = measure(parser.parse_args().count)
    for figure in figures:
        print(figure.row())
    rewrite(figures, CARD)
    draw_sheet().save(SHEET, optimize=True)


if __name__ == "__main__":
    as_command(main, goes_on=False)
