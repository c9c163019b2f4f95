"""Whether a file given as a mask is one: black and white with soft edges at most, and not a picture, a colored drawing or another's alpha."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from PIL import Image

from sdxl_lab.images import pictures
from sdxl_lab.images.masks import MaskError, binarize, opencv

LOOKED_AT = 1_000_000
"""About how many pixels are looked at: whole rows, evenly spread."""

DARK, LIGHT = 16, 240
"""Below is black, from here on is white, but for the noise of JPEG."""

COLORED_LEVELS = 32
"""Channels farther apart are a color. JPEG of quality 20 moves those of a gray mask by less than 4."""

COLORED_SHARE = 0.01
BLACK_AND_WHITE_SHARE = 0.45
"""A mask has more of it, its darkest taken for black and its lightest for white: binary blobs in a soft blur, 52%. Photographs have at most 37%."""

OUTER_PERCENT, NARROWEST_LEVELS = 4, 64
"""The darkest and the lightest lie between these percentiles from both ends; where they are closer than this, they are black and white."""

FLAT_SHARE = 0.95
"""Of black, white and one gray together, in a mask whose white is a gray. Photographs have at most 91%."""

FLAT_LEVELS = 25
COARSE_PIXELS = 192
"""Along the longer side: JPEG's noise and grain average out, and blurred edges keep their slope."""

BENT_LEVELS, BENT_SHARE = 8, 0.05
"""How far such a pixel lies off its two neighbors in a row, and for how many of the grays: 7% and more in photographs, 2% in blurred masks."""

SOFT_SHARE = 0.15
BLACK_AND_WHITE_GRAYS = 0.3
"""Of grays at most, in what can be called black and white beside a picture."""
LARGEST_SHARE, SMALLEST_SHARE = 0.95, 0.001

ALPHA = 'Image.open(PATH).convert("RGBA").getchannel("A")'
INVERTED = f"{ALPHA}.point(lambda alpha: 255 - alpha)"
STRETCHED = 'ImageOps.autocontrast(Image.open(PATH).convert("L"))'
"""Pillow's words for the masks that are hidden in other files."""

EXCHANGE = 'exchange "image" and "mask" in metadata.json'


