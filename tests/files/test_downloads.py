"""A file that is given by its address is fetched when that is asked for, whole or not at all, and only what is a .safetensors file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections import namedtuple
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sdxl_lab.files.addresses import AddressError, canonical, file_of
from sdxl_lab.files.disk import DiskError
from sdxl_lab.files.downloads import fetch
from tests.support.file_server import Files, serving


def safetensors(size_bytes: int = 300_000, metadata: Any = ()) -> bytes:
    """
    A file of one tensor, by hand.
    """
    tensor = {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]}
    header = json.dumps({"__metadata__": dict(metadata), "w": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(number % 251 for number in range(size_bytes))


WHOLE = safetensors(metadata={"modelspec.license": "MIT"})


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A server, and an empty cache."""
    monkeypatch.setenv("SDXL_LAB_CACHE", str(tmp_path / "cache"))
    with serving(Files({"/a.safetensors": WHOLE})) as served:
        yield served


def kept(tmp_path: Path) -> list[Path]:
    """
    All .safetensors files in the cache.
    """
    return sorted((tmp_path / "cache").rglob("*.safetensors"))


def test_a_file_is_fetched_once(files, tmp_path):
    """
    Under its own name in a folder of its sha256, with what it says of its license; after that the address alone finds it.
    """
    address = f"{files.url}/a.safetensors"
    assert file_of(address) is None
    first, again = fetch(address), fetch(address)
    assert first.path.read_bytes() == WHOLE
    assert first.sha256 == first.path.parent.name == hashlib.sha256(WHOLE).hexdigest()
    assert (first.path.name, first.size_bytes, first.metadata) == ("a.safetensors", len(WHOLE), {"modelspec.license": "MIT"})
    assert (first.is_new, again.is_new, len(files.asked)) == (True, False, 1)
    assert file_of(f"{address}#anywhere") == first.path
    assert kept(tmp_path) == [first.path]


def test_the_answer_names_the_file(files):
    """
    Where the address does not, as Civitai's; no name leads out of its folder.
    """
    names = {
        'attachment; filename="nice v1.safetensors"': "nice v1.safetensors",
        'attachment; filename="../../x"': "x.safetensors",
        None: "7.safetensors",
    }
    for number, (told, name) in enumerate(names.items()):
        content = safetensors(1000 + number)
        files.content["/api/7"], files.headers["/api/7"] = content, {"Content-Disposition": told}
        path = fetch(f"{files.url}/api/7?n={number}").path
        assert (path.name, path.read_bytes()) == (name, content)


def test_what_broke_off_goes_on(files, tmp_path):
    """
    From the byte where it stopped, if it is the same file still; else from the beginning.
    """
    address = f"{files.url}/a.safetensors"
    files.broken_after["/a.safetensors"] = 100_000
    with pytest.raises(AddressError, match="broke off after 100000 bytes; run again with --fetch"):
        fetch(address)
    assert (file_of(address), kept(tmp_path)) == (None, [])
    assert fetch(address).path.read_bytes() == WHOLE
    assert files.asked[-1][1]["Range"] == "bytes=100000-"
    other = safetensors(200_000)
    files.content["/b.safetensors"], files.broken_after["/b.safetensors"] = WHOLE, 100_000
    with pytest.raises(AddressError):
        fetch(f"{files.url}/b.safetensors")
    files.content["/b.safetensors"], files.headers["/b.safetensors"] = other, {"ETag": '"two"'}
    for path in (tmp_path / "cache" / "fetched").glob("*.begun"):
        path.write_text(path.read_text().replace('\\"one\\"', '\\"zero\\"'))
    assert fetch(f"{files.url}/b.safetensors").path.read_bytes() == other


CHANGED: dict[str, tuple[int, str, dict[str, str | None]]] = {
    "of another state": (300_000, '"two"', {}),
    "longer": (400_000, '"one"', {}),
    "shorter than what came": (50_000, '"one"', {}),
    "of another part": (300_000, '"one"', {"Content-Range": "bytes 5-9/10"}),
}


