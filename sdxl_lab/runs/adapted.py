"""Adapters that are asked for: found on this machine, read, held against the checkpoint, and named by content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from sdxl_lab.adapters import ADAPTERS, Adapter, AdapterError, FromFile, Models, Put
from sdxl_lab.adapters.embeddings import tokens_of
from sdxl_lab.errors import LabError
from sdxl_lab.files.digests import digest_of_file, once_a_file, until_changed
from sdxl_lab.runs.adapter_places import MOST_BYTES, candidates, is_of_hub, located, public_name
from sdxl_lab.spec.cautions import FewSteps
from sdxl_lab.spec.identities import AdapterIdentity
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec, SpecError


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """What is to be on the models of a run, less what leaves every picture as it is.

    Attributes:
        put: In the order of the identities.
        identities: Sorted by kind and digest, since the order in which somebody wrote them makes no other picture.
        idle: Of those that leave every picture as it is.
        files: By `AdapterIdentity.path`: where each is that was asked for, as another process on this machine finds it.
    """

    put: tuple[Put, ...] = ()
    identities: tuple[AdapterIdentity, ...] = ()
    idle: tuple[AdapterIdentity, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def tokens(self) -> tuple[str, ...]:
        """What the tokenizers know besides."""
        return tuple(token for put in self.put if put.kind == "embeddings" for token in tokens_of(put))


def sections(spec: RunSpec) -> Iterator[tuple[str, str, Any]]:
    """Kind, name and section of each adapter that is asked for."""
    for kind, adapter in ADAPTERS.items():
        named = adapter.section.model_validate(spec.hyperparameters.get(kind, {}))
        for name, section in (named.__pydantic_extra__ or {}).items():
            yield kind, name, section


def adapted(spec: RunSpec, models: Models, dataset: Path | None) -> Adapted:
    """Find and read all that is asked for.

    Args:
        spec: What is asked for.
        models: The checkpoint's, as far as they are known.
        dataset: The dataset's folder, or its file.

    Raises:
        SpecError: A file is not there, is none of these, or does not fit the checkpoint, or two are in each other's way. Lists every problem.
    """
    problems: list[str] = []
    found: dict[str, tuple[Put, AdapterIdentity, str]] = {}
    for kind, name, section in sections(spec):
        try:
            file = located(section.file, kind, dataset)
            put, sha256 = read(kind, name, section, file)
            tensors_sha256 = _digest_of_tensors(file) if ADAPTERS[kind].is_known_by_tensors else None
        except LabError as error:
            problems.append(f"hyperparameters.{kind}.{name}.file: got {section.file!r}; {error}")
            continue
        public = public_name(section.file, file, kind, dataset)
        identity = AdapterIdentity(kind=kind, name=name, digest=put.digest, file=public, sha256=sha256, tensors_sha256=tensors_sha256)
        found[identity.path] = put, identity, section.file if is_of_hub(section.file, file) else str(file.absolute())
    for kind in dict.fromkeys(put.kind for put, _, _ in found.values()):
        for path, line in ADAPTERS[kind].faults([put for put, _, _ in found.values() if put.kind == kind], models):
            problems.append(f"hyperparameters.{kind}.{path}: {_got(path, line, spec.hyperparameters[kind])}")
    if problems:
        raise SpecError(problems)
    ordered = sorted(found.values(), key=lambda one: (one[0].kind, one[0].digest))
    neutral = {identity.path for put, identity, _ in ordered if ADAPTERS[put.kind].is_neutral(put.asked, put.content)}
    telling = [(put, identity) for put, identity, _ in ordered if identity.path not in neutral]
    return Adapted(
        put=tuple(put for put, _ in telling),
        identities=tuple(identity for _, identity in telling),
        idle=tuple(identity for _, identity, _ in ordered if identity.path in neutral),
        files={identity.path: file for _, identity, file in ordered},
    )


def put_on(spec: ResolvedSpec) -> tuple[Put, ...]:
    """Read what is to be on the models of a run, as it was when the run was resolved.

    Args:
        spec: The run, with this machine's paths.

    Raises:
        AdapterError: A file is not there any more, or holds something else.
    """
    asked = {f"{kind}.{name}": section for kind, name, section in sections(spec.spec)} if spec.adapters else {}
    found = []
    for identity in spec.adapters:
        section = asked[identity.path]
        put, _ = read(identity.kind, identity.name, section, located(section.file, identity.kind, None))
        if put.digest != identity.digest:
            raise AdapterError(
                f"{identity.path} has changed: the digest of {identity.file} was {identity.digest[:12]} and is now {put.digest[:12]}. Resolve the "
                "run again, or put the old file back."
            )
        found.append(put)
    return tuple(found)


def read(kind: str, name: str, section: FromFile, file: Path) -> tuple[Put, str]:
    """Read an adapter.

    Args:
        kind: Its name in `ADAPTERS`.
        name: What people call it.
        section: What is asked of it.
        file: Where it is.

    Returns:
        It, and the sha256 of its file.

    Raises:
        AdapterError: The file holds no such adapter.
    """
    adapter = ADAPTERS[kind]
    content = _taken(adapter, file)
    put = Put(kind=kind, name=name, asked=section, content=content, digest=adapter.digest(name, section, content))
    return put, digest_of_file(file)


@until_changed(lambda adapter, file: [file], most=16)
def _taken(adapter: Adapter, file: Path) -> Any:
    """What a file holds: each point of a sweep asks twice. Its numbers stay on the disk, so as many may be known as anyone has on at once."""
    from sdxl_lab.checkpoints.adapter_files import opened

    return adapter.take(*opened(file, adapter))


@once_a_file
def _digest_of_tensors(file: Path) -> str:
    """As kohya's scripts and the web UI have it: sha256 over all that comes after the header."""
    with file.open("rb") as held:
        held.seek(int.from_bytes(held.read(8), "little") + 8)
        return hashlib.file_digest(held, "sha256").hexdigest()


