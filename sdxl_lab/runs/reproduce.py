"""A picture made again from nothing but its own text chunk, or why it comes out differently. The picture may come from anybody."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from pydantic import ValidationError

from sdxl_lab import comet, families
from sdxl_lab.datasets import inputs, sources
from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.errors import LabError
from sdxl_lab.images import pictures
from sdxl_lab.images.png import digest_of_pixels, digests_of_pixels
from sdxl_lab.process.quiet import quiet_libraries
from sdxl_lab.records import infotext
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import Stamp, read_stated
from sdxl_lab.runs import resolution
from sdxl_lab.runs.reproduction import Conditions, PixelDifference, Reproduction
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.parameters import problems
from sdxl_lab.spec.resolved_spec import CheckpointIdentity
from sdxl_lab.tasks import TASKS
from sdxl_lab.wording import printable

if TYPE_CHECKING:
    from sdxl_lab.checkpoints.loading import Checkpoint
    from sdxl_lab.generation.generate import Generated

LIMIT_BYTES = 512 << 20
"""Largest file that is read, 512 MiB: more than 89 megapixels, Pillow's limit, take in 8-bit RGB."""

MOST_LARGER = 16
"""How many times as many pixels as a picture has, or its checkpoint makes, are tried to make it again."""

DEEPEST, MOST_DATASETS = 4, 50
"""How far below a repository datasets are looked for, and how many are opened."""

COMMITS = re.compile(r"[0-9a-f]{40}(\+[0-9a-f]{40})?")


class ReproduceError(LabError):
    """A picture that cannot be made again here."""


def reproduce(
    picture: Path | str, *, dataset: str | None = None, checkpoint: str | None = None, threads: int | None = None, fetch: bool = False
) -> Reproduction:
    """Make a picture again from its own description, as `generate` made it, and compare.

    What the description names is looked up by digest: the built-in datasets and checkpoint, the datasets in `artifacts/datasets` and elsewhere in
    the repository around the working folder, or in that folder, checkpoints in the hub's cache. It is never followed as a path, and nothing is
    downloaded without `fetch`.

    Args:
        picture: A PNG that sdxl_lab made.
        dataset: A dataset as in `RunSpec`, where it is not found by itself; its digest must be the picture's. Not read
            for a picture that words alone made. For a picture that a call made, the
            folder of its inputs, where that is not `artifacts/inputs`.
        checkpoint: A checkpoint as in `RunSpec`, likewise.
        threads: CPU threads, 1 to 1024, instead of as many as it was made with.
        fetch: Whether a Comet artifact or a checkpoint of the hub that is not here may be downloaded.

    Returns:
        What was made, and how it differs.

    Raises:
        StampError: The picture does not say how it was made.
        ReproduceError: Dataset or checkpoint are not here, are others, or cannot make such a picture.
        LabError: A dataset or checkpoint that was given cannot be used.

    Examples:
        >>> reproduce(picture.image).is_identical
        True
    """
    picture = Path(picture)
    stamp = read_stated(picture)
    original = _pixels(picture)
    image, mask = _started_from(stamp, picture, dataset, fetch=fetch)
    _check_size(stamp.edit, image and image.size, original.size)

    from sdxl_lab.checkpoints import hub

    quiet_libraries()
    with nullcontext() if fetch else hub.only_cached():
        loaded = _checkpoint(stamp, picture, checkpoint, threads)
        _check_working_size(stamp.edit, original.size, loaded)
        began = time.perf_counter()
        made = _made(stamp.edit, image, mask, loaded)
    here = Conditions.here(str(loaded.device))
    made_here = stamp.resolved.model_copy(update={"threads": here.threads})
    stated = _text(original)
    return Reproduction(
        stamp=stamp,
        image=made.image,
        difference=PixelDifference.between(original, made.image),
        is_as_recorded=digest_of_pixels(made.image) == stamp.sha256,
        is_retouched=digest_of_pixels(original) != stamp.sha256,
        contradictions=infotext.differing(stated, stamp.parameters(original.size)) if stated else {},
        changed=Conditions.of(stamp).changes(here),
        made_with=here,
        seconds=time.perf_counter() - began,
        picture_id=made_here.picture_id(stamp.edit, digests_of_pixels(made.prepared)),
    )


