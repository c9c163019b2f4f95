"""Comet greeted by the SDK. Runs in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sdxl_lab.comet.dialogue import Refusal, serve
from sdxl_lab.comet.errors import fault_of

TIMEOUT_S = 5.0
WORDS = {"key": "it refuses the API key", "unreachable": "it gives no answer", "retries": "it answers with errors", "cut": "the connection broke off"}


def main() -> None:
    """Answer requests until stdin closes."""
    serve({"import": _import, "reach": _reach, "present": _present}, _explain)


def _import() -> Iterator[Mapping[str, Any]]:
    """Say which SDK there is."""
    import comet_ml

    yield {"version": comet_ml.__version__}


def _reach(server: str) -> Iterator[Mapping[str, Any]]:
    """See that a server answers, whatever it says; without the key."""
    import requests

    try:
        requests.get(f"{server}/isAlive/ver", timeout=TIMEOUT_S, allow_redirects=False)
    except requests.Timeout:
        raise Refusal("unreachable", f"no answer within {TIMEOUT_S:.0f} s") from None
    except requests.exceptions.SSLError:
        raise Refusal("unreachable", "its certificate is not accepted, as where a proxy looks inside") from None
    except requests.RequestException as error:
        said = "the connection is refused" if "refused" in str(error) else "no connection can be made"
        raise Refusal("unreachable", said) from None
    yield {}


def _present() -> Iterator[Mapping[str, Any]]:
    """See that the server takes the key: it tells the account's workspaces."""
    import comet_ml

    comet_ml.API(cache=False).get_workspaces()
    yield {}


def _explain(error: Exception) -> tuple[str, str]:
    """Say what an exception means, without its text, which may quote the key or the address."""
    if isinstance(error, Refusal):
        return error.kind, str(error)
    if isinstance(error, ImportError):
        return "sdk", f"{type(error).__name__}: {error}"
    fault = fault_of(error)
    return fault.kind, WORDS.get(fault.kind, f"the SDK says {type(error).__name__}" + (f" (status {fault.status})" if fault.status else ""))
