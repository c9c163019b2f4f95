"""A request, the answer to it, and which function answers which path."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from tests.support.comet_backend.state import State

CLIENT = "/clientlib/"
"""Where a running experiment writes: what COMET_URL_OVERRIDE points at."""
REST = "/api/rest/v2/"
"""Where `comet_ml.API` reads, and some of the writing goes too."""

BAD_KEY = 90212
UNKNOWN_EXPERIMENT = 90210
EXPERIMENT_EXISTS = 90999
UNKNOWN_WORKSPACE = 90219
VERSION_EXISTS = 90399
VERSION_NOT_CLOSED = 90402
VERSION_FAILED = 90403
UNKNOWN_ARTIFACT = 624523
IMMUTABLE = 7000005


class Refused(Exception):  # noqa: N818 - an answer, not a failure of the server
    """
    A request that is understood and declined, the way the SDK reads it.
    """

    def __init__(self, message: str, *, code: int | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.reply = Reply.of({"msg": message, "code": status, "sdk_error_code": code}, status=status)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """
    What goes back.
    """

    content: bytes
    status: int = 200
    content_type: str = "application/json"

    @classmethod
    def of(cls, value: Any, *, status: int = 200) -> Reply:
        """
        The value as JSON.
        """
        return cls(content=json.dumps(value).encode(), status=status)


@dataclass(frozen=True, kw_only=True)
class Part:
    """
    One part of a multipart body.
    """

    name: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Request:
    """
    What came in, whole.

    Attributes:
        target: Path and query as on the request line.
        headers: Names in lower case.
    """

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        """
        Without the query.
        """
        return urlsplit(self.target).path

    @cached_property
    def query(self) -> dict[str, str]:
        """
        Decoded once; of a name given twice the last.
        """
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @cached_property
    def content(self) -> bytes:
        """
        The body, unpacked when it came packed.
        """
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body

    @cached_property
    def fields(self) -> dict[str, Any]:
        """
        The JSON object in the body.
        """
        try:
            fields = json.loads(self.content)
        except ValueError as error:
            raise Refused(f"the body is not JSON: {error}") from None
        return fields if isinstance(fields, dict) else {"": fields}

    @cached_property
    def parts(self) -> dict[str, Part]:
        """
        The multipart body's parts by name; a body without its closing boundary is refused.
        """
        _, _, boundary = self.headers.get("content-type", "").partition("boundary=")
        if not boundary:
            raise Refused("the body is not multipart")
        pieces = (b"\r\n" + self.content).split(b"\r\n--" + boundary.strip('"').encode())
        if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
            raise Refused("the body has no end")
        parts = {}
        for piece in pieces[1:-1]:
            head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            name = BytesHeaderParser().parsebytes(head).get_param("name", header="content-disposition")
            parts[str(name)] = Part(name=str(name), content=content)
        return parts

    def step(self) -> int | None:
        """
        The step in the query.
        """
        step = self.query.get("step")
        return int(step) if step else None


Route = Callable[["State", Request], Reply]
ROUTES: dict[tuple[str, str], Route] = {}


def route(method: str, *paths: str) -> Callable[[Route], Route]:
    """
    The function answers these paths.
    """

    def register(function: Route) -> Route:
        for path in paths:
            ROUTES[method, path] = function
        return function

    return register
