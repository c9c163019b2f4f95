"""Pictures to numbers: what changed where nothing was to, whether the seam shows, and what the mask holds.

Each file defines its metrics: a function with its definition and source, and what is said of its numbers; nothing is downloaded. `measure` takes
all that are registered: `METRICS["sharpness"] = Metric(name="sharpness", ...)` adds one to records, comparisons, reports and Comet.
"""

from __future__ import annotations

from types import MappingProxyType

from sdxl_lab.metrics import colour, inside, outside, seam
from sdxl_lab.metrics._metric import Better, Expected, Metric, Words
from sdxl_lab.metrics.colour import COLOURS, name_colour, shows_colour
from sdxl_lab.metrics.inside import change_inside, sharpness_inside
from sdxl_lab.metrics.outside import change_outside, nrmse_outside, psnr_outside, ssim_outside
from sdxl_lab.metrics.pixels import MetricError
from sdxl_lab.metrics.seam import seam_delta_e, seam_gradient, seam_mismatch
from sdxl_lab.spec.generated import Generated

__all__ = [
    "COLOURS",
    "METRICS",
    "Better",
    "Expected",
    "Metric",
    "MetricError",
    "Words",
    "change_inside",
    "change_outside",
    "measure",
    "name_colour",
    "nrmse_outside",
    "psnr_outside",
    "seam_delta_e",
    "seam_gradient",
    "seam_mismatch",
    "sharpness_inside",
    "shows_colour",
    "ssim_outside",
    "telling",
]

METRICS: dict[str, Metric] = {metric.name: metric for file in (outside, seam, inside, colour) for metric in file.METRICS}
"""Every metric by its name, in the order in which records have them."""


def measure(made: Generated, *, expected: Expected = MappingProxyType({})) -> dict[str, float]:
    """Measure a finished picture.

    Args:
        made: The picture with its input, its masks, and what was decoded before compositing.
        expected: What the dataset says that it should show.

    Returns:
        Name to number, of each of `METRICS` that is defined for the picture: there may be no pixel outside, no boundary, no known color.
        Those named `raw_...` are of the picture as decoded, brought to the result's size with Lanczos: what compositing hides, above all the
        VAE's own loss.

    Raises:
        MetricError: Result, input and masks differ in size.
    """
    return {name: number for name, metric in METRICS.items() if (number := metric.of(made, expected)) is not None}


def telling() -> tuple[str, ...]:
    """Name one metric of each kind: those that are shown unless others are asked for."""
    places = {name: metric.telling for name, metric in METRICS.items() if metric.telling is not None}
    return tuple(sorted(places, key=places.__getitem__))
