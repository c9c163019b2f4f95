"""Training examples: views of the world with the conditioning that SDXL learns from.

A view is a whole scene, a crop of a larger one, an enlarged small one, or a degraded one, and says so in its original
size, crop coordinates and aesthetic score, as in SDXL's micro-conditioning (Podell et al., arXiv:2307.01952, 2.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from sdxl_lab.pocket.world import SIZE_PX, Scene, caption, draw, sample_scene

EMPTY_FRAC = 0.12


@dataclass(frozen=True, kw_only=True)
class Example:
    """One training picture, not drawn yet.

    Attributes:
        scene: What it shows, at the size it was "taken".
        caption: What it is called.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        original_size: (height, width) of the scene before cropping or enlarging.
        crop: (top, left) of the picture in a larger scene.
        aesthetic_score: 6 to 7 for a clean picture, from 5.5 down to 2 the more it is degraded.
        blurred: Whether a degraded picture is blurred; else it is noisy.
        noise_seed: Seed of the grain of a noisy picture.
    """

    scene: Scene
    caption: str
    width: int
    height: int
    original_size: tuple[int, int]
    crop: tuple[int, int]
    aesthetic_score: float
    blurred: bool
    noise_seed: int

    @property
    def time_ids(self) -> tuple[int, ...]:
        """Original size, crop and target size, as SDXL's base takes them."""
        return (*self.original_size, *self.crop, self.height, self.width)

    def draw(self, drawn: Callable[[Scene], Image.Image] = draw) -> Image.Image:
        """The picture: mode "RGB", (width, height).

        Args:
            drawn: Draws a whole scene; by default as the world is.
        """
        picture = drawn(self.scene)
        if picture.width < self.width:
            picture = picture.resize((self.width, self.height), Image.Resampling.BICUBIC)
        top, left = self.crop
        picture = picture.crop((left, top, left + self.width, top + self.height))
        return picture if self.aesthetic_score >= 6 else self._degrade(picture)

    def _degrade(self, picture: Image.Image) -> Image.Image:
        damage = (6 - self.aesthetic_score) / 4
        if self.blurred:
            return picture.filter(ImageFilter.GaussianBlur(0.6 + 2.4 * damage))
        grain = np.random.RandomState(self.noise_seed).normal(0, 4 + 22 * damage, (picture.height, picture.width, 1))
        return Image.fromarray(np.clip(np.rint(np.asarray(picture) + grain), 0, 255).astype(np.uint8))


def usual_scene(seed: int, width: int, height: int) -> Scene:
    """A scene as training shows it: of a pair that is not held out, and sometimes empty."""
    return sample_scene(seed, width, height, empty_frac=EMPTY_FRAC)


def example(seed: int, width: int = SIZE_PX, height: int = SIZE_PX, *, sample: Callable[[int, int, int], Scene] = usual_scene) -> Example:
    """Draw a training example at random; the same seed always gives the same example.

    Args:
        seed: Any integer from 0 to 2**32 - 1.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        sample: Draws its scene, of a seed, a width and a height.
    """
    rng = np.random.RandomState(seed)
    kind = rng.choice(("whole", "crop", "small", "blurred", "noisy"), p=(0.66, 0.14, 0.08, 0.06, 0.06))
    scale = {"crop": rng.uniform(1.1, 1.6), "small": rng.uniform(0.8, 0.95)}.get(kind, 1.0)
    scene_width, scene_height = round(width * scale), round(height * scale)
    scene = sample(int(rng.randint(2**31)), scene_width, scene_height)
    crop = (int(rng.randint(scene_height - height + 1)), int(rng.randint(scene_width - width + 1))) if kind == "crop" else (0, 0)
    spoken = rng.choice(("place", "size and place", "shape"), p=(0.56, 0.36, 0.08))
    score = rng.uniform(2, 5.5) if kind in ("blurred", "noisy") else rng.uniform(6, 7)
    return Example(
        scene=scene,
        caption=caption(scene, say_size=spoken == "size and place", say_place=spoken != "shape"),
        width=width,
        height=height,
        original_size=(scene_height, scene_width),
        crop=crop,
        aesthetic_score=float(score),
        blurred=bool(kind == "blurred"),
        noise_seed=int(rng.randint(2**31)),
    )
