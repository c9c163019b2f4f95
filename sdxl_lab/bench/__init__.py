"""Exploring by hand: pictures made one by one, each of them a record of a session."""

from sdxl_lab.bench.bench import Bench

__all__ = ["Bench"]
