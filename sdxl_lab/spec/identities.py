"""Which dataset, which checkpoint and which adapters a run has, by content."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sdxl_lab.files.digests import digest_of_listing
from sdxl_lab.settings.documents import Neutral
from sdxl_lab.settings.sections import Settings, Text

Inputs = dict[Annotated[str, Field(strict=True, pattern="^[a-z_]{1,40}$")], Annotated[str, Field(strict=True, pattern="^[0-9a-f]{64}$")]]


class DatasetIdentity(Settings):
    """Which dataset, by content.

    Attributes:
        name: Its name, for people.
        version: Its version, if it has one.
        digest: sha256 over its files, hex.
        inputs: For a picture that was made by a call: `image` and `mask`, as far as its task needs them, to the sha256 of their files.
    """

    name: Text
    version: Text | None = None
    digest: Text
    inputs: Annotated[Inputs | None, Neutral(None, since="0.2.0")] = Field(
        default=None, max_length=8, description="image and mask, each with 64 hexadecimal digits, or None for a dataset that has a name of its own"
    )

    @property
    def is_of_call(self) -> bool:
        """Whether it is what a single call was given, files or nothing but words, and no dataset that can be fetched."""
        return self.inputs is not None or self.digest == digest_of_listing(())


class CheckpointIdentity(Settings):
    """Which checkpoint, by content.

    Attributes:
        name: Its name, for people.
        digest: Over its files, or its commits on the hub, hex.
        revision: The hub's commit, or None for local files.
        family: `sdxl` for the real ones, `pocket` for the built-in one, `custom` for any other size, or one that somebody registered.
    """

    name: Text
    digest: Text
    revision: Text | None = None
    family: Text


class AdapterIdentity(Settings):
    """Which adapter is on the models, by content.

    Attributes:
        kind: Its name in `ADAPTERS`.
        name: Its name, for people.
        digest: What `Adapter.digest` says, hex.
        file: What its file is called, without a local path; a file of the hub as people write it.
        sha256: Of that file.
        tensors_sha256: Of its tensors alone, where other tools know it by that, else None.
    """

    kind: Text
    name: Text
    digest: Text
    file: Text | None = None
    sha256: Text | None = None
    tensors_sha256: Text | None = None

    @property
    def path(self) -> str:
        """Where it is asked for among the hyperparameters, dotted."""
        return f"{self.kind}.{self.name}"

    @property
    def known_as(self) -> str | None:
        """The sha256 by which other tools know it."""
        return self.tensors_sha256 or self.sha256

    def __str__(self) -> str:
        of_tensors = f"tensors {self.tensors_sha256[:10]}" if self.tensors_sha256 else f"digest {self.digest[:10]}"
        return f"{self.file or self.name} ({of_tensors})"
