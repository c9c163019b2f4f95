"""What lies on a bench to be worked on: a picture and its mask, a dataset's sample, what an earlier picture was made from, or words alone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from sdxl_lab import families
from sdxl_lab.bench.pictures import BenchPicture
from sdxl_lab.checkpoints.moved_defaults import recorded, version_of
from sdxl_lab.datasets import inputs
from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.datasets.samples import Sample, TaskMetadata
from sdxl_lab.errors import LabError
from sdxl_lab.images import given as given_pictures
from sdxl_lab.images.mask_checks import unlike_sizes
from sdxl_lab.images.pictures import PictureError
from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.records.stamps import Stamp, StampError, read_stamp
from sdxl_lab.runs import made_from
from sdxl_lab.runs.adapted import found_by_content, unchanged
from sdxl_lab.runs.made_picture import Described
from sdxl_lab.runs.single import CallError, taken
from sdxl_lab.settings.credentials import looks_secret
from sdxl_lab.settings.hyperparams import merge
from sdxl_lab.spec.asked_again import WORDS as OF_PICTURES
from sdxl_lab.spec.asked_again import with_files
from sdxl_lab.spec.identities import AdapterIdentity
from sdxl_lab.spec.run_spec import RunSpec

CANVAS = ("mode", "canvas", "left_px", "right_px", "top_px", "bottom_px")
"""Settings of outpainting alone, by which it is meant where nobody names a task."""

WORDS = ("prompt", "negative_prompt", "seed")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What lies on a bench.

    Attributes:
        name: What its sample is called.
        image: The picture, as code gave it; None where there is none, or a dataset has it. Likewise `mask_image`.
        mask_image: White is repainted.
        tasks: What a dataset's sample says of each task.
        dataset: What an earlier picture was made from; None for what code gave.
        written: That dataset as parameters have it.
        task: The one that an earlier picture was made by; None leaves it to what is there.
        words: Prompt, negative prompt and seed of an earlier picture.
        settings: What was asked for it, nested.
        lost: What was on the models for it, and is not here.
        checkpoint: That made it, where it is known by its name or is one of the hub; None elsewhere.
    """

    name: str = inputs.SAMPLE
    image: Any = None
    mask_image: Any = None
    tasks: Mapping[str, TaskMetadata] = field(default_factory=dict)
    dataset: Dataset | None = None
    written: str | None = None
    task: str | None = None
    words: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    lost: tuple[AdapterIdentity, ...] = ()
    checkpoint: str | None = None
    _known: dict[Any, Any] = field(default_factory=dict, repr=False)
    _image_kept: dict[str, str] = field(default_factory=dict, repr=False)  # the sha256 of its file, by how it is read; with any mask

    def picture(self) -> Image.Image | None:
        """The picture to work on, as it was given; None for words alone."""
        path = self.dataset and self.dataset.sample(self.name).image_path
        return _read(path, "image") if path else self.image

    def mask(self) -> Image.Image | None:
        """Its mask, likewise."""
        path = self.dataset and self.dataset.sample(self.name).mask_path
        return _read(path, "mask_image") if path else self.mask_image

    def task_for(self, settings: Mapping[str, Any]) -> str:
        """The task that is meant where nobody names one: what is there tells it.

        Args:
            settings: As they were given; those of a canvas mean outpainting.
        """
        if self.task:
            return self.task
        sample = self.dataset and self.dataset.sample(self.name)
        has_image, has_mask = (sample.image_path, sample.mask_path) if sample else (self.image is not None, self.mask_image is not None)
        if has_image and any(key in settings for key in CANVAS):
            return "outpaint"
        return "text_to_image" if not has_image else "inpaint" if has_mask else "image_to_image"

    def words_for(self, task: str) -> dict[str, Any]:
        """Prompt, negative prompt and seed of an earlier picture, or of a dataset's sample; None where it has none."""
        of_sample = self.tasks.get(task, TaskMetadata())
        return {name: self.words.get(name, getattr(of_sample, name)) for name in WORDS}

    def dataset_for(self, spec: RunSpec, task: str, folder: Path, name_of: Callable[[str, str], str]) -> tuple[Dataset, list[str]]:
        """What a picture is made from.

        Args:
            spec: What is asked for.
            task: Its name.
            folder: Where files of what code gave are written, each once.
            name_of: Of the name of a picture that code gave, and the sha256 of its file: what its sample is called.

        Returns:
            A dataset that has the sample, and what is to be said of what has no use.

        Raises:
            CallError: The image or the mask cannot be used, or one that is needed is not there.
        """
        if self.dataset:
            return self.dataset, []
        given = spec.given(task)
        key = (task, repr(given.get("image")), given.get("mode"))
        if key not in self._known or inputs.lacking(self._known[key][0].inputs or {}, folder):
            pictures, mask_check, unused = taken(spec, task, {"image": self.image, "mask": self.mask_image})
            digests = self._kept(pictures, repr(given.get("image")), folder)
            sample = name_of(self.name, digests["image"]) if pictures else inputs.SAMPLE
            found = inputs.dataset_of(digests, folder, mask_check, sample=sample)
            self._known[key] = replace(found, samples=tuple(replace(sample, tasks=self.tasks) for sample in found.samples)), unused
        return self._known[key]

    def _kept(self, pictures: Mapping[str, Image.Image], reading: str, folder: Path) -> dict[str, str]:
        """The sha256 of each one's file, which is written; the image is encoded once, whatever mask is painted on it."""
        known = {"image": self._image_kept[reading]} if "image" in pictures and reading in self._image_kept else {}
        if inputs.lacking(known, folder):
            known = {}
        digests = known | inputs.keep(inputs.encoded({name: one for name, one in pictures.items() if name not in known}), folder)
        if pictures:
            self._image_kept[reading] = digests["image"]
        return digests

    def __str__(self) -> str:
        if self.task:
            return f"what an earlier picture was made from: {self.name}, {self.task}, {self.words['prompt']!r}, seed {self.words['seed']}"
        if self.image is None:
            return "words alone"
        size = f", {self.image.width}x{self.image.height}" if isinstance(self.image, Image.Image) else ""
        return f"{self.name}{size}, {'with' if self.mask_image is not None else 'without'} a mask"


