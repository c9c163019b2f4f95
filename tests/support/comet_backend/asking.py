"""A client that asks the stand-in one thing at a time, with the standard library's own."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.comet_server import Backend

MULTIPART = "multipart/form-data; boundary=edge"


def ask(backend: Backend, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> tuple[int, bytes]:
    """
    Status and body of one answer on a connection of its own.
    """
    connection = http.client.HTTPConnection("127.0.0.1", backend.port, timeout=20)
    try:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, content, {"Authorization": key or backend.api_key} | sent)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def log(backend: Backend, value: float) -> tuple[int, bytes]:
    """
    Log one metric.
    """
    body = {"experimentKey": "e", "metricName": "m", "metricValue": value, "step": 1}
    return ask(backend, "POST", "/api/rest/v2/write/experiment/metric", body)


def upload(
    backend: Backend, content: bytes, *, query: str = "experimentId=e&figName=x&step=2&imageId=i", cut: int | None = None
) -> tuple[int, bytes]:
    """
    Upload an image, or only the first bytes of the body.
    """
    body = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n' + content + b"\r\n--edge--\r\n"
    headers = {"Content_Type": MULTIPART, "Content_Length": str(len(body))}
    return ask(backend, "POST", f"/clientlib/visualizations/upload?{query}", body[:cut], **headers)