CUT_AT_HALF = (
    "the mask is soft, and cut at half intensity: look whether it is a mask at all; to repaint its grays in part, set hyperparameters.mask.soft; "
    "to fade what is painted into the picture, set hyperparameters.mask.feather_px"
)
"""A note on a mask whose grays nobody asked for."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A mask that can be used.

    Attributes:
        share: How much of the picture is repainted: the white share at half intensity, above 0 and below 1.
        notes: What is to be said of it all the same, one line each.
    """

    share: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What is seen in the opaque rows of a file.

    Attributes:
        colored: Share of colored pixels, 0 to 1.
        hues: Whether the colors are several; one color and black is one.
        is_gray: Whether the brightest channel has the grays of a photograph.
        transparent: Share of pixels that are rather transparent than opaque.
        soft: Share of grays, neither black nor white.
    """

    colored: float
    hues: bool
    is_gray: bool
    transparent: float
    soft: float

    @property
    def is_picture(self) -> bool:
        return self.is_gray or (self.colored > COLORED_SHARE and self.hues)

    @property
    def is_black_and_white(self) -> bool:
        return self.colored <= COLORED_SHARE and self.soft <= BLACK_AND_WHITE_GRAYS


def check(mask_image: Image.Image, image: Image.Image | None = None, *, exchange: str = EXCHANGE) -> Checked:
    """Look at a mask.

    Args:
        mask_image: As it was decoded, of any mode and of the picture's size.
        image: The picture, to find out whether the two were swapped; None only looks at the mask.
        exchange: What to do then.

    Returns:
        Its share, and what is to be said of it.

    Raises:
        MaskError: It is a picture, or all of it is on one side of half intensity; the message goes on after the file's name and says what to do.
    """
    look = _look(mask_image)
    if look.is_picture:
        if image is not None and not look.transparent and _look(image).is_black_and_white:
            raise MaskError(f'is {_named(look)}, and the "image" holds black and white only: the two are swapped; {exchange}')
        raise MaskError(_picture(look))
    share = binarize(mask_image).histogram()[255] / (mask_image.width * mask_image.height)
    if share == 0:
        raise MaskError(
            f"is all black at half intensity, so nothing would be repainted; {_hidden(look, int(np.asarray(pictures.grayscale(mask_image)).max()))}"
        )
    if share == 1:
        raise MaskError("is all white at half intensity, so all of the picture would be repainted; white marks the object, black the rest")
    return Checked(share=share, notes=tuple(_notes(look, share)))


def unlike_sizes(mask_image: Image.Image, image: Image.Image) -> str | None:
    """Say what to do about a mask of another size than its picture.

    Args:
        mask_image: As it was decoded, upright.
        image: The picture, likewise.

    Returns:
        Both sizes and the advice, to go on after the mask's name; None if they have one size.
    """
    if mask_image.size == image.size:
        return None
    got = f"{mask_image.width}x{mask_image.height}, and the image is {image.width}x{image.height} (both upright)"
    if mask_image.size == image.size[::-1]:
        return f"{got}: it lies on its side, as when it was drawn on pixels that a camera stored so; turn the mask as the image is shown"
    return f"{got}; they must have one size: redraw or resize the mask"


def _named(look: _Look) -> str:
    return "a color picture" if look.colored > COLORED_SHARE else "a photograph in grays"


def _picture(look: _Look) -> str:
    if look.transparent:
        return (
            f"is {_named(look)} of which {percent(look.transparent)} is transparent; a mask is black and white, white is repainted. To repaint what "
            f"is transparent, as ComfyUI and DALL-E do, save {INVERTED} as the mask; to repaint the object that was cut out, save {ALPHA}"
        )
    where = f" ({percent(look.colored)} of it is colored)" if look.colored > COLORED_SHARE else ""
    return (
        f"is {_named(look)}{where}, not a mask; a mask is black and white, of the picture's size, with soft edges at most: paint the object white "
        "and the rest black, and name that file"
    )


def _hidden(look: _Look, brightest: int) -> str:
    """What an all black mask may have been meant to be."""
    if look.transparent and brightest < DARK:
        return (
            f"{percent(look.transparent)} of it is transparent, which counts as black. To repaint what is transparent, as ComfyUI and DALL-E do, "
            f"save {INVERTED} as the mask; to repaint what is painted, save {ALPHA}"
        )
    if look.transparent:
        return f"transparent counts as black, and what is painted has at most {brightest} of 255: to repaint it, save {ALPHA} as the mask"
    if brightest == 0:
        return "white marks the object, black the rest"
    if look.colored:
        return f"its color has an intensity of {brightest} of 255, below half: to repaint what is colored, save {STRETCHED} as the mask"
    return f"its brightest value is {brightest} of 255: white marks the object, so save {STRETCHED} as the mask if its values are only too low"


def _notes(look: _Look, share: float) -> list[str]:
    notes = []
    if look.transparent:
        notes.append(
            f"transparent parts of the mask count as black and are kept, painted white is repainted; ComfyUI and DALL-E repaint what is transparent: "
            f"if that is meant, save {INVERTED} as the mask"
        )
    if share > LARGEST_SHARE:
        notes.append("the mask covers nearly all of the picture, and what it covers is repainted; if it marks what is to stay, invert it")
    if share < SMALLEST_SHARE:
        notes.append("the mask covers less than 0.1% of the picture; look whether specks are all that is left of it")
    if look.soft > SOFT_SHARE:
        notes.append(CUT_AT_HALF)
    return notes


def percent(share: float) -> str:
    """Write a share for people.

    Args:
        share: From 0 to 1.

    Returns:
        Such as "14%", "0.3%" or "99.8%"; what is little is never written as nothing, nor nearly all as all.
    """
    if share in (0, 1):
        return f"{share:.0%}"
    value = 100 * min(share, 1 - share)
    digits = 0 if value >= 1 else min(1 - int(np.floor(np.log10(value))) - 1, 6)
    return f"{100 * share:.{digits}f}%"


def _look(image: Image.Image) -> _Look:
    step = max(1, image.width * image.height // LOOKED_AT)
    rows = np.arange(step // 2, image.height, step) if image.height > step else np.arange(image.height)
    opaque = np.ones((len(rows), image.width), bool)
    transparent = 0.0
    if image.has_transparency_data:
        layers = image if image.mode in ("RGBA", "LA") else image.convert("RGBA")
        transparent = sum(layers.getchannel("A").histogram()[:128]) / (image.width * image.height)
        seen = np.asarray(layers)[rows]
        channels, opaque = seen[..., :-1], seen[..., -1] >= 128
    elif image.mode in ("1", "L") or image.mode.startswith("I"):
        channels = np.asarray(pictures.grayscale(image))[rows][..., None]
    else:
        channels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))[rows]
    planes = [channels[..., index] for index in range(channels.shape[2])]
    top = reduce(np.maximum, planes)
    colored, hues = _colors(channels, top - reduce(np.minimum, planes), top, opaque)
    return _Look(
        colored=colored,
        hues=hues,
        is_gray=_is_gray(top, opaque, max(image.size)),
        transparent=transparent,
        soft=_share((top >= 2 * DARK) & (top < LIGHT - DARK), opaque),
    )


def _colors(channels: np.ndarray, spread: np.ndarray, top: np.ndarray, opaque: np.ndarray) -> tuple[float, bool]:
    """The share of colored pixels, and whether they and the lit ones are of more than one hue."""
    is_colored = (spread > COLORED_LEVELS) & opaque
    if not is_colored.any():
        return 0.0, False
    lit = channels[opaque & (top > 64)].astype(np.float32)
    directions = lit / lit.max(axis=1, keepdims=True)
    off = np.abs(directions - np.median(directions, axis=0)).max(axis=1)
    return _share(is_colored, opaque), bool((off > 0.25).mean() > 0.02)


def _is_gray(values: np.ndarray, opaque: np.ndarray, longer_side: int) -> bool:
    """Whether values spread over the grays and have shapes in them, as a photograph's.

    Args:
        values: Rows of a picture, evenly spread.
        opaque: Where they count.
        longer_side: Of the picture, in pixels.
    """
    seen = values[opaque]
    if not seen.size:
        return False
    histogram = np.bincount(seen, minlength=256) / seen.size
    darkest, lightest = (int(np.searchsorted(histogram.cumsum(), share)) for share in (OUTER_PERCENT / 100, 1 - OUTER_PERCENT / 100))
    ends = histogram[:DARK].sum() + histogram[LIGHT:].sum()
    flat = np.convolve(histogram[DARK:LIGHT], np.ones(FLAT_LEVELS), "valid").max()
    if ends + flat >= FLAT_SHARE or max(ends, _outer_share(histogram, darkest, lightest)) >= BLACK_AND_WHITE_SHARE:
        return False
    scale = min(1.0, COARSE_PIXELS / longer_side)
    height = min(len(values), max(1, round(values.shape[0] * scale)))
    size = (max(1, round(values.shape[1] * scale)), height)
    cv2 = opencv()
    coarse = cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    whole = cv2.resize(opaque.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.999
    is_middle = ((coarse >= DARK) & (coarse < LIGHT) & whole)[:, 1:-1] & whole[:, 2:] & whole[:, :-2]
    return _share(np.abs(coarse[:, 2:] - 2 * coarse[:, 1:-1] + coarse[:, :-2]) > BENT_LEVELS, is_middle) > BENT_SHARE


def _outer_share(histogram: np.ndarray, darkest: int, lightest: int) -> float:
    """The share of what would be black and white, were the darkest and the lightest stretched to them."""
    if lightest - darkest < NARROWEST_LEVELS:
        return 0.0
    margin = DARK * (lightest - darkest) / 255
    levels = np.arange(256)
    return float(histogram[(levels < darkest + margin) | (levels > lightest - margin)].sum())


def _share(wanted: np.ndarray, among: np.ndarray) -> float:
    count = int(np.count_nonzero(among))
    return float(np.count_nonzero(wanted & among)) / count if count else 0.0
