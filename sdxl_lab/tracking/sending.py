"""Bring an experiment up to its record: list what it holds, send the difference, list again. Runs in a worker.

The same for a run or a session that is being made and for one of long ago: it is followed by doing this again whenever its folder has
changed. Nothing is remembered between workers but what Comet itself lists, so one that was killed anywhere is replaced by another.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from sdxl_lab.comet import worker
from sdxl_lab.comet.errors import causes, fault_of
from sdxl_lab.comet.lineage import consume, refer
from sdxl_lab.errors import LabError
from sdxl_lab.files.locks import LockError, locked, once_free
from sdxl_lab.records.finding import Recorded, recorded_in
from sdxl_lab.tracking import confirmed
from sdxl_lab.tracking.experiment import Projection
from sdxl_lab.tracking.holdings import Difference, Holdings, holdings, lacking
from sdxl_lab.tracking.key import experiment_key
from sdxl_lab.tracking.logs import LOGS
from sdxl_lab.tracking.projection import project

FILES_AT_ONCE = 8
POLL_S = 0.3
ENDING_S = 15.0
"""How long a worker goes on once its parent is gone or wants it to end."""
LISTED_WITHIN_S = 10.0
"""How long Comet may take to list what it has accepted."""
FLUSH_S = 300

Say = Callable[[Mapping[str, Any]], None]


class Trouble(Exception):  # noqa: N818 - told to the parent, who decides whether it is an error
    """Something did not arrive, in words that hold no secret."""


def main(folder: str, mode: str) -> None:
    """Send one run or session.

    Each line of the output is a JSON object: `{"state": "sent" | "confirmed" | "trouble", ...}`. The worker ends when stdin does.

    Args:
        folder: Its.
        mode: `once`, or `follow` until stdin ends.
    """
    say, closing = worker.voice(), _closing()
    record = recorded_in(Path(folder))
    try:
        record.comet_folder.mkdir(parents=True, exist_ok=True)
        # As the only one who sends this record; one that was told to end may take a moment.
        with once_free(lambda: locked(record.comet_folder), patience_s=ENDING_S, pause=closing.wait):
            _serve(record, follow=mode == "follow", say=say, closing=closing)
    except Exception as error:  # noqa: BLE001 - the parent is told whatever went wrong, and nothing of it may reach a notebook
        kind, reason = explain(error)
        say({"state": "trouble", "kind": kind, "reason": reason})
    worker.leave()


def _serve(record: Recorded, *, follow: bool, say: Say, closing: threading.Event) -> None:
    import comet_ml

    api = comet_ml.API(cache=False)
    held = holdings(api, experiment_key(record))
    experiment: Any = None
    sent = None
    while follow and not record.is_begun:
        if closing.wait(POLL_S):
            return
    while True:
        began = time.monotonic()
        last = closing.is_set() or not follow  # read before the record is, so that the last look sees all of it
        state = confirmed.state_of(record)
        if state != sent:
            if held is None or not confirmed.is_of_another_version(record, state):
                projection = project(record, Path.home())
                difference = lacking(projection, held or Holdings())
                if held is None or len(difference) or difference.outdated:
                    experiment = experiment or _begin(comet_ml, projection.key, is_new=held is None)
                    _deliver(experiment, difference, say)
                    _tidy(api, projection.key, difference.outdated)
                    held = _listed(api, projection)
                confirmed.write(record, state, pictures=len(record.pictures()), url=held.url)
            sent = state
            say({"state": "confirmed", "pictures": len(record.pictures()), "url": held.url})
        if last:
            break
        closing.wait(max(POLL_S, time.monotonic() - began))  # idle half of the time: listing a long one takes a while
    _end(record, api)


def _begin(comet_ml: Any, key: str, *, is_new: bool) -> Any:
    experiment = comet_ml.start(
        online=True,
        mode="create" if is_new else "get",
        experiment_key=key,
        workspace=os.environ.get("COMET_WORKSPACE"),
        project_name=worker.project_name(),
        experiment_config=comet_ml.ExperimentConfig(**worker.switches()),
    )
    if not experiment.alive:
        workspace = os.environ.get("COMET_WORKSPACE", "your default workspace")
        raise Trouble(f"Comet began no experiment in {workspace}, project {worker.project_name()}")
    return experiment


def _deliver(experiment: Any, difference: Difference, say: Say) -> None:
    """Send what is lacking: first what an experiment is found by, then files, a few at a time."""
    if "Name" in difference.others:
        experiment.set_name(difference.others["Name"])
    if difference.tags:
        experiment.add_tags(list(difference.tags))
    if difference.parameters:
        experiment.log_parameters(dict(difference.parameters))
    # Before Comet is told which datasets they were: then an experiment that lists them has its lineage too.
    for dataset in difference.others.get("dataset", "").split(", "):
        consume(experiment, dataset)
    if worker.is_asked(worker.DATASETS) and (digest := difference.others.get("dataset_digest")) and "dataset" in difference.others:
        refer(experiment, difference.others["dataset"], digest)
    experiment.log_others({name: value for name, value in difference.others.items() if name != "Name"})
    for (name, step), value in difference.metrics.items():
        experiment.curr_step = step  # else what has no step would get that of the point before it
        experiment.log_metric(name, value, step=step)
    files = [(log, file) for kind, log in LOGS.items() for file in getattr(difference, kind)]
    left = iter(files)
    for done in range(0, len(files) or 1, FILES_AT_ONCE):
        for log, file in islice(left, FILES_AT_ONCE):
            experiment.curr_step = file.step
            log(experiment, file)
        _flush(experiment)
        if files:
            say({"state": "sent", "files": min(done + FILES_AT_ONCE, len(files)), "of": len(files)})


def _tidy(api: Any, key: str, parameters: Sequence[str]) -> None:
    """Take away the parameters by which an earlier version told the same; a server that cannot do that keeps them, and nothing is wrong with it."""
    if parameters:
        with contextlib.suppress(Exception):
            api.get_experiment_by_key(key).delete_parameters(list(parameters))


def _flush(experiment: Any) -> None:
    if not experiment.flush(timeout=FLUSH_S):
        raise Trouble("Comet did not take what was sent")


def _listed(api: Any, projection: Projection) -> Holdings:
    """Read back until everything is there, and take away what was replaced."""
    until = time.monotonic() + LISTED_WITHIN_S
    while True:
        held = holdings(api, projection.key) or Holdings()
        left = lacking(projection, held)
        if not len(left):
            return held
        if left.surplus:
            whole = api.get_experiment_by_key(projection.key)
            for surplus in left.surplus:
                whole.delete_asset(surplus)
            continue
        if time.monotonic() > until:
            raise Trouble(f"Comet does not list {left} that were sent")
        time.sleep(0.5)


def _end(record: Recorded, api: Any) -> None:
    """Say how it ended. The SDK's own `end` would add a metric of its own, and wait for what is known to be there."""
    experiment = api.get_experiment_by_key(experiment_key(record))
    ended, seen = "crashed" if record.is_unfinished else "finished", experiment.get_state()
    if seen == "running" or (seen, ended) == ("crashed", "finished"):  # Comet calls it crashed some time after its sender was killed
        experiment.set_state(ended)


