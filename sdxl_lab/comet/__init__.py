"""A run in Comet: a projection of its record, built by the SDK in processes of its own, so that nothing of it can reach or stop a run."""

from sdxl_lab.comet.account import check as check
from sdxl_lab.comet.account import require_key as require_key
from sdxl_lab.comet.account import way as way
from sdxl_lab.comet.archive import archive as archive
from sdxl_lab.comet.archive import is_archived as is_archived
from sdxl_lab.comet.archive import prepare as prepare
from sdxl_lab.comet.artifact import download as download
from sdxl_lab.comet.artifact import publish as publish
from sdxl_lab.comet.artifact import published_digest as published_digest
from sdxl_lab.comet.confirmed import Standing as Standing
from sdxl_lab.comet.confirmed import standing as standing
from sdxl_lab.comet.errors import CometError as CometError
from sdxl_lab.comet.errors import OutOfReachError as OutOfReachError
from sdxl_lab.comet.live import add_notebook as add_notebook
from sdxl_lab.comet.live import finish as finish
from sdxl_lab.comet.live import follow as follow
from sdxl_lab.comet.reference import Reference as Reference
from sdxl_lab.comet.sender import push as push

__all__ = [
    "CometError",
    "OutOfReachError",
    "Reference",
    "Standing",
    "add_notebook",
    "archive",
    "check",
    "download",
    "finish",
    "follow",
    "is_archived",
    "prepare",
    "publish",
    "published_digest",
    "push",
    "require_key",
    "standing",
    "way",
]
