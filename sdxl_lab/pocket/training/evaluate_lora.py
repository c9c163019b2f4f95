"""Measure what `pocket-moon` does: `python -m sdxl_lab.pocket.training.evaluate_lora` rewrites its tables and its sheet in the model card.

By the lab's own calls. Its moons have colors at places where training never showed any, and no scene and no seed was in training. Pictures are
kept as they are made, and made once.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sdxl_lab.images.grid import contact_sheet
from sdxl_lab.pocket.dataset import five
from sdxl_lab.pocket.training.card import CARD, mean, put, share
from sdxl_lab.pocket.training.crescent import shows_crescent
from sdxl_lab.pocket.training.evaluate import DILATION_PX, GUIDANCE_SCALE, right
from sdxl_lab.pocket.training.judge import load_judge
from sdxl_lab.pocket.training.lora import FILE, NAME
from sdxl_lab.pocket.training.moon import UNSEEN, moon_scene
from sdxl_lab.pocket.training.negatives import KINDS, Wanted
from sdxl_lab.pocket.training.train import default_folder
from sdxl_lab.pocket.training.under_way import as_command, each
from sdxl_lab.pocket.world import SHAPES, Scene, caption, draw, sample_scene
from sdxl_lab.runs.calls import inpaint, text_to_image

FIRST_SEED = 12_000_000
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
SHEET = f"{NAME}.webp"
TRUE, OLD, EDITS_A_SCENE = 104, 108, 4
"""How many true scenes of each shape, how many old prompts, and how often each of the five scenes of `pocket-scenes` is repainted."""


def moons() -> list[Wanted]:
    """A moon of each color at each place where training never showed it."""
    scenes = [moon_scene(FIRST_SEED + number) for number in range(len(UNSEEN))]
    pairs = sorted(UNSEEN)
    return [
        Wanted(scene=replace(scene, colour=colour, background=background), seed=number)
        for number, (scene, (colour, background)) in enumerate(zip(scenes, pairs, strict=True))
    ]


def in_scenes() -> list[Wanted]:
    """A yellow moon in place of each object of `pocket-scenes`, with several seeds."""
    return [
        Wanted(scene=replace(moon_scene(0), colour="yellow", background=edited.scene.background), seed=seed, image=image, mask=mask)
        for edited in five()
        for image, mask in [edited.pictures().values()]
        for seed in range(EDITS_A_SCENE)
    ]


def old(count: int) -> list[Wanted]:
    """Scenes of the world as it was, with every pair of color and shape."""
    return [Wanted(scene=sample_scene(FIRST_SEED + 500_000 + number, held_out=number % 9 == 0), seed=number) for number in range(count)]


def made(name: str, wanted: Sequence[Wanted], folder: Path, weight: float, *, steps: int, **settings: Any) -> list[Image.Image]:
    """Make pictures with the LoRA by the lab's own calls, or find those that were made.

    Args:
        name: What they are called.
        wanted: What of; in masks where it has these.
        folder: Where they are kept.
        weight: Of the LoRA.
        steps: Denoising steps.
        **settings: Further ones of the call.
    """
    below = folder / f"{NAME}-{hashlib.sha256(FILE.read_bytes()).hexdigest()[:12]}" / f"{name} {weight:g} {steps}".replace(" ", "-")
    below.mkdir(parents=True, exist_ok=True)
    settings |= {
        "loras": {NAME: {"file": str(FILE), "weight": weight}},
        "num_inference_steps": steps,
        "guidance_scale": GUIDANCE_SCALE,
    }
    pictures = []
    for number, w in enumerate(each(wanted, f"{name}, weight {weight:g}")):
        path = below / f"{number}.png"
        if not path.exists():
            words = {"prompt": caption(w.scene), "seed": w.seed}
            picture = inpaint(w.image, w.mask, **words, **settings) if w.mask else text_to_image(**words, **settings)
            unfinished = path.with_suffix(".part")
            picture.image.save(unfinished, "PNG")
            unfinished.replace(path)
        pictures.append(Image.open(path).convert("RGB"))
    return pictures


def crescents(pictures: Sequence[Image.Image], scenes: Sequence[Scene]) -> list[bool]:
    """Which pictures show a crescent of the color that was asked for."""
    return [shows_crescent(picture, str(scene.colour), scene.background) for picture, scene in zip(pictures, scenes, strict=True)]


def true_scenes(count: int) -> Mapping[str, list[Scene]]:
    """Scenes to try the rule on, as the world draws them: each shape, and moons in every direction."""
    drawn = [sample_scene(FIRST_SEED + 800_000 + number, held_out=number % 9 == 0) for number in range(count * len(SHAPES))]
    known = {shape: [replace(scene, shape=shape) for scene in drawn[place :: len(SHAPES)]] for place, shape in enumerate(SHAPES)}
    tilts = np.random.RandomState(0).uniform(0, 360, count)
    turned = [replace(moon_scene(FIRST_SEED + 900_000 + n, unseen=n % 2 == 0), tilt_deg=float(tilt)) for n, tilt in enumerate(tilts)]
    return {"moon": turned, **known}


def rule_table(count: int) -> str:
    """How often the rule takes true shapes for crescents, and its measures."""
    rows = {shape: share(shape, crescents([draw(scene) for scene in scenes], scenes)) for shape, scenes in true_scenes(count).items()}
    return _table([f"{count} true scenes each", "taken for a crescent"], {f"{shape}": [figure.cell()] for shape, figure in rows.items()})


def judged(pictures: Sequence[Image.Image], scenes: Sequence[Scene], kinds: Sequence[str]) -> dict[str, list[bool]]:
    """By kind, which pictures are as asked, by the judge."""
    verdicts = load_judge().judge(pictures)
    return {name: right(verdicts, scenes, KINDS[name]) for name in kinds}


def weights_table(pictures: Mapping[float, Sequence[Image.Image]], wanted: Sequence[Wanted]) -> str:
    """What becomes of moons at each weight."""
    scenes = [w.scene for w in wanted]
    rows = {}
    for weight, those in {"true scenes, drawn": [draw(scene) for scene in scenes], **pictures}.items():
        hits = {"crescent": crescents(those, scenes), **judged(those, scenes, ("color", "background"))}
        rows[f"{weight}"] = [share(kind, those).cell() for kind, those in hits.items()]
    return _table([f"weight, {len(wanted)} prompts", "crescent", "color", "background"], rows)


def old_table(pictures: Mapping[float, Sequence[Image.Image]], wanted: Sequence[Wanted]) -> str:
    """What becomes of old shapes, with the LoRA against without."""
    scenes = [w.scene for w in wanted]
    hits = {weight: judged(those, scenes, tuple(KINDS)) for weight, those in pictures.items()}
    whole = {weight: np.all(list(kinds.values()), axis=0).astype(float) for weight, kinds in hits.items()}
    rows = {}
    for weight, those in pictures.items():
        shares = [share(kind, hits[weight][kind]).cell() for kind in KINDS]
        against = mean("", 100 * (whole[weight] - whole[0.0]), " points").cell() if weight else ""
        rows[f"{weight:g}"] = [*shares, share("", crescents(those, scenes)).cell(), against]
    return _table([f"weight, {len(wanted)} old prompts", *KINDS, "crescent", "all three, against 0"], rows)


def otherwise_table(pictures: Mapping[str, tuple[Sequence[Image.Image], Sequence[Wanted]]]) -> str:
    """What becomes of moons otherwise than from words by the base alone at weights up to 1."""
    rows = {}
    for name, (those, wanted) in pictures.items():
        rows[name] = [str(len(wanted)), share(name, crescents(those, [w.scene for w in wanted])).cell()]
    return _table(["otherwise", "n", "crescent"], rows)


def _table(head: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join([label, *cells])} |" for label, cells in rows.items())]
    return "\n".join(lines)


def sheet(pictures: Mapping[float, Sequence[Image.Image]], wanted: Sequence[Wanted]) -> Image.Image:
    """Some of the moons, a row a weight."""
    chosen = range(0, len(wanted), 5)
    cells = [[pictures[weight][number] for number in chosen] for weight in WEIGHTS]
    return contact_sheet(
        rows=[f"weight {weight:g}" for weight in WEIGHTS], columns=[caption(wanted[n].scene) for n in chosen], cells=cells, cell_px=None
    )


def measured(folder: Path, steps: int) -> Iterator[str]:
    """Make all pictures, and tell of them a table at a time."""
    yield rule_table(TRUE)
    wanted = moons()
    by_weight = {weight: made("moons", wanted, folder, weight, steps=steps) for weight in WEIGHTS}
    sheet(by_weight, wanted).save(CARD.with_name(SHEET), quality=70)
    yield weights_table(by_weight, wanted)
    were = old(OLD)
    yield old_table({weight: made("old", were, folder, weight, steps=steps) for weight in (0.0, 1.0)}, were)
    dilated = {"kernel_size": 2 * DILATION_PX + 1}
    ways: dict[str, tuple[str, list[Wanted], float, dict[str, Any]]] = {
        f"a yellow moon in the masks of `pocket-scenes`, dilated by {DILATION_PX} px": ("masks", in_scenes(), 1.0, dilated),
        "from words, refiner from 0.8": ("refiner", wanted[::2], 1.0, {"high_noise_frac": 0.8}),
        "from words, at weight 1.5": ("beyond", wanted[::2], 1.5, {}),
    }
    pictures = {label: made(name, of, folder, weight, steps=steps, **settings) for label, (name, of, weight, settings) in ways.items()}
    yield otherwise_table({label: (pictures[label], of) for label, (_, of, _, _) in ways.items()})


def main() -> None:
    """Measure, print, and rewrite the tables and the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=default_folder(), help="where pictures are kept (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=30, help="denoising steps of a picture (default: %(default)s)")
    parser.add_argument("--card", type=Path, default=CARD, help="the model card (default: the package's)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # bits depend on it
    tables = []
    for table in measured(arguments.folder, arguments.steps):
        tables.append(table)
        print(table, end="\n\n", flush=True)
    put("\n\n".join(tables), f"figures of {NAME}", arguments.card)


if __name__ == "__main__":
    as_command(main)
