import json
from typing import Any

import pytest

from sdxl_lab.comet import CometError
from sdxl_lab.comet.listing import DIGEST_KEY, LIMIT_VARIABLE, read_listing, unfit
from sdxl_lab.files.digests import digest_of_listing

SHA256 = "0123456789abcdef" * 4


def listed(name: object, size: object = 10, **fields: Any) -> dict[str, Any]:
    """One file as the server lists it."""
    return {"fileName": name, "fileSize": size, "assetId": "a", "link": None, "remote": False, "metadata": None} | fields


METADATA = listed("metadata.json")

HOSTILE = {
    "parent": ("../x", "leads out"),
    "parent inside": ("images/../../x", "leads out"),
    "only dots": ("..", "leads out"),
    "absolute": ("/etc/passwd", "absolute"),
    "drive": ("C:/x.png", "absolute"),
    "drive without slash": ("c:x.png", "absolute"),
    "share": ("\\\\server\\x", "absolute"),
    "home": ("~/x", "absolute"),
    "backslashes": ("images\\x.png", "not every system"),
    "backslashes up": ("..\\x", "not every system"),
    "empty": ("", "not empty"),
    "empty part": ("images//x.png", "empty part"),
    "folder": ("images/", "empty part"),
    "same folder": ("./x", "empty part"),
    "newline": ("a\nb", "control character"),
    "null": ("a\0b", "control character"),
    "escape": ("a\x1b[2Jb", "control character"),
    "line separator": ("a\u2028b", "control character"),
    "half a character": ("a\ud800", "half a character"),
    "stream of another file": ("a.png:x", "not every system"),
    "device": ("images/NUL", "device"),
    "device with an extension": ("aux.png", "device"),
    "device in superscript": ("com¹.png", "device"),
    "space at the end": ("x.png ", "begins or ends with a space"),
    "dot at the end": ("images./x.png", "begins or ends with a space"),
    "long part": ("é" * 128, "256 bytes"),
    "long path": ("/".join(["a" * 100] * 11), "1110 bytes"),
    "our record": (".Digest.json", "keeps for itself"),
    "our lock": (".lock", "keeps for itself"),
    "our leftovers": ("a/.unfinished-1", "keeps for itself"),
    "number": (7, "must be a text"),
    "nothing": (None, "must be a text"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_names_that_lead_out_or_cannot_stand_everywhere_are_refused(case):
    """
    A name that could leave the folder, or that some system would change, refuses the whole listing, and is named.
    """
    name, message = HOSTILE[case]
    with pytest.raises(CometError, match=message):
        read_listing([METADATA, listed(name)], None)


@pytest.mark.parametrize("name", ["images/x.png", "a b/ü 魚 🐟.png", "a" * 196 + ".png", "e\u0301.png", "...x", ".hidden/x", "cone.png"])
def test_odd_but_harmless_names_are_taken(name):
    """
    Spaces, accents, other scripts and 200 characters are no reason to refuse a file.
    """
    assert unfit(name) is None
    assert name in [file.path for file in read_listing([METADATA, listed(name)], None)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("images/Octopus.png", "images/octopus.png"),
        ("Images/a.png", "images/b.png"),
        ("caf\u00e9.png", "cafe\u0301.png"),
        ("stra\u00dfe.png", "STRASSE.png"),
        ("a.png", "a.png"),
        ("images", "images/a.png"),
        ("images/a.png", "images"),
    ],
)
def test_names_that_are_one_file_somewhere_are_refused(first, second):
    """
    Two names that differ in case or in the way accents are written, a name listed twice, and a file that is also a folder are refused.
    """
    with pytest.raises(CometError, match=r"the same name but for case|listed twice|both a file and a folder"):
        read_listing([METADATA, listed(first), listed(second)], None)


CLAIMS = {
    "10 GB": (listed("x", 10_000_000_000), "claims 10,000,000,010 bytes; allowed are 4,000,000,000: set SDXL_LAB_DATASET_GB"),
    "negative size": (listed("x", -1), "must be a number of bytes, got -1"),
    "size as text": (listed("x", "10"), "must be a number of bytes, got '10'"),
    "no size": (listed("x", None), "must be a number of bytes"),
    "true as size": (listed("x", True), "must be a number of bytes, got True"),
    "link elsewhere": (listed("x", remote=True, link="s3://bucket/x"), "a link to 's3://bucket/x'"),
    "link, said the old way": ({key: value for key, value in listed("x", link="/etc/passwd").items() if key != "remote"}, "a link to '/etc/passwd'"),
    "no id": (listed("x", assetId=None), "no id"),
    "odd sha256": (listed("x", metadata={"sha256": "AB"}), "64 hexadecimal digits, got 'AB'"),
    "no object": ("x", "not the description of a file"),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_claims_that_cannot_be_believed_are_refused(case):
    """
    Sizes that are none or too much, content that lies elsewhere, and checksums that are none refuse the listing.
    """
    entry, message = CLAIMS[case]
    with pytest.raises(CometError, match=message):
        read_listing([METADATA, entry], None)


def test_the_limit_is_the_users(monkeypatch):
    """
    SDXL_LAB_DATASET_GB raises or lowers what a listing may claim; a value that is no number is refused.
    """
    large = [METADATA, listed("x", 10_000_000_000)]
    monkeypatch.setenv(LIMIT_VARIABLE, "10.5")
    assert len(read_listing(large, None)) == 2
    monkeypatch.setenv(LIMIT_VARIABLE, "lots")
    with pytest.raises(CometError, match="positive number of gigabytes, got 'lots'"):
        read_listing(large, None)


@pytest.mark.parametrize("files", [None, "x", {"files": []}, [METADATA] * 100_001, [], [listed("image.png")]])
def test_listings_that_are_no_dataset_are_refused(files):
    """
    What is no list, lists too many files or lacks metadata.json is refused.
    """
    with pytest.raises(CometError, match=r"must be a list|100,001 files|no metadata\.json"):
        read_listing(files, None)


def test_all_names_at_fault_are_listed_up_to_ten():
    """
    One error names the files at fault, and says how many more there are.
    """
    with pytest.raises(CometError) as caught:
        read_listing([METADATA, *(listed(f"../{number}") for number in range(14))], None)
    assert [f"'../{number}'" in str(caught.value) for number in range(14)] == [True] * 10 + [False] * 4
    assert "... and 4 more" in str(caught.value)


def test_a_published_listing_is_whole_or_refused():
    """
    With a digest in the version's metadata, exactly the files that it was made of are taken: none missing, added, renamed or changed.
    """
    files = [listed(name, metadata=json.dumps({"sha256": SHA256})) for name in ("metadata.json", "a.png", "b.png")]
    metadata = json.dumps({DIGEST_KEY: digest_of_listing((file["fileName"], SHA256) for file in files)})
    assert [file.path for file in read_listing(files, metadata)] == ["a.png", "b.png", "metadata.json"]
    other = json.dumps({"sha256": SHA256[::-1]})
    added = listed("c.png", metadata=json.dumps({"sha256": SHA256}))
    for unlike in (files[:2], [*files, added], [*files[:2], added], [*files[:2], files[2] | {"metadata": other}], [*files[:2], listed("b.png")]):
        with pytest.raises(CometError, match="not those that were published"):
            read_listing(unlike, metadata)


def test_a_listing_without_file_metadata_is_left_to_the_files():
    """
    Where the server lists no sha256 at all, names and sizes are taken, and the digest is compared once the files are here.
    """
    assert len(read_listing([METADATA, listed("a.png")], {DIGEST_KEY: SHA256})) == 2


def test_a_cut_name_is_whole_in_the_files_metadata():
    """
    The path in a file's metadata goes before the listed name, and is checked like it.
    """
    long = "images/" + "x" * 150 + ".png"
    assert read_listing([METADATA, listed("1-xxx.png", metadata={"path": long})], None)[0].path == long
    with pytest.raises(CometError, match="leads out"):
        read_listing([METADATA, listed("1-xxx.png", metadata={"path": "../x"})], None)
