"""A run in Comet: a projection of its record, built by the SDK in processes of its own, so that nothing of it can reach or stop a run."""

from sdxl_lab.comet.account import check as check
from sdxl_lab.comet.archive import archive as archive
from sdxl_lab.comet.errors import CometError as CometError

__all__ = ["CometError", "archive", "check"]
