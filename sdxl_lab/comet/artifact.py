"""Artifacts of Comet: fetched whole or not at all, published with what it takes to check them.

The SDK works in a process of its own (`artifact_worker`); what it says is checked here, before and after a file is fetched.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from sdxl_lab import progress
from sdxl_lab.comet import account, worker
from sdxl_lab.comet.dialogue import Dialogue, Refusal, talking
from sdxl_lab.comet.errors import CometError
from sdxl_lab.comet.listing import DIGEST_FILE, DIGEST_KEY, ListedFile, collisions, digest_of_files, published_as, read_listing, said, unfit
from sdxl_lab.comet.reference import VERSION, Reference
from sdxl_lab.errors import LabError
from sdxl_lab.files.digests import digest_of_file
from sdxl_lab.files.disk import TEMPORARY, remove_unfinished, sync_folder, write_whole
from sdxl_lab.files.locks import locked, once_free
from sdxl_lab.wording import counted

ATTEMPTS = 3
"""How often a file is asked for that comes cut off or damaged."""
SILENCE_S = 60.0
"""A worker that receives nothing of a file for so long is given up."""
ANSWER_S = 120.0
"""How long a worker may take to start and to list a version, with a server that is slow to answer."""
SENDING_S = 120.0
SLOWEST_BYTES_PER_S = 32_000
"""Sending may take SENDING_S, and as long as the files take at this pace."""
FINAL_S = 20.0
"""How long the server may take to call a version final once all its files are there."""
NETWORK = {"COMET_TIMEOUT_FILE_DOWNLOAD": "20", "COMET_TIMEOUT_HTTP": "10", "COMET_TIMEOUT_API": "10", "COMET_HTTP_SESSION_RETRY_TOTAL": "2"}
"""How patient the SDK is with a server, unless the user's environment says otherwise."""


def download(reference: Reference, datasets_folder: Path, check: Callable[[Path], str]) -> Path:
    """Bring a version of an artifact to this machine, whole and checked, unless it is here already.

    A version that is here is found without a connection. Otherwise every name and size that the server lists is checked first; then
    each file is fetched into a folder beside the final one, its size and, where whoever published it gave one, its sha256 are compared;
    then `check` opens it, and the folder gets its final name. After an interruption, files that had come whole are not fetched again.
    Several calls at once, also of several processes, wait for each other.

    Args:
        reference: An alias, or no version, is resolved by the server.
        datasets_folder: Where artifacts lie, as `<workspace>/<name>/<version>`.
        check: Opens what came in a folder, and returns its digest.

    Returns:
        The folder. Its name is the real version.

    Raises:
        CometError: There is no key, no answer or no such version; the listing cannot be believed; or what came is not what was listed.
        DiskError: The disk is full or not writable.
    """
    here = datasets_folder / reference.workspace / reference.name
    if reference.is_exact and (here / str(reference.version)).is_dir():
        return here / str(reference.version)
    version = {"version": reference.version} if reference.is_exact else {"alias": reference.version or "latest"}
    asked = {"workspace": reference.workspace, "name": reference.name, "version": None, "alias": None} | version
    with _talking(f"the artifact {reference} cannot be fetched", _advice(reference, here)) as dialogue:
        progress.tell(f"asking Comet for {reference}")
        told = dialogue.answer("list", silence_s=ANSWER_S, **asked)
        found = Reference(workspace=reference.workspace, name=reference.name, version=str(told.get("version")))
        if not found.is_exact or (reference.is_exact and found != reference):
            raise CometError(f"the artifact {reference} cannot be fetched: Comet calls its version {found.version!r}; ask for another version")
        target = here / str(found.version)
        here.mkdir(parents=True, exist_ok=True)
        with once_free(lambda: locked(here), told=lambda _: _say_waiting(found)):
            if not target.is_dir():
                try:
                    files = read_listing(told.get("files"), told.get("metadata"))
                except CometError as error:
                    raise CometError(f"the artifact {found} is refused: {error}") from None
                checked = _as_published(check, published_as(told.get("metadata")))
                _fetch(dialogue, found, files, str(told["files"][0].get("artifactVersionId")), target, checked)
    return target


