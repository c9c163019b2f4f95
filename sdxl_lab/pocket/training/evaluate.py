"""Measure the pocket checkpoint and rewrite its model card's table: `python -m sdxl_lab.pocket.training.evaluate`.

Every figure comes from scenes, prompts and seeds that training never saw, made with 30 steps at guidance 6 through the
lab's own `generate`, and judged by the judge, which was trained on other seeds still.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from sdxl_lab.checkpoints.checkpoint import Checkpoint
from sdxl_lab.checkpoints.loading import load
from sdxl_lab.generation.generate import generate
from sdxl_lab.generation.trajectory import TrajectoryCache
from sdxl_lab.images.masks import dilate
from sdxl_lab.metrics import sharpness_inside, shows_colour
from sdxl_lab.pocket.training.card import Figure, mean, rewrite, share
from sdxl_lab.pocket.training.fidelity import noise_errors, peak_signal_to_noise
from sdxl_lab.pocket.training.judge import Judge, Verdict, load_judge
from sdxl_lab.pocket.training.sheet import SHEET, draw_sheet
from sdxl_lab.pocket.training.under_way import as_command, each
from sdxl_lab.pocket.world import COLOURS, Scene, caption, draw, object_mask, sample_scene
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings, Mask, Refiner
from sdxl_lab.spec.edit import Edit

FIRST_SEED = 5_000_000
GUIDANCE_SCALE = 6.0
DILATION_PX = 16
"""Chosen on other seeds than those the figures come from."""
HAND_OVERS = (0.7, 0.8, 0.9)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An edit of a scene: what is there, and what it is to become."""

    scene: Scene
    wanted: Scene
    seed: int

    @property
    def image(self) -> Image.Image:
        """The picture before."""
        return draw(self.scene)

    @property
    def mask(self) -> Image.Image:
        """The object's mask."""
        return object_mask(self.scene)

    def edit(self, **settings: object) -> Edit:
        """The edit for `generate`, at 30 steps and guidance 6."""
        denoising = Denoising(num_inference_steps=30, guidance_scale=GUIDANCE_SCALE, **settings.pop("denoising", {}))  # type: ignore[arg-type]
        return Edit(sample="", task="inpaint", prompt=caption(self.wanted), seed=self.seed, settings=EditSettings(denoising=denoising, **settings))


def asked(index: int) -> Asked:
    """An unseen scene whose object becomes another: other color, other shape, same place and size."""
    scene = sample_scene(FIRST_SEED + index)
    wanted = next(
        other
        for other in (sample_scene(FIRST_SEED + 100_000 + 100 * index + i) for i in range(100))
        if other.colour != scene.colour and other.shape != scene.shape
    )
    return Asked(scene=scene, wanted=replace(scene, colour=wanted.colour, shape=wanted.shape), seed=index)


def inpaint(edits: Sequence[Asked], checkpoint: Checkpoint, kernel_size: int, name: str) -> list[Image.Image]:
    """Make each edit once, the mask dilated, the base alone."""
    mask = Mask(kernel_size=kernel_size)
    return [generate(a.edit(mask=mask), a.image, a.mask, checkpoint).image for a in each(edits, name)]


