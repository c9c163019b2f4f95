"""The other end of `sending`: start a worker that brings one run or session to Comet, and act on what it says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal

from sdxl_lab.comet.account import WAYS_TO_GIVE_A_KEY, account, server
from sdxl_lab.comet.errors import CometError, OutOfReachError
from sdxl_lab.comet.process import WorkerProcess
from sdxl_lab.records.finding import Recorded
from sdxl_lab.tracking.key import experiment_key

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


def sender(record: Recorded, mode: Literal["once", "follow"], variables: Mapping[str, str]) -> WorkerProcess:
    """Start a worker that sends one run or session.

    Args:
        record: It, with something recorded.
        mode: `once`, or `follow` until closed.
        variables: The account.

    Raises:
        CometError: The process cannot be started.
    """
    return WorkerProcess("sdxl_lab.tracking.sending", str(record.path.resolve()), mode, account=LIMITS | dict(variables))


def push(record: Recorded, progress: Progress | None = None) -> None:
    """Bring Comet up to the record of a run or a session, and read back that it is there. Doing it twice changes nothing.

    Args:
        record: A run, done or not, or a session, made here or brought from another machine.
        progress: Told how many of how many files have been sent.

    Raises:
        OutOfReachError: Comet does not answer, or does not accept the API key.
        CometError: There is none, or something is not there in the end; the message says why and what to do.
        RecordError: The folder holds neither.
    """
    variables = account()
    experiment_key(record)
    news = _attempt(record, variables, progress)
    for pause_s in PAUSES_S:
        if news["state"] == "confirmed" or news["kind"] in ("key", "busy", "record"):
            break
        time.sleep(pause_s)
        news = _attempt(record, variables, progress)
    if news["state"] == "confirmed":
        return
    advice = {
        "key": f"put it right ({WAYS_TO_GIVE_A_KEY})",
        "busy": "wait until it is done",
        "record": "put that right",
    }.get(news["kind"], f"see that {server()} can be reached")
    kind = OutOfReachError if news["kind"] in ("key", "unreachable") else CometError
    raise kind(f"{record.path.name} is not all in Comet: {news['reason']}; {advice}, and push again: what has arrived is not sent twice")


def _attempt(record: Recorded, variables: Mapping[str, str], progress: Progress | None) -> News:
    with sender(record, "once", variables) as process:
        while True:
            try:
                news = process.hear(SILENCE_S)
            except TimeoutError:
                return {"state": "trouble", "kind": "unreachable", "reason": f"nothing came from Comet for {SILENCE_S:.0f} s"}
            if news is None:
                return {"state": "trouble", "kind": "ended", "reason": "the process that talks to Comet was ended"}
            if news["state"] == "confirmed":
                with suppress(TimeoutError):  # it still says that the experiment has ended
                    process.hear(GOODBYE_S)
            if news["state"] != "sent":
                return news
            if progress:
                progress(news["files"], news["of"])
