"""What an artifact's listing claims, believed only after it was checked: names that stay inside, sizes, sha256."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdxl_lab.comet.errors import CometError
from sdxl_lab.files.digests import digest_of_listing
from sdxl_lab.files.disk import TEMPORARY

METADATA = "metadata.json"
DIGEST_FILE = ".digest.json"
"""Beside the files of a fetched artifact: which version it is, and the sha256 of each file."""
DIGEST_KEY = "sdxl_lab_digest"
"""In a version's metadata: the dataset's digest, which names every file and its content."""
LIMIT_VARIABLE = "SDXL_LAB_DATASET_GB"
LIMIT_GB = 4.0
MOST_FILES = 100_000
MOST_PATH_BYTES = 1024
MOST_NAME_BYTES = 255

_UNFIT = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\\:*?"<>|]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[\d¹²³]|lpt[\d¹²³])(\..*)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHOWN_PROBLEMS = 10


@dataclass(frozen=True, kw_only=True)
class ListedFile:
    """One file of an artifact version, as the listing claims it.

    Attributes:
        path: Relative to the artifact, parts separated by "/"; fit for every system.
        size_bytes: Claimed size.
        sha256: Claimed SHA-256 of the content; None if whoever published it gave none.
        asset_id: How Comet calls the file; empty before it is uploaded.
    """

    path: str
    size_bytes: int
    sha256: str | None = None
    asset_id: str = ""


def read_listing(files: object, metadata: object, *, limit_bytes: int | None = None) -> tuple[ListedFile, ...]:
    """Check what the server lists of an artifact version, before a single file is fetched.

    Args:
        files: The listing, as JSON values: objects with `fileName`, `fileSize`, `assetId`, `metadata`, and `remote` or `link`.
        metadata: The version's metadata, an object, its JSON or None. With a digest in it, the listing must be exactly what was published.
        limit_bytes: How much all files together may claim; `allowed_size()` when left out.

    Returns:
        The files, sorted by path, a metadata.json among them.

    Raises:
        CometError: Names lead out of the artifact, cannot stand on every system or collide; files lie elsewhere; the listing claims too
            much; or it is not what was published. All names at fault are listed, up to ten.
    """
    if not isinstance(files, list):
        raise CometError(f"its listing must be a list of files, got {_shown(files)}; publish it again")
    if len(files) > MOST_FILES:
        raise CometError(f"it lists {len(files):,} files; allowed are {MOST_FILES:,}: split the dataset")
    listed: list[ListedFile] = []
    problems: list[str] = []
    for entry in files:
        try:
            listed.append(_read_entry(entry))
        except CometError as error:
            problems.append(str(error))
    problems += collisions([file.path for file in listed])
    if problems:
        raise CometError(said("files that cannot be fetched", problems))
    total_bytes, allowed_bytes = sum(file.size_bytes for file in listed), allowed_size() if limit_bytes is None else limit_bytes
    if total_bytes > allowed_bytes:
        raise CometError(
            f"it claims {total_bytes:,} bytes; allowed are {allowed_bytes:,}: set {LIMIT_VARIABLE} to more gigabytes if that is what you expect"
        )
    if METADATA not in {file.path for file in listed}:
        raise CometError(f"it holds no {METADATA}, so it is no dataset; publish a folder that holds one with `sdxl-lab publish`")
    listed.sort(key=lambda file: file.path)
    published = published_as(metadata)
    # A server that keeps no metadata of files leaves the comparison to when they are here.
    if published is not None and any(file.sha256 for file in listed) and published != digest_of_files(listed):
        raise CometError(
            f"its {len(listed)} listed files are not those that were published (digest {_shown(published)}); "
            "choose another version, or publish it again"
        )
    return tuple(listed)


def allowed_size() -> int:
    """Return how many bytes a listing may claim: $SDXL_LAB_DATASET_GB gigabytes, else 4.

    Raises:
        CometError: The variable holds no positive number.
    """
    written = os.environ.get(LIMIT_VARIABLE, str(LIMIT_GB))
    try:
        gigabytes = float(written)
    except ValueError:
        gigabytes = 0.0
    if not 0 < gigabytes < 1e9:
        raise CometError(f"{LIMIT_VARIABLE} must be a positive number of gigabytes, got {written!r}")
    return int(gigabytes * 1e9)


def unfit(path: object) -> str | None:
    """Say why a path may not name a file of an artifact.

    Args:
        path: As listed, or as metadata.json names it.

    Returns:
        The reason, or None where it stays inside and can stand on every system.
    """
    if not isinstance(path, str) or not path:
        return "a name must be a text that is not empty"
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "it holds half a character"
    if len(encoded) > MOST_PATH_BYTES:
        return f"it has {len(encoded)} bytes; allowed are {MOST_PATH_BYTES}"
    if path.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]:", path):
        return "it is absolute; names are relative to the dataset's folder"
    if _UNFIT.search(path):
        return 'it holds a control character or one of \\ : * ? " < > |, which not every system allows'
    return next((reason for reason in map(_unfit_part, path.split("/")) if reason), None)


def collisions(paths: Sequence[str]) -> list[str]:
    """Find paths that are one file on systems where case, or the way an accent is written, does not count.

    Args:
        paths: Paths that are fit by themselves.

    Returns:
        One line for each collision, of files and of the folders above them.
    """
    spellings: dict[str, str] = {}
    kinds: dict[str, str] = {}
    problems = []
    for path in paths:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            spelling, kind = "/".join(parts[:depth]), "file" if depth == len(parts) else "folder"
            key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", spelling).casefold())
            earlier = spellings.setdefault(key, spelling)
            if earlier != spelling:
                problems.append(f"{spelling!r}: {earlier!r} is there already, the same name but for case or the way accents are written")
            elif (key in kinds and kind == "file") or kinds.get(key, kind) != kind:
                problems.append(f"{spelling!r}: listed twice" if kinds[key] == kind else f"{spelling!r}: both a file and a folder")
            kinds.setdefault(key, kind)
    return list(dict.fromkeys(problems))


def published_as(metadata: object) -> str | None:
    """Read the digest of the dataset that was published from a version's metadata; None if whoever published it gave none."""
    digest = _object(metadata).get(DIGEST_KEY)
    return None if digest is None else str(digest)


