"""A run or a session that is seen in Comet while it is made: a worker follows its folder, and nobody waits for it but a little at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread

from sdxl_lab.comet.account import account
from sdxl_lab.comet.errors import CometError
from sdxl_lab.comet.process import WorkerProcess
from sdxl_lab.records.finding import Recorded
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.tracking import confirmed
from sdxl_lab.tracking.sender import sender

START_S = 14.0
"""When nothing has arrived by then, one line says so."""
ENDING_S = 15.0
"""How long it is waited at the end for what is on the way."""
PAUSES_S = (2.0, 5.0, 10.0, 20.0, 40.0)
"""Between workers when Comet does not answer; the last pause repeats."""

Notice = Callable[[str], None]


class Live:
    """A run or a session being followed. Made by `follow`.

    Args:
        record: It, with something recorded.
        notice: Shows one line, if it cannot be followed.
    """

    def __init__(self, record: Recorded, notice: Notice) -> None:
        self._record, self._notice = record, notice
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
        return confirmed.standing(self._record).is_whole

    def _keep(self) -> None:
        pauses = iter(PAUSES_S)
        pause_s = 0.0
        while True:
            with suppress(CometError):  # no memory for a process now; perhaps later
                self._follow()
            if self._closing.wait(pause_s := next(pauses, pause_s)):
                return

    def _follow(self) -> None:
        with sender(self._record, "follow", self._variables) as self._process:
            if self._closing.is_set():
                self._process.close()
            while True:
                try:
                    news = self._process.hear(self._deadline - time.monotonic() if not self._told.is_set() else 3600.0)
                except TimeoutError:
                    if not self._record.is_begun:  # nothing can have reached Comet: its kernel is still starting
                        self._deadline = time.monotonic() + START_S
                        continue
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
            self._notice(f"{reason}: the {self._record.kind} goes on, and {later(self._record)}")

    def is_of(self, record: Recorded) -> bool:
        """Whether it is this one that is followed."""
        return self._record.path.resolve() == record.path.resolve()


def later(record: Recorded) -> str:
    """Say how a run or a session gets to Comet afterwards."""
    return f"`sdxl-lab push {record.path}` sends what is missing"


def on_stderr(line: str) -> None:
    """Show a line."""
    print(f"sdxl-lab: {line}", file=sys.stderr, flush=True)


_following: dict[str, Live] = {}
"""By kind: one run and one session at a time."""
_changing = Lock()
"""A session's pictures are made in a thread of their own, perhaps while a run is made."""


def follow(record: Recorded, notice: Notice = on_stderr) -> None:
    """Begin to send a run or a session while it is made, unless all of it is there. Of each kind one is followed; the one before is let go.

    Args:
        record: It, with something recorded.
        notice: Shows one line, from another thread, if Comet does not answer.

    Raises:
        CometError: There is no API key.
    """
    with _changing:
        before = _following.get(record.kind)
        if _is_followed(record) or (not record.is_unfinished and confirmed.standing(record).is_whole):
            return
        if before:
            del _following[record.kind]
            before.close()
        _following[record.kind] = Live(record, notice)


def finish(record: Recorded, notice: Notice = on_stderr) -> bool:
    """Send what is left of a run or a session, whether it was followed or not, and wait for it a little.

    Args:
        record: It.
        notice: Shows one line if something is left.

    Returns:
        Whether Comet was seen to hold all of it.

    Raises:
        CometError: There is no API key.
    """
    follow(record, notice)
    live = _taken(record)
    arrived = live is None or live.finish()
    if not arrived:
        notice(f"Comet does not hold all of {record.path.name} yet: {later(record)}")
    return arrived


def let_go(record: Recorded) -> None:
    """Follow a run or a session no longer. What is on the way may arrive, and nobody waits for it.

    Args:
        record: It.
    """
    if live := _taken(record):
        live.close()


def add_notebook(run: RunFolder, notice: Notice = on_stderr) -> bool:
    """Send what was written after the end of a run, the executed notebook; if it is not followed and Comet was not reached then, do not try again.

    Args:
        run: The run, done.
        notice: Shows one line if something is left.

    Returns:
        Whether Comet was seen to hold all of it.

    Raises:
        CometError: There is no API key.
    """
    if _is_followed(run) or confirmed.is_from_after(run, run.record_file):
        return finish(run, notice)
    if confirmed.standing(run).is_whole:
        return True
    notice(f"Comet does not hold all of {run.path.name} yet: {later(run)}")
    return False


def _is_followed(record: Recorded) -> bool:
    live = _following.get(record.kind)
    return live is not None and live.is_of(record)


def _taken(record: Recorded) -> Live | None:
    """The one that follows a record, which is then nobody's."""
    with _changing:
        return _following.pop(record.kind) if _is_followed(record) else None
