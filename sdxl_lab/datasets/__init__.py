"""Datasets: where they come from, their samples, and what is to be said of them. `SOURCES["scenes"] = Source(...)` adds a source everywhere."""

from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.datasets.sources import SOURCES, Source

__all__ = ["SOURCES", "Dataset", "Source"]
