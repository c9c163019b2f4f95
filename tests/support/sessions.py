"""Sessions whose pictures are asked for and planned as a bench does, and drawn without a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab.datasets import inputs
from sdxl_lab.images.masks import dilate
from sdxl_lab.images.png import digest_of_pixels, digests_of_pixels
from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.records.stamps import stamp_of
from sdxl_lab.runs.reproduction import Conditions
from sdxl_lab.runs.single import Planned, asked, planned
from sdxl_lab.spec.generated import Generated

SIDE_PX = 128


def begun(folder: Path, name: str = "tries", tracking: str = "off") -> SessionFolder:
    """A session without a picture yet, which tells Comet nothing."""
    return SessionFolder.begin(folder, name, tracking=tracking)


def begun_in(home: Path, name: str = "tried", tracking: str = "auto") -> SessionFolder:
    """A session of a lab whose home is a folder."""
    return begun(home / "artifacts" / "runs" / "sessions", name, tracking)


def photo(side_px: int = SIDE_PX) -> Image.Image:
    """What somebody gives: a slope of colors."""
    rows, columns = np.mgrid[:side_px, :side_px] * (255 / side_px)
    return Image.fromarray(np.stack([rows, columns, 255 - (rows + columns) / 2], -1).astype(np.uint8))


def disk(side_px: int = SIDE_PX) -> Image.Image:
    """Its mask: white in the middle."""
    rows, columns = np.mgrid[:side_px, :side_px] - side_px / 2
    return Image.fromarray((np.hypot(rows, columns) < side_px / 3).astype(np.uint8) * 255)


def ready(
    session: SessionFolder,
    prompt: str,
    *,
    seed: int = 0,
    negative_prompt: str | None = None,
    task: str = "inpaint",
    sample: str | None = None,
    **settings: Any,
) -> Planned:
    """A picture that has only to be made: from words alone, or from the photo, and the disk where the task takes a mask."""
    given = {} if task == "text_to_image" else {"image": photo(), **({} if task == "image_to_image" else {"mask": disk()})}
    words = {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed}
    spec = asked(task, words, settings, checkpoint="pocket", name=session.name, tracking=session.tracking)
    digests = inputs.keep(inputs.encoded(given), given_folder(session))
    return planned(spec, inputs.dataset_of(digests, given_folder(session), sample=sample or inputs.SAMPLE))


def given_folder(session: SessionFolder) -> Path:
    """Where what the session is given lies before it keeps it."""
    return session.path.with_name(f"{session.path.name}-given")


def drawn(one: Planned, side_px: int = SIDE_PX, **facts: Any) -> Generated:
    """A picture that tells its settings apart: a plain color by all of what was asked, rings by the steps, in the mask where there is one."""
    edit = one.edit
    color = np.frombuffer(hashlib.sha256(edit.model_dump_json().encode()).digest()[:3], np.uint8)
    rows, columns = np.mgrid[:side_px, :side_px] - side_px / 2
    rings = 0.6 + 0.4 * np.cos(np.hypot(rows, columns) * edit.settings.denoising.num_inference_steps / 60)
    painted = (rings[..., None] * color).astype(np.uint8)
    has_image = edit.task != "text_to_image"
    has_mask = edit.task in ("inpaint", "outpaint")
    before, mask = (photo(side_px), dilate(disk(side_px), edit.settings.mask.kernel_size)) if has_image else (None, None)
    if has_mask:
        painted = np.where((np.asarray(mask) > 0)[..., None], painted, np.asarray(before))
    image = Image.fromarray(painted)
    return Generated(
        edit=edit,
        image=image,
        raw=image,
        input_image=before,
        mask_image=mask if has_mask else None,
        seam_image=mask if has_mask else None,
        working_size=(side_px, side_px),
        stretch=1.0,
        **{"base_steps": edit.settings.denoising.num_inference_steps, "refiner_steps": 0, "seconds": 0.25, **facts},
    )


def add(
    session: SessionFolder,
    prompt: str = "a blue star",
    *,
    side_px: int = SIDE_PX,
    metrics: dict[str, float] | None = None,
    facts: Mapping[str, Any] | None = None,
    **asked_for: Any,
) -> KeptPicture:
    """Make a picture and keep it, with its numbers; `asked_for` is what `ready` takes, `facts` what is said of the making."""
    one = ready(session, prompt, **asked_for)
    made = drawn(one, side_px, **facts or {})
    here = Conditions.here("cpu")
    stamp = stamp_of(
        one.resolved.spec,
        one.edit,
        versions=dict(here.versions),
        hardware=here.hardware,
        instruction_set=here.instruction_set,
        sha256=digest_of_pixels(made.image),
        picture_id=one.resolved.spec.picture_id(one.edit, digests_of_pixels(made.prepared)),
        notes=one.notes,
    )
    dataset = one.resolved.dataset
    given = [inputs.file_of(sha256, dataset.folder) for sha256 in (dataset.inputs or {}).values()]
    return session.add(stamp, made, given=given, metrics=metrics or {}, local={"checkpoint": "pocket"})


def kept(session: SessionFolder, prompt: str, task: str = "text_to_image", *, seconds: float = 0.25, **asked_for: Any) -> KeptPicture:
    """One more picture of a session, by 24 steps of the base and 6 of the refiner; of a task that has an input with one metric."""
    facts = {"base_steps": 24, "refiner_steps": 6, "seconds": seconds}
    metrics = {} if task == "text_to_image" else {"change_outside_max": 2.5}
    return add(session, prompt, task=task, facts=facts, metrics=metrics, **asked_for)


def long(folder: Path, count: int, side_px: int = SIDE_PX) -> SessionFolder:
    """A session of many tries of one photo: prompts, guidance, steps and seeds change from one to the next, some are starred, some have notes."""
    session = begun(folder, "long")
    for number in range(1, count + 1):
        kept = add(
            session,
            f"a {('blue', 'red', 'green')[number // 40 % 3]} star on grass, number {number // 10} of many, at dusk",
            seed=number % 7,
            side_px=side_px,
            guidance_scale=float(3 + number // 7 % 4),
            num_inference_steps=10 + number // 28,
            metrics={"seam_delta_e": number % 11 / 2, "change_outside_max": 0.0},
        )
        if number % 9 == 0:
            session.star(kept, starred=True)
        if number % 25 == 0:
            session.note(kept, "the star is too small <b>but</b> the grass is right")
    return session


def names(picture: Any) -> tuple[str, str]:
    """What tells a picture from any other, and its pixels."""
    return picture.picture_id, picture.sha256