@pytest.mark.parametrize("case", CHANGED)
def test_no_file_is_put_together_from_two(files, case):
    """
    A host that goes on with another file, whatever it was asked for, is asked from the beginning.
    """
    size_bytes, state, headers = CHANGED[case]
    other, address = safetensors(size_bytes, {"it": "is new"}), f"{files.url}/a.safetensors"
    files.broken_after["/a.safetensors"] = 100_000
    with pytest.raises(AddressError):
        fetch(address)
    files.content["/a.safetensors"], files.headers["/a.safetensors"] = other, {"ETag": state, **headers}
    files.ignores_if_range = True
    assert fetch(address).path.read_bytes() == other
    assert ["Range" in asked for _, asked in files.asked] == [False, True, False]


@pytest.mark.parametrize("method", ["read", "read1"])
def test_an_encrypted_connection_that_ends_is_no_fault_of_the_disk(files, monkeypatch, method):
    """
    Whatever ends it, and whether that is in the header or behind it; what came is gone on from.
    """
    address, whole = f"{files.url}/a.safetensors", getattr(HTTPResponse, method)

    def ended(answer: HTTPResponse, *_: Any) -> bytes:
        raise ssl.SSLEOFError(8, "EOF occurred in violation of protocol")

    monkeypatch.setattr(HTTPResponse, method, ended)
    with pytest.raises(AddressError, match=r"127\.0\.0\.1 broke off .*; run again with --fetch, which goes on from there"):
        fetch(address)
    monkeypatch.setattr(HTTPResponse, method, whole)
    assert fetch(address).path.read_bytes() == WHOLE


def test_a_name_is_no_longer_than_a_disk_takes(files):
    """
    In bytes, of which a letter may have four, and with its suffix.
    """
    for number, letter in enumerate("a星🐙"):
        path = f"/{number}.safetensors"
        files.content[path] = safetensors(1000 + number)
        files.headers[path] = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(letter * 200)}.safetensors"}
        name = fetch(f"{files.url}{path}").path.name
        assert name.endswith(f"{letter if letter.isalpha() else ''}.safetensors")
        assert len(name.encode()) <= 255


FETCH = "import sys; from sdxl_lab.files.downloads import fetch; print(fetch(sys.argv[1]).path)"


