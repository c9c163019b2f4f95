"""How much memory of a GPU a run needs, reckoned from shapes alone: no weights are read, and no torch is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdxl_lab.checkpoints.layers import REFINER, Layers, UNetShape
from sdxl_lab.checkpoints.shapes import Shapes
from sdxl_lab.families import Sizes
from sdxl_lab.settings.sections import Compute

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}

RESERVE_BYTES = 1 << 30
"""For CUDA's own kernels and gaps between tensors."""

BLOCK = 21
"""Numbers that a transformer block holds of each cell and channel where it holds the most: 16 in its feed-forward, and 5 of what led there."""

COPIES = 2
"""How often the weights of a convolution are copied while it computes: into the order of its pixels, and into the library's own."""

KERNEL = 9
"""Numbers of a convolution's kernel."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the models of a run take, in bytes.

    Attributes:
        weights: Of each model, by name; that of the refiner's UNet, if it takes part, under `refiner`.
        largest: The same of its largest layer.
        at_work: What each model holds beside its weights while it works; a text encoder next to nothing.
    """

    weights: Mapping[str, int]
    largest: Mapping[str, int]
    at_work: Mapping[str, int]

    def on_gpu(self, offload: str) -> int:
        """The least that must be free of a GPU, with some to spare.

        Args:
            offload: As `Compute` has it; not `auto`.
        """
        if offload == "none":
            return sum(self.weights.values()) + max(self.at_work.values()) + RESERVE_BYTES
        there = {"model": self.weights, "sequential": self.largest, "group": {name: 2 * size for name, size in self.largest.items()}}[offload]
        return max(size + self.at_work.get(name, 0) for name, size in there.items()) + RESERVE_BYTES


def needs_of(shapes: Shapes, compute: Compute, *, pixels: int, is_refined: bool, is_guided: bool = True) -> Needs:
    """Reckon what a run takes.

    Args:
        shapes: Of its checkpoint.
        compute: How it is computed; `auto` is what the family computes in on a GPU.
        pixels: Of the largest picture that is made.
        is_refined: Whether the refiner takes part.
        is_guided: Whether each step evaluates a UNet with the words and without.
    """
    itemsize = BYTES[shapes.dtype(compute)]
    coded = BYTES[shapes.vae_dtype(compute)]
    cells = pixels // 4 ** (len(shapes.vae["block_out_channels"]) - 1)
    at_work = {name: step_bytes(unet, itemsize, cells=cells, is_guided=is_guided) for name, unet in shapes.unets.items()}
    at_work["vae"] = coding_bytes(shapes.vae, coded, pixels=min(pixels, tile_side_px(shapes.sizes) ** 2) if compute.vae_tiling else pixels)
    taken = {
        name: bytes_of(layers, coded if name == "vae" else itemsize, in_eight_bits=bool(compute.layerwise) and name in shapes.unets)
        for name, layers in shapes.layers.items()
        if is_refined or name != REFINER
    }
    return Needs(
        weights={name: whole for name, (whole, _) in taken.items()},
        largest={name: largest for name, (_, largest) in taken.items()},
        at_work={name: size for name, size in at_work.items() if name in taken},
    )


def needs_of_any(shapes: Shapes, compute: Compute) -> Needs:
    """Reckon what `compute.offload: auto` keeps room for: the largest picture of a checkpoint's own sizes, with its refiner where it has one.

    Args:
        shapes: Of the checkpoint.
        compute: How it is computed.
    """
    return needs_of(shapes, compute, pixels=shapes.sizes.max_area, is_refined=REFINER in shapes.layers)


def tile_side_px(sizes: Sizes) -> int:
    """The side of a tile, with `compute.vae_tiling`: half of that of the pictures that a checkpoint was made for."""
    return math.isqrt(sizes.area) // 2


def fastest_offload(needs: Needs, free_bytes: int) -> str:
    """Choose where models wait, by what is free before any of them is on the GPU.

    `group` is never chosen: it pins main memory, and nobody has measured here whether it is faster than `model`.

    Args:
        needs: Of the run.
        free_bytes: What may be used of the GPU.

    Returns:
        `none`, `model` or `sequential`, which is taken where nothing else fits.
    """
    return next((offload for offload in ("none", "model") if needs.on_gpu(offload) <= free_bytes), "sequential")


def bytes_of(layers: Layers, itemsize: int, *, in_eight_bits: bool = False) -> tuple[int, int]:
    """The bytes of a model's weights, and those of its largest layer.

    Args:
        layers: All of the model's.
        itemsize: Bytes of a number.
        in_eight_bits: Whether all layers but norms are kept in 8 bits.
    """
    sizes = [layer.numbers * (1 if in_eight_bits and not layer.is_norm else itemsize) for layer in layers]
    return sum(sizes), max(sizes)


def step_bytes(unet: UNetShape, itemsize: int, *, cells: int, is_guided: bool) -> int:
    """What a UNet holds beside its weights at the peak of a step.

    That is on its way up, where all that was set aside on the way down is still there: in a transformer block, or in the first resnet of a level.
    Attention holds no matrix of all pairs.

    Args:
        unet: Its shape.
        itemsize: Bytes of a number in it.
        cells: Of the latents.
        is_guided: Whether it is evaluated with the words and without at once.
    """
    cells *= 2 if is_guided else 1
    peak, aside = 0.0, float(unet.widths[0])
    for level, (width, depth, resnets) in enumerate(zip(unet.widths, unet.depths, unet.resnets, strict=True)):
        share = 4.0**-level
        is_last = level + 1 == len(unet.widths)
        below = width if is_last else unet.widths[level + 1]
        aside += width * share * resnets
        before = cells * (aside + share * below + unet.in_channels)
        block = BLOCK * width * share * cells if depth else 0
        peak = max(peak, before + block, before + resnet_numbers(below + width, width, share * cells))
        aside += 0 if is_last else width * share / 4
    return int(peak * itemsize)


def coding_bytes(vae: Mapping[str, Any], itemsize: int, *, pixels: int) -> int:
    """What a VAE holds beside its weights at the peak of decoding, which holds more than encoding: in the first resnet of a level.

    Args:
        vae: Its configuration.
        itemsize: Bytes of a number in it.
        pixels: Of the picture, or of a tile.
    """
    widths = tuple(vae["block_out_channels"])
    levels = enumerate(zip((*widths[1:], widths[-1]), widths, strict=True))
    return int(max(resnet_numbers(below, width, pixels * 4.0**-level) for level, (below, width) in levels) * itemsize)


def resnet_numbers(inward: int, outward: int, places: float) -> float:
    """What a resnet holds at the peak of its first convolution.

    What goes into the resnet and what goes into the convolution, what comes out, and of the latter two a copy in the order that the convolution's
    library computes in, as of its weights. On a GPU a library may take more where there is room, and manages with less where there is none.

    Args:
        inward: Channels that go in.
        outward: Channels that come out.
        places: Pixels, or cells of latents.
    """
    return places * (3 * inward + 2 * outward) + COPIES * KERNEL * inward * outward
