"""Comet: whose account, worker processes in which the SDK works so that nothing of it can reach or stop a run, and artifacts. Knows no run."""

from sdxl_lab.comet.account import check as check
from sdxl_lab.comet.account import has_key as has_key
from sdxl_lab.comet.account import require_key as require_key
from sdxl_lab.comet.account import way as way
from sdxl_lab.comet.artifact import download as download
from sdxl_lab.comet.artifact import publish as publish
from sdxl_lab.comet.artifact import published_digest as published_digest
from sdxl_lab.comet.errors import CometError as CometError
from sdxl_lab.comet.errors import OutOfReachError as OutOfReachError
from sdxl_lab.comet.reference import Reference as Reference

__all__ = [
    "CometError",
    "OutOfReachError",
    "Reference",
    "check",
    "download",
    "has_key",
    "publish",
    "published_digest",
    "require_key",
    "way",
]