def text_to_image(scenes: Sequence[Scene], checkpoint: Checkpoint, name: str) -> list[Image.Image]:
    """Make a picture from each scene's caption alone, with diffusers' own pipeline."""
    pipeline = StableDiffusionXLPipeline.from_pipe(checkpoint.base, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    pictures: list[Image.Image] = []
    for start in each(range(0, len(scenes), 8), name, unit="batch"):
        batch = scenes[start : start + 8]
        generators = [torch.Generator().manual_seed(start + i) for i in range(len(batch))]
        prompts = [caption(scene) for scene in batch]
        pictures += pipeline(prompts, num_inference_steps=30, guidance_scale=GUIDANCE_SCALE, generator=generators, height=128, width=128).images
    return pictures


def hue_rule(picture: Image.Image, a: Asked) -> str | None:
    """Name the color of what stands out in the dilated mask, without the judge; None where nothing does."""
    return next((colour for colour in COLOURS if shows_colour(picture, dilated(a.mask), colour)), None)


def dilated(mask: Image.Image) -> Image.Image:
    """The mask as the dilated edits use it."""
    return dilate(mask, kernel_size=2 * DILATION_PX + 1)


def right(verdicts: Sequence[Verdict], wanted: Sequence[Scene], kind: str) -> list[bool]:
    """Which verdicts say what was asked of a kind."""
    return [getattr(verdict, kind) == getattr(scene, kind) for verdict, scene in zip(verdicts, wanted, strict=True)]


def text_figures(count: int) -> list[Figure]:
    """Text to image: is the color, the background and the shape there, also for pairs that training never showed?"""
    checkpoint, judge = _models()
    figures = []
    for held_out, pairs, aim in ((False, "", ">= 80%"), (True, ", pairs held out of training", ">= 65%")):
        scenes = [sample_scene(FIRST_SEED + 50_000 + i, held_out=held_out) for i in range(count)]
        verdicts = judge.judge(text_to_image(scenes, checkpoint, f"text to image{pairs}"))
        aims = {"colour": ">= 95%", "background": ">= 90%", "shape": aim}
        figures += [share(f"text to image: {kind}{pairs}", right(verdicts, scenes, kind), aims[kind]) for kind in aims]
    return figures


def inpaint_figures(count: int) -> list[Figure]:
    """Inpainting with dilated and undilated masks, and what the figures are worth: a second rule, and shuffled prompts."""
    checkpoint, judge = _models()
    edits = [asked(i) for i in range(count)]
    wanted, figures = [a.wanted for a in edits], []
    aims = {"colour": ">= 95%", "shape": ">= 75%", "background": ">= 97%"}
    for masks, kernel_size in (("dilated", 2 * DILATION_PX + 1), ("undilated", 1)):
        pictures = inpaint(edits, checkpoint, kernel_size, f"inpaint, {masks}")
        verdicts = judge.judge(pictures)
        hues = [hue_rule(picture, a) for picture, a in zip(pictures, edits, strict=True)]
        said = {kind: aims[kind] if masks == "dilated" else "" for kind in aims}
        figures += [share(f"inpaint, {masks} mask: {kind}", right(verdicts, wanted, kind), said[kind]) for kind in aims]
        hits = [hue == scene.colour for hue, scene in zip(hues, wanted, strict=True)]
        figures.append(share(f"inpaint, {masks} mask: hue of the masked pixels", hits, ">= 90%" if masks == "dilated" else ""))
        if masks == "dilated":
            agree = [hue == verdict.colour for hue, verdict in zip(hues, verdicts, strict=True)]
            figures.append(share("hue rule and judge agree on color", agree, ">= 97%"))
            others = wanted[1:] + wanted[:1]
            shuffled = "inpaint, scored against another's prompt"
            figures += [share(f"{shuffled}: {kind}", right(verdicts, others, kind), "chance") for kind in ("colour", "shape")]
    return figures


def color_word_figures(count: int) -> list[Figure]:
    """The same picture, mask and seed under each of the nine color words."""
    checkpoint, judge = _models()
    objects = [asked(10_000 + i) for i in range(-(-count // len(COLOURS)))]
    edits = [replace(a, wanted=replace(a.wanted, colour=colour)) for a in objects for colour in COLOURS]
    verdicts = judge.judge(inpaint(edits, checkpoint, 2 * DILATION_PX + 1, "nine color words"))
    return [share("same picture, mask and seed, nine color words: color", right(verdicts, [a.wanted for a in edits], "colour"), ">= 90%")]


def refiner_figures(count: int) -> list[Figure]:
    """What the refiner adds and what it costs, at three hand-overs and at a low and a high aesthetic score."""
    checkpoint, judge = _models()
    edits = [asked(i) for i in range(count)]
    wanted = [a.wanted for a in edits]
    settings = {"base alone": ({}, 6.0)}
    settings |= {f"refiner at {frac}": ({"high_noise_frac": frac}, 6.0) for frac in HAND_OVERS}
    settings |= {f"refiner at 0.7, aesthetic score {score}": ({"high_noise_frac": 0.7}, score) for score in (2.5, 6.5)}
    pictures: dict[str, list[Image.Image]] = {name: [] for name in settings}
    for a in each(edits, "refiner"):
        trajectories = TrajectoryCache()
        for name, (denoising, score) in settings.items():
            edit = a.edit(denoising=denoising, mask=Mask(kernel_size=2 * DILATION_PX + 1), refiner=Refiner(aesthetic_score=score))
            pictures[name].append(generate(edit, a.image, a.mask, checkpoint, trajectories=trajectories).image)
    sharp = {name: np.array([sharpness_inside(p, dilated(a.mask)) for p, a in zip(made, edits, strict=True)]) for name, made in pictures.items()}
    figures = []
    for name in (f"refiner at {frac}" for frac in HAND_OVERS):
        verdicts = judge.judge(pictures[name])
        figures += [share(f"inpaint, {name}: {kind}", right(verdicts, wanted, kind), "as the base alone") for kind in ("colour", "shape")]
        figures.append(mean(f"inpaint, {name}: sharpness over the base alone's", 100 * sharp[name] / sharp["base alone"], "%", "> 100"))
    low, high = (sharp[f"refiner at 0.7, aesthetic score {score}"] for score in (2.5, 6.5))
    figures.append(mean("refiner at 0.7: sharpness at aesthetic score 6.5 over that at 2.5", 100 * high / low, "%", "> 100"))
    return figures


def part_figures(count: int) -> list[Figure]:
    """The autoencoder, the UNets' noise errors, and the judge on true unseen scenes and on what the autoencoder makes of them."""
    checkpoint, judge = _models()
    scenes = [sample_scene(FIRST_SEED + 200_000 + i) for i in range(count)]
    fidelity, decoded = peak_signal_to_noise(checkpoint.base.vae, scenes)
    figures = [fidelity, *noise_errors(checkpoint.base, checkpoint.refiner, scenes)]
    for name, pictures in (("true scenes", [draw(scene) for scene in scenes]), ("autoencoded scenes", [Image.fromarray(p) for p in decoded])):
        verdicts = judge.judge(pictures)
        figures += [share(f"judge on {name}: {kind}", right(verdicts, scenes, kind)) for kind in ("colour", "shape", "background")]
    return figures


SECTIONS = (text_figures, inpaint_figures, color_word_figures, refiner_figures, part_figures)


def measure(count: int) -> list[Figure]:
    """Measure everything, a process a core.

    Args:
        count: Pictures, or edits, a figure rests on.
    """
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as workers:
        sections = [workers.submit(section, count) for section in SECTIONS]
        return [figure for section in sections for figure in section.result()]


@cache
def _models() -> tuple[Checkpoint, Judge]:
    return load("pocket", Compute()), load_judge()


def main() -> None:
    """Measure, print, and rewrite the model card and its contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=216, help="pictures a figure rests on (default: %(default)s)")
    figures = measure(parser.parse_args().count)
    for figure in figures:
        print(figure.row())
    rewrite(figures)
    draw_sheet(load("pocket", Compute())).save(SHEET, optimize=True)


if __name__ == "__main__":
    as_command(main, goes_on=False)
