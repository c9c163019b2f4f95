"""What each metric is, in words: its unit, which way is better, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Better = Literal["lower", "higher"]


@dataclass(frozen=True, kw_only=True)
class Words:
    """What is said of a metric.

    Attributes:
        sentence: What it measures.
        unit: Of its numbers; "" where they have none.
        better: Which way is better; None where neither is.
    """

    sentence: str
    unit: str = ""
    better: Better | None = None


def _outside(prefix: str, which: str) -> dict[str, Words]:
    return {
        f"{prefix}change_outside_max": Words(
            sentence=f"The largest change of a color outside the mask, {which}, of 255.", unit="levels", better="lower"
        ),
        f"{prefix}change_outside_mean": Words(
            sentence=f"The mean change of a pixel's color outside the mask, {which}, of 255.", unit="levels", better="lower"
        ),
        f"{prefix}change_outside_share": Words(sentence=f"The share of the pixels outside the mask that changed, {which}, 0 to 1.", better="lower"),
        f"{prefix}psnr_outside_db": Words(sentence=f"Peak signal-to-noise ratio to the input outside the mask, {which}.", unit="dB", better="higher"),
        f"{prefix}ssim_outside": Words(
            sentence=f"Structural similarity to the input outside the mask, {which}; 1 where nothing changed.", better="higher"
        ),
    }


WORDS: Final[Mapping[str, Words]] = MappingProxyType(
    {
        **_outside("", "in the finished picture"),
        **_outside("raw_", "before compositing put the input back"),
        "seam_gradient": Words(
            sentence="How much steeper the picture is across the mask's boundary than beside it; about 0 without a seam.",
            unit="levels",
            better="lower",
        ),
        "seam_delta_e": Words(
            sentence="How differently the picture is colored just inside and just outside the mask's boundary; about 1 is just noticeable.",
            unit="ΔE",
            better="lower",
        ),
        "raw_seam_delta_e": Words(
            sentence="How far what was painted just outside the mask is from what compositing puts back there; about 1 is just noticeable.",
            unit="ΔE",
            better="lower",
        ),
        "change_inside_max": Words(sentence="The largest change of a color inside the mask, of 255.", unit="levels"),
        "change_inside_mean": Words(sentence="The mean change of a pixel's color inside the mask, of 255.", unit="levels"),
        "change_inside_share": Words(sentence="The share of the pixels inside the mask that changed, 0 to 1."),
        "sharpness_inside": Words(
            sentence="The variance of the Laplacian inside the mask: more where it is sharp, and where it is noisy.", unit="levels²"
        ),
        "colour_as_asked": Words(sentence="Whether the mask shows the color that was asked for: 1 if so, else 0.", better="higher"),
    }
)
"""Of every metric that `measure` gives, by name."""
