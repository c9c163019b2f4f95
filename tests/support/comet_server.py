"""A stand-in for Comet's backend on 127.0.0.1 that the unmodified SDK talks to, with faults on demand.

with serving(Backend()) as backend:
    subprocess.run([sys.executable, script], env=base | backend.environment())
    assert backend.unknown == []
"""

from __future__ import annotations

import copy
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.support.comet_backend import artifacts, reading, uploads, writing
from tests.support.comet_backend.faults import Drop, Fault, Faults
from tests.support.comet_backend.server import Server
from tests.support.comet_backend.state import Artifact, Asset, Experiment, State, Version
from tests.support.comet_backend.wire import BAD_KEY, CLIENT, REST, ROUTES, Refused, Reply, Request

__all__ = ["Artifact", "Asset", "Backend", "Experiment", "Version", "backend", "serving"]

ROOMS = (artifacts, reading, uploads, writing)  # importing them is what fills ROUTES
LAGGING = f"{REST}experiment/"
IMMEDIATE = (f"{REST}experiment/metadata", f"{REST}experiment/asset/get-asset")
OPEN_TO_ALL = (f"{CLIENT}isAlive/ver", f"{CLIENT}health/ping")
NEVER_EPHEMERAL = range(20_000, 30_000)
"""Ports that no client gets as its own, so that nobody moves in (or connects to itself) while the server is down."""


@dataclass(kw_only=True, repr=False)
class Backend(State):
    """
    The state, the port, and the ways to make it fail.

    Attributes:
        requests: Method and path of each request, in the order of arrival.
        received: Method, path with query, and unpacked body of each request that arrived whole.
        unknown: Requests that no route answers, or whose route failed; a test that finds any here has found a gap in the stand-in.
    """

    requests: list[tuple[str, str]] = field(default_factory=list)
    received: list[tuple[str, str, bytes]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    expired: bool = False
    rest_status: int = 401
    lag_s: float = 0.0
    past: list[tuple[float, dict[str, Experiment]]] = field(default_factory=list)
    port: int = 0
    server: Server | None = None

    @property
    def alive(self) -> bool:
        """
        Whether anybody listens.
        """
        return self.server is not None

    def environment(self) -> dict[str, str]:
        """
        What a process needs to talk to this backend.
        """
        return {"COMET_URL_OVERRIDE": f"{self.url}clientlib/", "COMET_API_KEY": self.api_key, "NO_PROXY": "127.0.0.1"}

    def fail(
        self,
        path_contains: str = "",
        *,
        method: str | None = None,
        status: int | None = None,
        body: bytes | None = None,
        delay_s: float = 0.0,
        drop: Drop | None = None,
        truncate: int | None = None,
        stall: int | None = None,
        shorten: int | None = None,
        corrupt: bool = False,
        times: int | None = None,
        after: int = 0,
    ) -> Fault:
        """
        From now on, requests go wrong as `Fault` describes; its `hits` tells how many did.
        """
        when = dict(method=method, times=times, after=after)
        how = dict(status=status, body=body, delay_s=delay_s, drop=drop)
        reply = dict(truncate=truncate, stall=stall, shorten=shorten, corrupt=corrupt)
        fault = Fault(path_contains=path_contains, **when, **how, **reply)
        self.faults.add(fault)
        return fault

    def clear(self) -> None:
        """
        No fault any more, no lag, and the key is good again; requests that a delay still holds are dropped undone.
        """
        self.expired, self.lag_s = False, 0.0
        self.faults.clear()

    def expire_key(self, *, rest_status: int = 401) -> None:
        """
        From now on the key is refused as one that nobody knows; the SDK takes 401 and 400 for it where `comet_ml.API` reads.
        """
        self.expired, self.rest_status = True, rest_status

    def lag(self, seconds: float) -> None:
        """
        From now on readers see what an experiment held so many seconds ago; the real backend answers a write before readers see it.
        """
        with self.lock:
            self.lag_s, self.past = seconds, [(time.monotonic() - seconds, copy.deepcopy(self.experiments))]

    def seen_by_readers(self) -> State:
        """
        The state as it was before the lag. That an experiment exists is known at once.
        """
        _, experiments = [moment for moment in self.past if moment[0] <= time.monotonic() - self.lag_s][-1]
        told = {key: experiments.get(key) or self.empty(experiment) for key, experiment in self.experiments.items()}
        place = dict(workspaces=self.workspaces, artifacts=self.artifacts, metadata_as_text=self.metadata_as_text, url=self.url)
        return State(experiments=told, **place)

    def empty(self, experiment: Experiment) -> Experiment:
        """
        The experiment with nothing in it.
        """
        return Experiment(key=experiment.key, name=experiment.name, workspace=experiment.workspace, project=experiment.project)

    def start(self) -> None:
        """
        Listen; after a stop on the same port as before.
        """
        ports = [self.port] * 100 if self.port else random.SystemRandom().sample(NEVER_EPHEMERAL, 100)
        for attempt, port in enumerate(ports, 1):
            try:
                server = Server(self, port)
            except OSError:
                if attempt == len(ports):
                    raise
                time.sleep(0.05)  # the life before may still be closing
                continue
            self.server, self.port, self.url = server, port, f"http://127.0.0.1:{port}/"
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            return

    def stop(self) -> None:
        """
        Die: connections are reset, those to come refused, what was not answered yet is lost. What is stored stays.
        """
        with self.lock:
            server, self.server = self.server, None
        if server is not None:
            server.die()

    def answer(self, request: Request) -> Reply:
        """
        Do what a request asks for.
        """
        if request.path not in OPEN_TO_ALL and (self.expired or request.headers.get("authorization") != self.api_key):
            status = 400 if request.path.startswith(CLIENT) else self.rest_status
            return Refused("this API key is not registered", code=BAD_KEY, status=status).reply
        route = ROUTES.get((request.method, request.path))
        if route is None:
            self.unknown.append(f"{request.method} {request.target}")
            return Reply.of({"msg": "no such endpoint", "code": 404}, status=404)
        try:
            if not self.lag_s:
                return route(self, request)
            if request.path.startswith(LAGGING) and request.path not in IMMEDIATE:
                return route(self.seen_by_readers(), request)
            reply = route(self, request)
            self.past.append((time.monotonic(), copy.deepcopy(self.experiments)))
            return reply
        except Refused as refused:
            return refused.reply
        except Exception as error:  # noqa: BLE001 - whatever a route trips over, a test must see it
            self.unknown.append(f"{request.method} {request.target}: {error!r}")
            return Reply.of({"msg": repr(error), "code": 500}, status=500)


@contextmanager
def serving(backend: Backend) -> Iterator[Backend]:
    """
    The backend, up when the block begins, down when it ends.
    """
    backend.start()
    try:
        yield backend
    finally:
        backend.clear()
        backend.stop()


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """The stand-in, as the account of this process and of those it starts."""
    with serving(Backend()) as backend:
        for name, value in backend.environment().items():
            monkeypatch.setenv(name, value)
        yield backend
        assert backend.unknown == []
