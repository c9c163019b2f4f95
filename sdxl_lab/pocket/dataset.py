"""The built-in datasets, written by `python -m sdxl_lab.pocket.dataset`: scenes for a look, forty for an answer, prompts without pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from sdxl_lab.pocket.world import COLOURS, EMPTY, PLACES, SHAPES, SIZE_PX, Scene, caption, draw, object_mask, sample_scene

FOLDER = Path(__file__).parent / "datasets"
FIRST_SEED = 6_000_000
"""Far from the seeds of training and evaluation."""


@dataclass(frozen=True, kw_only=True)
class Edited:
    """A scene and what is asked for.

    Attributes:
        name: The sample's.
        scene: What the picture shows.
        inpaint: The color and shape that the object becomes.
        outpaint: The background that the object is brought to.
        seeds: Of inpainting and of outpainting.
        names_object: Whether the words of outpainting name the object, too, which asks for one more beside it.
    """

    name: str
    scene: Scene
    inpaint: tuple[str, str]
    outpaint: str
    seeds: tuple[int, int]
    names_object: bool = True

    def metadata(self) -> dict:
        """The sample's entry of metadata.json, with the color, shape and background that each edit asks for."""
        colour, shape = self.inpaint
        wanted = {"inpaint": replace(self.scene, colour=colour, shape=shape), "outpaint": replace(self.scene, background=self.outpaint)}
        tasks = {task: _asked(scene, seed) for (task, scene), seed in zip(wanted.items(), self.seeds, strict=True)}
        if not self.names_object:
            tasks["outpaint"]["prompt"] = EMPTY[self.outpaint]
        return {"name": self.name, "image": f"images/{self.name}.png", "mask": f"masks/{self.name}.png", **tasks}

    def pictures(self) -> dict[str, Image.Image]:
        """The picture, and its object's mask, which holds only 0 and 255, by the folder that they belong to."""
        return {"images": draw(self.scene), "masks": object_mask(self.scene).point(lambda level: 255 * (level >= 128))}


@dataclass(frozen=True, kw_only=True)
class Described:
    """A scene that is asked for in words alone.

    Attributes:
        name: The sample's.
        scene: Its color, shape and background are asked for.
        seed: Of the picture.
    """

    name: str
    scene: Scene
    seed: int

    def metadata(self) -> dict:
        """The sample's entry of metadata.json."""
        return {"name": self.name, "text_to_image": _asked(self.scene, self.seed)}

    def pictures(self) -> dict[str, Image.Image]:
        """None."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Varied:
    """A scene that is to be made anew.

    Attributes:
        name: The sample's.
        scene: What the picture shows.
        wanted: The color and shape that its object becomes, in its place.
        seed: Of the picture.
    """

    name: str
    scene: Scene
    wanted: tuple[str, str]
    seed: int

    def metadata(self) -> dict:
        """The sample's entry of metadata.json."""
        colour, shape = self.wanted
        words = _asked(replace(self.scene, colour=colour, shape=shape), self.seed)
        return {"name": self.name, "image": f"images/{self.name}.png", "image_to_image": words}

    def pictures(self) -> dict[str, Image.Image]:
        """The picture, by the folder that it belongs to."""
        return {"images": draw(self.scene)}


def _asked(scene: Scene, seed: int) -> dict:
    """What metadata.json says of one task: the words, and the color, shape and background that they ask for."""
    expected = {"colour": scene.colour, "shape": scene.shape, "background": scene.background}
    return {"prompt": caption(scene), "negative_prompt": None, "seed": seed, "expected": expected}


def five() -> tuple[Edited, ...]:
    """Five large objects, chosen to be looked at; one picture is wide."""
    return tuple(
        Edited(
            name=f"{colour}-{shape}",
            scene=replace(
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
            inpaint=inpaint,
            outpaint=outpaint,
            seeds=seeds,
        )
        for seed, width, colour, shape, background, (x, y, tilt), inpaint, outpaint, seeds in (
            (11, SIZE_PX, "red", "circle", "grass", (64, 66, 0), ("blue", "star"), "beach", (-732, 128)),
            (12, SIZE_PX, "yellow", "star", "night", (62, 64, 6), ("pink", "heart"), "brick", (41, -305)),
            (13, SIZE_PX, "blue", "heart", "beach", (66, 70, -4), ("orange", "circle"), "snow", (7, 611)),
            (14, 192, "green", "diamond", "snow", (104, 62, 0), ("purple", "triangle"), "sunset", (-90, 254)),
            (15, SIZE_PX, "white", "cross", "brick", (60, 66, 8), ("green", "ring"), "sky", (873, -16)),
        )
    )


def around() -> tuple[Edited, ...]:
    """The same five, to be brought to the same backgrounds in words that name the background alone."""
    return tuple(replace(edited, names_object=False) for edited in five())


def variations() -> tuple[Varied, ...]:
    """The five scenes, each to become what is asked of its object where it is repainted."""
    return tuple(Varied(name=scene.name, scene=scene.scene, wanted=scene.inpaint, seed=scene.seeds[0]) for scene in five())


def forty() -> tuple[Edited, ...]:
    """Forty scenes as they come, objects of every size; the edit asks for what another scene shows."""
    edited = []
    for number in range(40):
        scene = sample_scene(FIRST_SEED + 1000 * number)
        others = (sample_scene(FIRST_SEED + 1000 * number + other) for other in range(1, 1000))
        wanted = next(other for other in others if all(getattr(other, kind) != getattr(scene, kind) for kind in ("colour", "shape", "background")))
        edited.append(
            Edited(
                name=f"{number + 1:02}-{scene.colour}-{scene.shape}",
                scene=scene,
                inpaint=(str(wanted.colour), str(wanted.shape)),
                outpaint=wanted.background,
                seeds=(number, number + 40),
            )
        )
    return tuple(edited)


def prompts() -> tuple[Described, ...]:
    """Twenty-four scenes: each color, shape and background, no two of them together twice, and no pair that training never saw."""
    colours, shapes, places = list(COLOURS), list(SHAPES), list(PLACES)
    described = []
    for number in range(24):
        # Found by trying small factors: these meet what is said above.
        colour, shape, background = colours[number % 9], shapes[5 * number % 8], places[(number + number // 8) % 8]
        scene = replace(sample_scene(FIRST_SEED), colour=colour, shape=shape, background=background)
        described.append(Described(name=f"{number + 1:02}-{colour}-{shape}", scene=scene, seed=number))
    return tuple(described)


def write(samples: Sequence[Edited | Described | Varied], folder: Path) -> None:
    """Write a dataset.

    Args:
        samples: What it holds.
        folder: Gets `metadata.json`, and `images/` and `masks/` where samples have them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for sample in samples:
        for kind, picture in sample.pictures().items():
            (folder / kind).mkdir(exist_ok=True)
            picture.save(folder / kind / f"{sample.name}.png")
    (folder / "metadata.json").write_text(json.dumps({"samples": [sample.metadata() for sample in samples]}, indent=2) + "\n")


if __name__ == "__main__":
    write(five(), FOLDER / "pocket-scenes")
    write(around(), FOLDER / "pocket-scenes-2")
    write(forty(), FOLDER / "pocket-forty")
    write(prompts(), FOLDER / "pocket-prompts")
    write(variations(), FOLDER / "pocket-variations")
