"""What needs no network: pixels against pixels."""

from __future__ import annotations

from sdxl_lab.measures._measure import Measure, Models, Opened, Told
from sdxl_lab.metrics import nrmse_outside, pixels
from sdxl_lab.spec.generated import Generated


def _nrmse(made: Generated, _: Told) -> float | None:
    return pixels.if_there(nrmse_outside, made.input_image, made.image, made.mask_image)


def _open(_: Models) -> Opened:
    return Opened(name="nrmse_outside", of=_nrmse)


MEASURES = (Measure(name="nrmse_outside", open=_open),)
