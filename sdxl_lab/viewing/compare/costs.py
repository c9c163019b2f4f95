"""The numbers of pictures: what was measured of them, what they cost by their settings, and what was spent, which depends on what came before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sdxl_lab import metrics
from sdxl_lab.metrics import METRICS, Words
from sdxl_lab.metrics.asked import ASKED, VOTED, columns_named, stem_of
from sdxl_lab.records.picture import Picture
from sdxl_lab.viewing.compare.rows import MOST_NAMES, Row
from sdxl_lab.wording import few

STEPS = "steps"
"""The cost: evaluations of a UNet, by the base and by the refiner, that a picture is made of.

Each counts as if the picture were made alone, also where another picture's were built upon, so it follows from the settings: it is counted, not
estimated, and has no interval. What it leaves out: the text encoders and the autoencoder, which are the same for all; that an evaluation
without guidance (`guidance_scale` of 1 or less) computes one picture instead of two, and more on a larger one; and that base and refiner
are not of one size. Where runs differ in guidance or size, `unlike_steps` says so.
"""

SPENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "seconds_spent": "less what earlier pictures left to build on",
        "peak_memory_bytes": "of the process, earlier pictures included",
        "gpu_peak_memory_bytes": "with what earlier pictures left in memory",
    }
)
"""What was really spent, and why that says nothing of the settings: the same run, made after another or alone, has other numbers. Never judged."""

COSTS: Final[Mapping[str, Words]] = MappingProxyType(
    {
        STEPS: Words(sentence="Evaluations of the UNets that the picture is made of: what it costs.", better="lower"),
        "base_steps": Words(sentence="Evaluations of the base's UNet."),
        "refiner_steps": Words(sentence="Evaluations of the refiner's UNet."),
        "seconds_spent": Words(sentence=f"The time that was spent, {SPENT['seconds_spent']}.", unit="s"),
        "peak_memory_bytes": Words(sentence=f"The most memory that was held, {SPENT['peak_memory_bytes']}.", unit="bytes"),
        "gpu_peak_memory_bytes": Words(sentence=f"The most of the GPU's memory that was held, {SPENT['gpu_peak_memory_bytes']}.", unit="bytes"),
    }
)
"""What is said of what a picture costs, and of what was spent."""

MOST_ALIKE = 2
"""How many rows are named that have pictures of one size."""

RENAMED: Final[Mapping[str, str]] = MappingProxyType({"seconds": "seconds_spent"})
"""Names by which metrics are asked for too, such as the one that records have."""


def words_of(metric: str) -> Words:
    """What is said of a metric or a cost; of one that was recorded where others were registered, nothing."""
    stem = stem_of(metric) or ""
    return METRICS.get(metric) or COSTS.get(metric) or ASKED.get(stem) or VOTED.get(stem) or Words(sentence="")


def telling_names(recorded: Iterable[str] = ()) -> tuple[str, ...]:
    """The metrics that are shown unless others are asked for: a telling one of each kind, what somebody measured afterwards, and the steps.

    Args:
        recorded: The metrics that there are.
    """
    return *metrics.telling(), *(name for name in recorded if stem_of(name)), STEPS


def named(asked: Iterable[str], recorded: Sequence[str]) -> list[str]:
    """The metrics that are meant: by `RENAMED`, and of one that several networks computed the columns of each.

    Args:
        asked: As somebody asks for them.
        recorded: The metrics that there are.
    """
    return [column for metric in asked for column in columns_named(RENAMED.get(metric, metric), recorded)]


def names_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """Every metric of some rows: those recorded, in their order, then the steps and the seconds that every picture has."""
    return *dict.fromkeys(name for row in rows for picture in row.pictures for name in picture.metrics), STEPS, "seconds_spent"


def number_of(picture: Picture, metric: str) -> float | None:
    """A picture's metric; None if it was recorded without."""
    if metric == STEPS:
        return picture.base_steps + picture.refiner_steps
    return picture.seconds if metric == "seconds_spent" else picture.metrics.get(metric)


def unlike_steps(rows: Sequence[Row]) -> list[str]:
    """Say where a step is not the same work in all rows: one line for guidance, one for sizes."""
    lines = []
    begun = [row for row in rows if row.pictures]
    unguided = [row.name for row in begun if not all(_is_guided(row))]
    if 0 < len(unguided) < len(begun):
        lines.append(f"a step without guidance (guidance_scale of 1 or less) is about half the work of one with it: {few(unguided, MOST_NAMES)}")
    pixels: dict[str, list[str]] = {}
    for row in begun:
        area = sum(picture.working_width * picture.working_height for picture in row.pictures) / len(row.pictures)
        pixels.setdefault(f"{area:.0f}", []).append(row.name)
    if len(pixels) > 1:
        alike = [f"{area} in {few(names, MOST_ALIKE)}" for area, names in pixels.items()]
        lines.append(f"a step is more work on a larger picture; pixels, mean: {'; '.join(alike[:MOST_NAMES])}")
    return lines


def _is_guided(row: Row) -> Iterable[bool]:
    keys = {picture.key for picture in row.pictures}
    return (edit.settings.denoising.guidance_scale > 1 for run in row.runs for edit in run.resolved.edits if edit.key in keys)
