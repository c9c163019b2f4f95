"""Numbers of pictures that are recorded already: the metrics of every record, and those for which a network looks at pictures and words.

Records never change: what is measured is written beside them, and whoever reads a record has it.
"""

from __future__ import annotations

from sdxl_lab.measures import by_clip, by_dino, by_pixels, lpips
from sdxl_lab.measures._measure import MODELS, Measure, MeasureError, Models, Opened, Told

__all__ = ["MEASURES", "MODELS", "Measure", "MeasureError", "Models", "Opened", "Told"]

MEASURES: dict[str, Measure] = {row.name: row for file in (by_pixels, by_clip, lpips, by_dino) for row in file.MEASURES}
"""Every metric that records have not by themselves; what is said of their numbers stands in `metrics.asked`."""
