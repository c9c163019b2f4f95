"""Addresses of single files, as people copy them from a page: which are allowed, and where what was fetched from one lies."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from sdxl_lab.errors import LabError
from sdxl_lab.files.digests import cache_folder

LOOPBACK = ("127.0.0.1", "localhost", "::1")
HUB = ("huggingface.co", "hf.co")
TOKENS = {"huggingface.co": "HF_TOKEN", "hf.co": "HF_TOKEN", "civitai.com": "CIVITAI_API_TOKEN"}
"""By the host that asks for one, the environment variable that holds a person's key."""

_SECRET = re.compile(
    r"(?i:token|secret|signature|credential|passw|jwt|hmac|^x-(?:amz|goog)-)|(?i:key)(?![a-z])|(?:(?<![A-Za-z])|(?=[A-Z]))(?i:sig|auth|pass|pwd|policy|expires)(?![a-z])"
)
"""What names of people's keys have in them: a part that means nothing else, or a word of its own, after a mark or a capital."""

_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*")
_UNWRITTEN = re.compile(r"[^!-~]+")
"""What stands in no address as it is sent: spaces, and letters beyond ASCII."""


class AddressError(LabError):
    """An address that nothing is fetched from."""


def is_address(written: str) -> bool:
    """Whether a text is the address of something on the net."""
    return written[:8].lower().startswith(("https://", "http://"))


def canonical(written: str) -> str:
    """The address of a file, as it is recorded; one of the hub's page for a file becomes that of the file.

    Args:
        written: As somebody wrote it.

    Returns:
        It, without what leads to a place in a page.

    Raises:
        AddressError: It is not encrypted, or holds a key. Does not repeat it.
    """
    try:
        parts = urlsplit(written.strip())
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
        path, query = (_UNWRITTEN.sub(lambda odd: quote(odd[0]), text) for text in (parts.path, parts.query))
    except ValueError:  # a UnicodeError too
        host, port, path, query, parts = "", None, "", "", urlsplit("")
    if port == 0 or not _HOST.fullmatch(host) or len(path) < 2:
        raise AddressError("it is no whole address of a file; copy it again from the page that offers the file")
    if parts.username is not None or parts.password is not None:
        raise AddressError(f"the address holds a name or password before its @; take it out{_instead(host)}")
    if secret := _key_in(parts):
        raise AddressError(f"the address holds a key ({secret}=), which would be recorded; take it out{_instead(host)}")
    if parts.scheme.lower() != "https" and host not in LOOPBACK:
        raise AddressError("it is an address without encryption (http:); write https://, and nothing is fetched otherwise")
    path = path.replace("/blob/", "/resolve/", 1) if host in HUB else path
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    return urlunsplit((parts.scheme.lower(), place, path, query, ""))


def name_in(address: str) -> str:
    """What a file is called by its address, which may name another than what then comes.

    Args:
        address: One that `is_address`, as somebody wrote it.

    Returns:
        The last part of its path; empty if it has none.
    """
    try:
        return unquote(urlsplit(address.strip()).path).rstrip("/").rpartition("/")[2]
    except ValueError:
        return ""


def holds_key(written: str) -> bool:
    """Whether a text is an address with a key in it, before its host or behind it."""
    try:
        parts = urlsplit(written.strip())
    except ValueError:
        return False
    return is_address(written.strip()) and ("@" in parts.netloc or _key_in(parts) is not None)


def file_of(written: str) -> Path | None:
    """The file that was fetched from an address, if it lies in the user's cache folder.

    Args:
        written: The address.

    Raises:
        AddressError: As in `canonical`.
    """
    address = canonical(written)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(entry(address).read_text("utf-8"))
        file = folder() / known["sha256"] / known["name"]
        if file.parent.parent == folder() and file.stat().st_size == known["size_bytes"]:
            return file
    return None


def folder() -> Path:
    """Where what was fetched lies: each file in a folder named by its sha256, under its own name."""
    return cache_folder() / "fetched"


def entry(address: str) -> Path:
    """Where it is kept which file an address brought."""
    return folder() / f"{hashlib.sha256(address.encode()).hexdigest()}.json"


def _key_in(parts: SplitResult) -> str | None:
    """The name in an address that people's keys have."""
    return next((name for name in _names_in(parts) if _SECRET.search(name)), None)


def _names_in(parts: SplitResult) -> Iterator[str]:
    """Of its query, of what follows a semicolon in its path, and of what follows a number sign."""
    in_path = (text for step in parts.path.split("/") for text in step.split(";")[1:])
    for text in (*in_path, *re.split("[;&]", parts.query), *re.split("[;&]", parts.fragment)):
        name, equals, _ = text.partition("=")
        if equals:
            yield unquote(name)


def token_variable(host: str) -> str | None:
    """The environment variable whose key a host asks for; None of hosts that are not known here."""
    return next((variable for name, variable in TOKENS.items() if host == name or host.endswith(f".{name}")), None)


def _instead(host: str) -> str:
    variable = token_variable(host)
    return f", and put the key into the environment as {variable}" if variable else ""
