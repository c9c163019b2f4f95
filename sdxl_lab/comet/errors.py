"""The errors of this package."""

from __future__ import annotations

from sdxl_lab.errors import LabError


class CometError(LabError):
    """Comet cannot be used as asked, or what it holds could not be brought up to the record."""


class OutOfReachError(CometError):
    """Comet does not answer, or does not accept the API key: for this run and for any other."""
