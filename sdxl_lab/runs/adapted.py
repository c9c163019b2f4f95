"""Adapters that are asked for: found on this machine, read, held against the checkpoint, and named by content."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdxl_lab.adapters import ADAPTERS, SUFFIX, Adapter, AdapterError, FromFile, Models, Put
from sdxl_lab.adapters.embeddings import tokens_of
from sdxl_lab.errors import LabError
from sdxl_lab.files.addresses import canonical, file_of, is_address
from sdxl_lab.files.digests import digest_of_file, once_a_file, until_changed
from sdxl_lab.runs.early import home
from sdxl_lab.settings.hyperparams import closest
from sdxl_lab.spec.cautions import FewSteps
from sdxl_lab.spec.identities import AdapterIdentity
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.wording import few

HUB_FILE = re.compile(rf"([A-Za-z0-9][\w.-]*/[\w.-]+?)(?:@([\w.-]+))?(?:/([\w./ -]+{re.escape(SUFFIX)}))?")
BUILT_IN = Path(__file__).parents[1] / "pocket"
"""Holds a folder of each kind that comes with the lab."""

DEEPEST, MOST_FILES, MOST_BYTES = 4, 500, 4 << 30
"""How far below a repository files are looked for by their content, how many are opened, and how large they are at most."""


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """What is to be on the models of a run, less what leaves every picture as it is.

    Attributes:
        put: In the order of the identities.
        identities: Sorted by kind and digest, since the order in which somebody wrote them makes no other picture.
        files: By `AdapterIdentity.path`: where each is that was asked for, as another process on this machine finds it.
    """

    put: tuple[Put, ...] = ()
    identities: tuple[AdapterIdentity, ...] = ()
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
        public = _public(section.file, file, kind, dataset)
        identity = AdapterIdentity(kind=kind, name=name, digest=put.digest, file=public, sha256=sha256, tensors_sha256=tensors_sha256)
        found[identity.path] = put, identity, section.file if _is_of_hub(section.file, file) else str(file.absolute())
    for kind in dict.fromkeys(put.kind for put, _, _ in found.values()):
        for path, line in ADAPTERS[kind].faults([put for put, _, _ in found.values() if put.kind == kind], models):
            problems.append(f"hyperparameters.{kind}.{path}: {_got(path, line, spec.hyperparameters[kind])}")
    if problems:
        raise SpecError(problems)
    ordered = sorted(found.values(), key=lambda one: (one[0].kind, one[0].digest))
    telling = [(put, identity) for put, identity, _ in ordered if not ADAPTERS[put.kind].is_neutral(put.asked, put.content)]
    return Adapted(
        put=tuple(put for put, _ in telling),
        identities=tuple(identity for _, identity in telling),
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


@until_changed(lambda adapter, file: [file], most=2)
def _taken(adapter: Adapter, file: Path) -> Any:
    """What a file holds: each point of a sweep asks twice, and it may be as large as a model."""
    from sdxl_lab.checkpoints.adapter_files import opened

    return adapter.take(*opened(file, adapter))


@once_a_file
def _digest_of_tensors(file: Path) -> str:
    """As kohya's scripts and the web UI have it: sha256 over all that comes after the header."""
    with file.open("rb") as held:
        held.seek(int.from_bytes(held.read(8), "little") + 8)
        return hashlib.file_digest(held, "sha256").hexdigest()


def located(written: str, kind: str, dataset: Path | None) -> Path:
    """Find the file of an adapter.

    Args:
        written: A path, absolute or from the working folder; one below the dataset's folder, the lab's own of this kind, or that of those
            built in; or a file of the hub.
        kind: Its name in `ADAPTERS`.
        dataset: The dataset's folder, or its file.

    Raises:
        AdapterError: There is none.
        CheckpointError: The hub has none, or cannot be asked.
    """
    path = Path(written).expanduser()
    if path.exists():
        return path
    if is_address(written):
        if fetched := file_of(written):
            return fetched
        raise AdapterError("what this address gives was not fetched here; run once with --fetch, or give the file")
    for folder in _folders(kind, dataset):
        if not path.is_absolute() and (below := folder / path).is_file() and below.resolve().is_relative_to(folder.resolve()):
            return below
    if match := _hub_file(written):
        return _of_hub(*match)
    places = f"in the working folder, the dataset's, or {shown_folder(kind)}"
    raise AdapterError(f"there is no such file, {places}; {_advice(path, _folders(kind, dataset))}")


def _advice(path: Path, folders: Sequence[Path]) -> str:
    """What may have been meant by a path that leads nowhere: a file beside it, or one that its name alone finds."""
    beside = sorted(file.stem for file in path.parent.glob(f"*{SUFFIX}"))
    if near := closest(path.stem, beside):
        return f"did you mean {path.parent / near}{SUFFIX}?"
    by_name = sorted({file.stem for folder in (Path(), *folders) for file in folder.glob(f"*{SUFFIX}")})
    if near := closest(path.stem, by_name):
        return f"did you mean {near}{SUFFIX}?"
    return f"give its path, or the name of one that is there ({few([stem + SUFFIX for stem in by_name])})" if by_name else "give its path"


def own_folder(kind: str) -> Path:
    """Where the lab keeps files of adapters of a kind; it need not exist."""
    return home() / "artifacts" / kind


def shown_folder(kind: str) -> str:
    """`own_folder` as people find it from the working folder."""
    return Path(os.path.relpath(own_folder(kind))).as_posix()


