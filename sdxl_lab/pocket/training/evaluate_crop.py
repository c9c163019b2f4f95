"""Measure what a crop does for a small object in a large picture: `python -m sdxl_lab.pocket.training.evaluate_crop` writes it into docs/editing.md.

The scenes of pocket-forty as pictures of 1024x1024 pixels, eight times the size that the checkpoint was trained at, with an object of 40 pixels that
is to become another. Each picture is kept as it is made, so that a second call goes on. The judge sees what is around the object at its own pixels,
and what it says of the pictures as they should be tells how much it can see at all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from sdxl_lab.checkpoints.loading import load
from sdxl_lab.families import Sizes
from sdxl_lab.generation.frames import frame_of
from sdxl_lab.generation.generate import generate
from sdxl_lab.images.boxes import Box, size_of
from sdxl_lab.images.grid import contact_sheet
from sdxl_lab.images.masks import dilate
from sdxl_lab.metrics import METRICS
from sdxl_lab.pocket.dataset import Edited, forty
from sdxl_lab.pocket.training.card import Figure, mean, put, share
from sdxl_lab.pocket.training.evaluate import GUIDANCE_SCALE
from sdxl_lab.pocket.training.judge import load_judge
from sdxl_lab.pocket.training.under_way import as_command, each
from sdxl_lab.pocket.world import SIZE_PX, Scene, caption, draw, object_mask
from sdxl_lab.settings.sections import Compute, Conditioning, Crop, Denoising, EditSettings, Mask
from sdxl_lab.spec.edit import Edit

DOCS = Path(__file__).parents[3] / "docs"
SIDE_PX, RADIUS_PX = 1024, 20
SHOWN = 3
MASK = Mask(kernel_size=17, latent_mask="cover")
PADDED = Crop(padding_mask_crop=32)
WHOLE, CROPPED = "whole picture", "crop, padding 32"
MEASURED = ("colour_as_asked", "seam_delta_e")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A scene whose small object is to become another.

    Attributes:
        scene: What is there; likewise `wanted`, what it is to become.
        seed: Of the picture.
    """

    scene: Scene
    wanted: Scene
    seed: int

    @classmethod
    def of(cls, edited: Edited) -> Asked:
        """The same scene, seen from far away."""
        near, scale = edited.scene, SIDE_PX / SIZE_PX
        far = replace(near, width=SIDE_PX, height=SIDE_PX, x_px=near.x_px * scale, y_px=near.y_px * scale, radius_px=RADIUS_PX, size="small")
        colour, shape = edited.inpaint
        return cls(scene=far, wanted=replace(far, colour=colour, shape=shape), seed=edited.seeds[0])

    @property
    def around(self) -> Box:
        """What the judge sees: as large as the pictures that it knows."""
        left, top = (round(center - SIZE_PX / 2) for center in (self.scene.x_px, self.scene.y_px))
        return left, top, left + SIZE_PX, top + SIZE_PX

    @property
    def seen(self) -> Box:
        """The box that a crop with the padding sees."""
        region = dilate(object_mask(self.scene), MASK.kernel_size).getbbox()
        assert region is not None
        small, whole = SIZE_PX**2, (SIZE_PX, SIZE_PX)
        frame = frame_of(EditSettings(mask=MASK, crop=PADDED), region, (SIDE_PX, SIDE_PX), whole, Sizes(area=small, max_area=small, multiple=8))
        assert frame is not None
        return frame.box


def arms(asked: Asked) -> dict[str, dict[str, Any]]:
    """Settings by what they are called: how much is around the mask, and what the models are told of the crop's size and place."""
    width, height = size_of(asked.seen)
    own, place = Conditioning(original_size=(height, width)), Conditioning(original_size=(SIDE_PX, SIDE_PX), crops_coords_top_left=asked.seen[1::-1])
    return {
        WHOLE: {},
        CROPPED: {"crop": PADDED},
        f"{CROPPED}, told the picture's size and the crop's corner": {"crop": PADDED, "conditioning": place},
        f"{CROPPED}, told the crop's own size": {"crop": PADDED, "conditioning": own},
        "crop, padding 0": {"crop": Crop(padding_mask_crop=0)},
        "crop, padding 128": {"crop": Crop(padding_mask_crop=128)},
    }