def opened(image: Any, mask_image: Any = None, *, as_pixels: bool = False) -> Opened:
    """Take what somebody wants to work on.

    Args:
        image: A PIL image, a numpy array, a path, a dataset's sample, or a picture that the lab made, also by the path of its PNG: of that, what it
            was made from and what was asked for it. None for words alone.
        mask_image: As `inpaint` takes it; of a sample or an earlier picture, in place of its own.
        as_pixels: Whether an earlier picture is taken for a picture like any other.

    Raises:
        CallError: The image or the mask cannot be used.
        ReproduceError: What an earlier picture was made from is not here.
    """
    if as_pixels and isinstance(image, Described):
        image = image.image
    earlier = None if as_pixels else _earlier(image)
    if earlier is not None:
        found = _of_stamp(*earlier)
    elif isinstance(image, Sample):
        found = _of_sample(image)
    else:
        found = Opened() if image is None else Opened(name=_name_of(image), image=_read(image, "image"))
    return found if mask_image is None else with_mask(found, mask_image)


def without_inputs(path: Path) -> Opened:
    """What a PNG of the lab says of words and settings, where what it was made from is not here; it is looked at like any other picture.

    Args:
        path: The PNG.

    Raises:
        CallError: It cannot be read.
        StampError: It says nothing of how it was made.
    """
    stamp = read_stamp(path)
    settings, lost = _asked_of(stamp)
    return replace(opened(path, as_pixels=True), task=stamp.edit.task, words=_words_of(stamp), settings=settings, lost=lost)


def of_picture(kept: KeptPicture, local: Mapping[str, Mapping[str, str]]) -> Opened:
    """What a picture of a session was made from, and what was asked for it.

    Args:
        kept: The picture.
        local: Where its session found datasets, by digest.
    """
    earlier = _of_stamp(kept.stamp, kept.recorded.image, local.get("dataset", {}).get(kept.resolved.dataset.digest))
    files = unchanged(kept.resolved, SessionFolder(kept.session).files_of(kept))
    lost = tuple(adapter for adapter in earlier.lost if adapter.path not in files)
    return replace(earlier, settings=with_files(earlier.settings, files), lost=lost)


