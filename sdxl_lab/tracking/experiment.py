"""What a Comet experiment is to hold: plain values and the paths of files. No SDK here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdxl_lab.files.digests import digest_of_file, once_a_file

NAME_LIMIT = 100
"""Comet cuts names at 100 characters."""
VALUE_LIMIT = 1000
"""Comet cuts parameters and others at 1000 characters."""

HTML_LIMIT_BYTES = 8 << 20
"""A larger page is not shown in the HTML panel, which loads it whole whenever it is looked at; it is among the assets."""

METADATA_SHA256 = "metadata_sha256"
"""Of a file whose metadata may change: a digest of the rest of it."""

digest_of = once_a_file(digest_of_file)
"""sha256 of a file's bytes, once as long as it is the same: what is followed is projected after each picture."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A picture or a file of an experiment.

    Attributes:
        name: As Comet lists it; the same in every run with the same seeds, and in all that have one for each sample, and in every session.
        step: Of a run, the sample's index in its dataset, from 0; of a session, the picture's number, from 1; None for what belongs to the whole.
        path: Where it lies here, or will lie once it is made: send what `ready` returns.
        sha256: Of its bytes; of one that is made to be sent, of all that it is made from. It goes along as metadata, so that what Comet holds can
            be compared without a download.
        metadata: What else goes along.
        make: Writes one that is laid out for Comet alone; None of one that is there. Another machine may write other bytes of the same content.
    """

    name: str
    step: int | None
    path: Path
    sha256: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    make: Callable[[Path], object] | None = None

    @property
    def size_bytes(self) -> int | None:
        """Of its bytes; None of one that is made, which may have others elsewhere."""
        return None if self.make else self.path.stat().st_size

    def ready(self) -> Path:
        """Make it, if it is made to be sent.

        Returns:
            Its path.
        """
        if self.make:
            self.make(self.path)
        return self.path


@dataclass(frozen=True, kw_only=True)
class Projection:
    """All that an experiment holds, of a record as far as it has come.

    Attributes:
        key: The experiment's, drawn once for the folder.
        name: What sets it apart among others, for people.
        description: How to make it again: a command without paths, at most `VALUE_LIMIT` characters. Comet has it among the others.
        tags: Tasks, and the group of runs it belongs to.
        parameters: Flat, with Comet's separator `|`; one value a key for the whole run, or of the session's picture that is shown.
        others: What identifies it.
        metrics: (name, step) to number; those of a sample's further pictures are called as these are, so that no point stands for two. One number
            for the whole has the step None.
        images: The files of all pictures, those that show a picture before and after, and, once it is written, the contact sheet.
        assets: Tables (a `.csv` is shown by the Data panel) and other files to download, such as the report.
        html: What the HTML panel shows, a page that needs no other file; None for nothing.
        notebook: What the Notebook tab shows, `.ipynb`; None for nothing. Its name is that of its path.
        code: What the Code tab shows; None for nothing, unless it was asked for.
        curves: What curve panels show: files of JSON, `{"name": ..., "x": [...], "y": [...]}`, each under that name.
        places: (name, step) of images that are this record's to fill: what the lab sent there and the record lacks now is taken away.
        obsolete: Keys of parameters by which earlier versions told the same: taken away where an experiment has them.
    """

    key: str
    name: str
    tags: tuple[str, ...]
    parameters: Mapping[str, Any]
    others: Mapping[str, Any]
    metrics: Mapping[tuple[str, int | None], float]
    images: tuple[File, ...]
    assets: tuple[File, ...]
    description: str = ""
    html: File | None = None
    notebook: File | None = None
    code: File | None = None
    curves: tuple[File, ...] = ()
    places: frozenset[tuple[str, int]] = frozenset()
    obsolete: frozenset[str] = frozenset()

    @property
    def files(self) -> tuple[File, ...]:
        """All of them."""
        return (*self.images, *self.assets, *self.curves, *(file for file in (self.html, self.notebook, self.code) if file))


def short_name(name: str) -> str:
    """Shorten a name as Comet would, but so that different names stay different.

    Args:
        name: Of any length.

    Returns:
        At most 100 characters: the name itself, or its beginning and eight digits of its SHA-256.
    """
    if len(name) <= NAME_LIMIT:
        return name
    return f"{name[: NAME_LIMIT - 9]}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def short(value: Any) -> Any:
    """Shorten a value as Comet would, if it is a text."""
    return value if not isinstance(value, str) or len(value) <= VALUE_LIMIT else value[: VALUE_LIMIT - 1] + "…"


def file_of(name: str, step: int | None, path: Path, metadata: Mapping[str, Any] | None = None) -> File:
    """A file with its digest, also in its metadata."""
    sha256 = digest_of(path)
    return File(name=name, step=step, path=path, sha256=sha256, metadata={**(metadata or {}), "file_sha256": sha256})


def marked(page: File) -> str:
    """The text of a page with its digest in a comment at its end, by which Comet's copy is known for it.

    Args:
        page: An HTML file.
    """
    return page.ready().read_text("utf-8", "replace") + mark_of(page)


def mark_of(page: File) -> str:
    """What `marked` puts at the end of a page."""
    return f"<!-- {page.name} {page.sha256} -->"
