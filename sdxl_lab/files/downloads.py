"""A .safetensors file from its address, whole or not at all: its header is looked at before the rest is fetched, and a broken download goes on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from sdxl_lab import progress
from sdxl_lab.files import addresses, disk
from sdxl_lab.files.addresses import AddressError
from sdxl_lab.files.locks import locked

TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 20
LONGEST_HEADER_BYTES = 100_000_000
"""More safetensors itself does not read."""

SPARE_BYTES = 1 << 28
"""What is to be free on the disk when the file is there."""

SUFFIX = ".safetensors"
LONGEST_NAME_BYTES = 120
"""Of a file's name before its suffix, in UTF-8, of which file systems take 255 bytes."""

_NAME = re.compile(r"[^\w.()+ -]+")


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file that came from an address.

    Attributes:
        path: Where it is.
        size_bytes: Its size.
        sha256: Of its content, 64 hexadecimal digits.
        metadata: What whoever wrote it says in it.
        is_new: Whether it came now; else it was here.
    """

    path: Path
    size_bytes: int
    sha256: str
    metadata: Mapping[str, str]
    is_new: bool


def fetch(written: str) -> Fetched:
    """Bring the file of an address into the user's cache folder, unless it is there.

    Args:
        written: The address: https, or http of this machine. A key for the host is taken from the environment, as `addresses.TOKENS` names it.

    Raises:
        AddressError: It is not allowed, gives no .safetensors file, or breaks off: what came stays for the next time. Says what to do.
        DiskError: The disk has no room for it, or takes no files.
        LockError: Another process fetches it.
    """
    address = addresses.canonical(written)
    disk.make_folder(addresses.folder())
    part = addresses.entry(address).with_suffix(".part")
    with locked(addresses.folder(), f"{part.stem}.lock"):
        here = addresses.file_of(address)
        return _described(here, is_new=False) if here else _kept(address, part)


def _kept(address: str, part: Path) -> Fetched:
    """Give a file that came whole its place, and note last of all that it is there."""
    name = _download(address, part)
    with part.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    place = addresses.folder() / sha256 / name
    disk.make_folder(place.parent)
    try:
        part.replace(place)
    except OSError as error:
        raise disk.unwritten(place, error) from error
    known = {"address": address, "name": name, "sha256": sha256, "size_bytes": place.stat().st_size}
    disk.write_whole(addresses.entry(address), json.dumps(known, indent=2).encode())
    _notes_of(part).unlink(missing_ok=True)
    return _described(place, is_new=True)


class _ChangedError(Exception):
    """What a host would go on with is not the file that came in part."""


def _download(address: str, part: Path) -> str:
    """Fetch a file, or the rest of it; what it is called."""
    try:
        return _rest_of(address, part)
    except _ChangedError:
        part.unlink(missing_ok=True)
        return _rest_of(address, part)


def _rest_of(address: str, part: Path) -> str:
    begun, notes = _begun(part)
    if begun and begun == notes["size_bytes"]:
        return notes["name"]
    with _answer(address, {"Range": f"bytes={begun}-", "If-Range": notes["state"]} if begun else {}) as answer:
        if answer.status != 206:
            notes = _begin(answer, address, part)
        elif not begun:
            raise AddressError(f"{urlsplit(address).hostname} gives a part of the file, unasked; try again later, or look for the file elsewhere")
        elif not _goes_on(answer.headers, begun, notes):
            raise _ChangedError
        try:
            with part.open("ab") as file:
                _take_rest(answer, file, notes)
                file.flush()
                os.fsync(file.fileno())
        except ConnectionError:
            raise _broken(address, part) from None
        except OSError as error:
            raise disk.unwritten(part, error, notes["size_bytes"]) from error
    if part.stat().st_size != notes["size_bytes"]:
        raise _broken(address, part)
    return notes["name"]


def _begun(part: Path) -> tuple[int, dict[str, Any]]:
    """How much of a file came before, and what is known of it: of one that may have changed since, nothing came."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        notes = json.loads(_notes_of(part).read_text("utf-8"))
        if notes["state"] and 0 < part.stat().st_size <= notes["size_bytes"]:
            return part.stat().st_size, notes
    return 0, {}


def _begin(answer: HTTPResponse, address: str, part: Path) -> dict[str, Any]:
    """See by a file's header that it is one, as long as it says and not too long for the disk, before the rest of it is fetched."""
    host = urlsplit(address).hostname
    if "html" in answer.headers.get("Content-Type", "").lower():
        raise AddressError(f"{host} answers with a page, not with a file: copy the address of the download itself{_login(address)}")
    first = _piece(answer.read, 8)
    count = int.from_bytes(first, "little")
    header = _piece(answer.read, count) if len(first) == 8 and 1 < count <= LONGEST_HEADER_BYTES else b""
    try:
        described = json.loads(header)
        ends = [about["data_offsets"][1] for name, about in described.items() if name != "__metadata__"]
        if not all(type(end) is int and end >= 0 for end in ends):
            raise ValueError
        size_bytes = 8 + count + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise AddressError(f"what {host} has there is no .safetensors file, and only such are fetched; look for another file of it") from None
    length = answer.headers.get("Content-Length", "")
    if length.isdecimal() and length.lstrip("0") != str(size_bytes):
        raise AddressError(f"{host} gives {length} bytes of a file that has {size_bytes} by its own header; it is not whole there: look for another")
    free_bytes = shutil.disk_usage(addresses.folder()).free
    if free_bytes < size_bytes + SPARE_BYTES:
        raise disk.DiskError(
            f"the file has {size_bytes / 1e9:.2f} GB, and the disk of {addresses.folder()} has {free_bytes / 1e9:.2f} GB free; free some space, or "
            "set SDXL_LAB_CACHE to a folder on another disk"
        )
    notes = {"name": _name_of(address, answer.headers), "size_bytes": size_bytes, "state": _state_of(answer.headers)}
    disk.write_whole(part, first + header)
    disk.write_whole(_notes_of(part), json.dumps(notes).encode())
    return notes


