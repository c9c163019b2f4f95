"""The built-in dataset `pocket-scenes`: five scenes to edit, written by `python -m sdxl_lab.pocket.dataset`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from PIL import Image

from sdxl_lab.pocket.world import SIZE_PX, Scene, caption, draw, object_mask, sample_scene

FOLDER = Path(__file__).parent / "scenes"

# Scene, what inpainting makes of its object (colour, shape), where outpainting takes it, and the two seeds.
EDITS: tuple[tuple[Scene, tuple[str, str], str, tuple[int, int]], ...] = tuple(
    (
        replace(
            sample_scene(seed, width),
            colour=colour,
            shape=shape,
            background=background,
            size="large",
            radius_px=34.0,
            x_px=x,
            y_px=y,
            tilt_deg=tilt,
        ),
        inpaint,
        outpaint,
        seeds,
    )
    for seed, width, colour, shape, background, (x, y, tilt), inpaint, outpaint, seeds in (
        (11, SIZE_PX, "red", "circle", "grass", (64, 66, 0), ("blue", "star"), "beach", (-732, 128)),
        (12, SIZE_PX, "yellow", "star", "night", (62, 64, 6), ("pink", "heart"), "brick", (41, -305)),
        (13, SIZE_PX, "blue", "heart", "beach", (66, 70, -4), ("orange", "circle"), "snow", (7, 611)),
        (14, 192, "green", "diamond", "snow", (104, 62, 0), ("purple", "triangle"), "sunset", (-90, 254)),
        (15, SIZE_PX, "white", "cross", "brick", (60, 66, 8), ("green", "ring"), "sky", (873, -16)),
    )
)


def name_of(scene: Scene) -> str:
    """A sample's name, such as "red-circle"."""
    return f"{scene.colour}-{scene.shape}"


def metadata() -> dict:
    """The dataset's metadata.json: prompts, seeds, and the colour, shape and background that each edit asks for."""
    samples = []
    for scene, (colour, shape), background, (inpaint_seed, outpaint_seed) in EDITS:
        edited = {
            "inpaint": (replace(scene, colour=colour, shape=shape), inpaint_seed),
            "outpaint": (replace(scene, background=background), outpaint_seed),
        }
        tasks = {
            task: {
                "prompt": caption(wanted),
                "negative_prompt": None,
                "seed": seed,
                "expected": {"colour": wanted.colour, "shape": wanted.shape, "background": wanted.background},
            }
            for task, (wanted, seed) in edited.items()
        }
        name = name_of(scene)
        samples.append({"name": name, "image": f"images/{name}.png", "mask": f"masks/{name}.png", **tasks})
    return {"samples": samples}


def pictures(scene: Scene) -> tuple[Image.Image, Image.Image]:
    """A scene's picture and its object's mask, which holds only 0 and 255."""
    return draw(scene), object_mask(scene).point(lambda level: 255 * (level >= 128))


def write(folder: Path = FOLDER) -> None:
    """Write pictures, masks and metadata.json.

    Args:
        folder: Gets `images/`, `masks/` and `metadata.json`.
    """
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for scene, *_ in EDITS:
        image, mask = pictures(scene)
        image.save(folder / "images" / f"{name_of(scene)}.png")
        mask.save(folder / "masks" / f"{name_of(scene)}.png")
    (folder / "metadata.json").write_text(json.dumps(metadata(), indent=2) + "\n")


if __name__ == "__main__":
    write()
