"""A picture made again from nothing but its own text chunk, or why it comes out differently. The picture may come from anybody."""

from __future__ import annotations

import re
import shlex
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from pydantic import ValidationError

from sdxl_lab import families
from sdxl_lab.files import downloads
from sdxl_lab.files.addresses import AddressError, canonical, is_address
from sdxl_lab.images import pictures
from sdxl_lab.images.png import digest_of_pixels, digests_of_pixels
from sdxl_lab.process.quiet import quiet_libraries
from sdxl_lab.prompts import compel_marks
from sdxl_lab.records import infotext
from sdxl_lab.records.stamps import Stamp, read_stated
from sdxl_lab.runs import checkpoint_places
from sdxl_lab.runs.early import home
from sdxl_lab.runs.made_from import hint, on_models, started_from
from sdxl_lab.runs.reproduction import Conditions, PixelDifference, ReproduceError, Reproduction
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.problems import problems
from sdxl_lab.tasks import TASKS
from sdxl_lab.wording import printable

if TYPE_CHECKING:
    from sdxl_lab.checkpoints.checkpoint import Checkpoint
    from sdxl_lab.checkpoints.locating import Source
    from sdxl_lab.generation.generate import Generated

LIMIT_BYTES = 512 << 20
"""Largest file that is read, 512 MiB: more than 89 megapixels, Pillow's limit, take in 8-bit RGB."""

MOST_LARGER = 16
"""How many times as many pixels as a picture has, or its checkpoint makes, are tried to make it again."""

COMMITS = re.compile(r"[0-9a-f]{40}(\+[0-9a-f]{40})?")


def reproduce(
    picture: Path | str, *, dataset: str | None = None, checkpoint: str | None = None, threads: int | None = None, fetch: bool = False
) -> Reproduction:
    """Make a picture again from its own description, as `generate` made it, and compare.

    What the description names is looked up by digest: the built-in datasets and checkpoint, the datasets in `artifacts/datasets` and elsewhere in
    the repository around the working folder, or in that folder, checkpoints there too, in the hub's cache and where the picture's run or session
    had them, and embeddings in any of these and in `artifacts/embeddings`. It is never followed as a path, and nothing is
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
        ReproduceError: Dataset, checkpoint or an embedding are not here, are others, or cannot make such a picture.
        LabError: A dataset or checkpoint that was given cannot be used.

    Examples:
        >>> reproduce(picture.image).is_identical
        True
    """
    picture = Path(picture)
    stamp = read_stated(picture)
    original = _pixels(picture)
    _require_compel(stamp, picture)
    image, mask = started_from(stamp, picture, dataset, fetch=fetch)
    _check_size(stamp.edit, image and image.size, original.size)

    from sdxl_lab.checkpoints import hub

    quiet_libraries()
    if fetch and checkpoint is None and stamp.resolved.checkpoint.name.startswith("https://"):  # a stranger's picture asks nothing of this machine
        downloads.fetch(stamp.resolved.checkpoint.name)
    with nullcontext() if fetch else hub.only_cached():
        loaded = _checkpoint(stamp, picture, checkpoint, threads, dataset)
        _check_working_size(stamp.edit, original.size, loaded)
        began = time.perf_counter()
        made = _made(stamp.edit, image, mask, loaded)
    here = Conditions.here(str(loaded.device), made.edit)
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
        picture_id=made_here.picture_id(stamp.edit.model_copy(update={"compel": made.edit.compel}), digests_of_pixels(made.prepared)),
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


def _require_compel(stamp: Stamp, picture: Path) -> None:
    if stamp.edit.compel and compel_marks.installed() is None:
        raise ReproduceError(
            f"{picture} was made with compel {printable(stamp.edit.compel)}, which read its prompts and is not installed here; "
            "pip install 'sdxl-lab[compel]'"
        )


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


def _checkpoint(stamp: Stamp, picture: Path, given: str | None, threads: int | None, dataset: str | None) -> Checkpoint:
    from sdxl_lab.checkpoints import hub, loading, locating

    wanted = stamp.resolved.checkpoint
    adapters = on_models(stamp, picture, dataset)
    try:
        source = locating.locate(given) if given is not None else _checkpoint_here(wanted, picture, dataset)
        identity = source.identity
        if not source.is_identified_by(wanted):
            raise ReproduceError(
                f"checkpoint {identity.name} is not the one the picture was made with: its digest is {identity.digest[:12]}, that of {wanted.name} "
                f"was {wanted.digest[:12]}; {_made_anew(identity)}give that one with {_command(picture, dataset)}"
            )
        return loading.load(identity, _compute(stamp, threads)).with_adapters(adapters)
    except hub.NotCachedError as error:
        raise ReproduceError(
            f"checkpoint {given or wanted.name} is not wholly here; let --fetch download it, or give its folder or file with --checkpoint PATH "
            f"({error})"
        ) from error


def _checkpoint_here(wanted: CheckpointIdentity, picture: Path, dataset: str | None) -> Source:
    """The description's checkpoint on this machine: one that has a name here, one of the hub at its commit, or what has its content."""
    from sdxl_lab.checkpoints import locating
    from sdxl_lab.checkpoints.hub import HUB_ID

    here = (locating.locate(name) for name in families.names() if _is_here(name))
    if found := next((source for source in here if source.is_identified_by(wanted)), None):
        return found
    if (_is_published(wanted.name) or HUB_ID.fullmatch(wanted.name)) and COMMITS.fullmatch(wanted.revision or ""):
        return locating.locate(wanted.name, wanted.revision)
    if _is_fetched_from(wanted.name):
        return locating.locate(wanted.name)
    if found := checkpoint_places.found_by_content(wanted, picture):
        return found
    if families.named(wanted.name):  # made here from other bits, or not yet
        return locating.locate(wanted.name)
    raise ReproduceError(
        f"checkpoint {wanted.name} of digest {wanted.digest[:12]} is neither the built-in one nor one of the hub, and no file or folder in {home()} "
        f"has its content{hint(picture, 'checkpoint')}; give its folder or file: {_command(picture, dataset)}"
    )


def _command(picture: Path, dataset: str | None) -> str:
    """The whole command that is given a checkpoint."""
    given = ["sdxl-lab", "reproduce", str(picture), *(["--dataset", dataset] if dataset else [])]
    return f"{shlex.join(given)} --checkpoint PATH"


def _is_fetched_from(name: str) -> bool:
    """Whether it is an address that things are fetched from; a stranger may have written any."""
    try:
        return is_address(name) and bool(canonical(name))
    except AddressError:
        return False


def _is_here(name: str) -> bool:
    found = families.named(name)
    return found is not None and (found[1].file.is_file() if isinstance(found[1], families.Made) else isinstance(found[1], Path))


def _made_anew(identity: CheckpointIdentity) -> str:
    """What a command makes is trained on each machine, to other bits."""
    found = families.named(identity.name)
    made = found[1] if found else None
    return f"{made.command} makes other weights on another machine, or of another version: " if isinstance(made, families.Made) else ""


def _is_published(name: str) -> bool:
    found = families.named(name)
    return found is not None and isinstance(found[1], families.Published)


def _compute(stamp: Stamp, threads: int | None) -> Compute:
    """As the picture was computed, on the same kind of device if there is one."""
    from sdxl_lab.checkpoints.settling import on_this_machine

    resolved = stamp.resolved
    asked: dict[str, Any] = {"device": resolved.device, "dtype": resolved.dtype, "threads": threads or resolved.threads}
    try:
        return on_this_machine(Compute.model_validate(resolved.spec.compute.model_dump() | asked))
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
