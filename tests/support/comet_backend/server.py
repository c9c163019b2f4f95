"""The port: connections, requests read whole or not at all, answers sent as faults have it."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.support.comet_backend.faults import Fault
from tests.support.comet_backend.wire import Reply, Request

if TYPE_CHECKING:
    from tests.support.comet_server import Backend

CHUNK_BYTES = 1 << 20
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


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
        """
        Remember the connection, to close it when the time comes.
        """
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """
        Close it, politely unless it is to be reset.
        """
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
                connection.shutdown(socket.SHUT_RDWR)  # wakes the handler that reads from it or writes to it
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
