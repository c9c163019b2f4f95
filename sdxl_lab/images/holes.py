"""What fills the region to repaint before a model sees it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from sdxl_lab.images.canvas import noise
from sdxl_lab.images.masks import laid_over
from sdxl_lab.images.spreading import spread
from sdxl_lab.images.white import MaskError, opencv

MaskFill = Literal["original", "neutral", "blur", "telea", "navier_stokes", "noise"]

FROM_AROUND = ("blur", "telea", "navier_stokes")
"""Those that need something around the region."""

NEUTRAL = 128
"""Mid-gray: 0, to a half level, in the -1 to 1 of the VAE."""

_RADIUS_PX = 5
"""How far around a pixel Telea's method looks."""


def filled(image: Image.Image, mask_image: Image.Image, fill: MaskFill, *, seed: int = 0) -> Image.Image:
    """Fill what a mask shows.

    Args:
        image: Picture of size (W, H), mode "RGB".
        mask_image: White is filled, gray in part; size (W, H), mode "L".
        fill: "original" leaves it; "neutral" is mid-gray, `NEUTRAL`; "blur" spreads the colors around the region smoothly over it, see
            `sdxl_lab.images.spreading.spread`; "telea" and "navier_stokes" continue them inwards, looking 5 pixels far; "noise" draws uniform
            colors from `seed`.
        seed: Any integer of 64 bits, negative ones too; used by "noise" only.

    Returns:
        A new picture, where the mask is black the given one's pixels exactly.

    Raises:
        MaskError: The fill is unknown, or continues what is around the region, and nothing is.

    Source:
        OpenCV, cv2.inpaint: Telea, An image inpainting technique based on the fast marching method, 2004; Bertalmio, Bertozzi and Sapiro,
        Navier-Stokes, fluid dynamics, and image and video inpainting, CVPR 2001.
    """
    pixels, region = np.asarray(image), np.asarray(mask_image) > 0
    if fill in FROM_AROUND and region.all():
        raise MaskError(nothing_around(fill))
    if fill == "original":
        return image.copy()
    if fill == "neutral":
        inside = np.full_like(pixels, NEUTRAL)
    elif fill == "noise":
        inside = noise(image.size, seed)
    elif fill == "blur":
        inside = np.rint(spread(pixels.astype(np.float32), ~region)).clip(0, 255).astype(np.uint8)
    elif fill in ("telea", "navier_stokes"):
        method = opencv().INPAINT_TELEA if fill == "telea" else opencv().INPAINT_NS
        inside = opencv().inpaint(pixels, region.view(np.uint8) * np.uint8(255), _RADIUS_PX, method)
    else:
        raise MaskError(f"fill is {fill!r}; it must be original, neutral, blur, telea, navier_stokes or noise")
    return laid_over(image, Image.fromarray(inside), mask_image)


def nothing_around(fill: str) -> str:
    """Say that a fill has nothing to continue, and what to do."""
    return (
        f"mask.fill {fill} continues what is around the region to repaint, and that is all that the models see; take neutral or noise, dilate less "
        "(mask.kernel_size), or show more around it (crop.padding_mask_crop)"
    )
