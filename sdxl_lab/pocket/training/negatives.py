"""Measure what `pocket-blurry` does in a negative prompt: `python -m sdxl_lab.pocket.training.negatives` rewrites its tables in the model card.

By plain diffusers, which reads the file too. Scenes, prompts and seeds are the same with it and without, and none was seen in training or when
its recipe was chosen. What any strange words would do is told by four that mean nothing, of as many vectors, each as long, and by the words
"blurry noisy", which no caption of the training said.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLInpaintPipeline, StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import load_file

from sdxl_lab.images.grid import contact_sheet
from sdxl_lab.metrics import sharpness_inside
from sdxl_lab.pocket.training.card import CARD, mean, put, ratio, share
from sdxl_lab.pocket.training.embedding import FILE, NAME
from sdxl_lab.pocket.training.evaluate import GUIDANCE_SCALE, asked, dilated, right
from sdxl_lab.pocket.training.judge import load_judge
from sdxl_lab.pocket.training.train import WEIGHTS
from sdxl_lab.pocket.training.under_way import as_command, each
from sdxl_lab.pocket.world import Scene, caption, sample_scene

FIRST_SEED = 9_000_000
FIRST_EDIT = 30_000
BATCH = 8
RANDOM = [f"random-{letter}" for letter in "abcd"]
SHEET = f"{NAME}.webp"
NONE = "none"
RANDOM_ARM = "four random words"
LOW_GUIDANCE_SCALE = 3.0
KINDS = {"color": "colour", "shape": "shape", "background": "background"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be made: a picture of a scene, from words or in a mask.

    Attributes:
        scene: What is asked for.
        seed: Of the picture.
        image, mask: What is repainted, and where; None from words alone.
    """

    scene: Scene
    seed: int
    image: Image.Image | None = None
    mask: Image.Image | None = None


def from_words(count: int) -> list[Wanted]:
    """Unseen scenes, by their captions."""
    return [Wanted(scene=sample_scene(FIRST_SEED + index), seed=index) for index in range(count)]


def in_masks(count: int) -> list[Wanted]:
    """Unseen scenes whose objects become others, the masks dilated as in the model card's evaluation."""
    edits = [asked(FIRST_EDIT + index) for index in range(count)]
    return [Wanted(scene=a.wanted, seed=a.seed, image=a.image, mask=dilated(a.mask)) for a in edits]


def pipelines() -> tuple[StableDiffusionXLPipeline, StableDiffusionXLInpaintPipeline]:
    """Pipelines of diffusers' own around one base, which has learned the word and the random ones."""
    whole = StableDiffusionXLPipeline.from_pretrained(WEIGHTS / "base", dtype=torch.float32, add_watermarker=False)
    learned = {key: rows.float() for key, rows in load_file(FILE).items()}
    learn(whole, NAME, learned)
    torch.manual_seed(0)
    for name in RANDOM:
        directions = {key: torch.nn.functional.normalize(torch.randn(rows.shape), dim=1) for key, rows in learned.items()}
        learn(whole, name, {key: directions[key] * rows.norm(dim=1, keepdim=True) for key, rows in learned.items()})
    masked = StableDiffusionXLInpaintPipeline(**whole.components, add_watermarker=False)
    for pipeline in (whole, masked):
        pipeline.set_progress_bar_config(disable=True)
    return whole, masked


def learn(pipeline: Any, token: str, vectors: Mapping[str, torch.Tensor]) -> None:
    """Let a pipeline of diffusers know a word.

    Args:
        pipeline: The pipeline.
        token: The word.
        vectors: `clip_l` and `clip_g`, as a file holds them.
    """
    encoders = {"clip_l": (pipeline.text_encoder, pipeline.tokenizer), "clip_g": (pipeline.text_encoder_2, pipeline.tokenizer_2)}
    for key, (encoder, tokenizer) in encoders.items():
        pipeline.load_textual_inversion(vectors[key], token=token, text_encoder=encoder, tokenizer=tokenizer)


def make(
    pipeline: Any, wanted: Sequence[Wanted], negative: str | None, *, steps: int, guidance_scale: float, after: str = "", name: str = ""
) -> list[Image.Image]:
    """Make pictures.

    Args:
        pipeline: diffusers' pipeline of the kind that is wanted.
        wanted: What of.
        negative: The negative prompt; "random" stands for each of `RANDOM` in turn; None for none.
        steps: Denoising steps.
        guidance_scale: Of diffusers.
        after: What follows each caption in the prompt.
        name: Shown beside the progress bar.
    """
    pictures: list[Image.Image] = []
    for start in each(range(0, len(wanted), BATCH), name, unit="batch"):
        batch = wanted[start : start + BATCH]
        call: dict[str, Any] = {"prompt": [caption(w.scene) + after for w in batch], "width": 128, "height": 128}
        if negative is not None:
            words = RANDOM if negative == "random" else [negative]
            call["negative_prompt"] = [words[(start + i) % len(words)] for i in range(len(batch))]
        if batch[0].mask is not None:
            call |= {"image": [w.image for w in batch], "mask_image": [w.mask for w in batch], "strength": 1.0}
        generators = [torch.Generator().manual_seed(w.seed) for w in batch]
        pictures += pipeline(**call, num_inference_steps=steps, guidance_scale=guidance_scale, generator=generators).images
    return pictures


