"""A kernel in proportion to the picture, for masks whose dilation is left open: by the share of its side that the task names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sdxl_lab.settings.hyperparams import merge

Auto = Literal["auto"]
AUTO: Auto = "auto"


def kernel_size(reach: float, size: tuple[int, int]) -> int:
    """The side of the kernel that `auto` stands for.

    Args:
        reach: Growth on each side, as a share of the picture's shorter side.
        size: (width, height) of the picture in pixels.

    Returns:
        Odd, in pixels of the picture: 129 for a 16th of 1024x1024.
    """
    return 2 * round(min(size) * reach) + 1


def with_kernel(values: Mapping[str, Any], size: tuple[int, int], *, reach: float) -> dict[str, Any]:
    """Write the kernel into an edit's settings that leave it to the picture's size.

    Args:
        values: Nested, as `EditSettings` takes them, but that `mask.kernel_size` may be `auto`.
        size: (width, height) of the picture in pixels.
        reach: As in `kernel_size`.

    Returns:
        A copy with nothing left to choose.
    """
    if values.get("mask", {}).get("kernel_size") != AUTO:
        return dict(values)
    return merge(values, {"mask": {"kernel_size": kernel_size(reach, size)}})
