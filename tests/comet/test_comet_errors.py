"""What the SDK's exceptions mean, compared with exceptions that the SDK and its HTTP client themselves make."""

from __future__ import annotations

import requests

from sdxl_lab.comet.artifact_worker import WORDS
from sdxl_lab.comet.errors import fault_of


def answer(status: int, text: str) -> requests.Response:
    """
    An answer of a server.
    """
    response = requests.Response()
    response.status_code, response._content, response.request = status, text.encode(), requests.Request("GET", "http://localhost").prepare()
    return response


def made() -> dict[str, list[BaseException]]:
    """
    By what they mean.
    """
    from comet_ml import exceptions

    refused = exceptions.CometRestApiException
    return {
        "key": [exceptions.Unauthorized("key", answer(401, "")), exceptions.InvalidAPIKey("key", "host"), refused("GET", answer(403, "{}"))],
        "absent": [exceptions.ArtifactNotFound("x"), refused("GET", answer(400, '{"sdk_error_code": 624523}'))],
        "not final": [exceptions.ArtifactNotFinalException("x"), refused("GET", answer(400, '{"sdk_error_code": 90402}'))],
        "status": [
            refused("GET", answer(500, '{"msg": "full"}')),
            exceptions.LogArtifactException("full"),
            requests.HTTPError(response=answer(502, "")),
        ],
        "cut": [requests.exceptions.ChunkedEncodingError(), requests.exceptions.ContentDecodingError()],
        "retries": [requests.exceptions.RetryError()],
        "unreachable": [requests.ConnectionError(), requests.Timeout(), ConnectionResetError(), TimeoutError()],
        "disk": [FileNotFoundError(2, "not there", "x")],
        "unknown": [ValueError("key"), ImportError("comet_ml")],
    }


def test_each_exception_means_one_thing():
    """
    Exceptions are told apart as they come and in the wake of another one; what the server said is kept, and no other text.
    """
    for kind, errors in made().items():
        for error in errors:
            outer = ValueError("https://server/?key=secret")
            outer.__context__ = error
            assert fault_of(error).kind == fault_of(outer).kind == kind, error
    status = made()["status"]
    assert [(fault_of(error).status, fault_of(error).said) for error in status] == [(500, "full"), (None, "full"), (502, None)]
    assert set(WORDS) < set(made())
