"""A session's history as pages show it: how each picture was made, what changed against the one before, and the pictures small."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image

from sdxl_lab.bench.widget.knobs import for_page
from sdxl_lab.files.disk import make_folder, write_whole
from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.session_files import SessionFiles
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.settings.sections import EditSettings
from sdxl_lab.spec.edit import Edit
from sdxl_lab.tasks import INPUT, MASK
from sdxl_lab.viewing import display

THUMBNAIL_PX = 192
LARGEST_UNDRAWN_PX = 256
"""A picture whose sides are no longer serves as its own thumbnail."""


def entries(session: SessionFiles) -> list[dict[str, Any]]:
    """Write all pictures of a session for the page, in the order in which they were made.

    Args:
        session: It may come from anywhere: what is not sound of it is left out.
    """
    pictures = [kept for kept in session.pictures() if kept.is_sound]
    return [entry(kept, before) for before, kept in pairwise([None, *pictures]) if kept]


def entry(kept: KeptPicture, before: KeptPicture | None) -> dict[str, Any]:
    """Write a picture of a session for the page.

    Args:
        kept: The picture.
        before: The one before it in the session; None for the first.

    Returns:
        Plain values for JSON. `settings` has, by dotted path, what is not the library's default. `changed` lists `path`, `before` and `after` of
        what was asked otherwise than for the one before; None is the default, and of `image` and `mask`, which it was made from, the values are
        digests. `original` says where the picture it was made from lies in it, in pixels.
    """
    recorded, thumbnail = kept.recorded, _thumbnail(kept)
    files = {role: str(file.absolute()) for role, file in recorded.files.items()}
    words = _words(kept)
    return {
        "number": kept.number,
        "sha256": recorded.sha256,
        "picture_id": kept.picture_id,
        "file": str(recorded.image.absolute()),
        "thumbnail": str(thumbnail.absolute()) if thumbnail.is_file() else None,
        "width": recorded.width,
        "height": recorded.height,
        "starred": kept.is_starred,
        "note": kept.note,
        **words,
        "settings": dict(_settings(kept)),
        "metrics": dict(recorded.metrics),
        "seconds": recorded.seconds,
        "changed": _changed(before, kept) if before else [],
        "notes": list(recorded.notes),
        "input": files.get(INPUT.name),
        "mask": files.get(MASK.name),
        "original": _original(kept) if INPUT.name in files else None,
    }


def thumbnail(picture: Image.Image | Path) -> bytes:
    """Encode a picture small.

    Args:
        picture: The picture, or the file that holds it.

    Returns:
        A WebP file of at most `THUMBNAIL_PX` on its longest side.
    """
    return display.small(picture, THUMBNAIL_PX)


def draw(kept: KeptPicture) -> Path:
    """Keep a picture of a session small beside it, unless that is done.

    Args:
        kept: The picture.

    Returns:
        The file; the picture's own where that is small.

    Raises:
        OSError: The picture is not there.
        DiskError: The disk is full or not writable.
    """
    file = _thumbnail(kept)
    if not file.is_file():
        make_folder(file.parent)
        write_whole(file, thumbnail(kept.recorded.image))
    return file


def _thumbnail(kept: KeptPicture) -> Path:
    recorded = kept.recorded
    is_small = max(recorded.width, recorded.height) <= LARGEST_UNDRAWN_PX
    return recorded.image if is_small else SessionFiles(kept.session).thumbnail_file(recorded.sha256)


def _words(kept: KeptPicture) -> dict[str, Any]:
    edit = kept.resolved.edits[0]
    return {
        "prompt": edit.prompt,
        "negative_prompt": edit.negative_prompt,
        "seed": for_page(edit.seed),
        "task": edit.task,
        "checkpoint": kept.resolved.checkpoint.name,
    }


def _settings(kept: KeptPicture) -> Mapping[str, Any]:
    edit: Any = kept.resolved.edits[0]  # frozen, hence hashable, which its type does not say
    return _settings_of(edit)


@lru_cache(maxsize=2000)
def _settings_of(edit: Edit) -> Mapping[str, Any]:
    """What is not the library's default; each edit is read once, since all of a session is written after each picture."""
    defaults = _defaults()
    return {path: value for path, value in flatten(edit.taken()).items() if path not in defaults or value != defaults[path]}


@cache
def _defaults() -> Mapping[str, Any]:
    return flatten(EditSettings().model_dump(mode="json"))


def _changed(before: KeptPicture, kept: KeptPicture) -> list[dict[str, Any]]:
    then, now = ({**_words(one), **_given(one), **_settings(one)} for one in (before, kept))
    paths = dict.fromkeys([*now, *then])
    pairs = ((path, then.get(path), now.get(path)) for path in paths)
    return [{"path": path, "before": old, "after": new} for path, old, new in pairs if old != new]


def _given(kept: KeptPicture) -> dict[str, str]:
    """What it was made from, by its content: the files of a call, or a sample of a dataset."""
    dataset, sample = kept.resolved.dataset, kept.recorded.sample
    if dataset.is_of_call:
        return {name: digest[:16] for name, digest in (dataset.inputs or {}).items()}
    return {"image": f"{sample} of {dataset.digest[:16]}"}


def _original(kept: KeptPicture) -> dict[str, int]:
    recorded, sides = kept.recorded, kept.resolved.edits[0].settings.canvas.sides
    return {
        "left": sides["left_px"],
        "top": sides["top_px"],
        "width": recorded.width - sides["left_px"] - sides["right_px"],
        "height": recorded.height - sides["top_px"] - sides["bottom_px"],
    }
