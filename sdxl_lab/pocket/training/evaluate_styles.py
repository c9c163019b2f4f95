"""Measure the fine-tunes: `python -m sdxl_lab.pocket.training.evaluate_styles` rewrites their table and their sheet in the model card.

By the lab's own calls, from captions and seeds that no training saw, the same for each checkpoint. The judge was trained on the world as it is: on
true scenes in paper it is nearly always right, in neon on colors and backgrounds; it takes no outline for a shape, so these are left to the eye.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from sdxl_lab.images.grid import contact_sheet
from sdxl_lab.pocket.training.card import CARD, put, share
from sdxl_lab.pocket.training.evaluate import right
from sdxl_lab.pocket.training.judge import load_judge
from sdxl_lab.pocket.training.looks import LOOKS
from sdxl_lab.pocket.training.under_way import as_command, each
from sdxl_lab.pocket.world import COLOURS, PLACES, SHAPES, Scene, caption, draw, sample_scene
from sdxl_lab.runs.calls import text_to_image

FIRST_SEED = 13_000_000
SHEET = "pocket-styles.webp"
SHOWN = 6
JUDGED = {"neon": ("colour", "background"), "paper": ("colour", "shape", "background")}
"""By style, which of the judge's answers are right on true scenes drawn in it."""


def asked(count: int) -> list[Scene]:
    """Scenes in which each color, shape and background is nearly as frequent as any other.

    Args:
        count: How many.
    """
    colours, shapes, places = list(COLOURS), list(SHAPES), list(PLACES)
    return [
        replace(
            sample_scene(FIRST_SEED + number),
            colour=colours[number % 9],
            shape=shapes[(number + number // 9) % 8],
            background=places[(3 * number + number // 8) % 8],
        )
        for number in range(count)
    ]


def rows(look: str, scenes: Sequence[Scene], pictures: Sequence[Image.Image]) -> list[str]:
    """Rows of the card's table: what the judge says of a style's pictures, and of true scenes in it.

    Args:
        look: A key of `LOOKS`.
        scenes: What was asked for.
        pictures: What was made of it.
    """
    judge = load_judge()
    true = [LOOKS[look](scene) for scene in scenes]
    figures = []
    for kind in JUDGED[look]:
        figures += [share(f"`pocket-{look}`: {kind}", right(judge.judge(pictures), scenes, kind))]
        figures += [share(f"the same of true scenes drawn in {look}", right(judge.judge(true), scenes, kind))]
    return [figure.row().removesuffix("  |") for figure in figures]


def main() -> None:
    """Make the pictures, measure, and rewrite table and sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=72, help="pictures a checkpoint (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=25, help="steps of a picture (default: %(default)s)")
    arguments = parser.parse_args()
    scenes, table = asked(arguments.count), ["| figure | value | 95% interval | n |", "|---|---|---|---|"]
    shown = {"as the world is": [draw(scene) for scene in scenes[:SHOWN]]}
    for look in LOOKS:
        name = f"pocket-{look}"
        made = [
            text_to_image(caption(scene), checkpoint=name, seed=number, num_inference_steps=arguments.steps, scheduler="euler_a").image
            for number, scene in enumerate(each(scenes, name))
        ]
        table += rows(look, scenes, made)
        shown[f"{look}, drawn"] = [LOOKS[look](scene) for scene in scenes[:SHOWN]]
        shown[name] = made[:SHOWN]
    print("\n".join(table))
    put("\n".join(table), "figures of styles")
    columns = [caption(scene) for scene in scenes[:SHOWN]]
    sheet = contact_sheet(rows=list(shown), columns=columns, cells=list(shown.values()), cell_px=None)
    sheet.save(CARD.with_name(SHEET), quality=85, method=6)


if __name__ == "__main__":
    as_command(main, goes_on=False)
