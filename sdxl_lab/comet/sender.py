"""The other end of `sending`: a worker that brings one run to Comet, seen from the process that started it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any, Self

from sdxl_lab.comet import worker
from sdxl_lab.comet.account import WAYS_TO_GIVE_A_KEY, account, server
from sdxl_lab.comet.errors import CometError, OutOfReachError
from sdxl_lab.records import RunFolder

SILENCE_S = 90.0
"""How long a worker may say nothing before it is given up; it speaks after each few files."""
GOODBYE_S = 20.0
PAUSES_S = (1.0, 4.0, 10.0)
"""Between attempts. Each begins with what Comet lists, so that nothing is sent twice."""

LIMITS = {
    "COMET_TIMEOUT_HTTP": "10",
    "COMET_TIMEOUT_API": "10",
    "COMET_TIMEOUT_FILE_UPLOAD": "60",
    "COMET_HTTP_SESSION_RETRY_TOTAL": "0",
    "COMET_GET_OR_ADD_EXPERIMENT_RETRY_TOTAL": "0",
    "COMET_FALLBACK_STREAMER_FALLBACK_TO_OFFLINE_MIN_BACKEND_VERSION": "9999.0.0",
    "COMET_FALLBACK_STREAMER_CONNECTION_CHECK_INTERVAL": "86400",
}
"""The SDK neither tries again nor replays by itself: a request whose answer was lost would be done twice, and two points of a metric stay.
Here every new attempt begins with what Comet lists."""

News = Mapping[str, Any]
Progress = Callable[[int, int], None]


class Sender:
    """A worker that sends one run. It ends by itself when this process ends or closes it.

    Args:
        run: The run, with something recorded.
        mode: `once`, or `follow` until closed.
        variables: The account.

    Raises:
        CometError: The process cannot be started.
    """

    def __init__(self, run: RunFolder, mode: str, variables: Mapping[str, str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=worker.FOLDER)).resolve()
        self._lines: Queue[str | None] = Queue()
        environment = worker.environment(self._folder, LIMITS | dict(variables))
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        try:
            self._process = subprocess.Popen(
                worker.command("sending", str(run.path.resolve()), mode),
                env=environment,
                cwd=self._folder / "home",
                encoding="utf-8",
                start_new_session=True,  # ctrl-C is for the run; the worker notices the end of the run by itself
                **pipes,
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise CometError(f"could not start the process that talks to Comet: {error.strerror or error}; free some memory and run again") from error
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def news(self, timeout_s: float) -> News | None:
        """Wait for what the worker says next.

        Args:
            timeout_s: Seconds to wait.

        Returns:
            A line of its; None once it has ended.

        Raises:
            TimeoutError: It said nothing.
        """
        try:
            line = self._lines.get(timeout=max(0.0, timeout_s))
        except Empty:
            raise TimeoutError from None
        if line is None:
            self._lines.put(None)
            return None
        return json.loads(line)

    def close(self) -> None:
        """Let the worker finish what it has, and end."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        """End the worker now, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self.close()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError):
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(None)


def push(run: RunFolder, progress: Progress | None = None) -> None:
    """Bring Comet up to the record of a run, and read back that it is there. Doing it twice changes nothing.

    Args:
        run: A run, done or not, made here or brought from another machine.
        progress: Told how many of how many files have been sent.

    Raises:
        OutOfReachError: Comet does not answer, or does not accept the API key.
        CometError: There is none, or something is not there in the end; the message says why and what to do.
        RecordError: The folder holds no run.
    """
    variables = account()
    run.comet_key()
    news = _attempt(run, variables, progress)
    for pause_s in PAUSES_S:
        if news["state"] == "confirmed" or news["kind"] in ("key", "busy", "record"):
            break
        time.sleep(pause_s)
        news = _attempt(run, variables, progress)
    if news["state"] == "confirmed":
        return
    advice = {
        "key": f"put it right ({WAYS_TO_GIVE_A_KEY})",
        "busy": "wait until it is done",
        "record": "put that right",
    }.get(news["kind"], f"see that {server()} can be reached")
    kind = OutOfReachError if news["kind"] in ("key", "unreachable") else CometError
    raise kind(f"{run.path.name} is not all in Comet: {news['reason']}; {advice}, and push again: what has arrived is not sent twice")


def _attempt(run: RunFolder, variables: Mapping[str, str], progress: Progress | None) -> News:
    with Sender(run, "once", variables) as sender:
        while True:
            try:
                news = sender.news(SILENCE_S)
            except TimeoutError:
                return {"state": "trouble", "kind": "unreachable", "reason": f"nothing came from Comet for {SILENCE_S:.0f} s"}
            if news is None:
                return {"state": "trouble", "kind": "ended", "reason": "the process that talks to Comet was ended"}
            if news["state"] == "confirmed":
                with suppress(TimeoutError):  # it still says that the experiment has ended
                    sender.news(GOODBYE_S)
            if news["state"] != "sent":
                return news
            if progress:
                progress(news["files"], news["of"])
