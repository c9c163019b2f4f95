"""A server of files on 127.0.0.1 that answers as good and bad hosts do, and remembers what it was asked."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Files:
    """What is served, and how.

    Attributes:
        content: By path, such as `/a.safetensors`.
        headers: What is said besides, by path; None takes a header away.
        redirects: Where a path leads on to.
        broken_after: After how many bytes the connection ends, by path; what is asked for next is given.
        pause_s: Between two pieces of 64 kB, by path.
        ignores_if_range: Whether a part is given of whatever is there now.
        asked: Each request's path and headers.
    """

    content: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, dict[str, str | None]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    broken_after: dict[str, int] = field(default_factory=dict)
    pause_s: dict[str, float] = field(default_factory=dict)
    ignores_if_range: bool = False
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(files: Files) -> Iterator[Files]:
    """
    Serve them while the block runs.
    """

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            files.asked.append((self.path, dict(self.headers)))
            if path in files.redirects:
                self.send_response(302)
                self.send_header("Location", files.redirects[path])
                self.end_headers()
                return
            content = files.content.get(path)
            if content is None:
                self.send_error(404)
                return
            match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            begin = int(match[1]) if match and (files.ignores_if_range or self.headers.get("If-Range") == '"one"') else 0
            if begin and begin >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if begin else 200)
            said = {"ETag": '"one"', "Content-Length": str(len(content) - begin), "Content-Type": "application/octet-stream"}
            if begin:
                said["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            for name, value in (said | files.headers.get(path, {})).items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            end = begin + files.broken_after.pop(path, len(content))
            for start in range(begin, min(end, len(content)), 65536):
                self.wfile.write(content[start : min(start + 65536, end)])
                time.sleep(files.pause_s.get(path, 0))

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Whoever asked has gone away."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    files.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
