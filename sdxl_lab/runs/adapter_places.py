"""Where files of adapters lie: by what somebody wrote, and all that are on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from sdxl_lab.adapters import ADAPTERS, BUILT_IN, SUFFIX, AdapterError
from sdxl_lab.errors import LabError
from sdxl_lab.files.addresses import canonical, file_of, is_address
from sdxl_lab.runs.around import folders_around
from sdxl_lab.runs.early import home
from sdxl_lab.settings.hyperparams import closest
from sdxl_lab.spec.identities import AdapterIdentity
from sdxl_lab.wording import few

HUB_FILE = re.compile(rf"([A-Za-z0-9][\w.-]*/[\w.-]+?)(?:@([\w.-]+))?(?:/([\w./ -]+{re.escape(SUFFIX)}))?")

MOST_FILES, MOST_BYTES = 500, 4 << 30
"""How many files are opened to find one by its content, and how large they are at most."""


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
    if other := next(
        (other for other in ADAPTERS if other != kind and any((folder / path.name).is_file() for folder in _folders(other, None))), None
    ):
        raise AdapterError(f"there is no such file, {places}; {path.name} is {ADAPTERS[other].what}: give it as {other}.NAME.file")
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


def is_of_hub(written: str, file: Path) -> bool:
    """Whether what somebody wrote is a file of the hub, and was found there."""
    return _hub_file(written) is not None and not Path(written).expanduser().exists() and "snapshots" in file.parts


def public_name(written: str, file: Path, kind: str, dataset: Path | None) -> str:
    """What a file is called for others: as the hub has it, or as its dataset has it, else its name alone.

    Args:
        written: As for `located`, as are `kind` and `dataset`.
        file: What `located` found.
        kind: Of the adapter.
        dataset: Where it may lie.
    """
    if is_of_hub(written, file):
        return written
    if is_address(written):
        return canonical(written)
    folder = next((folder for folder in _folders(kind, dataset) if file.resolve().is_relative_to(folder.resolve())), file.resolve().parent)
    return file.resolve().relative_to(folder.resolve()).as_posix()


def namesake(identity: AdapterIdentity, folders: Sequence[Path] = ()) -> Path | None:
    """A file that is called as an adapter's was, where `candidates` looks; one that is not found by its content holds something else."""
    return next((file for file in _files_here(identity.kind, folders) if file.name == _file_name(identity)), None)


def candidates(identity: AdapterIdentity, folders: Sequence[Path]) -> Iterator[Path]:
    """Files on this machine that may be an adapter's, those that are called as it was first.

    Args:
        identity: What a record says of it.
        folders: Where it may be, too.
    """
    yield from sorted(_files_here(identity.kind, folders), key=lambda file: file.name != _file_name(identity))[:MOST_FILES]
    if is_address(identity.file or ""):
        with suppress(LabError):
            yield from filter(None, [file_of(identity.file or "")])
        return
    if match := _hub_file(identity.file or ""):
        from sdxl_lab.checkpoints.hub import only_cached

        found: list[Path] = []
        with suppress(LabError), only_cached():  # a stranger's picture may have named it
            found = [_of_hub(*match)]
        yield from found


def _file_name(identity: AdapterIdentity) -> str:
    return (identity.file or "").rpartition("/")[2]


def _files_here(kind: str, folders: Sequence[Path]) -> list[Path]:
    below = [file for folder in (*_folders(kind, None), *folders) for file in sorted(folder.rglob(f"*{SUFFIX}"))]
    return list(dict.fromkeys([*below, *_files_of_checkout()]))


def _files_of_checkout() -> Iterator[Path]:
    yield from (folder / name for folder, files in folders_around() for name in files if name.endswith(SUFFIX))


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
