"""What single calls are given: pictures and masks kept by the sha256 of their files, and the dataset of one sample that they make."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.datasets.samples import ArtifactError, Sample
from sdxl_lab.files.digests import digest_of_listing, once_a_file
from sdxl_lab.files.disk import write_whole
from sdxl_lab.images import pictures
from sdxl_lab.images.mask_checks import Checked
from sdxl_lab.images.png import png

NAME = "inputs"
"""What such a dataset is called in records."""

SAMPLE = "picture"
"""What the sample of a single call is called."""

NOT_KEPT = "its inputs were not kept: without them it cannot be made again"
"""What a picture says of itself where nothing was to be kept."""


def encoded(given: Mapping[str, Image.Image]) -> dict[str, bytes]:
    """Write pictures as the files that are kept of them.

    Args:
        given: `image` and `mask`, as far as a call's task needs them, in modes that a PNG holds.
    """
    return {name: png(image, compress_level=1) for name, image in given.items()}


def keep(files: Mapping[str, bytes], folder: Path) -> dict[str, str]:
    """Write each file as `<sha256>.png`; what is there already is left alone.

    Args:
        files: Of a call, as `encoded` makes them.
        folder: Where inputs are kept. Made only if there is something to write.

    Returns:
        The same names to the sha256 of the files.

    Raises:
        DiskError: They cannot be written.
    """
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for name, sha256 in digests.items():
        if _fault(file_of(sha256, folder), sha256):
            write_whole(file_of(sha256, folder), files[name])
    return digests


def dataset_of(inputs: Mapping[str, str], folder: Path, mask_check: Checked | None = None, *, sample: str = SAMPLE) -> Dataset:
    """Open what a call was given as a dataset of one sample, which without an image is of words alone.

    Args:
        inputs: `image` and `mask`, as far as they were given, to the sha256 of their files.
        folder: Where they are kept, whole: `lacking` finds nothing.
        mask_check: What was found of the mask, if anybody looked.
        sample: What the sample is called.

    Raises:
        ArtifactError: A file is no picture, or there are others than these two.
    """
    if set(inputs) not in (set(), {"image"}, {"image", "mask"}):
        raise ArtifactError(f"inputs: got {', '.join(inputs)}; allowed are an image, and a mask beside it. A later version may know more")
    only = _with_image(inputs, folder, mask_check, sample) if inputs else Sample(name=sample)
    digest = digest_of_listing(inputs.items())
    return Dataset(name=NAME, version=None, digest=digest, folder=folder, samples=(only,), inputs=dict(inputs) or None)


def lacking(inputs: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Find out which inputs a folder lacks.

    Args:
        inputs: As for `dataset_of`.
        folder: Where they are looked for, under their digests alone.

    Returns:
        Name to what is wrong with its file, such as "is not here".
    """
    return {name: fault for name, sha256 in inputs.items() if (fault := _fault(file_of(sha256, folder), sha256))}


def file_of(sha256: str, folder: Path) -> Path:
    """Where an input lies.

    Args:
        sha256: Of the file's bytes, hex.
        folder: Where inputs are kept.
    """
    return folder / f"{sha256}.png"


def _with_image(inputs: Mapping[str, str], folder: Path, mask_check: Checked | None, name: str) -> Sample:
    paths = {name: file_of(sha256, folder) for name, sha256 in inputs.items()}
    try:
        size, facts = _seen(paths["image"])
    except (pictures.PictureError, OSError) as error:
        raise ArtifactError(f"{paths['image']}: {error}") from None
    return Sample(
        name=name,
        image_path=paths["image"],
        image_sha256=inputs["image"],
        size=size,
        mask_path=paths.get("mask"),
        mask_sha256=inputs.get("mask"),
        facts=facts,
        mask_check=mask_check,
    )


@once_a_file
def _seen(path: Path) -> tuple[tuple[int, int], pictures.Facts]:
    """Size and facts of a picture: the same one is opened again whenever a setting is turned."""
    image = pictures.decode(path.read_bytes())
    return image.size, pictures.facts_of(image, pictures.rgb(image))


@once_a_file
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fault(path: Path, sha256: str) -> str | None:
    if not path.is_file():
        return "is not here"
    try:
        is_whole = _sha256(path) == sha256
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return None if is_whole else "holds other bytes than its name says"
