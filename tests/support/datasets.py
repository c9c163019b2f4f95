"""A small dataset on disk, drawn by the synthetic world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sdxl_lab.pocket.world import caption, draw, object_mask, sample_scene


def write_dataset(folder: Path, count: int = 2, first: int = 0, **changes: Any) -> Path:
    """
    Write scenes `scene-0` ... with masks and prompts for both tasks; `changes` replace fields of the first sample, None removes one.

    What they show is drawn from the seeds `first`, `first + 1` ...
    """
    folder.mkdir(parents=True)
    samples = []
    for number in range(count):
        scene = sample_scene(first + number)
        draw(scene).save(folder / f"{number}.png")
        object_mask(scene).save(folder / f"{number}-mask.png")
        words = {"prompt": caption(scene), "negative_prompt": "blurry" if number else None, "seed": 5 - 10 * number}
        samples.append({"name": f"scene-{number}", "image": f"{number}.png", "mask": f"{number}-mask.png", "inpaint": words, "outpaint": words})
    samples[0] = {key: value for key, value in (samples[0] | changes).items() if value is not None}
    (folder / "metadata.json").write_text(json.dumps({"samples": samples}))
    return folder