def unasked(found: Adapted, texts: Sequence[str]) -> list[str]:
    """Say which adapters no prompt asks for, one line each."""
    kinds = dict.fromkeys(put.kind for put in found.put)
    of_kind = {kind: ADAPTERS[kind].unasked([put for put in found.put if put.kind == kind], texts) for kind in kinds}
    return [f"{kind}.{name} {line}." for kind, lines in of_kind.items() for name, line in lines]


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


def found_by_content(resolved: ResolvedSpec, folders: Sequence[Path] = ()) -> tuple[dict[str, tuple[Path, Put]], list[AdapterIdentity]]:
    """Find on this machine what was on the models when a picture was made, which a stranger may have described: by digest alone.

    Looked through are the lab's own folder of its kind, what is built in, the repository around the working folder, or that folder, and the
    hub's cache.

    Args:
        resolved: What the picture says.
        folders: Where it may be, too, such as its dataset's.

    Returns:
        By `AdapterIdentity.path`, in the order of the identities: the file, and what it holds. And what was not found.
    """
    asked = {f"{kind}.{name}": section for kind, name, section in sections(resolved.spec)}
    found: dict[str, tuple[Path, Put]] = {}
    missing: list[AdapterIdentity] = []
    for identity in resolved.adapters:
        section = asked.get(identity.path)
        candidates = _candidates(identity, folders) if section is not None else iter(())
        opened = ((file, _readable(identity, section, file)) for file in candidates)
        known = next(((file, put) for file, put in opened if put and put.digest == identity.digest), None)
        if known is None:
            missing.append(identity)
        else:
            found[identity.path] = known
    return found, missing


def _readable(identity: AdapterIdentity, section: Any, file: Path) -> Put | None:
    try:
        return read(identity.kind, identity.name, section, file)[0] if file.stat().st_size <= MOST_BYTES else None
    except (LabError, OSError):
        return None


def namesake(identity: AdapterIdentity, folders: Sequence[Path] = ()) -> Path | None:
    """A file that is called as an adapter's was, where `found_by_content` looks; one that is not found holds something else."""
    return next((file for file in _files_here(identity.kind, folders) if file.name == _file_name(identity)), None)


def _candidates(identity: AdapterIdentity, folders: Sequence[Path]) -> Iterator[Path]:
    yield from sorted(_files_here(identity.kind, folders), key=lambda file: file.name != _file_name(identity))[:MOST_FILES]
    if is_address(identity.file or ""):
        with suppress(LabError):
            yield from filter(None, [file_of(identity.file or "")])
        return
    if match := _hub_file(identity.file or ""):
        try:
            yield _of_hub(*match)
        except LabError:
            return


def _file_name(identity: AdapterIdentity) -> str:
    return (identity.file or "").rpartition("/")[2]


def _files_here(kind: str, folders: Sequence[Path]) -> list[Path]:
    below = [file for folder in (*_folders(kind, None), *folders) for file in sorted(folder.rglob(f"*{SUFFIX}"))]
    return list(dict.fromkeys([*below, *_files_of_checkout()]))


def _files_of_checkout() -> Iterator[Path]:
    top = home()
    deepest = DEEPEST if (top / "artifacts" / "README.md").is_file() else 1
    for folder, below, files in os.walk(top):
        path = Path(folder)
        yield from (path / name for name in sorted(files) if name.endswith(SUFFIX))
        is_deep = len(path.relative_to(top).parts) >= deepest
        below[:] = [] if is_deep else sorted(name for name in below if not name.startswith("."))


def _folders(kind: str, dataset: Path | None) -> list[Path]:
    of_dataset = [dataset if dataset.is_dir() else dataset.parent] if dataset else []
    return [*of_dataset, own_folder(kind), BUILT_IN / kind]


def _hub_file(written: str) -> tuple[str, str | None, str | None] | None:
    """Repository, revision and file; None for what is a path, such as `embeddings/moon.safetensors`."""
    match = HUB_FILE.fullmatch(written)
    if match is None or match[1].endswith(SUFFIX) or Path(written.partition("/")[0]).is_dir():
        return None
    return match[1], match[2], match[3]


def _of_hub(repository: str, revision: str | None, name: str | None) -> Path:
    from sdxl_lab.checkpoints.hub import NotCachedError, Repository

    source = Repository(repository, revision or "main")
    try:
        if name is None:
            names = source.files(SUFFIX)
            if len(names) != 1:
                example = f"{repository}/{(names or ['FILE' + SUFFIX])[0]}"
                raise AdapterError(f"{repository} has {len(names)} {SUFFIX} files ({few(names)}); write which, as {example}")
            [name] = names
        path = source.fetch_files(name) / name
    except NotCachedError as error:
        raise AdapterError(
            f"there is no such file here, nor does the hub's cache have it of {repository}, and the hub gave no answer; check its name, or "
            "connect and run again"
        ) from error
    if not path.is_file():
        raise AdapterError(f"{repository} has no {name}; look up its name there")
    return path


def _is_of_hub(written: str, file: Path) -> bool:
    return _hub_file(written) is not None and not Path(written).expanduser().exists() and "snapshots" in file.parts


def _public(written: str, file: Path, kind: str, dataset: Path | None) -> str:
    """What a file is called for others: as the hub has it, or as its dataset has it, else its name alone."""
    if _is_of_hub(written, file):
        return written
    if is_address(written):
        return canonical(written)
    folder = next((folder for folder in _folders(kind, dataset) if file.resolve().is_relative_to(folder.resolve())), file.resolve().parent)
    return file.resolve().relative_to(folder.resolve()).as_posix()


def _got(path: str, line: str, asked: Mapping[str, Any]) -> str:
    name, _, key = path.rpartition(".")
    return f"got {asked[name]['file']!r}; {line}" if key == "file" else line