def digest_of_files(files: Sequence[ListedFile]) -> str | None:
    """Compute the digest of a dataset that consists of these files; None where a sha256 is missing."""
    return None if any(file.sha256 is None for file in files) else digest_of_listing((file.path, file.sha256 or "") for file in files)


def said(what: str, problems: Sequence[str]) -> str:
    """Put problems into one message, the first ten of them."""
    more = [f"... and {len(problems) - _SHOWN_PROBLEMS} more"] if len(problems) > _SHOWN_PROBLEMS else []
    return "\n  ".join([f"{what}:", *problems[:_SHOWN_PROBLEMS], *more])


def _read_entry(entry: object) -> ListedFile:
    if not isinstance(entry, dict):
        raise CometError(f"{_shown(entry)}: not the description of a file")
    metadata = _object(entry.get("metadata"))
    # Comet cuts long names; `publish` then keeps the whole one here.
    path = metadata.get("path", entry.get("fileName"))
    if reason := unfit(path):
        raise CometError(f"{_shown(path)}: {reason}")
    if entry["remote"] if "remote" in entry else entry.get("link") is not None:
        raise CometError(f"{path!r}: a link to {_shown(entry.get('link'))}, whose content does not lie in Comet; publish the file itself")
    size = entry.get("fileSize")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise CometError(f"{path!r}: its size must be a number of bytes, got {_shown(size)}")
    sha256 = metadata.get("sha256")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise CometError(f"{path!r}: its sha256 must be 64 hexadecimal digits, got {_shown(sha256)}")
    asset_id = entry.get("assetId")
    if not isinstance(asset_id, str) or not asset_id:
        raise CometError(f"{path!r}: it has no id to fetch it by, got {_shown(asset_id)}")
    return ListedFile(path=str(path), size_bytes=size, sha256=sha256, asset_id=asset_id)


def _unfit_part(part: str) -> str | None:
    if part in ("", ".", ".."):
        return "it leads out of the dataset's folder" if part == ".." else "it has an empty part"
    if len(part.encode()) > MOST_NAME_BYTES:
        return f"its part {part[:20]!r}... has {len(part.encode())} bytes; allowed are {MOST_NAME_BYTES}"
    if part != part.strip() or part.endswith("."):
        return f"its part {part!r} begins or ends with a space, or ends with a dot, which not every system keeps"
    if _RESERVED.fullmatch(part):
        return f"its part {part!r} is a device on some systems"
    lowered = part.casefold()
    if lowered.startswith(TEMPORARY) or lowered in (DIGEST_FILE, ".lock"):
        return f"its part {part!r} is a name that the lab keeps for itself"
    return None


def _object(metadata: object) -> Mapping[str, Any]:
    """Read metadata, which travels as JSON or as an object; anything else says nothing."""
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except (ValueError, RecursionError):
            return {}
    return metadata if isinstance(metadata, dict) else {}


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
