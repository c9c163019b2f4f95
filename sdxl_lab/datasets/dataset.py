"""A dataset: samples that were opened and checked whole, most often a folder of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sdxl_lab.datasets import notes
from sdxl_lab.datasets.samples import ArtifactError, Sample, read_samples, tasks_of
from sdxl_lab.files.digests import digest_of
from sdxl_lab.wording import few


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples, pinned by the digest of what their folder or file held when it was fetched.

    Attributes:
        name: The folder's name, that of a file of prompts, that of a built-in one, an artifact's "workspace/name", or as another source calls it.
        version: An artifact's version; None for a folder.
        digest: SHA-256 over metadata.json and every picture and mask it names; other files in the folder don't count. Of a file of prompts,
            over its content.
        folder: Where it lies on this machine; of a file of prompts, the file.
        samples: In the order of metadata.json, or of the prompts.
        extra: Fields beside "samples" in metadata.json, as they were written.
        inputs: Of what a call was given: `image` and `mask`, as far as its task needs them, to the sha256 of their files; None for a folder, and
            where words were enough.
    """

    name: str
    version: str | None
    digest: str
    folder: Path
    samples: tuple[Sample, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of its files before anything is made from them, though it is no fault: one line each."""
        tasks = tasks_of(self.samples)
        left_out = [(sample, task) for sample in self.samples for task in tasks if not sample.has_prompt(task)]
        unmade = [(sample, task) for sample in self.samples for task in sample.tasks if sample.has_prompt(task) and not sample.suits(task)]
        return (*notes.of_samples(self.samples), *notes.without_prompt(left_out), *notes.without_picture(unmade))

    def sample(self, name: str) -> Sample:
        """Return the sample of that name.

        Raises:
            ArtifactError: There is none; the message lists the names there are.
        """
        if found := self._by_name.get(name):
            return found
        raise ArtifactError(f"dataset {self.name!r} has no sample {name!r}; it has {few([repr(sample.name) for sample in self.samples])}")

    @cached_property
    def _by_name(self) -> Mapping[str, Sample]:
        return {sample.name: sample for sample in self.samples}


def opened(folder: Path, name: str, version: str | None = None, *, as_recorded: bool = False) -> Dataset:
    """Open and check all that a dataset's folder holds.

    Args:
        folder: A folder with a metadata.json.
        name: What the dataset is called in records.
        version: Its version, where it has one.
        as_recorded: As in `read_samples`.

    Returns:
        The dataset. Every picture and mask in it was read once, so reading them again fails only if they are changed.

    Raises:
        ArtifactError: The layout can't be read, or some of its samples are unfit; all of them are listed.
    """
    samples, extra = read_samples(folder, as_recorded=as_recorded)
    digest = digest_of(files_of(folder, samples), root=folder)
    return Dataset(name=name, version=version, digest=digest, folder=folder, samples=samples, extra=extra)


def files_of(folder: Path, samples: Sequence[Sample]) -> list[Path]:
    """Name the files that a folder's dataset is made of, and that its digest covers: metadata.json, and each sample's picture and mask."""
    return [folder / "metadata.json", *(path for sample in samples for path in (sample.image_path, sample.mask_path) if path)]
