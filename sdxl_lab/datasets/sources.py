"""Datasets: a folder, the built-in one, or a Comet artifact, opened and checked whole before anything runs."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sdxl_lab import comet
from sdxl_lab.datasets import notes
from sdxl_lab.datasets.metadata_fields import TASKS
from sdxl_lab.datasets.samples import SMALLEST_METADATA, ArtifactError, Sample, TaskMetadata, read_samples
from sdxl_lab.files.digests import digest_of
from sdxl_lab.files.places import misread

__all__ = ["BUILT_IN", "SMALLEST_METADATA", "TASKS", "ArtifactError", "Dataset", "Sample", "TaskMetadata", "fetch", "publish"]

BUILT_IN = ("pocket-scenes", "pocket-forty")
"""Datasets that come with the lab: five scenes to look at, and forty for an answer that chance does not give."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A folder of samples, pinned by the digest of what it held when it was fetched.

    Attributes:
        name: The folder's name, one of `BUILT_IN`, or an artifact's "workspace/name".
        version: An artifact's version; None for a folder.
        digest: SHA-256 over metadata.json and every picture and mask it names; other files in the folder don't count.
        folder: Where it lies on this machine.
        samples: In the order of metadata.json.
        extra: Fields beside "samples" in metadata.json, as they were written.
    """

    name: str
    version: str | None
    digest: str
    folder: Path
    samples: tuple[Sample, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of its files before anything is made from them, though it is no fault: one line each."""
        missing = [(sample.name, task) for sample in self.samples for task in TASKS if not sample.has_prompt(task)]
        return (*notes.of_samples(self.samples), *notes.without_prompt(missing))

    def sample(self, name: str) -> Sample:
        """Return the sample of that name.

        Raises:
            ArtifactError: There is none; the message lists the names there are.
        """
        for sample in self.samples:
            if sample.name == name:
                return sample
        raise ArtifactError(f"dataset {self.name!r} has no sample {name!r}; it has {', '.join(repr(sample.name) for sample in self.samples)}")


def fetch(source: str | Path, *, datasets_folder: Path = Path("artifacts/datasets"), as_recorded: bool = False) -> Dataset:
    """Find a dataset, and open and check everything in it.

    Args:
        source: A folder with a metadata.json; one of `BUILT_IN`, the datasets that come with the lab; or "workspace/name:version", a
            Comet artifact. An alias in place of the version, or none for the newest, is resolved by Comet; the dataset has the real version.
        datasets_folder: Where artifacts lie, as `workspace/name/version`. One that isn't there is downloaded.
        as_recorded: As in `read_samples`.

    Returns:
        The dataset. Every picture and mask in it was read once, so reading them again fails only if they are changed.

    Raises:
        ArtifactError: The dataset isn't there, its layout can't be read, or some of its samples are unfit; all of them are listed.
        CometError: The artifact isn't here and can't be downloaded, or isn't what was downloaded any more.
    """
    if source in BUILT_IN:
        return _open(_built_in(str(source)), str(source))
    opened = partial(_open, as_recorded=as_recorded)
    if reason := misread(str(source), "dataset"):
        raise ArtifactError(f"the dataset {str(source)!r} can't be read: {reason}")
    folder = Path(source).expanduser()
    if folder.is_dir():
        return opened(folder, folder.resolve().name)
    reference = None if folder.exists() else comet.Reference.parse(str(source))
    if reference is None:
        kind = "a file" if folder.exists() else "not there"
        raise ArtifactError(
            f"the dataset {str(source)!r} is {kind}; give a folder that holds a metadata.json, {' or '.join(BUILT_IN)}, "
            "or a Comet artifact as 'workspace/name:version'"
        )
    try:
        folder = comet.download(reference, datasets_folder, lambda folder: opened(folder, str(reference)).digest)
    except comet.CometError as error:
        raise error if reference.version else comet.CometError(f"there is no folder {str(source)!r} here, and {error}") from None
    dataset = opened(folder, f"{reference.workspace}/{reference.name}", folder.name)
    if comet.published_digest(folder) not in (None, dataset.digest):
        raise ArtifactError(
            f"{folder} has changed since {dataset.name}:{dataset.version} was downloaded, and a version never changes; "
            "remove the folder to download it again, or give a copy of it as a folder"
        )
    return dataset


def publish(folder: Path, name: str) -> str:
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
    """
    reference = comet.Reference.parse(name)
    if reference is None or reference.version:
        raise ArtifactError(
            f"got {name!r} to publish as; allowed is 'workspace/name', in letters, digits, '-', '_' and '.': Comet numbers the version"
        )
    dataset = fetch(folder) if folder.is_dir() else None
    if dataset is None:
        raise ArtifactError(f"{folder} is no folder; give one that holds a metadata.json and what it names")
    paths = [path.relative_to(folder).as_posix() for path in _files(folder, dataset.samples)]
    published = comet.publish(folder, list(dict.fromkeys(paths)), reference, samples=len(dataset.samples), digest=dataset.digest)
    return str(published)


def _open(folder: Path, name: str, version: str | None = None, *, as_recorded: bool = False) -> Dataset:
    samples, extra = read_samples(folder, as_recorded=as_recorded)
    digest = digest_of(_files(folder, samples), root=folder)
    return Dataset(name=name, version=version, digest=digest, folder=folder, samples=samples, extra=extra)


def _files(folder: Path, samples: Sequence[Sample]) -> list[Path]:
    return [folder / "metadata.json", *(path for sample in samples for path in (sample.image_path, sample.mask_path) if path)]


def _built_in(name: str) -> Path:
    folder = Path(str(importlib.resources.files("sdxl_lab"))) / "pocket" / "datasets" / name
    if not folder.is_dir():
        raise ArtifactError(f"this installation lacks the built-in dataset {name!r}, which belongs at {folder}; install sdxl-lab again")
    return folder
