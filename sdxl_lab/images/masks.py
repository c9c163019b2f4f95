"""Masks: white is repainted. Binarize, invert, dilate, feather, carry a mask to latents, composite."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from sdxl_lab.images import pictures
from sdxl_lab.images import white as areas
from sdxl_lab.images.white import MaskError, opencv

LatentMask = Literal["nearest", "cover"]


def binarize(mask_image: Image.Image) -> Image.Image:
    """Turn a mask into black and white, at half intensity.

    Args:
        mask_image: Mask of size (W, H), any mode; transparent counts as black.

    Returns:
        A new mode "L" mask of size (W, H) holding only 0 and 255: white where the 8-bit intensity is 128 or more, as
        diffusers' mask processor decides.
    """
    return _mask_of(_white(mask_image))


def invert(mask_image: Image.Image) -> Image.Image:
    """Swap what is repainted and what is kept.

    Args:
        mask_image: Mask of size (W, H), any mode; binarized at half intensity first.

    Returns:
        A new mode "L" mask of size (W, H), white exactly where the binarized input is black.
    """
    return _mask_of(~_white(mask_image))


def dilate(mask_image: Image.Image, kernel_size: int, iterations: int = 1) -> Image.Image:
    """Grow the white region of a mask, so that the seam falls on background instead of on the object.

    Args:
        mask_image: Mask of size (W, H), any mode; binarized at half intensity first.
        kernel_size: Side of the square kernel in pixels of this mask, odd, 1 or more. 1 leaves the mask as it is.
        iterations: How often the kernel is applied, 0 or more; 0 only binarizes.

    Returns:
        A new mode "L" mask of size (W, H) holding only 0 and 255, nowhere blacker than the binarized input.

    Raises:
        MaskError: The kernel is even or not positive, iterations are negative, the mask has no white pixel, or OpenCV can't be imported.

    Source:
        OpenCV, cv2.dilate with a square kernel of ones, whose pixels these are in a fraction of its time.
    """
    return _mask_of(areas.dilated(_white(mask_image), kernel_size, iterations))


def region_of(
    mask_image: Image.Image, kernel_size: int, iterations: int = 1, *, specks_area: float = 0.0, is_inverted: bool = False
) -> tuple[Image.Image, bool]:
    """Clean a mask, invert it if all but the object is meant, and dilate it, at once.

    Args:
        mask_image: Mask of size (W, H), any mode; binarized at half intensity first.
        kernel_size: As for `dilate`; likewise `iterations`.
        iterations: See `kernel_size`.
        specks_area: As the area of `without_specks`; 0 leaves none out.
        is_inverted: Whether the black region is meant.

    Returns:
        What `dilate` makes of what `invert` makes of what `without_specks` makes of the mask, and whether there were specks.

    Raises:
        MaskError: As for `dilate`.
    """
    white = _white(mask_image)
    cleaned = areas.cleaned(white, specks_area) if specks_area else white
    has_specks = cleaned is not white and not np.array_equal(cleaned, white)
    return _mask_of(areas.dilated(~cleaned if is_inverted else cleaned, kernel_size, iterations)), has_specks


def feather(mask_image: Image.Image, feather_px: int) -> Image.Image:
    """Soften a mask outwards: all that was repainted is kept, and a strip around it fades into the input.

    Args:
        mask_image: Mask of size (W, H), any mode; binarized at half intensity first.
        feather_px: Width of the strip in pixels of this mask, 0 or more; 0 only binarizes.

    Returns:
        A new mode "L" mask of size (W, H): 255 on the white region, falling linearly with the Euclidean distance from it,
        0 at every pixel farther than `feather_px`.

    Raises:
        MaskError: `feather_px` is negative, or OpenCV can't be imported.
    """
    if feather_px < 0:
        raise MaskError(f"feather_px is {feather_px}; it must be 0 or more (0 is a hard edge)")
    white = _white(mask_image)
    if feather_px == 0 or not white.any():
        return _mask_of(white)
    cv2 = opencv()
    part = areas.around(white, feather_px)
    distance = cv2.distanceTransform((~white[part]).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    alpha = white * np.uint8(255)
    alpha[part] = np.where(distance <= feather_px, np.rint(255 * (1 - distance / (feather_px + 1))), 0)
    return Image.fromarray(alpha)


def latent_mask(mask_image: Image.Image, *, mode: LatentMask = "nearest", factor: int = 8) -> Image.Image:
    """Carry a mask from pixels to latents.

    Args:
        mask_image: Mask at the working size (W, H), both multiples of `factor`, any mode; binarized at half intensity first.
        mode: "nearest" looks at each cell's top left pixel, as diffusers does. "cover" makes a cell white if any of its pixels is.
        factor: Pixels a side of one latent cell.

    Returns:
        A new mode "L" mask of size (W / factor, H / factor) holding only 0 and 255. Scaled up by `factor` with
        `Image.Resampling.NEAREST`, it is the mask that makes a diffusers pipeline use exactly these cells.

    Raises:
        MaskError: The size isn't a multiple of `factor`, the mode is unknown, the mask has no white pixel, or with "nearest"
            a connected white region would leave no cell.

    Source:
        diffusers' StableDiffusionXLInpaintPipeline.prepare_mask_latents (nearest), max-pooling (cover).
    """
    width, height = mask_image.size
    if factor < 1 or width % factor or height % factor:
        raise MaskError(
            f"the mask is {width}x{height}; both sides must be multiples of {factor}, a latent cell's side: resize it to the working size first"
        )
    white = _white(mask_image)
    if not white.any():
        raise MaskError("the mask has no white pixel, so nothing would be repainted; check that it isn't inverted")
    if mode == "cover":
        cells = np.asarray(white.reshape(height // factor, factor, width // factor, factor).any(axis=(1, 3)))
    elif mode == "nearest":
        if lost := vanishing(mask_image, factor=factor):
            left, top, right, bottom = lost[0]
            raise MaskError(
                f"{len(lost)} of the mask's white regions would vanish, the first {right - left}x{bottom - top} pixels at ({left}, {top}): "
                f"latent_mask 'nearest' looks at one pixel in {factor}x{factor} only. Use latent_mask 'cover', dilate the mask, or clean it of specks"
            )
        cells = white[::factor, ::factor]
    else:
        raise MaskError(f"latent_mask is {mode!r}; it must be 'nearest' (as diffusers does) or 'cover' (every touched cell)")
    return _mask_of(cells)


def without_specks(mask_image: Image.Image, area: float, *, holes: bool = True) -> Image.Image:
    """Leave out what is too small to be meant: specks of white, then those of black.

    Args:
        mask_image: Mask of size (W, H), any mode; binarized at half intensity first.
        area: Pixels of this mask; a connected region with fewer is a speck, unless nothing of its color is larger.
        holes: Whether specks of black are left out, too.

    Returns:
        A new mode "L" mask of size (W, H) holding only 0 and 255.

    Raises:
        MaskError: OpenCV can't be imported.
    """
    return _mask_of(areas.cleaned(_white(mask_image), area, holes=holes))


def largest_region(mask_image: Image.Image) -> int:
    """Count the pixels of a mask's largest connected white region.

    Args:
        mask_image: Mask of size (W, H), any mode; binarized at half intensity first.

    Returns:
        0 if no pixel is white.

    Raises:
        MaskError: OpenCV can't be imported.
    """
    return areas.largest(_white(mask_image))


def vanishing(mask_image: Image.Image, *, factor: int = 8) -> list[tuple[int, int, int, int]]:
    """Find the connected white regions that keep no cell when one pixel in `factor` x `factor` is looked at.

    Args:
        mask_image: Mask at the working size, any mode; binarized at half intensity first.
        factor: Pixels a side of one latent cell.

    Returns:
        Their bounding boxes, (left, top, right, bottom) in pixels of this mask.

    Raises:
        MaskError: OpenCV can't be imported.
    """
    cv2 = opencv()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(_white(mask_image).astype(np.uint8), connectivity=8)
    lost = sorted(set(range(1, count)) - set(np.unique(labels[::factor, ::factor]).tolist()))
    boxes = (tuple(int(stats[label, key]) for key in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT)) for label in lost)
    return [(left, top, left + width, top + height) for left, top, width, height in boxes]


def composite(input_image: Image.Image, output_image: Image.Image, mask_image: Image.Image, *, feather_px: int = 0) -> Image.Image:
    """Lay the repainted region over the input.

    Args:
        input_image: What was there before, size (W, H), mode "RGB".
        output_image: What the model made, size (W, H), mode "RGB".
        mask_image: White is taken from the output; size (W, H), any mode, binarized at half intensity first.
        feather_px: Width in pixels of the strip around the white region over which the output fades into the input; see `feather`.

    Returns:
        A new mode "RGB" picture: the output's pixels exactly on the white region, the input's exactly where the feathered mask is 0.

    Raises:
        MaskError: The sizes differ, a picture isn't RGB, or `feather_px` is negative.
    """
    if not input_image.size == output_image.size == mask_image.size:
        named = {"input": input_image, "output": output_image, "mask": mask_image}
        sizes = ", ".join(f"{name} {image.width}x{image.height}" for name, image in named.items())
        raise MaskError(f"a composite needs one size, got {sizes}; resize the output and the mask to the input's size")
    return laid_over(input_image, output_image, feather(mask_image, feather_px))


def laid_over(input_image: Image.Image, output_image: Image.Image, alpha_image: Image.Image) -> Image.Image:
    """Lay one picture over another.

    Args:
        input_image: What is below, size (W, H), mode "RGB".
        output_image: What lies over it; likewise.
        alpha_image: How much of it does, from 0 to 255; size (W, H), mode "L".

    Returns:
        A new mode "RGB" picture: the output's pixels exactly where alpha is 255, the input's exactly where it is 0.

    Raises:
        MaskError: A picture isn't RGB.
    """
    under, over = np.asarray(rgb_only(input_image, "input_image")), np.asarray(rgb_only(output_image, "output_image"))
    alpha = np.asarray(alpha_image)
    result = np.where((alpha == 255)[..., None], over, under)
    strip = (alpha > 0) & (alpha < 255)
    weight = alpha[strip].astype(np.uint32)[:, None]
    result[strip] = (over[strip] * weight + under[strip] * (255 - weight) + 127) // 255
    return Image.fromarray(result)


def rgb_only(image: Image.Image, name: str) -> Image.Image:
    """Require a picture without transparency, gray or palette.

    Args:
        image: Of any mode.
        name: What it is called in the error.

    Returns:
        It.

    Raises:
        MaskError: Its mode is another than "RGB".
    """
    if image.mode != "RGB":
        raise MaskError(f"{name} has mode {image.mode!r}; it must be 'RGB': bring it there with sdxl_lab.images.pictures.rgb")
    return image


def _white(mask_image: Image.Image) -> np.ndarray:
    if mask_image.mode != "L" or mask_image.has_transparency_data:
        mask_image = pictures.grayscale(mask_image)
    white = np.zeros(mask_image.size[::-1], bool)
    if box := mask_image.getbbox():  # most of a mask is black, and copying it is what takes time
        left, top, right, bottom = box
        white[top:bottom, left:right] = np.asarray(mask_image.crop(box)) >= 128
    return white


def _mask_of(white: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(white).view(np.uint8) * np.uint8(255))