def test_a_killed_download_leaves_nothing_that_looks_whole(files, tmp_path):
    """
    And goes on in the next process.
    """
    files.content["/large.safetensors"] = large = safetensors(1_000_000)
    files.pause_s["/large.safetensors"] = 0.05
    address = f"{files.url}/large.safetensors"
    process = subprocess.Popen([sys.executable, "-c", FETCH, address], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not any(path.stat().st_size > 100_000 for path in (tmp_path / "cache").rglob("*.part")):
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (file_of(address), kept(tmp_path)) == (None, [])
    del files.pause_s["/large.safetensors"]
    assert fetch(address).path.read_bytes() == large
    assert "Range" in files.asked[-1][1]


def cut(content: bytes) -> bytes:
    """
    A file that its host has not whole.
    """
    return content[:-10]


ODD = b'{"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, NaN]}}'
REFUSED = {
    "a page": (b"<!doctype html>", {"Content-Type": "text/html; charset=utf-8"}, "answers with a page, not with a file"),
    "a pickle": (b"PK\x03\x04" + bytes(5000), {}, r"is no \.safetensors file"),
    "nothing": (b"", {}, r"is no \.safetensors file"),
    "half a header": (WHOLE[:40], {}, r"is no \.safetensors file"),
    "a header of another shape": (len(b"[[1]]").to_bytes(8, "little") + b"[[1]]", {}, r"is no \.safetensors file"),
    "lengths that are none": (len(ODD).to_bytes(8, "little") + ODD, {"Content-Length": None}, r"is no \.safetensors file"),
    "not whole there": (cut(WHOLE), {}, f"gives {len(WHOLE) - 10} bytes of a file that has {len(WHOLE)} by its own header"),
    "more than it says": (WHOLE + b"more", {}, "by its own header"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_such_file_is_refused_by_its_beginning(files, tmp_path, case):
    """
    Nothing is left of it.
    """
    content, headers, said = REFUSED[case]
    files.content["/x"], files.headers["/x"] = content, headers
    with pytest.raises(AddressError, match=said):
        fetch(f"{files.url}/x")
    assert kept(tmp_path) == []
    assert not list((tmp_path / "cache").rglob("*.part"))


ADDRESSES = {
    "http://example.org/a.safetensors": "without encryption",
    "https://example.org/a.safetensors?token=abcdef": r"holds a key \(token=\), which would be recorded; take it out$",
    "https://civitai.com/api/download/models/1?type=Model&token=abc": "put the key into the environment as CIVITAI_API_TOKEN",
    "https://me:word@huggingface.co/a/b/resolve/main/a.safetensors": "name or password before its @; .* as HF_TOKEN",
    "https://s3.example.org/a?X-Amz-Signature=abc": r"holds a key \(X-Amz-Signature=\)",
    "https://example.org": "no whole address of a file",
    "https://[::1/a": "no whole address",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_that_nothing_is_fetched_from_are_named_without_their_keys(address):
    """
    What is not encrypted, and what holds a key, which records would repeat.
    """
    with pytest.raises(AddressError, match=ADDRESSES[address]) as caught:
        fetch(address)
    assert not any(word in str(caught.value) for word in ("abc", "me:", "word@"))


def test_the_hubs_page_of_a_file_is_its_file():
    """
    People copy the address of the page; the file's differs in one word.
    """
    assert canonical("https://HuggingFace.co/a/b/blob/main/c.safetensors?x=1#y") == "https://huggingface.co/a/b/resolve/main/c.safetensors?x=1"
    assert canonical("https://example.org/blob/c.safetensors") == "https://example.org/blob/c.safetensors"


def test_nobody_is_led_to_where_nothing_is_encrypted(files):
    """
    On this machine an address may lead on; elsewhere only to https.
    """
    files.redirects |= {"/here": f"{files.url}/a.safetensors", "/away": "http://example.org/a.safetensors", "/file": "file:///etc/passwd"}
    assert fetch(f"{files.url}/here").path.read_bytes() == WHOLE
    with pytest.raises(AddressError, match="leads on to an address without encryption"):
        fetch(f"{files.url}/away")
    with pytest.raises(AddressError):
        fetch(f"{files.url}/file")


def test_a_key_is_told_to_its_own_host_alone(files, monkeypatch):
    """
    As a header, from the environment, and not where an address leads on to.
    """
    from sdxl_lab.files import addresses

    monkeypatch.setitem(addresses.TOKENS, "localhost", "SOME_KEY")
    monkeypatch.setenv("SOME_KEY", "s3cr3t")
    files.redirects["/here"] = f"{files.url}/a.safetensors"
    fetch(f"{files.url.replace('127.0.0.1', 'localhost')}/here")
    assert [headers.get("Authorization") for _, headers in files.asked] == ["Bearer s3cr3t", None]


def test_a_key_that_cannot_be_sent_is_named_by_its_variable(files, monkeypatch):
    """
    One with letters that no key has was copied badly; nothing of it is repeated.
    """
    from sdxl_lab.files import addresses

    monkeypatch.setitem(addresses.TOKENS, "127.0.0.1", "SOME_KEY")
    monkeypatch.setenv("SOME_KEY", "s3cr…t")
    with pytest.raises(AddressError, match="SOME_KEY has characters that no key has; copy it again") as caught:
        fetch(f"{files.url}/a.safetensors")
    assert "s3cr" not in str(caught.value)
    assert files.asked == []


def test_an_address_that_leads_nowhere_is_told(files):
    """
    Where a host leads on to something that is no address.
    """
    files.redirects |= {"/here": "https://..x/a", "/there": "https://[::1/a"}
    for path in files.redirects:
        with pytest.raises(AddressError, match=r"127\.0\.0\.1 (leads on to what is no address|cannot be reached)"):
            fetch(f"{files.url}{path}")


def test_a_disk_without_room_takes_nothing(files, tmp_path, monkeypatch):
    """
    As the header says how long the file is, nothing more of it comes.
    """
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 10, 1000))
    with pytest.raises(DiskError, match=r"has 0\.00 GB free; free some space, or set SDXL_LAB_CACHE"):
        fetch(f"{files.url}/a.safetensors")
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_host_that_has_nothing_is_named(files):
    """
    With its status, or why it was not reached.
    """
    with pytest.raises(AddressError, match=r"127\.0\.0\.1 has no such file, .*status 404"):
        fetch(f"{files.url}/nothing.safetensors")
    with pytest.raises(AddressError, match="cannot be reached"):
        fetch("http://127.0.0.1:9/a.safetensors")
