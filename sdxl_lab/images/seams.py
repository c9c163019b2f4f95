"""What becomes of a decoded picture before it is laid over its input, so that where they meet does not show: its colors, and its levels."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sdxl_lab.images import boxes, masks
from sdxl_lab.images import white as areas
from sdxl_lab.images.spreading import spread
from sdxl_lab.images.white import opencv


def matched(raw: Image.Image, image: Image.Image, mask_image: Image.Image, *, reach_px: int) -> Image.Image:
    """Shift the colors of a decoded picture to those of its input, by what differs between the two around the mask.

    Both show the same place there, so what differs between their mean colors (CIELAB, D65) is what decoding and denoising did to all colors, and
    not what was painted. Their spread is left as it is: a decoder loses grain, and stretching contrasts to the input's would take that for a
    loss of contrast.

    Args:
        raw: What was decoded, size (W, H), mode "RGB".
        image: Its input, likewise.
        mask_image: White is composited, its soft edge included; size (W, H), any mode, binarized at half intensity first.
        reach_px: How wide the ring around the white region is that is looked at, in pixels, 1 or more.

    Returns:
        A new picture, shifted as a whole; as it is where there is no ring.

    Source:
        Reinhard, Ashikhmin, Gooch and Shirley, Color transfer between images, IEEE CG&A 2001, whose means these are.
    """
    white = np.asarray(masks.binarize(mask_image)) > 0
    if not white.any() or white.all():
        return raw
    ring = areas.dilated(white, 2 * reach_px + 1, 1) & ~white
    cv2, made = opencv(), np.asarray(raw)
    before, after = (_lab(levels[ring][None]).mean(axis=(0, 1), dtype=np.float64) for levels in (np.asarray(image), made))
    shifted = cv2.cvtColor(_lab(made) + (before - after).astype(np.float32), cv2.COLOR_LAB2RGB)
    return Image.fromarray(np.rint(shifted * 255).clip(0, 255).astype(np.uint8))


def joined(raw: Image.Image, image: Image.Image, mask_image: Image.Image) -> Image.Image:
    """Clone what was decoded into its input: its gradients are kept, and at the mask's boundary it has the input's levels.

    What the two differ by just outside the mask is spread smoothly over its inside, and added there. Where the region ends with the picture,
    nothing holds it.

    Args:
        raw: What was decoded, size (W, H), mode "RGB".
        image: Its input, likewise.
        mask_image: White is composited, its soft edge included; size (W, H), any mode, binarized at half intensity first.

    Returns:
        A new picture, outside the white region the input's pixels exactly; the same as `raw` if all is white.

    Source:
        Pérez, Gangnet and Blake, Poisson image editing, SIGGRAPH 2003, "importing gradients".
    """
    mask_image = masks.binarize(mask_image)
    region = mask_image.getbbox()
    if region is None:
        return image.copy()
    box = boxes.grown(region, across_px=1, down_px=1, within=image.size)
    made, before, white = (np.asarray(picture.crop(box)) for picture in (raw, image, mask_image))
    shift = spread(before.astype(np.float32) - made, white == 0)
    cloned = np.rint(made + shift).clip(0, 255).astype(np.uint8) if (white == 0).any() else made
    return boxes.put_back(Image.fromarray(np.where(white[..., None] > 0, cloned, before)), box, image)


def _lab(levels: np.ndarray) -> np.ndarray:
    """CIELAB of 8-bit sRGB, float32 of the same shape."""
    return opencv().cvtColor(levels.astype(np.float32) / 255, opencv().COLOR_RGB2LAB)
