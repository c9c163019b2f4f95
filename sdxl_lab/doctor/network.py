"""The hub of models and Comet: whether they answer. No token is sent to the hub, and a key only to the Comet that it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from sdxl_lab.comet.errors import causes
from sdxl_lab.doctor.findings import Finding, attention, broken, ok

_T = TypeVar("_T")

TIMEOUT_S = 5.0

ALONE = "what is here already still works: pocket, folders, files, and what the hub's cache holds"


def hub(_: str | None) -> Iterator[Finding]:
    """Whether the hub answers to a question about SDXL, which it does without an account."""
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    from sdxl_lab.families.sdxl import BASE

    which = "the hub" if constants.ENDPOINT == constants._HF_DEFAULT_ENDPOINT else "the hub that HF_ENDPOINT names"
    token = "a token is there" if get_token() else "no token is there, which only gated and private models ask for"
    try:
        _in_time(lambda: HfApi(token=False).model_info(BASE, timeout=TIMEOUT_S))
    except OfflineModeIsEnabled:
        yield attention("hub", f"not asked, since HF_HUB_OFFLINE is set; {ALONE}", "unset HF_HUB_OFFLINE to download")
    except HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        yield attention("hub", f"{which} answers, but gives no SDXL (status {status}); {ALONE}", "see which hub HF_ENDPOINT names, and what it holds")
    except Exception as error:  # noqa: BLE001 - its client's exceptions are those of its HTTP library, httpx or a fork of it
        yield attention("hub", f"{which} cannot be reached: {reason(error)}; {ALONE}", "connect, or let HTTPS_PROXY or HF_ENDPOINT name the way")
    else:
        yield ok("hub", f"{which} answers; {token}")


def comet(_: str | None) -> Iterator[Finding]:
    """Whether Comet's SDK can be imported, Comet answers, and takes the key, if there is one."""
    from sdxl_lab.comet.greeting import greet

    greeting = greet()
    which = f"the SDK is {greeting.version}; {'Comet' if greeting.is_cloud else 'the Comet that COMET_URL_OVERRIDE names'}"
    later = "sdxl-lab push sends runs later"
    if greeting.fault == "sdk":
        yield broken("comet", f"its SDK does not work: {greeting.said}", "pip install --force-reinstall comet_ml")
    elif greeting.fault == "key":
        yield broken("comet", f"{which} refuses the API key", "make a new key in Comet's settings, and run comet login")
    elif greeting.fault:
        key = "" if greeting.has_key else "; there is no API key"
        yield attention("comet", f"{which} cannot be reached: {greeting.said}{key}; {later}", "connect, or let HTTPS_PROXY name the way")
    elif not greeting.has_key:
        yield ok("comet", f"{which} answers; there is no API key, so that auto tracks nothing online, and {later}")
    else:
        yield ok("comet", f"{which} answers and takes the API key")


def _in_time(ask: Callable[[], _T]) -> _T:
    """What is answered within the time; looking up a name, which no library's timeout ends, counts too."""
    answer: Future[_T] = Future()

    def settle() -> None:
        try:
            answer.set_result(ask())
        except Exception as error:  # noqa: BLE001 - it is raised below
            answer.set_exception(error)

    Thread(target=settle, daemon=True).start()
    return answer.result(TIMEOUT_S)


def reason(error: BaseException) -> str:
    """Why somebody cannot be reached, without addresses, which the texts of such errors hold."""
    names = {kind.__name__ for cause in causes(error) for kind in type(cause).__mro__}
    texts = " ".join(str(cause) for cause in causes(error))
    if "ConnectionRefusedError" in names or "refused" in texts:
        return "the connection is refused"
    if "gaierror" in names or "Name or service" in texts or "name resolution" in texts:
        return "its name cannot be looked up"
    if "SSLError" in names or "CERTIFICATE" in texts.upper():
        return "its certificate is not accepted, as where a proxy looks inside"
    if any("Timeout" in name for name in names):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if any("Proxy" in name for name in names):
        return "the proxy does not let it through"
    return type(error).__name__
