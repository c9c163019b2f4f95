"""What is an address: written in the one way in which it is recorded, and refused where it holds a key, in whatever way it is written."""

from __future__ import annotations

import contextlib
import random
import re
from urllib.parse import urlsplit

import pytest

from sdxl_lab.files.addresses import AddressError, canonical, holds_key, name_in
from sdxl_lab.settings.credentials import looks_secret

WITH_KEYS = [
    "?X-Goog-Credential=a",
    "?X-Goog-Signature=a",
    "?X-Amz-Date=a",
    "?AWSAccessKeyId=1",
    "?hf_token=a",
    "?download_token=a",
    "?client_secret=a",
    "?api-key=a",
    "?jwt=a",
    "?Key-Pair-Id=a",
    "?authKey=a",
    "?oauth_signature=a",
    "?user_pass=a",
    "?%74oken=a",
    "?x=1;token=a",
    "?x=1&Token=a",
    ";token=a",
    ";v=1;sig=a?x=1",
    "#token=a",
]
WITHOUT = [
    "?type=Model&format=SafeTensor&size=pruned&fp=fp16",
    "?download=true",
    "?author=me&design=2&passage=3&keyword=x",
    ";v=1",
    "#token",
    "?token",
]


@pytest.mark.parametrize("end", WITH_KEYS)
def test_a_key_is_found_by_its_name(end):
    """
    Wherever it stands behind the host, however its name is spelled: nothing is fetched, and parameters that hold it are refused.
    """
    address = f"https://example.org/a.safetensors{end}"
    with pytest.raises(AddressError, match=r"holds a key \(.+=\), which would be recorded; take it out$"):
        canonical(address)
    assert looks_secret(address)
    assert looks_secret(f" {address}")


@pytest.mark.parametrize("end", WITHOUT)
def test_other_names_are_no_keys(end):
    """
    Words that only begin or end like one are not.
    """
    address = f"https://example.org/a.safetensors{end}"
    assert canonical(address) == address.partition("#")[0]
    assert not holds_key(address)


SENT = {
    "https://h.org/ä b.safetensors": "https://h.org/%C3%A4%20b.safetensors",
    "https://h.org/%C3%A4%20b.safetensors": "https://h.org/%C3%A4%20b.safetensors",
    " https://h.org/a.safetensors?v=é ": "https://h.org/a.safetensors?v=%C3%A9",
    "https://bücher.de/a.safetensors": "https://xn--bcher-kva.de/a.safetensors",
    "HTTPS://H.ORG:8443/A.safetensors": "https://h.org:8443/A.safetensors",
    "http://[::1]:80/a.safetensors": "http://[::1]:80/a.safetensors",
}


@pytest.mark.parametrize("written", SENT)
def test_an_address_is_written_as_it_is_sent(written):
    """
    By RFC 3986 and RFC 3490, once: what is written so already stays.
    """
    assert canonical(written) == SENT[written] == canonical(SENT[written])


@pytest.mark.parametrize(
    "written", ["https://ex ample/f", "https://..h/f", f"https://{'a' * 70}.org/f", "https://h:99999/f", "https://h/\ud800", "https://a\uff0fb/c"]
)
def test_what_no_host_is_called_is_refused(written):
    """
    In one sentence, before anything is asked for.
    """
    with pytest.raises(AddressError, match="no whole address of a file"):
        canonical(written)


def test_any_text_is_an_address_or_refused():
    """
    Of random ones each is refused in one sentence, or becomes printable ASCII that stays as it is, without a key.
    """
    rng, pieces = (
        random.Random(4),
        [*"hH./:@?#;&=%[]\\ \n\t\0é漢\uff0f\ud800~", "https://", "http://", "token", "..", "127.0.0.1", "ab.org", "%41", "xn--", ":80"],
    )
    known = 0
    for _ in range(3000):
        written = "https://"[: rng.choice([0, 8, 8, 8])] + "".join(rng.choices(pieces, k=rng.randint(0, 9)))
        assert holds_key(written) in (True, False)
        assert isinstance(name_in(written), str)
        with contextlib.suppress(AddressError):
            address = canonical(written)
            assert re.fullmatch("[!-~]+", address)
            assert canonical(address) == address
            assert not holds_key(address)
            assert urlsplit(address).hostname
            known += 1
    assert known > 100