def sharpness(pictures: Sequence[Image.Image], wanted: Sequence[Wanted]) -> np.ndarray:
    """The lab's own sharpness, inside the mask or of the whole picture."""
    white = Image.new("L", (128, 128), 255)
    return np.array([sharpness_inside(picture, w.mask or white) for picture, w in zip(pictures, wanted, strict=True)], np.float64)


ARMS: dict[str, dict[str, Any]] = {
    NONE: {"negative": None},
    f"`{NAME}`": {"negative": NAME},
    RANDOM_ARM: {"negative": "random"},
    'the words "blurry noisy"': {"negative": "blurry noisy"},
    f"none; `{NAME}` in the prompt": {"negative": None, "after": f" {NAME}"},
}
"""By the first cell of a row of the tables: what stands in its negative prompt, or in its prompt."""


def table(of: str, made: Mapping[str, Sequence[Image.Image]], wanted: Sequence[Wanted]) -> str:
    """Compare pictures of the same scenes and seeds, as a table in Markdown: a row a negative prompt, with 95% intervals.

    Args:
        of: What was made.
        made: The pictures by the first cell of their row; others are held against those without a negative prompt, and with random words.
        wanted: What they were to show.
    """
    judge, scenes = load_judge(), [w.scene for w in wanted]
    sharp = {arm: sharpness(pictures, wanted) for arm, pictures in made.items()}
    hits = {arm: {name: right(judge.judge(pictures), scenes, kind) for name, kind in KINDS.items()} for arm, pictures in made.items()}
    whole = {arm: np.all(list(kinds.values()), axis=0).astype(float) for arm, kinds in hits.items()}
    columns = [f"{of}, {len(wanted)} pairs, negative prompt", "sharpness, none's = 100%", *KINDS, "all three, against none"]
    if RANDOM_ARM in made:
        columns.insert(2, "random words' = 100%")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for arm in made:
        over = [ratio(arm, sharp[arm], sharp[other]).cell() if arm != other else "" for other in (NONE, RANDOM_ARM) if other in made]
        against = mean(arm, 100 * (whole[arm] - whole[NONE]), " points").cell() if arm != NONE else ""
        shares = [share(name, hits[arm][name]).cell() for name in KINDS]
        lines.append(f"| {' | '.join([arm, *over, *shares, against])} |")
    return "\n".join(lines)


def sheet(made: Mapping[str, Sequence[Image.Image]], wanted: Sequence[Wanted], count: int = 8) -> Image.Image:
    """The first pictures with each negative prompt, one below the other."""
    columns = [caption(w.scene) for w in wanted[:count]]
    return contact_sheet(
        rows=[arm.replace("`", "") for arm in made], columns=columns, cells=[list(pictures[:count]) for pictures in made.values()], cell_px=None
    )


def measured(
    count: int, steps: int = 30, arms: Sequence[str] = tuple(ARMS), guidance_scales: Sequence[float] = (GUIDANCE_SCALE, LOW_GUIDANCE_SCALE)
) -> Iterator[tuple[str, list[Wanted], dict[str, list[Image.Image]]]]:
    """Make pictures of each kind: what they are called, what was wanted, and what was made of it by the first cell of its row."""
    whole, masked = pipelines()
    for kind, pipeline, wanted in (("text to image", whole, from_words(count)), ("inpaint", masked, in_masks(count))):
        for guidance_scale in guidance_scales:
            of = f"{kind} at guidance {guidance_scale:g}"
            those = arms if guidance_scale == GUIDANCE_SCALE else arms[:3]
            call = {"steps": steps, "guidance_scale": guidance_scale}
            yield of, wanted, {arm: make(pipeline, wanted, **ARMS[arm], **call, name=f"{of}, {arm}") for arm in those}


def main() -> None:
    """Measure, print, and rewrite the tables and the sheet of the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=104, help="pictures a figure rests on (default: %(default)s)")
    parser.add_argument("--card", type=Path, default=CARD, help="the model card, beside which the sheet is put (default: the package's)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # bits depend on it
    tables = []
    for of, wanted, made in measured(arguments.count):
        tables.append(table(of, made, wanted))
        print(tables[-1], flush=True)
        if len(tables) == 1:
            sheet(made, wanted).save(arguments.card.with_name(SHEET), quality=80)
    put("\n\n".join(tables), "figures of pocket-blurry", arguments.card)


if __name__ == "__main__":
    as_command(main, goes_on=False)
