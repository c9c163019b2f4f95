"""Talking with a worker: one JSON object a line, a request down, replies up, until its last one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any, TextIO

from sdxl_lab.comet import worker
from sdxl_lab.comet.errors import CometError

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

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: Queue[str | None] = Queue()
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

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
        with suppress(OSError):  # a worker that is gone shows when its answer is read
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"what": what, **fields}) + "\n")
            self._process.stdin.flush()
        while True:
            try:
                line = self._lines.get(timeout=silence_s)
            except Empty:
                self._process.kill()
                raise Refusal("silent", f"nothing came for {silence_s:.0f} s") from None
            if line is None:
                raise Refusal("gone", f"the process that talks to Comet ended with {self._process.wait()}")
            reply = json.loads(line)
            if "refused" in reply:
                raise Refusal(reply["refused"], reply["said"])
            last = reply.pop("last", False)
            yield reply
            if last:
                return

    def answer(self, what: str, *, silence_s: float, **fields: Any) -> dict[str, Any]:
        """Send a request that has one reply, as `ask` does, and return it."""
        *_, reply = self.ask(what, silence_s=silence_s, **fields)
        return reply

    def end(self, patience_s: float = FAREWELL_S) -> None:
        """Let the worker end by itself for a while, then kill it."""
        if patience_s:
            assert self._process.stdin is not None
            with suppress(OSError):
                self._process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # what was still to be sent to a worker that is gone
                pipe.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)


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
    with tempfile.TemporaryDirectory(prefix=worker.FOLDER, ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        environment = worker.environment(folder, account)
        pipes: dict[str, Any] = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            process = subprocess.Popen(worker.command(module), env=environment, cwd=folder / "home", text=True, encoding="utf-8", **pipes)
        except OSError as error:
            raise CometError(f"could not start the process that talks to Comet: {error.strerror or error}; free some memory and run again") from error
        dialogue = Dialogue(process)
        try:
            yield dialogue
            dialogue.end()
        finally:
            dialogue.end(patience_s=0)


def serve(answers: Mapping[str, Serve], explain: Callable[[Exception], tuple[str, str]]) -> None:
    """Answer requests from stdin until it closes, which ends the process at once, whatever it is doing. Runs inside a worker.

    Args:
        answers: By kind of request.
        explain: Says of which kind an exception is, and what it means, in words that hold no secret.
    """
    # The SDK prints as it likes; what it prints must not come between the replies.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests: Queue[str] = Queue()
    Thread(target=_hear, args=[requests], daemon=True).start()
    while True:
        request = json.loads(requests.get())
        try:
            reply: Mapping[str, Any] = {}
            pending = False
            for following in answers[request.pop("what")](**request):
                if pending:
                    _say(replies, reply)
                reply, pending = following, True
            _say(replies, {**reply, "last": True})
        except Exception as error:  # noqa: BLE001 - whatever went wrong, somebody waits for an answer
            kind, text = explain(error)
            _say(replies, {"refused": kind, "said": text})


def _hear(requests: Queue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    # The parent is done with this worker, or died: then nobody else clears up.
    worker.leave()


def _say(replies: TextIO, reply: Mapping[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()
