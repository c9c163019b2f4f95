"""Where datasets come from: a table of sources, and `fetch`, which asks them."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sdxl_lab import comet
from sdxl_lab.datasets import prompt_files
from sdxl_lab.datasets.dataset import Dataset, files_of, opened
from sdxl_lab.datasets.samples import ArtifactError, tasks_from_words
from sdxl_lab.files.places import misread
from sdxl_lab.settings.hyperparams import closest
from sdxl_lab.tasks import TASKS

BUILT_IN = ("pocket-scenes", "pocket-scenes-2", "pocket-forty", "pocket-prompts", "pocket-variations")
"""Datasets that come with the lab: five scenes to look at, again with better words, forty for an answer that chance does not give, and prompts
without pictures."""

FIRST_DATASET = BUILT_IN[0]
"""What 0.1.0's notebook edited where nobody named a dataset."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A place that datasets come from.

    Attributes:
        written: How people write its datasets, as messages list it: `a folder`, `workspace/name:version`.
        kind: What they are called, where `written` does not say it: `a Comet artifact`. Or nothing.
        advice: How to write one, in the error that says what a dataset may be; `written` when left out.
        recognizes: Whether a text, or a path, means one of its datasets. It is asked of everything that anybody writes.
        bring: Given the text, the folder `artifacts/datasets`, below which it may keep files, and how to open a folder (`opened` but for its
            `as_recorded`), the dataset. Raises `ArtifactError`, or its own `LabError`.
        is_known_by_name: Whether a dataset's name in a record is what this source brings it by, without following a path and without a
            download. Then `reproduce` asks for it by name, although the picture may be a stranger's.
        is_path: Whether its datasets are written as paths, which mean another place to a process that works in another folder.
    """

    written: str
    recognizes: Callable[[str | Path], bool]
    bring: Callable[[str | Path, Path, Callable[..., Dataset]], Dataset]
    kind: str = ""
    advice: str = ""
    is_known_by_name: bool = False
    is_path: bool = False


def fetch(source: str | Path, *, datasets_folder: Path = Path("artifacts/datasets"), as_recorded: bool = False) -> Dataset:
    """Find a dataset, and open and check everything in it.

    Args:
        source: What one of `SOURCES` recognizes: a folder with a metadata.json; a .txt or .csv file of prompts; one of `BUILT_IN`, the datasets
            that come with the lab; or "workspace/name:version", a Comet artifact. An alias in place of the version, or none for the newest, is
            resolved by Comet; the dataset has the real version.
        datasets_folder: Where artifacts lie, as `workspace/name/version`. One that isn't there is downloaded.
        as_recorded: As in `read_samples`.

    Returns:
        The dataset. Every picture and mask in it was read once, so reading them again fails only if they are changed.

    Raises:
        ArtifactError: The dataset isn't there, its layout can't be read, or some of its samples are unfit; all of them are listed.
        CometError: The artifact isn't here and can't be downloaded, or isn't what was downloaded any more.
    """
    found = source_of(source)
    if found is None:
        raise ArtifactError(_unknown(str(source)))
    return found.bring(source, datasets_folder, partial(opened, as_recorded=as_recorded))


def source_of(written: str | Path) -> Source | None:
    """Find the source that recognizes a text or path; of several the one that was registered last."""
    return next((source for source in reversed(SOURCES.values()) if source.recognizes(written)), None)


def allowed() -> str:
    """Say what a dataset may be, in one line: `a folder, pocket-scenes, ..., or a .txt or .csv file of prompts`."""
    return _listed([source.written for source in SOURCES.values()])


def described() -> str:
    """Say the same as a sentence begins, and what each is called: `A folder, ..., a Comet artifact workspace/name:version, or ...`."""
    words = _listed([f"{source.kind} {source.written}".strip() for source in SOURCES.values()])
    return words[0].upper() + words[1:]


def named(name: str) -> list[str]:
    """List what a dataset that a record calls so may be fetched as, where nothing but names is followed: the built-in ones, and this name.

    Args:
        name: A dataset's name, from a record that may be a stranger's.
    """
    found = source_of(name)
    return list(dict.fromkeys([*BUILT_IN, *([name] if found and found.is_known_by_name else [])]))


def publish(folder: Path | str, name: str) -> str:
    """Upload a dataset to Comet, as a new version of an artifact.

    Only what `metadata.json` names is sent, and itself.

    Args:
        folder: A folder with a metadata.json.
        name: "workspace/name".

    Returns:
        "workspace/name:version", with the version that Comet gave it.

    Raises:
        ArtifactError: The folder isn't a dataset that `fetch` would take, or the name isn't one.
        CometError: It can't be sent, or wasn't received whole.

    Examples:
        >>> publish(fetch("pocket-scenes").folder, "team/sea")
        'team/sea:1.0.0'
    """
    folder, reference = Path(folder).expanduser(), comet.Reference.parse(name)
    if reference is None or reference.version:
        raise ArtifactError(
            f"got {name!r} to publish as; allowed is 'workspace/name', in letters, digits, '-', '_' and '.': Comet numbers the version"
        )
    if folder.is_file() and prompt_files.is_prompt_file(folder):
        raise ArtifactError(
            f"{folder} is a file of prompts, and what is published is a folder; make one, and put a metadata.json into it that holds the prompts:"
            f"\n\n{_metadata_of(prompt_files.opened(folder))}"
        )
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is no folder; give one that holds a metadata.json and what it names")
    dataset = opened(folder, folder.resolve().name)
    paths = [path.relative_to(folder).as_posix() for path in files_of(folder, dataset.samples)]
    published = comet.publish(folder, list(dict.fromkeys(paths)), reference, samples=len(dataset.samples), digest=dataset.digest)
    return str(published)


def _metadata_of(prompts: Dataset) -> str:
    """How the first of a file's prompts is written in a metadata.json."""
    sample, task = prompts.samples[0], next(iter((*tasks_from_words(), *TASKS)))
    prompt = sample.tasks[task].prompt if sample.has_prompt(task) else "a red star"
    return json.dumps({"samples": [{"name": sample.name, task: {"prompt": prompt}}]}, ensure_ascii=False)


