"""A stand-in for Comet's backend on 127.0.0.1 that the unmodified SDK talks to, with faults on demand.

with serving(Backend()) as backend:
    subprocess.run([sys.executable, script], env=base | backend.environment())
    assert backend.unknown == []
"""

from __future__ import annotations

import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from comet_backend import artifacts, reading, uploads, writing
from comet_backend.faults import Drop, Fault, Faults
from comet_backend.state import Artifact, Asset, Experiment, State, Version
from comet_backend.wire import BAD_KEY, CLIENT, ROUTES, Refused, Reply, Request

__all__ = ["Artifact", "Asset", "Backend", "Experiment", "Version", "serving"]

ROOMS = (artifacts, reading, uploads, writing)  # importing them is what fills ROUTES
OPEN_TO_ALL = (f"{CLIENT}isAlive/ver", f"{CLIENT}health/ping")
CHUNK_BYTES = 1 << 20
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
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
        No fault any more, and the key is good again; requests that a delay still holds are dropped undone.
        """
        self.expired = False
        self.faults.clear()

    def expire_key(self, *, rest_status: int = 401) -> None:
        """
        From now on the key is refused as one that nobody knows; the SDK takes 401 and 400 for it where `comet_ml.API` reads.
        """
        self.expired, self.rest_status = True, rest_status

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
            return route(self, request)
        except Refused as refused:
            return refused.reply
        except Exception as error:  # noqa: BLE001 - whatever a route trips over, a test must see it
            self.unknown.append(f"{request.method} {request.target}: {error!r}")
            return Reply.of({"msg": repr(error), "code": 500}, status=500)


class Server(ThreadingHTTPServer):
    """
    One life of the backend: a listening socket and the connections made to it.
    """

    daemon_threads = False  # closing waits for the handlers, so that none outlives its test
    request_queue_size = 128

    def __init__(self, backend: Backend, port: int) -> None:
        self.backend = backend
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), handler(backend))

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == RESET_ON_CLOSE:
            request.close()  # without the farewell that a shutdown would send
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """
        Clients that go away in the middle are part of the game; anything else a test must see.
        """
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.backend.unknown.append(repr(error))

    def die(self) -> None:
        """
        Close everything.
        """
        self.shutdown()
        self.socket.close()
        for connection in list(self.connections):
            try:
                reset(connection)
                connection.shutdown(socket.SHUT_RD)  # wakes the handler that reads from it
            except OSError:
                continue
        self.server_close()


def reset(connection: socket.socket) -> None:
    """
    Let closing this connection reset it.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


def handler(backend: Backend) -> type[BaseHTTPRequestHandler]:
    """
    What the server does with a connection.
    """

    class Handler(BaseHTTPRequestHandler):
        server: Server  # pyright: ignore[reportIncompatibleVariableOverride]
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def read(self, length: int) -> bytes:
            """
            So many bytes of the body, or as many as came before the client went away.
            """
            chunks = []
            while length > 0:
                try:
                    chunk = self.rfile.read(min(length, CHUNK_BYTES))
                except OSError:
                    break
                if not chunk:
                    break
                chunks.append(chunk)
                length -= len(chunk)
            return b"".join(chunks)

        def reset(self) -> None:
            self.close_connection = True
            reset(self.connection)

        def is_late(self) -> bool:
            return backend.server is not self.server

        def kill(self) -> None:
            with backend.lock:
                if not self.is_late():
                    backend.server = None
                    threading.Thread(target=self.server.die).start()  # not from here: it waits for this handler

        def serve(self) -> None:
            backend.requests.append((self.command, self.path.partition("?")[0]))
            fault = backend.faults.pick(self.command, self.path) or Fault(path_contains="")
            if fault.drop == "unread":
                return self.reset()
            length = int(self.headers.get("Content-Length") or 0)
            if fault.drop in ("reading", "death"):
                self.read(length // 2)
                if fault.drop == "death":
                    self.kill()
                return self.reset()
            body = self.read(length)
            if len(body) < length or not backend.faults.wait(fault.delay_s, unless=self.is_late):
                return self.reset()
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(method=self.command, target=self.path, headers=headers, body=body)
            with backend.lock:
                if self.is_late():
                    return self.reset()
                backend.received.append((request.method, request.target, request.content))
                reply = refusal(fault) or backend.answer(request)
            return self.reset() if fault.drop == "unanswered" else self.send(reply, fault)

        do_GET = do_POST = do_PUT = do_DELETE = serve  # noqa: N815 - the server's own names

        def send(self, reply: Reply, fault: Fault) -> None:
            content = reply.content if fault.shorten is None else reply.content[: fault.shorten]
            if fault.corrupt and content:
                middle = len(content) // 2
                content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            limits = [limit for limit in (fault.truncate, fault.stall) if limit is not None]
            if limits:
                self.close_connection = True
                content = content[: min(*limits, len(content) - 1)]
            self.wfile.write(content)
            if fault.stall is not None and not backend.faults.wait(float("inf"), unless=self.is_late):
                self.reset()

    return Handler


def refusal(fault: Fault) -> Reply | None:
    """
    The answer of a fault that does nothing but answer.
    """
    if fault.body is not None:
        return Reply(content=fault.body, status=fault.status or 200, content_type="text/html")
    if fault.status is not None:
        return Reply.of({"msg": "out of order", "code": fault.status}, status=fault.status)
    return None


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
