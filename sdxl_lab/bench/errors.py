"""What a bench cannot do."""

from __future__ import annotations

from sdxl_lab.errors import LabError


class BenchError(LabError):
    """Something that a bench cannot do as asked."""