def _take_rest(answer: HTTPResponse, file: BinaryIO, notes: Mapping[str, Any]) -> None:
    done, total = file.tell(), notes["size_bytes"]
    while done < total and (chunk := _piece(answer.read1, min(CHUNK_BYTES, total - done))):
        file.write(chunk)
        done += len(chunk)
        progress.tell(f"downloading {notes['name']}", done=done, total=total, unit="B")


def _piece(read: Callable[[int], bytes], most: int) -> bytes:
    """What comes next. Whatever goes wrong there is the connection's fault, and none of the disk's."""
    try:
        return read(most)
    except (HTTPException, OSError) as error:
        raise ConnectionError(str(error) or type(error).__name__) from error


def _notes_of(part: Path) -> Path:
    return part.with_suffix(".begun")


class _Encrypted(HTTPRedirectHandler):
    """Follows a redirection to where an address is allowed, and tells a key to nobody but the host it is for."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        parts = urlsplit(newurl)
        is_own = {parts.hostname, urlsplit(req.full_url).hostname} <= set(addresses.LOOPBACK)
        if parts.scheme != "https" and not is_own:
            raise AddressError(f"{req.host} leads on to an address without encryption ({parts.scheme}:); nothing is fetched from there")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def _answer(address: str, headers: Mapping[str, str]) -> Iterator[HTTPResponse]:
    host = urlsplit(address).hostname or ""
    request = Request(address, headers={"User-Agent": "sdxl-lab", "Accept-Encoding": "identity", **headers})
    variable = addresses.token_variable(host)
    if variable and (token := os.environ.get(variable, "").strip()):
        if not re.fullmatch("[!-~]+", token):
            raise AddressError(f"the environment's {variable} has characters that no key has; copy it again from {host}")
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with build_opener(_Encrypted).open(request, timeout=TIMEOUT_S) as answer:
            yield answer
    except HTTPError as error:
        error.close()
        if error.code == 416 and "Range" in headers:
            raise _ChangedError from error
        if error.code in (401, 403):
            raise AddressError(f"{host} does not give the file away (status {error.code}){_login(address)}") from error
        raise AddressError(f"{host} has no such file, or cannot give it now (status {error.code}); check the address") from error
    except URLError as error:
        raise AddressError(f"{host} cannot be reached ({error.reason}); connect, or check the address") from error
    except (HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        raise AddressError(f"{host} broke off ({error or type(error).__name__}); run again with --fetch, which goes on from there") from error
    except ValueError as error:  # of urllib and of the codec for hosts: where it leads on to
        raise AddressError(f"{host} leads on to what is no address ({error}); look for the file elsewhere") from error


def _broken(address: str, part: Path) -> AddressError:
    came = part.stat().st_size if part.is_file() else 0
    return AddressError(f"{urlsplit(address).hostname} broke off after {came} bytes; run again with --fetch, which goes on from there")


def _login(address: str) -> str:
    variable = addresses.token_variable(urlsplit(address).hostname or "")
    if not variable:
        return ""
    state = "is not taken there" if os.environ.get(variable) else "is not set"
    return f"; it may ask for a key of yours: {variable} {state} in the environment"


def _state_of(headers: Message) -> str:
    """By what a host tells whether a file is the same still; empty if it does not."""
    state = headers.get("ETag") or headers.get("Last-Modified") or ""
    return state if re.fullmatch("[ -~]*", state) and not state.startswith("W/") else ""


def _goes_on(headers: Message, begun: int, notes: Mapping[str, Any]) -> bool:
    """Whether a part that comes is what is still to come, and of the same file."""
    match = re.match(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
    if match is None or match[1] != str(begun):
        return False
    return match[2] in ("*", str(notes["size_bytes"])) and _state_of(headers) in ("", notes["state"])


def _name_of(address: str, headers: Message) -> str:
    """What the file is called: as the answer says, else as the address ends."""
    told = headers.get_filename() or addresses.name_in(address)
    name = _NAME.sub("_", re.split(r"[\\/]", told)[-1]).strip(". ")
    stem = name[: -len(SUFFIX)] if name.lower().endswith(SUFFIX) else name
    return (stem.encode()[-LONGEST_NAME_BYTES:].decode(errors="ignore").strip(". ") or "file") + SUFFIX


def _described(path: Path, *, is_new: bool) -> Fetched:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    metadata = header.get("__metadata__")
    return Fetched(
        path=path,
        size_bytes=path.stat().st_size,
        sha256=path.parent.name,
        metadata=metadata if isinstance(metadata, dict) else {},
        is_new=is_new,
    )
