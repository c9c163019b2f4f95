"""Whether Comet answers, and takes the key: asked by a worker, which sends the key nowhere but to the server that it is set for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sdxl_lab.comet import account
from sdxl_lab.comet.dialogue import Refusal, talking

SILENCE_S = 60.0
"""For importing the SDK, on a disk that is slow."""

ANSWER_S = 5.0
"""For an answer. Looking up a name, which no library's timeout ends, counts too."""

BRIEF = {"COMET_HTTP_SESSION_RETRY_TOTAL": "1", "COMET_TIMEOUT_HTTP": "5", "COMET_TIMEOUT_API": "5"}
"""For the SDK, which else tries for minutes."""


@dataclass(frozen=True, kw_only=True)
class Greeting:
    """How Comet answered.

    Attributes:
        version: Of the SDK.
        has_key: Whether there is a key.
        is_cloud: Whether it is Comet's own server.
        fault: `key`, which is refused; `sdk`, which does not work; any other word where nothing answers. Empty if all is well.
        said: The fault in words that hold no secret and no address.
    """

    version: str
    has_key: bool
    is_cloud: bool
    fault: str = ""
    said: str = ""


def greet() -> Greeting:
    """Ask Comet whether it is there, first without the key.

    Raises:
        CometError: The worker cannot be started.
    """
    has_key, is_cloud = account.has_key(), account.server() == account.CLOUD.rstrip("/")
    version = ""
    known: Mapping[str, str] = account.account() if has_key else {}
    with talking("sdxl_lab.comet.greeting_worker", {**BRIEF, **known}) as worker:
        try:
            version = worker.answer("import", silence_s=SILENCE_S)["version"]
            worker.answer("reach", silence_s=ANSWER_S, server=account.server())
            if has_key:
                worker.answer("present", silence_s=ANSWER_S)
        except Refusal as refusal:
            fault = refusal.kind if version else "sdk"
            said = f"no answer within {ANSWER_S:.0f} s" if version and fault == "silent" else str(refusal)
            return Greeting(version=version, has_key=has_key, is_cloud=is_cloud, fault=fault, said=said)
    return Greeting(version=version, has_key=has_key, is_cloud=is_cloud)
