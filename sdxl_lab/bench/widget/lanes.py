"""A thread that does what a page asks for, one thing after the other, so that no message waits for another's work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from threading import Condition, Thread

IDLE_S = 2.0
"""A lane without work ends its thread; the next piece starts another."""


class Lane:
    """Does pieces of work in the order in which they came, in one thread of its own.

    Args:
        name: Of the thread.
        failed: Called with what a piece of work raises; the others go on.
    """

    def __init__(self, name: str, failed: Callable[[BaseException], object]) -> None:
        self._name, self._failed = name, failed
        self._waiting: dict[object, tuple[float, Callable[[], object]]] = {}
        self._changed = Condition()
        self._thread: Thread | None = None

    def put(self, work: Callable[[], object], *, instead: str | None = None, after_s: float = 0.0) -> None:
        """Have something done.

        Args:
            work: What is called.
            instead: The kind of work of which only the latest counts: what waits of that kind is left undone.
            after_s: How long it waits at least, and lets pass what comes later.
        """
        with self._changed:
            key = object() if instead is None else instead
            self._waiting.pop(key, None)
            self._waiting[key] = time.monotonic() + after_s, work
            if self._thread is None:
                self._thread = Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    @property
    def is_free(self) -> bool:
        """Whether nothing waits, whatever is being done."""
        with self._changed:
            return not self._waiting

    def _run(self) -> None:
        while work := self._next():
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - an error in this thread would be seen by nobody
                self._say(error)

    def _say(self, error: BaseException) -> None:
        try:
            self._failed(error)
        except BaseException as fault:  # noqa: BLE001 - what comes next is done all the same
            sys.excepthook(type(fault), fault, fault.__traceback__)

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            if not self._waiting:
                self._changed.wait(IDLE_S)
            while self._waiting:
                now = time.monotonic()
                if due := next((key for key, (at, _) in self._waiting.items() if at <= now), None):
                    return self._waiting.pop(due)[1]
                self._changed.wait(min(at for at, _ in self._waiting.values()) - now)
            self._thread = None
            return None
