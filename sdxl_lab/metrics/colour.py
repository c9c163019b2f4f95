"""Whether the mask shows the color that was asked for: a plain rule over hues, without any model."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image

from sdxl_lab.images.masks import opencv
from sdxl_lab.metrics import pixels
from sdxl_lab.metrics._metric import Expected, Metric
from sdxl_lab.spec.generated import Generated

_HUES_DEG = {"red": 0, "orange": 31, "yellow": 52, "green": 129, "cyan": 183, "blue": 226, "purple": 272, "pink": 326}
_SPELLINGS = {"grey": "gray", "violet": "purple", "turquoise": "cyan"}

COLOURS = (*_HUES_DEG, "white", "gray", "black", "brown")
"""The words that the rule knows; "grey" is gray, "violet" purple and "turquoise" cyan."""

_STANDS_OUT = 10.0
"""Distance in CIELAB from the surroundings at which a pixel belongs to something else."""
_LEAST_SHARE = 0.05
_RING_PX = (3, 10)
_COMMON_SHARE = 0.005
_SIDE_PX = 128
"""The part of the picture around the mask is brought below twice this size first: a color needs no details."""


def shows_colour(image: Image.Image, mask_image: Image.Image, colour: str) -> float | None:
    """Say whether what was painted in the mask has the color that was asked for; 1 is better.

    The surroundings are the pixels 4 to 10 away from the mask (of a picture scaled down so that the mask spans at most 256), beyond a
    feathered strip; their colors are those that at least 1 in 200 of them have. A pixel in the mask stands out if it is 10 or more from
    all of these in CIELAB. The half of them that stands out most, which leaves out shadows and soft rims, is named by its median color;
    see `name_colour`. If fewer than 1 in 20 pixels stand out, nothing was painted that can be told from its surroundings: the answer is
    no, unless they have the asked color themselves, as snow has white; then there is none. A picture without surroundings is named as a
    whole.

    Args:
        image: The picture, of size (W, H), any mode.
        mask_image: White where something of that color was asked for, of size (W, H), any mode.
        colour: A word of `COLOURS`, in any case.

    Returns:
        1.0 or 0.0. None if the word is none of these, the mask has no white pixel, or the painted cannot be told from surroundings of the
        asked color.

    Raises:
        MetricError: The two differ in size.

    Source:
        The lab's own; its thresholds were chosen so that it names what is drawn into the built-in world's pictures.
    """
    pixels.require_one_size(image=image, mask_image=mask_image)
    word = _SPELLINGS.get(colour.strip().lower(), colour.strip().lower())
    white = pixels.inside(mask_image)
    if word not in COLOURS or not white.any():
        return None
    levels, white = _near(pixels.rgb(image), white)
    stands_out = _foreground(levels, white)
    if stands_out is not None:
        return float(name_colour(np.median(stands_out, axis=0)) == word)
    return None if name_colour(np.median(levels[white], axis=0)) == word else 0.0


def painted_colour(image: Image.Image, mask_image: Image.Image) -> np.ndarray | None:
    """Find the color of what was painted in the mask: the one that `shows_colour` names.

    Args:
        image: The picture, of size (W, H), any mode.
        mask_image: White where it was painted, of size (W, H), any mode.

    Returns:
        Red, green and blue, 0 to 255, of shape (3,); None where nothing stands out from the mask's surroundings.

    Raises:
        MetricError: The two differ in size.
    """
    pixels.require_one_size(image=image, mask_image=mask_image)
    white = pixels.inside(mask_image)
    stands_out = _foreground(*_near(pixels.rgb(image), white)) if white.any() else None
    return None if stands_out is None else np.median(stands_out, axis=0)


def name_colour(rgb: Sequence[float] | np.ndarray) -> str:
    """Name a color by its hue, saturation and value.

    Args:
        rgb: Red, green and blue, 0 to 255.

    Returns:
        "black" below a value of 0.2; of saturation below 0.25 "white" above a value of 0.6, else "gray"; "brown" for a hue of 8° to 48°
        below a value of 0.7; else the nearest hue's name. A word of `COLOURS`.
    """
    hue, saturation, value = colorsys.rgb_to_hsv(*(float(level) / 255 for level in rgb))
    degrees = 360 * hue
    if value < 0.2:
        return "black"
    if saturation < 0.25:
        return "white" if value > 0.6 else "gray"
    if 8 <= degrees <= 48 and value < 0.7:
        return "brown"
    return min(_HUES_DEG, key=lambda name: abs((degrees - _HUES_DEG[name] + 180) % 360 - 180))


def _near(levels: np.ndarray, white: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of the picture around the mask, scaled down."""
    spans = [np.flatnonzero(white.any(axis=axis)) for axis in (1, 0)]
    factor = max(1, max(int(span[-1] - span[0]) for span in spans) // _SIDE_PX)
    margin = (_RING_PX[1] + 1) * factor
    part = tuple(slice(max(int(span[0]) - margin, 0), int(span[-1]) + 1 + margin) for span in spans)
    if factor == 1:
        return levels[part], white[part]
    small = np.asarray(Image.fromarray(levels[part]).reduce(factor))
    covered = np.asarray(Image.fromarray(white[part].astype(np.uint8) * 255).reduce(factor))
    return small, covered >= max(1, min(128, int(covered.max())))


def _foreground(levels: np.ndarray, white: np.ndarray) -> np.ndarray | None:
    """The pixels in the mask that stand out most from its surroundings, of shape (N, 3); None if too few do."""
    from skimage.color import rgb2lab

    near, far = (opencv().dilate(white.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0 for reach in _RING_PX)
    ring = far & ~near
    if not ring.any():
        return levels[white]
    # Surroundings hold thousands of pixels and few colors: those of a grid of 4 units are near enough.
    cells, counts = np.unique(np.rint(rgb2lab(levels[ring]) / 4), axis=0, return_counts=True)
    palette = 4 * cells[counts >= _COMMON_SHARE * counts.sum()].astype(np.float32)
    lab = rgb2lab(levels[white]).astype(np.float32)
    distance = np.full(len(lab), np.inf, np.float32)
    for color in palette:
        distance = np.minimum(distance, ((lab - color) ** 2).sum(axis=1))
    stands_out = distance >= _STANDS_OUT**2
    if stands_out.mean() < _LEAST_SHARE:
        return None
    return levels[white][stands_out & (distance >= np.median(distance[stands_out]))]


def _as_asked(made: Generated, expected: Expected) -> float | None:
    word = expected.get("colour")
    # The color is the object's: outpainting keeps it and paints what is around it into the mask.
    if made.edit.task != "inpaint" or not isinstance(word, str) or made.mask_image is None:
        return None
    return shows_colour(made.image, made.mask_image, word)


METRICS = (
    Metric(
        name="colour_as_asked",
        of=_as_asked,
        sentence="Whether the mask shows the color that was asked for: 1 if so, else 0.",
        better="higher",
        telling=4,
    ),
)