def explain(error: BaseException) -> tuple[str, str]:
    """Say what an exception means, without the texts of the SDK, which may quote the key.

    Args:
        error: Whatever was raised in a worker.

    Returns:
        A kind (`key`, `busy`, `record`, `unreachable` or `refused`), and a reason for people.
    """
    for cause in causes(error):
        if isinstance(cause, Trouble):
            return "refused", str(cause)
        if isinstance(cause, LockError):
            return "busy", "another process is sending it"
        if isinstance(cause, LabError):
            return "record", str(cause)
    fault = fault_of(error)
    if fault.kind == "key":
        return "key", "Comet does not accept the API key"
    if fault.status is not None:
        return "refused", f"Comet answers with status {fault.status}"
    if fault.kind in ("cut", "retries", "unreachable"):
        return "unreachable", "Comet does not answer"
    if isinstance(fault.cause, OSError) and fault.kind == "disk":
        return "record", f"{fault.cause.filename} cannot be read: {fault.cause.strerror}"
    return "refused", f"comet_ml stopped with {type(error).__name__}"


def _closing() -> threading.Event:
    """An event that is set when stdin ends, because the parent closed it or died; soon after, the worker ends whatever it is doing."""
    closing = threading.Event()

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdin.read()
        closing.set()
        time.sleep(ENDING_S)
        worker.leave()

    threading.Thread(target=watch, daemon=True).start()
    return closing
