"""Masks to train inpainting with, such as people and the lab's datasets have, and what they leave of a picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from diffusers import AutoencoderKL
from PIL import Image

from sdxl_lab.images.masks import dilate
from sdxl_lab.pocket.training.pool import kept
from sdxl_lab.pocket.training.sd2.architecture import FACTOR
from sdxl_lab.pocket.training.sd2.autoencoder import encoded
from sdxl_lab.pocket.training.sd2.pictures import Pool, halved
from sdxl_lab.pocket.world import EMPTY, SHAPES, Scene, object_mask, sample_scene

MID_GRAY = 127.5
"""What diffusers paints over the masked pixels, 0 where black is -1 and white is 1."""

MASK_SEED = 600_000_000
KINDS = {"object": 0.15, "object, dilated": 0.45, "box around it": 0.12, "any box": 0.06, "all but the object": 0.1, "border": 0.08, "all": 0.04}
"""Kinds of masks and how often each is drawn."""


@dataclass(frozen=True, kw_only=True)
class Masked:
    """Masks of a pool's pictures and what they leave: one row a picture.

    Attributes:
        masks: 1 where the picture is repainted, one number a latent, (N, 1, h, w).
        latents: Mean and standard deviation of the latents of the picture with gray in place of the masked pixels, (N, 8, h, w).
    """

    masks: np.ndarray
    latents: np.ndarray


def masked(pool: Pool, vae: AutoencoderKL, folder: Path, batch: int = 50) -> Masked:
    """The masks of a pool's pictures, and their latents, computed by the first call."""
    pictures = pool.pictures(folder)
    h, w = pool.height // FACTOR, pool.width // FACTOR

    def masks() -> Iterable[np.ndarray]:
        return (np.asarray(mask_of(pool, i)) >= 128 for i in range(pool.count))

    whole = kept(folder / f"sd2-{pool.name}-masks.npy", (pool.count, pool.height, pool.width), np.bool_, masks)

    def latents() -> Iterable[np.ndarray]:
        for start in range(0, pool.count, batch):
            part = slice(start, start + batch)
            yield from encoded(vae, np.where(whole[part, ..., None], np.float32(MID_GRAY), pictures[part]))

    return Masked(
        masks=whole[:, None, ::FACTOR, ::FACTOR],  # the nearest pixel, as the pipeline shrinks a mask
        latents=np.array(kept(folder / f"sd2-{pool.name}-masked-latents.npy", (pool.count, 8, h, w), np.float16, latents)),
    )


def mask_of(pool: Pool, index: int) -> Image.Image:
    """A mask of a pool's picture, mode "L" and white where it is repainted.

    Args:
        pool: The pool.
        index: Of the picture.
    """
    kind, rng = _kind(pool, index)
    scene = pool.scene(index)
    # In an empty scene an object may have been, to be painted away: the mask of one that fits.
    shown = scene if scene.shape else replace(scene, shape=sample_scene(int(rng.randint(2**31))).shape)
    return halved(_drawn(kind, shown, rng))


def caption_of(pool: Pool, index: int) -> str:
    """What to train a masked picture with: its caption, but of half of those that lose their border the background alone."""
    kind, _ = _kind(pool, index)
    return EMPTY[pool.scene(index).background] if kind == "border" and index % 2 else pool.caption(index)


def _kind(pool: Pool, index: int) -> tuple[str, np.random.RandomState]:
    """The kind of a picture's mask, and what the rest of it is drawn from."""
    rng = np.random.RandomState(MASK_SEED + pool.first_seed + index)
    return str(rng.choice(list(KINDS), p=list(KINDS.values()))), rng


def _drawn(kind: str, scene: Scene, rng: np.random.RandomState) -> Image.Image:
    """A mask of a kind at the scene's own size."""
    size = (scene.width, scene.height)
    if kind == "all":
        return Image.new("L", size, 255)
    if kind == "any box":
        width, height = (int(rng.uniform(0.2, 0.8) * side) for side in size)
        return _box(size, int(rng.randint(scene.width - width)), int(rng.randint(scene.height - height)), width, height)
    if kind == "border":
        left, top, right, bottom = (int(rng.uniform(0.1, 0.45) * side) * int(rng.rand() < 0.5) for side in (*size, *size))
        mask = Image.new("L", size, 255)
        mask.paste(0, (left, top, scene.width - right, scene.height - bottom))
        return mask
    own = object_mask(scene)
    if kind == "object":
        return own
    if kind == "all but the object":
        return Image.eval(dilate(own, kernel_size=2 * int(rng.randint(0, 4)) + 1), lambda level: 255 - level)
    if kind == "box around it":
        left, top, right, bottom = own.getbbox() or (0, 0, 1, 1)
        near = [int(margin) for margin in rng.randint(0, 13, size=4)]
        return _box(size, left - near[0], top - near[1], right - left + near[0] + near[2], bottom - top + near[1] + near[3])
    # Half of them of another shape as well: else the mask alone would say which one to paint.
    if rng.rand() < 0.5:
        other = object_mask(replace(scene, shape=str(rng.choice(list(SHAPES)))))
        own = Image.fromarray(np.maximum(np.asarray(own), np.asarray(other)))
    return dilate(own, kernel_size=2 * int(rng.randint(3, 21)) + 1)


def _box(size: tuple[int, int], left: int, top: int, width: int, height: int) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, (left, top, left + width, top + height))
    return mask
