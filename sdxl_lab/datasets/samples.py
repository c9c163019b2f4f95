"""The samples of a dataset's folder: what its metadata.json says of each, every picture and mask that it names opened and checked."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from PIL import Image

from sdxl_lab import progress
from sdxl_lab.datasets.metadata import ArtifactError, encodable, kind_of, read_metadata
from sdxl_lab.datasets.metadata_fields import WORDS, misplaced, sample_fields
from sdxl_lab.files.digests import until_changed
from sdxl_lab.images import mask_checks, masks, pictures
from sdxl_lab.settings.sections import EditSettings
from sdxl_lab.tasks import TASKS
from sdxl_lab.wording import counted

_T = TypeVar("_T")

_UNFIT = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_SHOWN_PROBLEMS = 20


@dataclass(frozen=True, kw_only=True)
class TaskMetadata:
    """What a dataset says about one sample and one task. What it leaves open, the parameters give.

    Attributes:
        prompt: What to paint.
        negative_prompt: What to avoid; None and "" are different requests.
        seed: From -2**63 to 2**64 - 1, as torch takes it.
        extra: Fields that the lab doesn't know, as they were written.
    """

    prompt: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One picture of a dataset, its mask, and what to do with it; or words alone.

    Attributes:
        name: Unique in its dataset and fit to name a folder.
        image_path: The picture's file; None is enough for tasks that work from words alone.
        size: Its width and height in pixels, upright; None without a picture.
        mask_path: The mask's file; None is enough for tasks that need none, such as extending the canvas.
        tasks: By task; one that the metadata doesn't mention is absent.
        extra: Fields that the lab doesn't know, as they were written.
        image_sha256: The picture file's SHA-256 when it was fetched; None skips the comparison.
        mask_sha256: The same of the mask's file.
        facts: What of the picture's file changes how it is read.
        mask_check: What was found of the mask's file when it was fetched: its share of the picture, and what is to be said of it.
    """

    name: str
    image_path: Path | None = None
    size: tuple[int, int] | None = None
    mask_path: Path | None = None
    tasks: Mapping[str, TaskMetadata] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    image_sha256: str | None = None
    mask_sha256: str | None = None
    facts: pictures.Facts = field(default_factory=pictures.Facts)
    mask_check: mask_checks.Checked | None = None

    def has_prompt(self, task: str) -> bool:
        """Whether the metadata says what to paint; the empty text is a prompt."""
        return task in self.tasks and self.tasks[task].prompt is not None

    def suits(self, task: str) -> bool:
        """Whether it has the picture that a task needs by its own defaults."""
        return self.image_path is not None or "image" not in TASKS[task].needs(EditSettings())

    def image(self, *, color_profile: pictures.ColorProfile = "srgb", background: pictures.Background = "white") -> Image.Image | None:
        """Read the picture upright, as 8-bit RGB; None if the sample has none.

        Args:
            color_profile: As in `pictures.rgb`; likewise `background`.
            background: What transparent pixels are laid over.

        Raises:
            ArtifactError: The file can't be read, or has changed since it was fetched.
        """
        read = partial(pictures.rgb, color_profile=color_profile, background=background)
        return None if self.image_path is None else _read(self.image_path, read, self.image_sha256)[0]

    def mask(self) -> Image.Image | None:
        """Read the mask upright, mode "L", holding only 0 and 255; None if the sample has none.

        Raises:
            ArtifactError: The file can't be read, or has changed since it was fetched.
        """
        return None if self.mask_path is None else _read(self.mask_path, masks.binarize, self.mask_sha256)[0]

    def soft_mask(self) -> Image.Image | None:
        """Read the mask with its grays, which `mask.soft` looks at; otherwise as `mask` does."""
        return None if self.mask_path is None else _read(self.mask_path, pictures.grayscale, self.mask_sha256)[0]


def tasks_of(samples: Iterable[Sample]) -> tuple[str, ...]:
    """The tasks that samples are about: those of which one speaks, and of pictures those that a run makes by default."""
    listed = tuple(samples)
    spoken = {name for sample in listed for name in sample.tasks}
    has_pictures = any(sample.image_path for sample in listed)
    return tuple(name for name, task in TASKS.items() if (task.is_default and has_pictures) or name in spoken)


def tasks_from_words() -> tuple[str, ...]:
    """The tasks that work from words alone: that need nothing else of a sample by their own defaults."""
    return tuple(name for name, task in TASKS.items() if not task.needs(EditSettings()))