def output_for(picture: Path, output: Path | None) -> Path:
    """Choose where what was made is written.

    Args:
        picture: The original.
        output: What was asked for, if anything.

    Returns:
        It, or `<name>-again.png` in the working folder.

    Raises:
        ReproduceError: It would replace the original, or its folder is not there.
    """
    chosen = output or Path(f"{picture.stem}-again.png")
    if chosen.exists() and picture.exists() and chosen.samefile(picture):
        raise ReproduceError(f"the output {chosen} is the picture itself; choose another --output")
    if not chosen.parent.is_dir() or chosen.is_dir():
        raise ReproduceError(f"the output {chosen} cannot be written: {chosen.parent} must be a folder, and {chosen.name} a file in it")
    return chosen


def _pixels(picture: Path) -> Image.Image:
    try:
        size_bytes = picture.stat().st_size
        if size_bytes > LIMIT_BYTES:
            raise ReproduceError(f"{picture} has {size_bytes:,} bytes; at most {LIMIT_BYTES:,} are read: give a PNG as sdxl_lab wrote it")
        image = pictures.decode(picture.read_bytes())
    except OSError as error:
        raise ReproduceError(f"{picture} cannot be read: {error.strerror or error}") from error
    except pictures.PictureError as error:
        raise ReproduceError(f"{picture}: {error}") from error
    flat = pictures.rgb(image, color_profile="ignore")  # the numbers are what was recorded
    flat.info = image.info
    return flat


def _text(image: Image.Image) -> str:
    """The text for other tools, wherever it came from."""
    text = image.info.get(infotext.KEYWORD)
    return text[: 1 << 20] if isinstance(text, str) else ""


def _started_from(stamp: Stamp, picture: Path, given: str | None, *, fetch: bool) -> tuple[Image.Image | None, Image.Image | None]:
    """The image and the mask that the picture was made from; nothing is looked for where words were enough."""
    if not TASKS[stamp.edit.task].needs_image:
        return None, None
    source = _dataset(stamp, picture, given, fetch=fetch)
    sample = source.sample(stamp.edit.sample)
    image = sample.image(**stamp.edit.settings.image.model_dump())
    if image is None:
        raise ReproduceError(
            f"sample {printable(sample.name)} of dataset {source.name} has no picture, and {stamp.edit.task} needs one: the description was changed"
        )
    return image, sample.mask() if "mask" in TASKS[stamp.edit.task].needs(stamp.edit.settings) else None


def _dataset(stamp: Stamp, picture: Path, given: str | None, *, fetch: bool) -> Dataset:
    wanted = stamp.resolved.dataset
    if wanted.inputs is not None:
        return _verified(_inputs(wanted.inputs, stamp, picture, given), stamp, picture)
    if given is not None:
        return _verified(_opened(given, fetch=fetch), stamp, picture)
    others = []
    for candidate in chain(_datasets_here(wanted.name, wanted.version), _datasets_of_checkout(wanted.name)):
        try:
            found = resolution.fetch(candidate, as_recorded=True)
        except LabError:
            continue
        if found.digest == wanted.digest:
            return found
        if found.name == wanted.name.rpartition("/")[2]:
            others.append(f"; {candidate} is another, of digest {found.digest[:12]}")
    artifact = comet.Reference.parse(f"{wanted.name}:{wanted.version}")
    can_fetch = artifact is not None and artifact.is_exact and not Path(str(artifact)).exists()
    if fetch and can_fetch:
        return _verified(resolution.fetch(str(artifact), as_recorded=True), stamp, picture)
    advice = f"give its folder with --dataset FOLDER{_hint(picture, 'dataset')}" + (f", or let --fetch download {artifact}" if can_fetch else "")
    raise ReproduceError(
        f"dataset {wanted.name} of digest {wanted.digest[:12]}, which {picture} was made from, is not here{''.join(others[:3])}; {advice}"
    )


