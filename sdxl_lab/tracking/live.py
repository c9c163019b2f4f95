"""A run that is seen in Comet while it is made: a worker follows its folder, and the run never waits for it but a little at its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

from sdxl_lab.comet.account import account
from sdxl_lab.comet.errors import CometError
from sdxl_lab.comet.process import WorkerProcess
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.tracking import confirmed
from sdxl_lab.tracking.sender import sender

START_S = 14.0
"""When nothing has arrived by then, the run says so."""
ENDING_S = 15.0
"""How long a run waits at its end for what is on the way."""
PAUSES_S = (2.0, 5.0, 10.0, 20.0, 40.0)
"""Between workers when Comet does not answer; the last pause repeats."""

Notice = Callable[[str], None]


class Live:
    """A run being followed. Made by `follow`.

    Args:
        run: The run; its spec is written.
        notice: Shows one line, if the run cannot be followed.
    """

    def __init__(self, run: RunFolder, notice: Notice) -> None:
        self._run, self._notice = run, notice
        self._variables = account()
        self._closing, self._told = Event(), Event()
        self._process: WorkerProcess | None = None
        self._deadline = time.monotonic() + START_S
        self._thread = Thread(target=self._keep, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go: what is on the way may arrive, and nobody waits for it."""
        self._closing.set()
        if self._process:
            self._process.close()

    def finish(self) -> bool:
        """Wait, `ENDING_S` at most, for all that is recorded to be seen in Comet.

        Returns:
            Whether it was. Otherwise the worker is gone, and `push` sends the rest.
        """
        self._told.set()
        until = time.monotonic() + ENDING_S
        self.close()
        self._thread.join(until - time.monotonic())
        if self._thread.is_alive() and self._process:
            self._process.end()
        return confirmed.standing(self._run).is_whole

    def _keep(self) -> None:
        pauses = iter(PAUSES_S)
        pause_s = 0.0
        while True:
            with suppress(CometError):  # no memory for a process now; perhaps later
                self._follow()
            if self._closing.wait(pause_s := next(pauses, pause_s)):
                return

    def _follow(self) -> None:
        with sender(self._run, "follow", self._variables) as self._process:
            if self._closing.is_set():
                self._process.close()
            while True:
                try:
                    news = self._process.hear(self._deadline - time.monotonic() if not self._told.is_set() else 3600.0)
                except TimeoutError:
                    self._tell(f"nothing has reached Comet within {START_S:.0f} s")
                    continue
                if news is None:
                    return
                if news["state"] == "trouble":
                    self._tell(news["reason"])
                else:
                    self._told.set()

    def _tell(self, reason: str) -> None:
        if not self._told.is_set():
            self._told.set()
            self._notice(f"{reason}: the run goes on, and {later(self._run)}")


def later(run: RunFolder) -> str:
    """Say how a run gets to Comet afterwards."""
    return f"`sdxl-lab push {run.path}` sends what is missing"


def on_stderr(line: str) -> None:
    """Show a line."""
    print(f"sdxl-lab: {line}", file=sys.stderr, flush=True)


_following: dict[str, Live] = {}


def follow(run: RunFolder, notice: Notice = on_stderr) -> None:
    """Begin to send a run while it is made, unless all of it is there. One run is followed at a time; the one before is let go.

    Args:
        run: The run; its spec is written.
        notice: Shows one line, from another thread, if Comet does not answer.

    Raises:
        CometError: There is no API key.
    """
    here = str(run.path.resolve())
    if here in _following or (run.is_done and confirmed.standing(run).is_whole):
        return
    while _following:
        _following.popitem()[1].close()
    _following[here] = Live(run, notice)


def finish(run: RunFolder, notice: Notice = on_stderr) -> bool:
    """Send what is left of a run, whether it was followed or not, and wait for it a little.

    Args:
        run: The run.
        notice: Shows one line if something is left.

    Returns:
        Whether Comet was seen to hold all of it.

    Raises:
        CometError: There is no API key.
    """
    follow(run, notice)
    live = _following.pop(str(run.path.resolve()), None)
    arrived = live is None or live.finish()
    if not arrived:
        notice(f"Comet does not hold all of {run.path.name} yet: {later(run)}")
    return arrived


def add_notebook(run: RunFolder, notice: Notice = on_stderr) -> bool:
    """Send what was written after the end of a run, the executed notebook; if Comet was not reached at the end, do not try again.

    Args:
        run: The run, done.
        notice: Shows one line if something is left.

    Returns:
        Whether Comet was seen to hold all of it.

    Raises:
        CometError: There is no API key.
    """
    if confirmed.standing(run).is_whole:
        return True
    if confirmed.is_from_after(run, run.record_file):
        return finish(run, notice)
    notice(f"Comet does not hold all of {run.path.name} yet: {later(run)}")
    return False