def read_samples(folder: Path, *, as_recorded: bool = False) -> tuple[tuple[Sample, ...], dict[str, Any]]:
    """Open and check all that a dataset's folder holds.

    Args:
        folder: A folder with a metadata.json.
        as_recorded: Whether to take what 0.1.0 took, for pictures that were made from it: masks that are pictures, fields that were passed over.

    Returns:
        The samples, in the order of metadata.json, and the other fields in it, as they were written.

    Raises:
        ArtifactError: The layout can't be read, or some of its samples are unfit; all of them are listed.
    """
    listed, extra = read_metadata(folder, as_recorded=as_recorded)
    samples: list[Sample] = []
    problems: list[str] = []
    taken: dict[str, str] = {}
    for index, entry in enumerate(progress.told(listed, "checking the dataset", unit="sample")):
        try:
            sample = _read_sample(folder, entry, as_recorded=as_recorded)
            take_name(sample.name, taken)
            samples.append(sample)
        except ArtifactError as error:
            problems.append(f"samples[{index}]{_named(entry)}: {error}")
    if problems:
        raise unfit(problems, f"{counted(len(listed), 'sample')} in {folder / 'metadata.json'}")
    return tuple(samples), extra


def take_name(name: str, taken: dict[str, str]) -> None:
    """Add a sample's name to those that are taken, by what case and accents written otherwise leave of them.

    Raises:
        ArtifactError: It is taken.
    """
    key = unicodedata.normalize("NFC", name).casefold()
    if key in taken:
        raise ArtifactError(f"the name {name!r} is taken by an earlier sample ({taken[key]!r}; case doesn't count); names must be unique")
    taken[key] = name


def unfit(problems: Sequence[str], of: str) -> ArtifactError:
    """List what is wrong with a dataset, shortened where that is much.

    Args:
        problems: One line each.
        of: How many there are of what, and where: `40 samples in sea/metadata.json`.
    """
    shown = problems[:_SHOWN_PROBLEMS]
    more = [f"... and {len(problems) - len(shown)} more"] if len(problems) > len(shown) else []
    return ArtifactError("\n  ".join([f"{len(problems)} of {of} can't be used:", *shown, *more]))


def _read_sample(folder: Path, entry: object, *, as_recorded: bool) -> Sample:
    if not isinstance(entry, dict):
        raise ArtifactError(f'a sample must be an object with at least "name", and "image" unless it is words alone, got {kind_of(entry)}')
    if not as_recorded and (found := misplaced(entry, sample_fields())):
        raise ArtifactError(found)
    name = check_name(entry.get("name"))
    files = _read_files(folder, entry, as_recorded=as_recorded)
    tasks = {
        task: _read_task(entry[task], task, as_recorded=as_recorded)
        for task in TASKS
        if task in entry and _speaks(task, entry[task], as_recorded=as_recorded)
    }
    return Sample(name=name, tasks=tasks, extra={key: value for key, value in entry.items() if key not in sample_fields()}, **files)


def _speaks(task: str, written: object, *, as_recorded: bool) -> bool:
    """Whether a field is a task's words: of a later task's name, it may be its author's own in a dataset that 0.1.0 took."""
    if not as_recorded or TASKS[task].is_first:
        return True
    try:
        _read_task(written, task, as_recorded=True)
    except ArtifactError:
        return False
    return True


def _read_files(folder: Path, entry: Mapping[str, Any], *, as_recorded: bool) -> Mapping[str, Any]:
    """Open and check picture and mask, and return what a sample has of them; nothing where there are none."""
    if entry.get("image") is None:
        if entry.get("mask") is not None:
            raise ArtifactError(
                f'"mask" is {kind_of(entry["mask"])} and "image" is left out, but a mask needs its picture: "image" must be the path of a file, '
                "relative to the dataset's folder; without a picture leave out the mask, too"
            )
        return {}
    image_path = _resolve_inside(folder, entry["image"], "image")
    mask_path = None if entry.get("mask") is None else _resolve_inside(folder, entry["mask"], "mask")
    return _opened(image_path, mask_path, as_recorded=as_recorded)


def _both(image_path: Path, mask_path: Path | None, *, as_recorded: bool) -> list[Path]:
    return [image_path, *([mask_path] if mask_path else [])]


@until_changed(_both, most=10_000)
def _opened(image_path: Path, mask_path: Path | None, *, as_recorded: bool) -> Mapping[str, Any]:
    """What a sample has of its files, once they were seen to be fit: each run of a sweep asks."""
    (image, facts), image_sha256 = _read(image_path, _with_facts)
    found = {"image_path": image_path, "image_sha256": image_sha256, "facts": facts, "size": image.size}
    if mask_path is None:
        return found
    mask_check, mask_sha256 = _read(mask_path, partial(_check_mask, image=image, path=mask_path, as_recorded=as_recorded))
    if mask_sha256 == image_sha256 and not as_recorded:
        raise ArtifactError(f'"image" and "mask" are the same picture, {mask_path.name}; name the mask\'s own file, where white marks the object')
    return found | {"mask_path": mask_path, "mask_sha256": mask_sha256, "mask_check": mask_check}


