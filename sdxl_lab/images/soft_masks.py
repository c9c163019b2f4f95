"""Soft masks: a pixel's gray says how far it is repainted, from black, which keeps it, to white. Cleaned, dilated, blurred, carried to latents."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sdxl_lab.images import masks, pictures
from sdxl_lab.images import white as areas
from sdxl_lab.images.mask_checks import DARK, LIGHT
from sdxl_lab.images.white import opencv

LAID_OVER_FROM = 128
"""The gray from which on a composite takes the output alone. Laid over by its own gray, an edit would be weakened twice: by the model, which left it
half undone, and by half of the input again, so that what reaches into the strip is seen through. From 64 on it is crisper still, but where the strip
ends the composite has an edge (a blur of 8 pixels in the five scenes of pocket-scenes: ΔE 2.1; from 128 on 1.2; by its own gray 0.9)."""


def has_grays(mask_image: Image.Image) -> bool:
    """Whether a mask of mode "L" has anything between black and white."""
    return any(mask_image.histogram()[1:255])


def region_of(
    mask_image: Image.Image, kernel_size: int, iterations: int = 1, *, blur_px: int = 0, specks_area: float = 0.0, is_inverted: bool = False
) -> tuple[Image.Image, bool]:
    """Do with a soft mask what `masks.region_of` does with a hard one, and blur it then.

    Below 16 is black and from 240 on is white, but for the noise of JPEG. All that is not black counts for a speck, and for the square of the
    dilation each pixel is the lightest in it.

    Args:
        mask_image: Mask of size (W, H), any mode; transparent counts as black.
        kernel_size: As for `masks.dilate`; likewise `iterations`.
        iterations: See `kernel_size`.
        blur_px: As the width of `faded`.
        specks_area: As the area of `masks.without_specks`; 0 leaves none out. A hole takes the gray of what is nearest.
        is_inverted: Whether the black region is meant.

    Returns:
        A new mode "L" mask of size (W, H), and whether there were specks. Of a black and white mask without blur it is what `masks.region_of` gives.

    Raises:
        MaskError: As for `masks.dilate`.
    """
    grays = np.asarray(pictures.grayscale(mask_image))
    grays = np.where(grays < DARK, np.uint8(0), np.where(grays >= LIGHT, np.uint8(255), grays))
    seen = grays > 0
    cleaned = areas.cleaned(seen, specks_area) if specks_area else seen
    has_specks = cleaned is not seen and not np.array_equal(cleaned, seen)
    if has_specks:
        grays = np.where(cleaned, _nearest(grays), np.uint8(0))
    dilated = _dilated(255 - grays if is_inverted else grays, kernel_size, iterations)
    return faded(Image.fromarray(dilated), blur_px), has_specks


def faded(mask_image: Image.Image, width_px: int) -> Image.Image:
    """Soften a mask outwards: what is not black keeps its gray, and a strip around it fades to black.

    Args:
        mask_image: Mask of size (W, H), mode "L".
        width_px: Of the strip, in pixels of this mask, 0 or more.

    Returns:
        A new mode "L" mask of size (W, H): in the strip the nearest gray, falling linearly with the Euclidean distance from it. Of a black and white
        mask it is what `masks.feather` gives.

    Raises:
        MaskError: OpenCV can't be imported.
    """
    grays = np.array(mask_image)
    seen = grays > 0
    if width_px == 0 or not seen.any():
        return Image.fromarray(grays)
    part = areas.around(seen, width_px)
    within = grays[part]
    distance = opencv().distanceTransform((within == 0).view(np.uint8), opencv().DIST_L2, opencv().DIST_MASK_PRECISE)
    strip = np.where(distance <= width_px, np.rint(_nearest(within) * (1 - distance / (width_px + 1))), 0)
    grays[part] = np.where(within > 0, within, strip)
    return Image.fromarray(grays)


def latent_change(mask_image: Image.Image, *, mode: masks.LatentMask = "nearest", factor: int = 8) -> np.ndarray:
    """Carry a soft mask from pixels to latents.

    Args:
        mask_image: Mask at the working size (W, H), both multiples of `factor`, mode "L".
        mode: "cover" takes the lightest of each cell's pixels. "nearest" takes their mean: one pixel alone knows nothing of a gradient.
        factor: Pixels a side of one latent cell.

    Returns:
        float64 of shape (H / factor, W / factor), from 0, which is kept, to 1, which is repainted.
    """
    width, height = mask_image.size
    cells = np.asarray(mask_image, np.float64).reshape(height // factor, factor, width // factor, factor) / 255
    return cells.max(axis=(1, 3)) if mode == "cover" else cells.mean(axis=(1, 3))


def composited(mask_image: Image.Image) -> Image.Image:
    """Of a soft mask what a composite takes: all of the output but where hardly anything was repainted, and there less and less of it.

    Args:
        mask_image: Mask of size (W, H), mode "L".

    Returns:
        A new mode "L" mask of size (W, H); a black and white one stays as it is.
    """
    return mask_image.point([min(round(255 * gray / LAID_OVER_FROM), 255) for gray in range(256)])


def _dilated(grays: np.ndarray, kernel_size: int, iterations: int) -> np.ndarray:
    seen = grays > 0
    if not (seen & (grays < 255)).any():
        return areas.dilated(seen, kernel_size, iterations) * np.uint8(255)
    side = 2 * min(kernel_size // 2 * iterations, max(grays.shape)) + 1
    for _ in range(2):
        lightest, reached = np.pad(grays, ((side // 2, side // 2), (0, 0))), 1
        while reached < side:  # twice as far each time, as the lightest of two windows is that of both
            step = min(reached, side - reached)
            lightest, reached = np.maximum(lightest[:-step], lightest[step:]), reached + step
        grays = lightest.T
    return np.ascontiguousarray(grays)


def _nearest(grays: np.ndarray) -> np.ndarray:
    """Of each pixel the nearest one's that is not black."""
    cv2, seen = opencv(), grays > 0
    _, labels = cv2.distanceTransformWithLabels((~seen).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros(labels.max() + 1, np.uint8)
    table[labels[seen]] = grays[seen]
    return table[labels]
