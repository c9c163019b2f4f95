"""Pictures to numbers: what changed where nothing was to, whether the seam shows, and what the mask holds.

Each metric is one function with its definition, unit and source; nothing is downloaded. `measure` takes them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from PIL import Image

from sdxl_lab.metrics.colour import COLOURS, name_colour, shows_colour
from sdxl_lab.metrics.inside import change_inside, sharpness_inside
from sdxl_lab.metrics.outside import change_outside, psnr_outside, ssim_outside
from sdxl_lab.metrics.pixels import MetricError
from sdxl_lab.metrics.seam import seam_delta_e, seam_gradient, seam_mismatch
from sdxl_lab.metrics.words import WORDS, Better, Words
from sdxl_lab.spec.generated import Generated

__all__ = [
    "COLOURS",
    "WORDS",
    "Better",
    "MetricError",
    "Words",
    "change_inside",
    "change_outside",
    "measure",
    "name_colour",
    "psnr_outside",
    "seam_delta_e",
    "seam_gradient",
    "seam_mismatch",
    "sharpness_inside",
    "shows_colour",
    "ssim_outside",
]


def measure(made: Generated, *, colour: str | None = None) -> dict[str, float]:
    """Measure a finished picture.

    Args:
        made: The picture with its input, its masks, and what was decoded before compositing.
        colour: The color that was asked for in the mask, if it is known.

    Returns:
        Name to number, each as the function of that name defines it:

        - `change_outside_max`, `_mean`, `_share`; `psnr_outside_db`; `ssim_outside`: the composited picture where the mask is black.
          Without feathering nothing changes there.
        - `raw_change_outside_...`, `raw_psnr_outside_db`, `raw_ssim_outside`: the same of the decoded picture, brought to the input's size
          with Lanczos; what compositing hides, above all the VAE's own loss.
        - `seam_gradient`, `seam_delta_e`: the composited picture at the boundary of what was composited.
        - `raw_seam_delta_e`: `seam_mismatch` there, between the input and the decoded picture.
        - `change_inside_max`, `_mean`, `_share`; `sharpness_inside`: the composited picture where the mask is white.
        - `colour_as_asked`: `shows_colour` for the color asked.

        What is not defined for a picture is left out: no pixel outside, no boundary, no known color; `psnr_outside_db` also where nothing
        changed. All are finite.

    Raises:
        MetricError: Result, input and masks differ in size.
    """
    return dict(_measures(made, colour))


def _measures(made: Generated, colour: str | None) -> Iterator[tuple[str, float]]:
    before, mask = made.input_image, made.mask_image
    raw = made.raw if made.raw.size == before.size else made.raw.resize(before.size, Image.Resampling.LANCZOS)
    for prefix, image in (("", made.image), ("raw_", raw)):
        yield from _named(f"{prefix}change_outside", change_outside(before, image, mask))
        yield from _known(f"{prefix}psnr_outside_db", psnr_outside(before, image, mask))
        yield from _known(f"{prefix}ssim_outside", ssim_outside(before, image, mask))
    yield from _known("seam_gradient", seam_gradient(made.image, made.seam_image))
    yield from _known("seam_delta_e", seam_delta_e(made.image, made.seam_image))
    yield from _known("raw_seam_delta_e", seam_mismatch(before, raw, made.seam_image))
    yield from _named("change_inside", change_inside(before, made.image, mask))
    yield from _known("sharpness_inside", sharpness_inside(made.image, mask))
    if colour is not None:
        yield from _known("colour_as_asked", shows_colour(made.image, mask, colour))


def _named(name: str, numbers: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    yield from ((f"{name}_{part}", number) for part, number in numbers.items())


def _known(name: str, number: float | None) -> Iterator[tuple[str, float]]:
    if number is not None:
        yield name, number