def _inputs(wanted: Mapping[str, str], stamp: Stamp, picture: Path, given: str | None) -> Dataset:
    """What a call was given, by digest alone: in the lab's own folder, or in one that has copies of it."""
    folder = resolution.inputs_folder() if given is None else Path(given).expanduser()
    if faults := inputs.lacking(wanted, folder):
        named = " and ".join(f"its {name} {inputs.file_of(wanted[name], folder)} {fault}" for name, fault in faults.items())
        advice = f"; as it says itself, {inputs.NOT_KEPT}" if inputs.NOT_KEPT in stamp.notes else ""
        raise ReproduceError(
            f"{picture} was made by a call, and {named}; put the file there, or give the folder that has it with --dataset FOLDER{advice}"
        )
    return inputs.dataset_of(wanted, folder)


def _opened(given: str, *, fetch: bool) -> Dataset:
    """The dataset that was given, downloaded only if that is allowed."""
    artifact = comet.Reference.parse(given)
    if artifact and not fetch and not Path(given).expanduser().exists():
        here = _datasets_folder() / artifact.workspace / artifact.name / str(artifact.version)
        if not (artifact.is_exact and here.is_dir()):
            raise ReproduceError(f"dataset {given} is not here; let --fetch download it, or give its folder with --dataset FOLDER")
    return resolution.fetch(given, as_recorded=True)


def _verified(found: Dataset, stamp: Stamp, picture: Path) -> Dataset:
    wanted = stamp.resolved.dataset
    if found.digest == wanted.digest:
        return found
    raise ReproduceError(
        f"dataset {found.name} is not the one {picture} was made from: its digest is {found.digest[:12]}, that of {wanted.name} was "
        f"{wanted.digest[:12]}; give the dataset as it was, or make new pictures with this one"
    )


def _datasets_folder() -> Path:
    return resolution.home() / "artifacts" / "datasets"


def _datasets_here(name: str, version: str | None) -> list[str]:
    """What can be fetched without a download, most likely first; the names only sort them."""
    folder = _datasets_folder()
    found = [metadata.parent for depth in ("*", "*/*", "*/*/*") for metadata in sorted(folder.glob(f"{depth}/metadata.json"))]
    parts = {*name.split("/"), version}
    return [*sources.named(name), *map(str, sorted(found, key=lambda path: -len(parts & set(path.relative_to(folder).parts))))]


def _datasets_of_checkout(name: str) -> Iterator[str]:
    """Datasets anywhere in the repository around the working folder, those of the wanted name first: folders move, and digests tell them.

    Where there is no repository, those in the working folder itself.
    """
    top = resolution.home()
    deepest = DEEPEST if (top / "artifacts" / "README.md").is_file() else 1
    found = []
    for folder, below, files in os.walk(top):
        path = Path(folder)
        if "metadata.json" in files:
            found.append(path)
        is_deep = len(path.relative_to(top).parts) >= deepest
        below[:] = [] if is_deep else sorted(name for name in below if not name.startswith(".") and path / name != top / "artifacts")
    yield from map(str, sorted(found, key=lambda path: path.name != name)[:MOST_DATASETS])


def _check_size(edit: Edit, size: tuple[int, int] | None, expected: tuple[int, int]) -> None:
    if size is None and edit.settings.size.given is None:
        raise ReproduceError(
            "the picture's description names no size, without which none is made from words: it was changed; give the file as it was made"
        )
    width, height = TASKS[edit.task].size_of(edit.settings, size)
    if (width, height) != expected:
        raise ReproduceError(
            f"the picture is {expected[0]}x{expected[1]}, and its description makes one of {width}x{height}: it was scaled or cropped, or its "
            "description was changed; give the file from the run's images folder"
        )