def unasked(found: Adapted, texts: Sequence[str]) -> list[str]:
    """Say which adapters no prompt asks for, one line each."""
    kinds = dict.fromkeys(put.kind for put in found.put)
    of_kind = {kind: ADAPTERS[kind].unasked([put for put in found.put if put.kind == kind], texts) for kind in kinds}
    return [f"{kind}.{name} {line}." for kind, lines in of_kind.items() for name, line in lines]


def networks(resolved: ResolvedSpec) -> Iterator[tuple[str, str]]:
    """What is set already of all that other tools ask for in prompts: how it may be called there, in small letters, and where and how it is set."""
    for adapter in resolved.asked_for:
        asked = resolved.asked_of(adapter)
        if asked and ADAPTERS[adapter.kind].in_prompt(adapter.name, asked):
            for called in {adapter.name.casefold(), PurePath(adapter.file or adapter.name).stem.casefold()}:
                yield called, f"{adapter.path} is set already, {ADAPTERS[adapter.kind].told(asked)}"


def few_steps(found: Adapted, family: str) -> FewSteps | None:
    """What the first of the adapters was distilled to that says so.

    Args:
        found: What is on the models.
        family: The checkpoint's, as records have it.
    """
    from sdxl_lab.checkpoints.own_defaults import few_steps_by

    pairs = zip(found.put, found.identities, strict=True)
    titled = ((identity.path, ADAPTERS[put.kind].titles(put.content, identity.file or put.name)) for put, identity in pairs)
    return next((few for path, titles in titled if (few := few_steps_by(path, titles, family))), None)


def found_by_content(
    resolved: ResolvedSpec, wanted: Sequence[AdapterIdentity], folders: Sequence[Path] = ()
) -> tuple[dict[str, tuple[Path, Put]], list[AdapterIdentity]]:
    """Find on this machine what was on the models when a picture was made, which a stranger may have described: by digest alone.

    Looked through are the lab's own folder of its kind, what is built in, the repository around the working folder, or that folder, and the
    hub's cache.

    Args:
        resolved: What the picture says.
        wanted: Those of its adapters that are looked for.
        folders: Where it may be, too, such as its dataset's.

    Returns:
        By `AdapterIdentity.path`, in the order of the identities: the file, and what it holds. And what was not found.
    """
    asked = {f"{kind}.{name}": section for kind, name, section in sections(resolved.spec)}
    found: dict[str, tuple[Path, Put]] = {}
    missing: list[AdapterIdentity] = []
    for identity in wanted:
        section = asked.get(identity.path)
        opened = ((file, _readable(identity, section, file)) for file in (candidates(identity, folders) if section is not None else ()))
        known = next(((file, put) for file, put in opened if put and put.digest == identity.digest), None)
        if known is None:
            missing.append(identity)
        else:
            found[identity.path] = known
    return found, missing


def unchanged(resolved: ResolvedSpec, files: Mapping[str, str]) -> dict[str, str]:
    """Files that still hold what was on the models when a picture was made, as far as it can be seen.

    Args:
        resolved: What the picture says.
        files: By `AdapterIdentity.path`: where each was.

    Returns:
        Those of them.
    """
    asked = {f"{kind}.{name}": section for kind, name, section in sections(resolved.spec)}
    kept = {}
    for identity in resolved.asked_for:
        if (written := files.get(identity.path)) is None or (section := asked.get(identity.path)) is None:
            continue
        with suppress(LabError):
            put = _readable(identity, section, located(written, identity.kind, None))
            kept |= {identity.path: written} if put and put.digest == identity.digest else {}
    return kept


def _readable(identity: AdapterIdentity, section: Any, file: Path) -> Put | None:
    try:
        return read(identity.kind, identity.name, section, file)[0] if file.stat().st_size <= MOST_BYTES else None
    except (LabError, OSError):
        return None


def _got(path: str, line: str, asked: Mapping[str, Any]) -> str:
    name, _, key = path.rpartition(".")
    return f"got {asked[name]['file']!r}; {line}" if key == "file" else line
