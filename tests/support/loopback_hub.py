"""A hub of models on 127.0.0.1, as much of it as the client asks for, that serves folders and remembers what was fetched."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

NOBODY = "http://127.0.0.1:9"
"""Where no hub is."""


class Hub:
    """
    Repositories at `root/<owner>/<name>`, each at one commit. `log` is a file that gets a line for each request.

    Those in `gated`, by license, are described to everybody, and their files are given to nobody, as the real hub does it.
    """

    def __init__(self, root: Path, log: Path | None = None) -> None:
        self.root = root
        self.log = log
        if log:
            log.touch()
        self.gated: dict[str, str] = {}
        self.fetched: list[tuple[str, str, str]] = []
        self.url = ""

    def commit(self, repository: str) -> str:
        """
        The commit that `main` stands for.
        """
        return hashlib.sha1(repository.encode()).hexdigest()

    def files(self, repository: str) -> list[str]:
        """
        Names of its files, sorted.
        """
        folder = self.root / repository
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    """
    What the server does with a request.
    """

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self, content: bytes, *, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def do_GET(self) -> None:
            if hub.log:
                with hub.log.open("a") as log:
                    print(self.command, self.path, file=log)
            path, _, _ = self.path.partition("?")
            parts = path.strip("/").split("/")
            if parts[:2] == ["api", "models"] and parts[4:] == ["auth-check"]:
                if not self.is_gated("/".join(parts[2:4])):
                    self.answer(b"{}", Content_Type="application/json")
            elif parts[:2] == ["api", "models"]:
                self.describe("/".join(parts[2:4]), parts[4:])
            elif len(parts) > 4 and parts[2] == "resolve":
                self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
            else:
                self.answer(b"", status=404)

        do_HEAD = do_GET  # noqa: N815 - the server's own name

        def known(self, repository: str, revision: str) -> bool:
            if not (hub.root / repository).is_dir():
                self.answer(b"", status=404, X_Error_Code="RepoNotFound")
            elif revision not in ("main", hub.commit(repository)):
                self.answer(b"", status=404, X_Error_Code="RevisionNotFound")
            else:
                return True
            return False

        def is_gated(self, repository: str) -> bool:
            if repository not in hub.gated:
                return False
            message = f"Access to model {repository} is restricted and you are not in the authorized list."
            status = 403 if self.headers.get("Authorization") else 401
            self.answer(message.encode(), status=status, X_Error_Code="GatedRepo", X_Error_Message=message)
            return True

        def describe(self, repository: str, rest: list[str]) -> None:
            if not self.known(repository, rest[1] if len(rest) > 1 else "main"):
                return
            files = hub.files(repository)
            if rest[:1] == ["tree"]:
                sizes = {name: (hub.root / repository / name).stat().st_size for name in files}
                tree = [{"type": "file", "path": name, "size": sizes[name], "oid": hashlib.sha1(name.encode()).hexdigest()} for name in files]
                self.answer(json.dumps(tree).encode(), Content_Type="application/json")
                return
            info = {"id": repository, "sha": hub.commit(repository), "siblings": [{"rfilename": name} for name in files]}
            if repository in hub.gated:
                info |= {"gated": "auto", "tags": ["diffusers", f"license:{hub.gated[repository]}"]}
            self.answer(json.dumps(info).encode(), Content_Type="application/json")

        def resolve(self, repository: str, revision: str, name: str) -> None:
            if not self.known(repository, revision) or self.is_gated(repository):
                return
            file = hub.root / repository / name
            if not file.is_file():
                self.answer(b"", status=404, X_Error_Code="EntryNotFound", X_Repo_Commit=hub.commit(repository))
                return
            if self.command == "GET":
                hub.fetched.append((repository, revision, name))
            content = file.read_bytes()
            self.answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=hub.commit(repository))

    return Handler


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """
    The hub, up while the block runs.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def asked(url: str, cache: Path) -> Iterator[None]:
    """
    This process asks the hub at an address while the block runs, with a cache in a folder and without an account.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
        patch.delenv("HF_TOKEN", raising=False)
        patch.setattr(constants, "ENDPOINT", url)
        patch.setattr("huggingface_hub.hf_api.api.endpoint", url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        yield
