"""The errors of this package, and what those of the SDK mean."""

from __future__ import annotations

from dataclasses import dataclass

from sdxl_lab.errors import LabError

_UNKNOWN, _NOT_CLOSED, _FAILED = 624523, 90402, 90403
"""The server's codes for artifacts that are not there, or not whole."""


class CometError(LabError):
    """Comet cannot be used as asked, or what it holds could not be brought up to the record."""


class OutOfReachError(CometError):
    """Comet does not answer, or does not accept the API key: for this run and for any other."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What an exception means, without its text, which may quote the key or the address.

    Attributes:
        kind: `key` is refused; `absent` or `not final`, of an artifact; `status`, an answer that is an error; `cut`, the connection broke off;
            `retries` and `unreachable`, no answer; `disk`, a file of this machine; `unknown`.
        cause: What was decisive.
        status: Of the answer, if there was one.
        said: What the server itself said of it, if anything.
    """

    kind: str
    cause: BaseException
    status: int | None = None
    said: str | None = None


def fault_of(error: BaseException) -> Fault:
    """Tell what went wrong from an exception of the SDK, of the connection below it, or of the disk, and what it was raised from.

    Exceptions are known by their names: importing the SDK takes seconds, and may be what failed.

    Args:
        error: Whatever was raised in a worker.
    """
    for cause in causes(error):
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if kind := _kind(cause, status):
            said = getattr(cause, "safe_msg", None) or getattr(cause, "backend_err_msg", None)
            return Fault(kind=kind, cause=cause, status=status, said=said)
    return Fault(kind="unknown", cause=error)


def causes(error: BaseException) -> list[BaseException]:
    """List an exception, what it was raised from or in the wake of, and so on."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    return chain


def _kind(cause: BaseException, status: int | None) -> str:
    names = {kind.__name__ for kind in type(cause).__mro__}
    code = getattr(cause, "sdk_error_code", None)
    if names & {"Unauthorized", "InvalidAPIKey"} or status in (401, 403):
        return "key"
    if "ArtifactNotFound" in names or code == _UNKNOWN:
        return "absent"
    if "ArtifactNotFinalException" in names or code in (_NOT_CLOSED, _FAILED):
        return "not final"
    if status is not None or "LogArtifactException" in names:
        return "status"
    if names & {"ChunkedEncodingError", "ContentDecodingError"}:
        return "cut"
    if "RetryError" in names:
        return "retries"
    if isinstance(cause, ConnectionError | TimeoutError) or type(cause).__module__.startswith(("requests", "urllib3")):
        return "unreachable"
    return "disk" if isinstance(cause, OSError) else ""