def _unknown(written: str) -> str:
    if reason := misread(written, "dataset"):
        return f"the dataset {written!r} can't be read: {reason}"
    kind = "a file" if Path(written).expanduser().exists() else "not there"
    advice = _listed([source.advice or source.written for source in SOURCES.values()])
    return f"the dataset {written!r} is {kind}; give {advice}{meant(written)}"


def meant(written: str) -> str:
    """Say which built-in dataset was probably meant: ` Did you mean pocket-forty?` behind a full stop; nothing where none is like it."""
    return f". Did you mean {near}?" if (near := closest(written, BUILT_IN)) else ""


def _listed(words: list[str]) -> str:
    return f"{', '.join(words[:-1])}, or {words[-1]}"


def _is_folder(written: str | Path) -> bool:
    return misread(str(written), "dataset") is None and Path(written).expanduser().is_dir()


def _folder(written: str | Path, datasets_folder: Path, opened: Callable[..., Dataset]) -> Dataset:
    folder = Path(written).expanduser()
    return opened(folder, folder.resolve().name)


def _is_prompt_file(written: str | Path) -> bool:
    if not prompt_files.is_prompt_file(written) or misread(str(written), "dataset") is not None:
        return False
    return not Path(written).expanduser().is_dir()


def _prompt_file(written: str | Path, datasets_folder: Path, opened: Callable[..., Dataset]) -> Dataset:
    return prompt_files.opened(Path(written).expanduser())


def _built_in(written: str | Path, datasets_folder: Path, opened: Callable[..., Dataset]) -> Dataset:
    name = str(written)
    folder = Path(str(importlib.resources.files("sdxl_lab"))) / "pocket" / "datasets" / name
    if not folder.is_dir():
        raise ArtifactError(f"this installation lacks the built-in dataset {name!r}, which belongs at {folder}; install sdxl-lab again")
    return opened(folder, name)


def _is_artifact(written: str | Path) -> bool:
    text = str(written)
    return misread(text, "dataset") is None and not Path(text).expanduser().exists() and comet.Reference.parse(text) is not None


def _artifact(written: str | Path, datasets_folder: Path, opened: Callable[..., Dataset]) -> Dataset:
    reference = comet.Reference.parse(str(written))
    assert reference is not None  # it was recognized
    try:
        folder = comet.download(reference, datasets_folder, lambda folder: opened(folder, str(reference)).digest)
    except comet.CometError as error:
        raise error if reference.version else comet.CometError(f"there is no folder {str(written)!r} here, and {error}") from None
    dataset = opened(folder, f"{reference.workspace}/{reference.name}", folder.name)
    if comet.published_digest(folder) not in (None, dataset.digest):
        raise ArtifactError(
            f"{folder} has changed since {dataset.name}:{dataset.version} was downloaded, and a version never changes; "
            "remove the folder to download it again, or give a copy of it as a folder"
        )
    return dataset


FOLDER = Source(written="a folder", advice="a folder that holds a metadata.json", recognizes=_is_folder, bring=_folder, is_path=True)

SOURCES: dict[str, Source] = {
    "folder": FOLDER,
    "built-in": Source(
        written=", ".join(BUILT_IN),
        advice=", ".join(BUILT_IN),
        recognizes=lambda written: written in BUILT_IN,
        bring=_built_in,
        is_known_by_name=True,
    ),
    "comet": Source(
        written="workspace/name:version",
        kind="a Comet artifact",
        advice="a Comet artifact as 'workspace/name:version'",
        recognizes=_is_artifact,
        bring=_artifact,
    ),
    # Asked before Comet: `prompts/sea.txt`, where there is none, is no artifact either.
    "prompts": Source(written="a .txt or .csv file of prompts", recognizes=_is_prompt_file, bring=_prompt_file, is_path=True),
}
"""Name to source, in the order in which messages list them. Register one more by `SOURCES[name] = Source(...)`: it is asked before these."""
