"""Faults on demand: which requests go wrong, how, and how often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Drop = Literal["unread", "reading", "unanswered", "death"]


@dataclass(kw_only=True)
class Fault:
    """
    What goes wrong with a request.

    Attributes:
        path_contains: Part of the path and query of the requests meant; empty for all.
        method: GET, POST or PUT, or None for any.
        status: Answer this status and do nothing.
        body: The whole body of that answer; None for a JSON message.
        delay_s: Seconds between reading the request and doing it; infinity hangs until faults are cleared or the server stops.
        drop: Reset the connection: before the body is read, in its middle, once the request is done and only the answer missing, or,
            undone, because the whole server dies of it.
        truncate: The answer breaks off after so many bytes of its body, though it promised all.
        stall: The answer stops after so many bytes of its body, and the connection stays until faults are cleared or the server stops.
        shorten: The answer is only the first so many bytes, and says so.
        corrupt: One byte of the answer is another one.
        times: How many requests it befalls; None for all from then on.
        after: How many matching requests pass before.
    """

    path_contains: str
    method: str | None = None
    status: int | None = None
    body: bytes | None = None
    delay_s: float = 0.0
    drop: Drop | None = None
    truncate: int | None = None
    stall: int | None = None
    shorten: int | None = None
    corrupt: bool = False
    times: int | None = None
    after: int = 0
    seen: int = 0
    hits: int = 0

    def matches(self, method: str, target: str) -> bool:
        """
        Whether this request is meant.
        """
        return self.path_contains in target and self.method in (None, method)

    def is_due(self) -> bool:
        """
        Whether enough requests have passed, and not too many gone wrong.
        """
        return self.seen > self.after and (self.times is None or self.hits < self.times)


class Faults:
    """
    The faults in force, and the requests that they keep waiting.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._over = threading.Event()

    def add(self, fault: Fault) -> None:
        """
        From the next request on.
        """
        with self._lock:
            self._faults.append(fault)

    def pick(self, method: str, target: str) -> Fault | None:
        """
        The oldest fault that is due for this request. A request counts as seen for all that match it.
        """
        with self._lock:
            matching = [fault for fault in self._faults if fault.matches(method, target)]
            for fault in matching:
                fault.seen += 1
            due = next((fault for fault in matching if fault.is_due()), None)
            if due:
                due.hits += 1
        return due

    def wait(self, seconds: float, *, unless: Callable[[], bool]) -> bool:
        """
        Keep a request waiting; False when the faults were cleared meanwhile, or the condition came true.
        """
        over, end = self._over, time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if over.wait(min(left, 0.05)) or unless():
                return False
        return True

    def clear(self) -> None:
        """
        No faults any more; whatever still waits is dropped.
        """
        with self._lock:
            self._faults.clear()
            over, self._over = self._over, threading.Event()
        over.set()