def _check_working_size(edit: Edit, size: tuple[int, int], checkpoint: Checkpoint) -> None:
    """Refuse a size that nobody works at: the description may be a stranger's, and memory comes to its end without an error."""
    given = edit.settings.size.given
    most = MOST_LARGER * max(checkpoint.sizes.max_area, size[0] * size[1])
    if given and given[0] * given[1] > most:
        raise ReproduceError(
            f"the picture was made at {given[0]}x{given[1]}, as its description says, more than {MOST_LARGER} times its own pixels and the "
            "checkpoint's; that is not tried"
        )


def _checkpoint(stamp: Stamp, picture: Path, given: str | None, threads: int | None) -> Checkpoint:
    from sdxl_lab.checkpoints import hub, loading, locating

    wanted = stamp.resolved.checkpoint
    if adapters := [printable(adapter.name) for adapter in stamp.resolved.adapters]:
        raise ReproduceError(
            f"{picture} was made with {', '.join(adapters)} on the checkpoint's models, which this version of sdxl_lab cannot put there; "
            "update sdxl_lab"
        )
    try:
        identity = locating.identify(given) if given is not None else _checkpoint_here(wanted, picture)
        if identity.digest != wanted.digest:
            raise ReproduceError(
                f"checkpoint {identity.name} is not the one the picture was made with: its digest is {identity.digest[:12]}, that of {wanted.name} "
                f"was {wanted.digest[:12]}; give that one with --checkpoint PATH"
            )
        return loading.load(identity, _compute(stamp, threads))
    except hub.NotCachedError as error:
        raise ReproduceError(
            f"checkpoint {given or wanted.name} is not wholly here; let --fetch download it, or give its folder or file with --checkpoint PATH "
            f"({error})"
        ) from error


def _checkpoint_here(wanted: CheckpointIdentity, picture: Path) -> CheckpointIdentity:
    """What the description's checkpoint is on this machine: one that has a name here, or one of the hub at its commit."""
    from sdxl_lab.checkpoints import locating

    here = [name for name in families.names() if not _is_published(name)]
    identity = next((found for found in map(locating.identify, here) if wanted.digest == found.digest or wanted.name == found.name), None)
    if identity is not None:
        return identity
    if (_is_published(wanted.name) or locating.HUB_ID.fullmatch(wanted.name)) and COMMITS.fullmatch(wanted.revision or ""):
        return wanted
    raise ReproduceError(
        f"checkpoint {wanted.name} of digest {wanted.digest[:12]} is neither the built-in one nor one of the hub; give its folder or file with "
        f"--checkpoint PATH{_hint(picture, 'checkpoint')}"
    )


def _is_published(name: str) -> bool:
    found = families.named(name)
    return found is not None and isinstance(found[1], families.Published)


def _compute(stamp: Stamp, threads: int | None) -> Compute:
    """As the picture was computed, on the same kind of device if there is one."""
    from sdxl_lab.checkpoints import loading

    resolved = stamp.resolved
    asked: dict[str, Any] = {"device": resolved.device, "dtype": resolved.dtype, "threads": threads or resolved.threads}
    try:
        return loading.on_this_machine(Compute.model_validate(resolved.spec.compute.model_dump() | asked))
    except ValidationError as error:
        raise ReproduceError(f"the picture cannot be made again: {'; '.join(problems(error, Compute))}") from None


def _made(edit: Edit, image: Image.Image | None, mask: Image.Image | None, checkpoint: Checkpoint) -> Generated:
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.spec.cautions import said_before

    try:
        with said_before():
            return generate(edit, image, mask, checkpoint)
    except (RuntimeError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
        # Settings that pass the gate one by one may still be more than torch can compute.
        raise ReproduceError(
            f"the picture cannot be made again: {printable(str(error) or type(error).__name__)}; see `sdxl-lab show` for its settings"
        ) from error


def _hint(picture: Path, key: str) -> str:
    """Where the run beside a picture found something; for people to judge, not followed."""
    parents = picture.resolve().parents
    path = RunFolder(parents[2]).local.get(key) if len(parents) > 2 else None
    return f" (its run's local.json names {printable(path[:200])})" if isinstance(path, str) else ""
