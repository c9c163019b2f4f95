"""Masks: white is repainted. Binarize, invert, dilate, feather, extend the canvas, carry a mask to latents, composite."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from sdxl_lab.images import pictures
from sdxl_lab.images import white as areas
from sdxl_lab.images.white import MaskError, opencv

MAX_CANVAS_PIXELS = 100_000_000
"""Most pixels an extended canvas may have."""

LatentMask = Literal["nearest", "cover"]
Fill = Literal["reflect", "noise"]


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


def extend_canvas(
    image: Image.Image, *, left_px: int = 0, right_px: int = 0, top_px: int = 0, bottom_px: int = 0, fill: Fill = "reflect", seed: int = 0
) -> Image.Image:
    """Put a picture on a larger canvas.

    Args:
        image: Picture of size (W, H), mode "RGB".
        left_px: New pixels left of the picture, 0 or more; `right_px`, `top_px` and `bottom_px` likewise.
        right_px: See `left_px`.
        top_px: See `left_px`.
        bottom_px: See `left_px`.
        fill: What the new pixels hold before they are painted: "reflect" mirrors the picture, again and again if need be;
            "noise" draws uniform colors from `seed`.
        seed: Any integer of 64 bits, negative ones too; used by "noise" only.

    Returns:
        The canvas, mode "RGB", of size (W + left_px + right_px, H + top_px + bottom_px); it holds the whole picture in its place.

    Raises:
        MaskError: A width is negative, all are zero, the fill is unknown, the canvas would be larger than `MAX_CANVAS_PIXELS`, or the picture
            isn't RGB.
    """
    _check_canvas(image.size, {"left_px": left_px, "right_px": right_px, "top_px": top_px, "bottom_px": bottom_px}, 0)
    pixels = np.asarray(_rgb_only(image, "image"))
    height, width = pixels.shape[:2]
    if fill == "reflect":
        return Image.fromarray(np.pad(pixels, ((top_px, bottom_px), (left_px, right_px), (0, 0)), mode="reflect"))
    if fill != "noise":
        raise MaskError(f"canvas fill is {fill!r}; it must be 'reflect' or 'noise'")
    canvas = noise((width + left_px + right_px, height + top_px + bottom_px), seed)
    canvas[top_px : top_px + height, left_px : left_px + width] = pixels
    return Image.fromarray(canvas)


def noise(size: tuple[int, int], seed: int) -> np.ndarray:
    """Draw uniform colors.

    Args:
        size: (W, H) in pixels.
        seed: Any integer of 64 bits, negative ones too.

    Returns:
        (H, W, 3) levels, uint8.
    """
    words = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF]
    return np.random.RandomState(words).randint(0, 256, (size[1], size[0], 3), np.uint8)


def canvas_mask(
    size: tuple[int, int], *, left_px: int = 0, right_px: int = 0, top_px: int = 0, bottom_px: int = 0, overlap_px: int = 0
) -> Image.Image:
    """Mask what is to be painted around a picture on a larger canvas.

    With `overlap_px` 0 the mask ends where the picture begins. Above 0 it reaches that far into the picture, on the extended sides
    only, so that what is painted grows out of the picture. Composited with this mask the overlap is replaced too, which heals the seam;
    composited with the mask of overlap 0, every pixel of the picture stays.

    Args:
        size: (W, H) of the picture, in pixels.
        left_px: As in `extend_canvas`; `right_px`, `top_px` and `bottom_px` likewise.
        right_px: See `left_px`.
        top_px: See `left_px`.
        bottom_px: See `left_px`.
        overlap_px: How far the mask reaches into the picture on each extended side, 0 or more.

    Returns:
        A mode "L" mask of the canvas's size, with only 0 and 255.

    Raises:
        MaskError: A width is negative, all are zero, the overlap would leave nothing of the picture, or the canvas would be larger than
            `MAX_CANVAS_PIXELS`.
    """
    sides = {"left_px": left_px, "right_px": right_px, "top_px": top_px, "bottom_px": bottom_px}
    _check_canvas(size, sides, overlap_px)
    width, height = size
    mask = Image.new("L", (width + left_px + right_px, height + top_px + bottom_px), 255)
    inset = {side: overlap_px if amount else 0 for side, amount in sides.items()}
    kept = (left_px + inset["left_px"], top_px + inset["top_px"], left_px + width - inset["right_px"], top_px + height - inset["bottom_px"])
    mask.paste(0, kept)
    return mask


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
    under, over = np.asarray(_rgb_only(input_image, "input_image")), np.asarray(_rgb_only(output_image, "output_image"))
    alpha = np.asarray(alpha_image)
    result = np.where((alpha == 255)[..., None], over, under)
    strip = (alpha > 0) & (alpha < 255)
    weight = alpha[strip].astype(np.uint32)[:, None]
    result[strip] = (over[strip] * weight + under[strip] * (255 - weight) + 127) // 255
    return Image.fromarray(result)


def _white(mask_image: Image.Image) -> np.ndarray:
    if mask_image.mode != "L" or mask_image.has_transparency_data:
        mask_image = pictures.grayscale(mask_image)
    white = np.zeros(mask_image.size[::-1], bool)
    if box := mask_image.getbbox():  # most of a mask is black, and copying it is what takes time
        left, top, right, bottom = box
        white[top:bottom, left:right] = np.asarray(mask_image.crop(box)) >= 128
    return white


def _rgb_only(image: Image.Image, name: str) -> Image.Image:
    if image.mode != "RGB":
        raise MaskError(f"{name} has mode {image.mode!r}; it must be 'RGB': bring it there with sdxl_lab.images.pictures.rgb")
    return image


def _mask_of(white: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(white).view(np.uint8) * np.uint8(255))


def _check_canvas(size: tuple[int, int], sides: dict[str, int], overlap_px: int) -> None:
    negative = {name: value for name, value in {**sides, "overlap_px": overlap_px}.items() if value < 0}
    if negative:
        raise MaskError(f"canvas.{next(iter(negative))} is {next(iter(negative.values()))}; it must be 0 or more")
    if not any(sides.values()):
        raise MaskError(f"the canvas isn't extended: all of {', '.join(sides)} are 0; set at least one of them")
    for length, axis in zip(size, (("left_px", "right_px"), ("top_px", "bottom_px")), strict=True):
        if overlap_px * sum(sides[side] > 0 for side in axis) >= length:
            raise MaskError(f"canvas.overlap_px is {overlap_px}, which leaves nothing of a picture of {size[0]}x{size[1]}; make it smaller")
    width, height = size[0] + sides["left_px"] + sides["right_px"], size[1] + sides["top_px"] + sides["bottom_px"]
    if width * height > MAX_CANVAS_PIXELS:
        raise MaskError(f"the canvas would be {width}x{height}; at most {MAX_CANVAS_PIXELS:,} pixels are allowed: extend it less")