def published_digest(folder: Path) -> str | None:
    """Return the digest that a fetched artifact had when it was fetched; None for a folder that `download` did not make.

    Raises:
        CometError: The file that says so cannot be read.
    """
    path = folder / DIGEST_FILE
    if not path.is_file():
        return None
    try:
        return str(json.loads(path.read_bytes())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        raise CometError(f"{path} cannot be read; remove {folder} and fetch the artifact again") from None


def publish(folder: Path, paths: Sequence[str], reference: Reference, *, samples: int, digest: str) -> Reference:
    """Send files as a new version of an artifact, and read back that it is whole.

    Comet ties artifacts to experiments, so one named "publish <name>" stands beside the runs. A version that was not sent whole is never
    final, and nobody can fetch it.

    Args:
        folder: Where the files lie.
        paths: Relative, separated by "/"; metadata.json among them.
        reference: Workspace and name; the server numbers the version.
        samples: How many samples the dataset has.
        digest: Of the dataset: over exactly these files.

    Returns:
        The reference with the new version.

    Raises:
        CometError: A name cannot stand on every system; there is no key or no answer; the server refuses; or what it lists afterward is
            not what was sent.
    """
    what = f"{folder} cannot be published as {reference}"
    problems = [f"{path!r}: {reason}; rename it, also in metadata.json" for path in paths if (reason := unfit(path))]
    if problems := problems or [f"{problem}; rename it, also in metadata.json" for problem in collisions(paths)]:
        raise CometError(said(f"{what}: names that cannot stand on every system", problems))
    files = [ListedFile(path=path, size_bytes=(folder / path).stat().st_size, sha256=digest_of_file(folder / path)) for path in sorted(paths)]
    total_bytes = sum(file.size_bytes for file in files)
    metadata = {DIGEST_KEY: digest, "samples": samples, "files": len(files), "bytes": total_bytes}
    sent = {
        "workspace": reference.workspace,
        "name": reference.name,
        "project": worker.project_name(),
        "folder": str(folder.resolve()),
        "files": [{"path": file.path, "sha256": file.sha256} for file in files],
        "metadata": metadata,
        "final_s": FINAL_S,
    }
    version = None
    advice = {
        "": "publish it again: what was sent was never finished, so nobody gets it",
        "no key": "nothing was sent",
        "key": f"see that the key is right and may write to {reference.workspace}; nothing was sent",
        "workspace": f"write WORKSPACE/{reference.name}; nothing was sent",
    }
    with _talking(what, advice) as dialogue:
        told: dict[str, Any] = {}
        progress.tell(f"uploading {counted(len(files), 'file')} of {folder.name}, {total_bytes / 1e6:.1f} MB")
        for told in dialogue.ask("publish", silence_s=SENDING_S + total_bytes / SLOWEST_BYTES_PER_S, **sent):
            version = told["version"]
        found = Reference(workspace=reference.workspace, name=reference.name, version=version)
        try:
            listed = read_listing(told.get("files"), told.get("metadata"), limit_bytes=total_bytes)
        except CometError as error:
            raise CometError(f"{found} was sent, and cannot be fetched: {error}; publish it again") from None
    names = [(file.path, file.size_bytes, file.sha256) for file in files]
    if [(file.path, file.size_bytes, file.sha256) for file in listed] != names:
        raise CometError(f"{found} was sent, and Comet lists other files than {folder} holds; publish it again")
    if digest_of_files(files) != digest or any(digest_of_file(folder / file.path) != file.sha256 for file in files):
        raise CometError(f"{folder} was changed while it was sent as {found}, which cannot be used; publish it again")
    return found


def _as_published(check: Callable[[Path], str], published: str | None) -> Callable[[Path], str]:
    def checked(folder: Path) -> str:
        digest = check(folder)
        if published not in (None, digest):
            raise CometError(f"its files are not those that were published (digest {digest[:12]}); choose another version, or publish it again")
        return digest

    return checked


def _fetch(dialogue: Dialogue, found: Reference, files: Sequence[ListedFile], version_id: str, target: Path, check: Callable[[Path], str]) -> None:
    listing = json.dumps([[file.path, file.size_bytes, file.sha256, file.asset_id] for file in files]).encode()
    start = f"{TEMPORARY}{found.version}-"
    partial = target.with_name(start + hashlib.sha256(listing).hexdigest()[:16])
    for other in target.parent.glob(f"{TEMPORARY}*"):
        if other.name.startswith(start) and other != partial:
            shutil.rmtree(other)
    partial.mkdir(exist_ok=True)
    remove_unfinished(partial)
    missing = [file for file in files if not _is_whole(partial / file.path, file)]
    missing_bytes, free_bytes = sum(file.size_bytes for file in missing), shutil.disk_usage(partial).free
    if missing_bytes > free_bytes:
        raise CometError(
            f"the artifact {found} needs {missing_bytes:,} bytes and {free_bytes:,} are free in {target.parent}; make room, and fetch again"
        )
    total_bytes = sum(file.size_bytes for file in files)
    here = total_bytes - missing_bytes

    def advance(count_bytes: int) -> None:
        nonlocal here
        here += count_bytes
        progress.tell(f"downloading {found}", done=here, total=total_bytes, unit="B")

    for file in missing:
        _receive(dialogue, found, file, version_id, partial, advance)
    try:
        digest = check(partial)
    except LabError as error:
        shutil.rmtree(partial)
        raise CometError(f"the artifact {found} came whole, but cannot be used: {str(error).replace(f'{partial}/', '')}") from error
    sha256 = {file.path: {"bytes": file.size_bytes, "sha256": digest_of_file(partial / file.path)} for file in files}
    record = {"artifact": f"{found.workspace}/{found.name}", "version": found.version, "digest": digest, "files": sha256}
    write_whole(partial / DIGEST_FILE, json.dumps(record, indent=1, ensure_ascii=False).encode() + b"\n")
    partial.rename(target)
    sync_folder(target.parent)


def _receive(dialogue: Dialogue, found: Reference, file: ListedFile, version_id: str, folder: Path, advance: Callable[[int], object]) -> None:
    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    problem = ""
    for _ in range(ATTEMPTS):
        part, received = folder / f"{TEMPORARY}{secrets.token_hex(4)}", 0
        try:
            for reply in dialogue.ask(
                "receive", silence_s=SILENCE_S, asset=file.asset_id, version_id=version_id, path=str(part.resolve()), most_bytes=file.size_bytes
            ):
                advance(reply["bytes"] - received)
                received = reply["bytes"]
        except Refusal as refusal:
            if refusal.kind != "cut":
                part.unlink(missing_ok=True)
                raise
            problem = str(refusal)
        else:
            problem = _difference(part, file)
            if not problem:
                part.replace(path)
                return
        part.unlink(missing_ok=True)
        advance(-received)
    raise CometError(
        f"the artifact {found} cannot be fetched: {file.path!r} came {ATTEMPTS} times other than listed ({problem}); "
        "nothing of it is kept, files that came whole are: fetch again"
    )


def _difference(path: Path, file: ListedFile) -> str:
    size = path.stat().st_size
    if size != file.size_bytes:
        return f"{size:,} of {file.size_bytes:,} bytes"
    return "" if file.sha256 in (None, digest_of_file(path)) else "another sha256"


def _is_whole(path: Path, file: ListedFile) -> bool:
    return path.is_file() and not _difference(path, file)


@contextmanager
def _talking(what: str, advice: Mapping[str, str]) -> Iterator[Dialogue]:
    """A conversation whose refusals become one error: what cannot be done, why, and what to do."""

    def fail(kind: str, why: str) -> NoReturn:
        raise CometError(f"{what}: {why}; {advice.get(kind, advice[''])}") from None

    try:
        known = account.account()
    except CometError as error:
        fail("no key", str(error))
    try:
        with talking(
            "sdxl_lab.comet.artifact_worker", {**{name: value for name, value in NETWORK.items() if name not in os.environ}, **known}
        ) as dialogue:
            yield dialogue
    except Refusal as refusal:
        why = str(refusal) if refusal.kind in ("gone", "disk") else f"Comet says: {refusal}" if refusal.kind == "status" else f"Comet: {refusal}"
        fail(refusal.kind, why)


def _advice(reference: Reference, here: Path) -> Mapping[str, str]:
    versions = sorted(path.name for path in here.glob("*") if path.is_dir() and VERSION.fullmatch(path.name))
    name = f"{reference.workspace}/{reference.name}"
    local = f"; without a connection there are here: {', '.join(f'{name}:{version}' for version in versions)}" if versions else ""
    by_hand = (
        f"or put its files, metadata.json among them, in {here / (reference.version if reference.is_exact and reference.version else '<version>')}"
    )
    return {
        "": f"fetch again when it answers: what came whole is kept{local}",
        "key": f"see that the key is right and may read {reference.workspace}{local}",
        "no key": by_hand + local,
        "absent": f"see which versions Comet's page of {name} lists{local}",
        "not final": f"choose another version, or publish it again{local}",
        "disk": "make room, or put the permissions right, and fetch again",
    }


def _say_waiting(found: Reference) -> None:
    print(f"waiting for another process that fetches {found.workspace}/{found.name}", file=sys.stderr)