def make(asked: Sequence[Asked], folder: Path) -> Iterator[dict[str, Any]]:
    """Make what is not made yet: a line for each picture, with what the judge and the metrics say of it."""
    lines = folder / "lines.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in lines.read_text().splitlines()] if lines.is_file() else []
    made = {(line["scene"], line["arm"]): line for line in known}
    checkpoint, judge = load("pocket", Compute()), load_judge()
    for place, arm in enumerate(arms(asked[0])):
        for number, a in enumerate(each(asked, arm)):
            if (number, arm) not in made:
                denoising = Denoising(num_inference_steps=30, guidance_scale=GUIDANCE_SCALE)
                settings = EditSettings(denoising=denoising, mask=MASK, **arms(a)[arm])
                edit = Edit(sample="", task="inpaint", prompt=caption(a.wanted), seed=a.seed, settings=settings)
                result = generate(edit, draw(a.scene), object_mask(a.scene), checkpoint)
                part = result.image.crop(a.around)
                [verdict] = judge.judge([part])
                if number < SHOWN:
                    part.save(folder / f"{number}-{place}.png")
                hits = {kind: getattr(verdict, kind) == getattr(a.wanted, kind) for kind in ("colour", "shape")}
                numbers = {name: METRICS[name].of(result, {"colour": a.wanted.colour}) for name in MEASURED}
                made[number, arm] = {"scene": number, "arm": arm, **hits, **numbers}
                with lines.open("a") as file:
                    file.write(json.dumps(made[number, arm]) + "\n")
            yield made[number, arm]


def table(lines: Sequence[Mapping[str, Any]], asked: Sequence[Asked]) -> str:
    """What came of each way, as a table in Markdown, with 95% intervals; differences are paired by scene."""
    by_scene = sorted(lines, key=lambda line: line["scene"])
    by_arm = {arm: [line for line in by_scene if line["arm"] == arm] for arm in arms(asked[0])}
    heads = ["", "color, by the judge", "shape, by the judge", "both, over the crop with padding 32", "color, by hue", "seam, ΔE"]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    both = {arm: [float(line["colour"] and line["shape"]) for line in found] for arm, found in by_arm.items()}
    for arm, found in by_arm.items():
        against = [100 * (one - other) for one, other in zip(both[arm], both[CROPPED], strict=True)]
        cells = [
            _cell(share(arm, [line["colour"] for line in found])),
            _cell(share(arm, [line["shape"] for line in found])),
            _cell(mean(arm, against, " points")) if arm != CROPPED else "",
            _cell(share(arm, [line["colour_as_asked"] == 1 for line in found if line["colour_as_asked"] is not None])),
            _cell(mean(arm, [line["seam_delta_e"] for line in found], "")),
        ]
        rows.append(f"| {' | '.join([arm, *cells])} |")
    judged = load_judge().judge([draw(a.wanted).crop(a.around) for a in asked])
    seen = [
        _cell(share(kind, [getattr(verdict, kind) == getattr(a.wanted, kind) for verdict, a in zip(judged, asked, strict=True)]))
        for kind in ("colour", "shape")
    ]
    return "\n".join([*rows, f"| the scenes as they should be | {' | '.join(seen)} | | | |"])


def sheet(folder: Path, asked: Sequence[Asked]) -> Image.Image:
    """The first scenes before, and with and without a crop: what is around the object, at its own pixels."""
    names = list(arms(asked[0]))
    columns = {"input": None, WHOLE: names.index(WHOLE), "only the masked region": names.index(CROPPED)}
    cells = []
    for number, a in enumerate(asked[:SHOWN]):
        before = draw(a.scene).crop(a.around)
        cells.append([before if place is None else Image.open(folder / f"{number}-{place}.png") for place in columns.values()])
    return contact_sheet(rows=[caption(a.wanted) for a in asked[:SHOWN]], columns=list(columns), cells=cells, cell_px=None)


def _cell(figure: Figure) -> str:
    digits = 1 if figure.unit in ("%", " points") else 2
    return f"{figure.value:.{digits}f}{figure.unit} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"


def main() -> None:
    """Make and measure, print, and rewrite the table of the page and its picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="scenes (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("artifacts/evaluate-crop"), help="keeps what is made (default: %(default)s)")
    parser.add_argument("--page", type=Path, default=DOCS / "editing.md", help="gets the table between its marks (default: docs/editing.md)")
    arguments = parser.parse_args()
    asked = [Asked.of(edited) for edited in forty()[: arguments.count]]
    lines = list(make(asked, arguments.folder))
    print(table(lines, asked), flush=True)
    put(table(lines, asked), "figures of crop", arguments.page)
    sheet(arguments.folder, asked).save(arguments.page.parent / "images" / "only-masked.webp", quality=80)


if __name__ == "__main__":
    as_command(main)
