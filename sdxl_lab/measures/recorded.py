"""A picture as metrics take it, read back from its record, which has all of it but what the models gave before compositing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from PIL import Image

from sdxl_lab.datasets import sources
from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.datasets.samples import Sample
from sdxl_lab.errors import LabError
from sdxl_lab.images import soft_masks
from sdxl_lab.images.canvas import canvas_mask
from sdxl_lab.images.pictures import rgb
from sdxl_lab.images.png import digest_of_pixels
from sdxl_lab.measures._measure import MeasureError, Told
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.run_files import RunFiles
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Generated
from sdxl_lab.tasks import INPUT, MASK


class _NotKept:
    """Stands where the decoded picture would; whoever wants anything of it is told."""

    def __getattr__(self, name: str) -> Any:
        raise MeasureError("it is of the picture before compositing, which is measured when the picture is made, and not kept")


NOT_KEPT = cast("Image.Image", _NotKept())


def generated(edit: Edit, picture: Picture) -> Generated:
    """Read a picture back.

    Args:
        edit: What was painted.
        picture: As recorded, whole.

    Returns:
        All that metrics take, pixel by pixel what it was when it was made; what asks for `raw` raises `MeasureError`.
    """
    mask = _read(picture, MASK.name)
    return Generated(
        edit=edit,
        image=_opened(picture.image),
        raw=NOT_KEPT,
        input_image=_read(picture, INPUT.name),
        mask_image=mask,
        seam_image=mask and _composited(edit, mask),
        working_size=(picture.working_width, picture.working_height),
        stretch=picture.stretch,
        base_steps=picture.base_steps,
        refiner_steps=picture.refiner_steps,
        seconds=picture.seconds,
        frame=picture.frame,
        notes=picture.notes,
    )


def told_of(run: RunFiles, edit: Edit, picture: Picture) -> Told:
    """What the dataset of a run says of a picture, if it is on this machine; nothing is downloaded.

    What a picture should show is taken from that very dataset alone. A caption may have been written since: it is taken where the sample's
    picture still is the one that was edited, pixel by pixel.

    Args:
        run: The run.
        edit: What was painted.
        picture: As recorded.
    """
    dataset = _dataset(str(run.resolved_here.spec.dataset))
    sample = next((each for each in dataset.samples if each.name == edit.sample), None) if dataset else None
    if dataset is None or sample is None:
        return Told()
    is_same = dataset.digest == run.resolved.dataset.digest
    if not (is_same or _is_of(sample, picture)):
        return Told()
    metadata = sample.tasks.get(edit.task)
    own = metadata.extra if metadata else {}
    expected = own.get("expected") if is_same and metadata and metadata.prompt == edit.prompt else None
    caption = own.get("input_caption", sample.extra.get("input_caption"))
    return Told(expected=expected if isinstance(expected, Mapping) else {}, input_caption=caption if isinstance(caption, str) else "", is_known=True)


def _is_of(sample: Sample, picture: Picture) -> bool:
    edited = _read(picture, INPUT.name)
    if edited is None or sample.image_path is None:
        return False
    image = sample.image()
    return image is not None and image.size == edited.size and digest_of_pixels(rgb(image)) == digest_of_pixels(rgb(edited))


def look_anew() -> None:
    """Read datasets again: somebody may have written captions since."""
    _dataset.cache_clear()


@lru_cache(maxsize=4)
def _dataset(written: str) -> Dataset | None:
    source = sources.source_of(written)
    if source is None or not (written in sources.BUILT_IN or source.is_path):
        return None
    try:
        return sources.fetch(written)
    except LabError:  # moved or changed since: its pictures are kept in the record, and what it says of them is not known
        return None


def _composited(edit: Edit, mask: Image.Image) -> Image.Image:
    """What of the repainted region was laid over the input."""
    canvas, soft = edit.settings.canvas, edit.settings.mask.soft
    if canvas.extends:
        sides = canvas.sides
        size = (mask.width - sides["left_px"] - sides["right_px"], mask.height - sides["top_px"] - sides["bottom_px"])
        return canvas_mask(size, **sides, overlap_px=0)
    return mask if soft == "off" else soft_masks.composited(mask)


def _read(picture: Picture, role: str) -> Image.Image | None:
    return _opened(picture.files[role]) if role in picture.files else None


def _opened(path: Any) -> Image.Image:
    with Image.open(path, formats=["PNG"]) as image:
        image.load()
        return image
