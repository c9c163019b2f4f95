"""All parts looked at: by processes of their own, which may crash, hang, or never start, and what became of them is a finding too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from queue import Empty, Queue
from threading import Thread
from typing import Any, TypeAlias

from sdxl_lab import progress
from sdxl_lab.doctor import probe
from sdxl_lab.doctor.checks import CHECKS, LAST
from sdxl_lab.doctor.findings import Finding, broken

_Looking: TypeAlias = "Future[dict[str, list[Finding]]]"

LATER = "send this page; without the library at fault, or with another version of it, the rest may work"


def examine(checkpoint: str | None = None, *, parts: Sequence[str] = ()) -> list[Finding]:
    """Look at a machine, and at a checkpoint on it.

    Args:
        checkpoint: As in `RunSpec`, or None for the machine alone.
        parts: Keys of `CHECKS`; all if there are none.

    Returns:
        What was found, in the order of the table. No fault of a part keeps another from being looked at.
    """
    parts = [part for part in parts or CHECKS if checkpoint is not None or not CHECKS[part].of_checkpoint]
    groups: dict[str, list[str]] = {}
    for part in parts:
        groups.setdefault(CHECKS[part].process, []).append(part)
    examination = _Examination(checkpoint)
    try:
        found = examination.of_all(groups)
    except BaseException:  # such as ctrl-C, of which the processes hear nothing
        examination.stop()
        raise
    return [finding for part in parts for finding in found[part]]


class _Examination:
    """The processes that look at parts.

    Args:
        checkpoint: What was given, or None.
    """

    def __init__(self, checkpoint: str | None) -> None:
        self._checkpoint = checkpoint
        self._running: list[subprocess.Popen[str]] = []
        self._is_stopped = False

    def stop(self) -> None:
        """End them all, and start no other."""
        self._is_stopped = True
        for process in list(self._running):
            _kill(process)

    def of_all(self, groups: Mapping[str, list[str]]) -> dict[str, list[Finding]]:
        """What was found of groups of parts, each in a process: all at the same time, but `LAST` when those are done that are not remote."""
        first = {name: parts for name, parts in groups.items() if name != LAST}
        pool = ThreadPoolExecutor(max(1, len(first)))
        under_way = {pool.submit(self.of, parts, [], hears=False): name for name, parts in first.items()}
        remote = {future for future, name in under_way.items() if all(CHECKS[part].is_remote for part in first[name])}
        found = self._waited_for(under_way, under_way.keys() - remote)
        amiss = [part for part, findings in found.items() if _is_amiss(findings)]
        found |= self.of(groups.get(LAST, []), amiss, hears=True)
        found |= self._waited_for(under_way, remote)
        pool.shutdown()
        return found

    def _waited_for(self, under_way: Mapping[_Looking, str], some: Iterable[_Looking]) -> dict[str, list[Finding]]:
        """What some of those that are under way have found; what is still looked at is told meanwhile."""
        found: dict[str, list[Finding]] = {}
        some = set(some)

        def tell() -> None:
            if left := [name for future, name in under_way.items() if not future.done()]:
                progress.tell(f"looking at {', '.join(left)}")

        tell()
        for done in as_completed(some):
            found |= done.result()
            tell()
        return found

    def of(self, parts: list[str], amiss: list[str], *, hears: bool) -> dict[str, list[Finding]]:
        """What was found of parts that share a process; where that ends before its time, another one goes on after the part that it was at.

        Args:
            parts: Keys of `CHECKS`.
            amiss: Parts looked at before that are broken.
            hears: Whether what the process is at is told.
        """
        found: dict[str, list[Finding]] = {part: [] for part in parts}
        left, amiss = list(parts), list(amiss)
        while left and not self._is_stopped:
            how = self._ended(left, found, amiss, hears=hears)
            if left:
                part = left.pop(0)
                found[part].append(broken(part, how, LATER))
            amiss += [part for part in parts if part not in left and part not in amiss and _is_amiss(found[part])]
        return found

    def _ended(self, left: list[str], found: dict[str, list[Finding]], amiss: list[str], *, hears: bool) -> str:
        """Look at parts in a process until it ends, and take those that it did from `left`; answers how it ended."""
        doing = ""
        try:
            with self._process(probe.command(left, self._checkpoint, amiss)) as (process, lines, said):
                while left:
                    patience_s = CHECKS[left[0]].patience_s
                    try:
                        line = lines.get(timeout=patience_s)
                    except Empty:
                        return f"no sign for {patience_s:.0f} s{doing}"
                    if line is None:
                        process.wait()
                        last_words = f"; its last words: {said[-1]}" if said else ""
                        return f"the process that looked at it {_how(process.returncode)}{doing}{last_words}"
                    ((kind, what),) = json.loads(line).items()
                    if kind == "finding":
                        found[left[0]].append(Finding(**what))
                    elif kind == "done":
                        left.remove(what)
                        doing = ""
                    else:
                        doing = f", at: {progress.Doing(**what)}"
                        if hears:
                            progress.tell(**{key: value for key, value in what.items() if key != "left_s"})
        except OSError as error:
            return f"no process could be started: {error.strerror or error}"
        return ""

    @contextmanager
    def _process(self, command: list[str]) -> Iterator[tuple[subprocess.Popen[str], Queue[str | None], deque[str]]]:
        """A running process, the lines it says, None after the last one, and the last that it said on stderr; it ends with the block."""
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # A session of its own: what it starts ends with it.
        process = subprocess.Popen(command, encoding="utf-8", errors="replace", start_new_session=True, **pipes)
        self._running.append(process)
        lines: Queue[str | None] = Queue()
        said: deque[str] = deque(maxlen=1)
        threads = [Thread(target=_listen, args=[process.stdout, lines], daemon=True), Thread(target=_keep, args=[process.stderr, said], daemon=True)]
        for thread in threads:
            thread.start()
        try:
            yield process, lines, said
        finally:
            _kill(process)
            self._running.remove(process)
            for thread in threads:
                thread.join(1.0)  # a grandchild may hold its stream


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _listen(stream: Any, lines: Queue[str | None]) -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(None)


def _keep(stream: Any, said: deque[str]) -> None:
    with stream:
        said.extend(line.strip()[:200] for line in stream if line.strip())


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"was ended by {name}{', as the system does where memory runs out' if name == 'SIGKILL' else ''}"


def _is_amiss(findings: Iterable[Finding]) -> bool:
    return any(finding.verdict == "broken" for finding in findings)
