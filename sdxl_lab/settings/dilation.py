"""How far a mask is grown where nobody says: in proportion to the picture, as far as the lab's own study found it to help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sdxl_lab.settings.hyperparams import merge

Auto = Literal["auto"]
AUTO: Auto = "auto"

REACH: Mapping[str | None, float] = {None: 1 / 16, "background": 1 / 128, "canvas": 0}
"""By the mode of outpainting, None for inpainting: growth on each side, as a share of the picture's shorter side. README, "What each setting does":
less leaves the old outline, more shows no gain. A canvas overlaps the picture by a setting of its own."""


def kernel_size(mode: str | None, size: tuple[int, int]) -> int:
    """The side of the kernel that `auto` stands for.

    Args:
        mode: `background` or `canvas` for outpainting, None for inpainting.
        size: (width, height) of the picture in pixels.

    Returns:
        Odd, in pixels of the picture: 129 for inpainting 1024x1024 and 17 for its background.
    """
    return 2 * round(min(size) * REACH[mode]) + 1


def with_kernel(values: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Write the kernel into an edit's settings that leave it to the picture's size.

    Args:
        values: Nested, as `EditSettings` takes them, but that `mask.kernel_size` may be `auto`.
        size: (width, height) of the picture in pixels.

    Returns:
        A copy with nothing left to choose.
    """
    if values.get("mask", {}).get("kernel_size") != AUTO:
        return dict(values)
    return merge(values, {"mask": {"kernel_size": kernel_size(values.get("mode"), size)}})