def _earlier(image: Any) -> tuple[Stamp, Path] | None:
    """What a picture that the lab made says of itself; None of any other."""
    if isinstance(image, BenchPicture):
        return image.stamp, image.path
    if isinstance(image, Described):
        return image.stamp, Path("the picture")
    path = image.image if isinstance(image, Picture) else image
    try:
        if not isinstance(path, str | os.PathLike) or not (path := Path(path).expanduser()).is_file():
            return None
        return read_stamp(path), path
    except (StampError, OSError, ValueError, RuntimeError):  # it may be any text
        return None


def _of_stamp(stamp: Stamp, path: Path, written: str | None = None) -> Opened:
    edit, resolved = stamp.edit, stamp.resolved
    is_of_words = resolved.dataset.is_of_call and resolved.dataset.inputs is None
    dataset = None if is_of_words else _dataset_of(stamp, path, written)
    settings, lost = _asked_of(stamp)
    return Opened(
        name=edit.sample,
        dataset=dataset,
        written=None if dataset is None or dataset.inputs is not None else _written(dataset),
        task=edit.task,
        words=_words_of(stamp),
        settings=settings,
        lost=lost,
        checkpoint=resolved.checkpoint.name if resolved.checkpoint.revision or resolved.checkpoint.name in families.names() else None,
    )


def _words_of(stamp: Stamp) -> dict[str, Any]:
    return {name: getattr(stamp.edit, name) for name in WORDS}


def _asked_of(stamp: Stamp) -> tuple[dict[str, Any], tuple[AdapterIdentity, ...]]:
    """The settings that were asked for, as they were meant then, and what of them is not here."""
    resolved = stamp.resolved
    old = recorded(resolved.spec, resolved.edits, version_of(stamp.versions.get("sdxl_lab")), resolved.checkpoint)
    asked = merge(old, resolved.spec.given(stamp.edit.task))
    found, missing = found_by_content(resolved, resolved.asked_for)
    asked = with_files(asked, {path: str(file) for path, (file, _) in found.items()})
    return {key: value for key, value in asked.items() if key not in OF_PICTURES}, tuple(missing)


def _dataset_of(stamp: Stamp, path: Path, written: str | None) -> Dataset:
    """What a picture was made from: where it was, or wherever it is now."""
    try:
        return made_from.dataset_of(stamp, path, written)
    except LabError:
        if written is None:
            raise
        return made_from.dataset_of(stamp, path)


def _of_sample(sample: Sample) -> Opened:
    image, mask = sample.image_path, sample.mask_path
    return Opened(
        name=sample.name,
        tasks=sample.tasks,
        image=None if image is None else _read(image, "image"),
        mask_image=None if mask is None else _read(mask, "mask_image"),
    )


def with_mask(found: Opened, mask_image: Any) -> Opened:
    """The same picture with another mask, which makes it what code gave.

    Args:
        found: What lies on the bench.
        mask_image: As `inpaint` takes it; None for no mask.

    Raises:
        CallError: There is no picture that it could be the mask of, or it cannot be used.
    """
    mask, image = None if mask_image is None else _read(mask_image, "mask_image"), found.picture()
    if image is None:
        raise CallError("mask_image: got a mask and no picture that it could be the mask of; open that first, or give both")
    if mask is not None and (fault := unlike_sizes(mask, image)):
        raise CallError(f"mask_image: got {fault}")
    return replace(found, image=image, mask_image=mask, dataset=None, written=None, _known={})


def _written(dataset: Dataset) -> str:
    return f"{dataset.name}:{dataset.version}" if dataset.version else str(dataset.folder)


def _read(given: Any, argument: str) -> Any:
    """The picture as it is now, whatever becomes of the array or file that code gave."""
    try:
        read = given_pictures.mask(given) if argument == "mask_image" else given_pictures.picture(given)
    except PictureError as error:
        raise CallError(f"{argument}: {error}") from None
    # One in a mode that a PNG does not hold is read as settings say.
    is_held = not isinstance(given, Image.Image) or given.mode in given_pictures.HELD
    return read if argument == "mask_image" or is_held else given.copy()


def _name_of(image: Any) -> str:
    """What a sample is called whose picture is a file; without a name it is called as in single calls."""
    stem = Path(image).stem if isinstance(image, str | os.PathLike) else ""
    name = re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:60]
    return inputs.SAMPLE if not name or looks_secret(stem) else name