def check_name(name: object) -> str:
    """Make sure that a sample's name is fit to name a folder, on every system.

    Raises:
        ArtifactError: It is not.
    """
    if not isinstance(name, str):
        raise ArtifactError(f'"name" must be a string, got {kind_of(name)}')
    if not name or len(name.encode("utf-8", "replace")) > 100:
        raise ArtifactError(f'"name" must have 1 to 100 bytes, got {len(name.encode("utf-8", "replace"))}')
    if _UNFIT.search(name) or name.startswith(".") or name != name.strip() or name.endswith(".") or _RESERVED.fullmatch(name) or not encodable(name):
        raise ArtifactError(f"the name {name!r} can't name a folder on every system; use letters, digits, '-', '_' and '.' inside, as in 'octopus-2'")
    return name


def _resolve_inside(folder: Path, written: object, key: str) -> Path:
    """Return the file that metadata.json names, after making sure that it lies in the folder, links resolved."""
    if not isinstance(written, str) or not written:
        raise ArtifactError(f'"{key}" must be the path of a file, relative to the dataset\'s folder, got {kind_of(written)}')
    if "\\" in written or "\x00" in written:
        raise ArtifactError(f'"{key}" is {written!r}; separate folders with "/"')
    if PurePosixPath(written).is_absolute() or written.startswith("~") or re.match(r"[A-Za-z]:", written):
        raise ArtifactError(f'"{key}" is {written!r}, an absolute path; write it relative to the dataset\'s folder')
    path = folder / written
    try:
        inside = path.resolve().is_relative_to(folder.resolve()) and ".." not in PurePosixPath(written).parts
        is_file = path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        raise ArtifactError(f'"{key}" is {written!r}, which can\'t be followed: {error}') from None
    if not inside:
        raise ArtifactError(f'"{key}" is {written!r}, which leads out of the dataset\'s folder; copy the file into the folder')
    if not is_file:
        raise ArtifactError(f'"{key}" is {written!r}, and there is no such file in {folder}')
    return path


def _read_task(written: object, task: str, *, as_recorded: bool) -> TaskMetadata:
    if not isinstance(written, dict):
        raise ArtifactError(f'"{task}" must be an object such as {{"prompt": "a red octopus", "seed": 7}}, got {kind_of(written)}')
    if not as_recorded and (found := misplaced(written, WORDS, task)):
        raise ArtifactError(f'"{task}": {found}')
    prompt, negative_prompt, seed = (written.get(key) for key in WORDS)
    for key, text in (("prompt", prompt), ("negative_prompt", negative_prompt)):
        if text is not None and not isinstance(text, str):
            raise ArtifactError(f'"{task}.{key}" must be a string, got {kind_of(text)}')
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not is_seed(seed)):
        raise ArtifactError(f'"{task}.seed" must be an integer from -2**63 to 2**64 - 1, as torch takes it, got {kind_of(seed)}')
    extra = {key: value for key, value in written.items() if key not in WORDS}
    return TaskMetadata(prompt=prompt, negative_prompt=negative_prompt, seed=seed, extra=extra)


def is_seed(number: int) -> bool:
    """Whether torch takes it as a seed."""
    return -(2**63) <= number < 2**64


def _check_mask(mask: Image.Image, image: Image.Image, path: Path, *, as_recorded: bool) -> mask_checks.Checked | None:
    if fault := mask_checks.unlike_sizes(mask, image):
        raise ArtifactError(f"the mask {path.name} is {fault}")
    try:
        return mask_checks.check(mask, image)
    except masks.MaskError as error:
        if as_recorded:
            return None
        raise ArtifactError(f"the mask {path.name} {error}") from None


def _with_facts(image: Image.Image) -> tuple[Image.Image, pictures.Facts]:
    flat = pictures.rgb(image)
    return flat, pictures.facts_of(image, flat)


def _read(path: Path, bring: Callable[[Image.Image], _T], expected: str | None = None) -> tuple[_T, str]:
    content, sha256 = _read_file(path, expected)
    try:
        return bring(pictures.decode(content)), sha256
    except pictures.PictureError as error:
        raise ArtifactError(f"{path}: {error}") from None


def _read_file(path: Path, expected: str | None) -> tuple[bytes, str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} can't be read: {error.strerror or error}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if expected not in (None, sha256):
        raise ArtifactError(f"{path} has changed since its dataset was fetched; fetch it again, and expect another digest")
    return content, sha256


def _named(entry: object) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    return f" {name!r}" if isinstance(name, str) and len(name) <= 100 else ""
