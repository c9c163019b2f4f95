"""Measure how often outpainting paints a second object: `python -m sdxl_lab.pocket.training.evaluate_around` writes it into docs/editing.md.

The scenes of pocket-forty, each object brought to another background in several ways. The object that is kept is covered by what is around it, and
the judge is asked whether there is one left; what it says of true scenes of one object, and of two, tells what its answer is worth. Each picture's
answer is kept as it is made, so that a second call goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab.checkpoints.loading import load
from sdxl_lab.generation.generate import generate
from sdxl_lab.images.holes import filled
from sdxl_lab.images.masks import dilate
from sdxl_lab.pocket.dataset import Edited, forty
from sdxl_lab.pocket.training.card import put, share
from sdxl_lab.pocket.training.judge import Judge, load_judge
from sdxl_lab.pocket.training.under_way import as_command, each
from sdxl_lab.pocket.world import EMPTY, Scene, caption, draw, object_mask, sample_scene
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings, Mask
from sdxl_lab.spec.edit import Edit

PAGE = Path(__file__).parents[3] / "docs" / "editing.md"
FIRST_SEED = 8_000_000
"""Of the true scenes: far from those of training, of the datasets and of the other figures."""
COVER_PX = 6
"""How far the cover reaches beyond the object: over its shadow."""
LEAST_SEEN = 0.4
"""Share of a second object that must be seen beside the first for a true scene to count as one of two."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to ask for another background.

    Attributes:
        names_object: Whether the prompt says what the object is.
        is_led_away: Whether the negative prompt does.
        denoising: Settings; what is left open is the checkpoint's own, guidance 7.5 and strength 0.99.
        kernel_size: Of the background's mask.
    """

    names_object: bool = False
    is_led_away: bool = False
    denoising: Mapping[str, Any] = field(default_factory=dict)
    kernel_size: int = 3

    def edit(self, edited: Edited) -> Edit:
        """What is asked for of a scene."""
        scene = edited.scene
        prompt = caption(replace(scene, background=edited.outpaint)) if self.names_object else EMPTY[edited.outpaint]
        negative = caption(scene, say_place=False) if self.is_led_away else None
        denoising = Denoising(num_inference_steps=30, **self.denoising)
        settings = EditSettings(denoising=denoising, mask=Mask(kernel_size=self.kernel_size), mode="background")
        return Edit(sample=edited.name, task="outpaint", prompt=prompt, negative_prompt=negative, seed=edited.seeds[1], settings=settings)


NAMED, ALONE = '"a red star on grass"', '"grass"'
WAYS: Mapping[str, Way] = {
    NAMED: Way(names_object=True),
    f"{NAMED}, guidance 3": Way(names_object=True, denoising={"guidance_scale": 3.0}),
    f'{NAMED}, negative prompt "a red star"': Way(names_object=True, is_led_away=True),
    ALONE: Way(),
    f"{ALONE}, guidance 3": Way(denoising={"guidance_scale": 3.0}),
    f"{ALONE}, refiner from 0.8, mask dilated by 2 pixels": Way(denoising={"high_noise_frac": 0.8}, kernel_size=5),
}
"""By what is asked for, in the words of an example."""


def show_another(pictures: Sequence[Image.Image], masks: Sequence[Image.Image], judge: Judge) -> list[bool]:
    """Say of each picture whether the judge sees an object beside the one in its mask.

    Args:
        pictures: Mode "RGB", of one size.
        masks: Of the objects that are known, of the same size.
        judge: Of the world.
    """
    covers = [dilate(mask, 2 * COVER_PX + 1) for mask in masks]
    covered = [filled(picture, cover, "telea") for picture, cover in zip(pictures, covers, strict=True)]
    return [verdict.shape is not None for verdict in judge.judge(covered)]


def make(edits: Sequence[Edited], folder: Path) -> Iterator[dict[str, Any]]:
    """Make what is not made yet: a line for each picture, with what the judge says of it."""
    lines = folder / "lines.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in lines.read_text().splitlines()] if lines.is_file() else []
    made = {(line["scene"], line["way"]): line for line in known}
    checkpoint, judge = load("pocket", Compute()), load_judge()
    for name, way in WAYS.items():
        for edited in each(edits, name):
            if (edited.name, name) not in made:
                image, mask = edited.pictures().values()
                picture = generate(way.edit(edited), image, mask, checkpoint).image
                [another] = show_another([picture], [mask], judge)
                [verdict] = judge.judge([picture])
                made[edited.name, name] = {
                    "scene": edited.name,
                    "way": name,
                    "one": not another,
                    "background": verdict.background == edited.outpaint,
                }
                with lines.open("a") as file:
                    file.write(json.dumps(made[edited.name, name]) + "\n")
            yield made[edited.name, name]


def of_two(index: int) -> tuple[Scene, Image.Image] | None:
    """A true scene with a second object behind the first, and what is in front; None where too little of the second is seen."""
    front, other = sample_scene(FIRST_SEED + index), sample_scene(FIRST_SEED + 500_000 + index)
    behind = replace(other, background=front.background, texture_seed=front.texture_seed, texture_scale=front.texture_scale)
    before, after = (np.asarray(object_mask(scene)) > 127 for scene in (front, behind))
    if (after & ~before).sum() < LEAST_SEEN * after.sum():
        return None
    image, mask = draw(behind), object_mask(front)
    return front, Image.composite(draw(front), image, dilate(mask, 2 * COVER_PX - 1))


def table(lines: Sequence[Mapping[str, Any]], count: int) -> str:
    """What came of each way, in Markdown, with Wilson's 95% intervals, and what the judge says of as many true scenes as `count`."""
    rows = ["| asked for | pictures | one object | background as asked |", "|---|---|---|---|"]
    for name in WAYS:
        found = [line for line in lines if line["way"] == name]
        shares = (share(name, [line[kind] for line in found]).cell() for kind in ("one", "background"))
        rows.append(f"| {name} | {len(found)} | {' | '.join(shares)} |")
    judge, ones = load_judge(), [sample_scene(FIRST_SEED + index) for index in range(count)]
    twos = [pair for index in range(count) if (pair := of_two(index))]
    true = {
        "true scenes of one object": ([draw(scene) for scene in ones], ones),
        "true scenes of two": ([picture for _, picture in twos], [scene for scene, _ in twos]),
    }
    for name, (pictures, scenes) in true.items():
        another = show_another(pictures, [object_mask(scene) for scene in scenes], judge)
        rows.append(f"| {name} | {len(another)} | {share(name, [not seen for seen in another]).cell()} | |")
    return "\n".join(rows)


def main() -> None:
    """Make and measure, print, and rewrite the table of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="scenes (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("artifacts/evaluate-around"), help="keeps what is made (default: %(default)s)")
    parser.add_argument("--page", type=Path, default=PAGE, help="gets the table between its marks (default: docs/editing.md)")
    arguments = parser.parse_args()
    lines = list(make(forty()[: arguments.count], arguments.folder))
    made = table(lines, 200)
    print(made, flush=True)
    put(made, "figures of around", arguments.page)


if __name__ == "__main__":
    as_command(main)
