"""Whether and how Comet can be used here."""

from __future__ import annotations

from sdxl_lab.comet.errors import CometError


def check(tracking: str) -> None:
    """Refuse a way of tracking that is not there, before a run begins.

    Args:
        tracking: `auto`, `online`, `offline` or `off`.

    Raises:
        CometError: It is `online`.
    """
    if tracking == "online":
        raise CometError(
            "tracking: got online, which this version does not have; allowed are offline, off and auto (offline): "
            "run offline, and send the archive when you like with `comet upload <run>/comet/<key>.zip`"
        )
