"""Remote procedure calls to a worker, over its pipes: one JSON object a line, a request down, replies up, until its last one."""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import Queue
from threading import Lock, Thread
from typing import Any

from sdxl_lab.comet import worker
from sdxl_lab.comet.errors import CometError
from sdxl_lab.comet.process import WorkerProcess

FAREWELL_S = 5.0
"""How long a worker has to end by itself once nobody talks to it any more."""

Serve = Callable[..., Iterator[Mapping[str, Any]]]
"""What answers one kind of request inside a worker: takes the request's fields, gives replies, the last one last."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """What a worker could not do, in words for people and a kind for code."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Dialogue:
    """The parent's side of a conversation. Made by `talking`."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process

    def ask(self, what: str, *, silence_s: float, **fields: Any) -> Iterator[dict[str, Any]]:
        """Send a request and give the replies as they come.

        Args:
            what: The kind of request.
            silence_s: Seconds without a reply after which the worker is given up and killed.
            **fields: Of the request; JSON values.

        Yields:
            Each reply, without the mark of the last one.

        Raises:
            Refusal: The worker says why it cannot; `kind` is "silent" or "gone" where it says nothing more.
        """
        self._process.tell({"what": what, **fields})
        last = False
        while not last:
            try:
                reply = self._process.hear(silence_s)
            except TimeoutError:
                self._process.end()
                raise Refusal("silent", f"nothing came for {silence_s:.0f} s") from None
            if reply is None:
                raise Refusal("gone", f"the process that talks to Comet ended with {self._process.end()}")
            if "refused" in reply:
                raise Refusal(reply["refused"], reply["said"])
            last = reply.pop("last", False)
            yield reply

    def answer(self, what: str, *, silence_s: float, **fields: Any) -> dict[str, Any]:
        """Send a request that has one reply, as `ask` does, and return it."""
        *_, reply = self.ask(what, silence_s=silence_s, **fields)
        return reply


@contextmanager
def talking(module: str, account: Mapping[str, str]) -> Iterator[Dialogue]:
    """Start a worker that runs the `main` of one of this package's modules, and end it with the block.

    Args:
        module: Its `main` calls `serve`.
        account: As in `worker.environment`.

    Yields:
        The conversation.

    Raises:
        CometError: The process cannot be started.
    """
    with WorkerProcess(module, account=account) as process:
        yield Dialogue(process)
        process.end(FAREWELL_S)


class KeptWorker:
    """A worker that stays for the next request, and ends with this process: importing the SDK takes longer than most of what is asked of it.

    It is replaced when it has died, when something has changed of what it should know, and after a request that it could not do.

    Args:
        module: As in `talking`.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = Lock()
        self._process: WorkerProcess | None = None
        self._known: tuple[object, ...] = ()
        self._ends_with_the_process = False

    def start(self) -> None:
        """Have the worker ready soon; nothing waits for it, and that it cannot be started shows when it is asked something."""
        with self._lock, suppress(CometError):
            self._running()

    def answer(self, what: str, *, silence_s: float, **fields: Any) -> dict[str, Any]:
        """Send a request that has one reply, as `Dialogue.ask` does, and return it."""
        with self._lock:
            try:
                return Dialogue(self._running()).answer(what, silence_s=silence_s, **fields)
            except BaseException:
                self.end()
                raise

    def end(self) -> None:
        """End the worker now, if there is one and this process started it."""
        process, self._process = self._process, None
        if process is not None and self._known[0] == os.getpid():
            process.end()

    def _running(self) -> WorkerProcess:
        known = (os.getpid(), sys.executable, worker.inherited())
        if known != self._known or (self._process and not self._process.is_alive()):
            self.end()
        if not self._ends_with_the_process:
            atexit.register(self.end)
            self._ends_with_the_process = True
        if self._process is None:
            self._process, self._known = WorkerProcess(self._module, account={}), known
        return self._process


def serve(answers: Mapping[str, Serve], explain: Callable[[Exception], tuple[str, str]], *, prepare: Callable[[], object] | None = None) -> None:
    """Answer requests from stdin until it closes, which ends the process at once, whatever it is doing. Runs inside a worker.

    Args:
        answers: By kind of request.
        explain: Says of which kind an exception is, and what it means, in words that hold no secret.
        prepare: Called first, while nobody waits.
    """
    say = worker.voice()
    requests: Queue[str] = Queue()
    Thread(target=_hear, args=[requests], daemon=True).start()
    if prepare is not None:
        with suppress(Exception):  # it shows again when it is needed, and then somebody is told
            prepare()
    while True:
        request = json.loads(requests.get())
        try:
            reply: Mapping[str, Any] = {}
            pending = False
            for following in answers[request.pop("what")](**request):
                if pending:
                    say(reply)
                reply, pending = following, True
            say({**reply, "last": True})
        except Exception as error:  # noqa: BLE001 - whatever went wrong, somebody waits for an answer
            kind, text = explain(error)
            say({"refused": kind, "said": text})


def _hear(requests: Queue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    # The parent is done with this worker, or died: then nobody else clears up.
    worker.leave()
