"""The pictures of one press of Make: how far each of them is, told to the pages that watch."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from sdxl_lab.bench.bench import Bench
from sdxl_lab.bench.widget.knobs import for_page
from sdxl_lab.bench.worker import Making
from sdxl_lab.errors import LabError
from sdxl_lab.images.webp import webp_file
from sdxl_lab.runs.single import Planned

PAUSE_S = 0.05
"""Between two previews of one picture: a browser paints no more of them."""

PREVIEW_QUALITY = 80


class Jobs:
    """What is being made, and what the latest Make made.

    Args:
        bench: That makes it.
        tell: Called with the name of an event, its value and its buffers.
        ended: Called when a picture has ended.
    """

    def __init__(self, bench: Bench, tell: Callable[..., None], ended: Callable[[], None]) -> None:
        self._bench, self._tell, self._ended = bench, tell, ended
        self._makings: list[Making] = []
        self._count, self._previewed = 0, 0.0
        self._telling = Lock()

    def start(self, planned: Sequence[Planned]) -> None:
        """Make pictures, in place of those that are on their way.

        Args:
            planned: Each has only to be made.
        """
        self._makings = []
        self._count += 1
        try:
            for index, ready in enumerate(planned):
                self._makings.append(self._bench.begin(ready, latest=index == 0, on_step=self._stepped, on_end=self._end))
        finally:  # also if one could not be begun
            self.tell()

    @property
    def is_busy(self) -> bool:
        """Whether any is on its way."""
        return any(making.state in ("queued", "making") for making in self._makings)

    def tell(self) -> None:
        """Tell how far each is; what several threads tell comes in the order in which it was so."""
        with self._telling:
            self._tell("jobs", self.as_value())

    def as_value(self) -> list[dict[str, Any]]:
        """Each of them, as plain values."""
        return [{"make": self._count, **_job(index, making)} for index, making in enumerate(list(self._makings))]

    def _stepped(self, making: Making) -> None:
        now, makings = time.monotonic(), self._makings  # another Make may put others there
        if now - self._previewed < PAUSE_S or making not in makings:
            return
        self._previewed = now
        seen = making.preview()
        self._tell("preview", _job(makings.index(making), making), [] if seen is None else [webp_file(seen, method=0, quality=PREVIEW_QUALITY)])

    def _end(self, making: Making) -> None:
        self.tell()
        self._ended()


def _job(index: int, making: Making) -> dict[str, Any]:
    is_over = making.state in ("done", "failed", "cancelled")
    edit, step = making.planned.edit, making.step
    return {
        "job": index,
        "seed": for_page(edit.seed),
        "task": edit.task,
        "state": making.state,
        "done": step.done if step else 0,
        "total": step.total if step else None,
        "left_s": None if is_over else making.left_s,
        "doing": making.doing.what if making.doing and not is_over else "",
        "remembered": making.remembered,
        "all_remembered": making.state == "done" and step is None and not making.is_recalled,
        "made_before": making.is_recalled,
        "number": making.result().number if making.state == "done" else None,
        "error": _error(making),
    }


def _error(making: Making) -> str:
    if making.state != "failed":
        return ""
    try:
        making.result()
    except BaseException as error:  # noqa: BLE001 - whoever looks is told
        return told(error)
    return ""


def told(error: BaseException) -> str:
    """What is said of an error: a fault of the lab's, or of a library's, with its traceback."""
    return str(error) if isinstance(error, LabError) else "".join(traceback.format_exception(error))
