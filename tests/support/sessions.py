"""Sessions with pictures as a bench keeps them, planned by the lab and painted by nobody: their pixels are drawn at random."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab.datasets import inputs
from sdxl_lab.images.png import digest_of_pixels, digests_of_pixels
from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.records.stamps import stamp_of
from sdxl_lab.runs.single import asked, planned
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Generated

SIZE = (64, 48)


def drawn(seed: int) -> Image.Image:
    """A picture of noise."""
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (SIZE[1], SIZE[0], 3)).astype(np.uint8))


def disc() -> Image.Image:
    """A mask with an object in its middle."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    return Image.fromarray((((columns - 32) ** 2 + (rows - 24) ** 2 < 144) * 255).astype(np.uint8))


def begun(folder: Path, name: str = "tried", tracking: str = "auto") -> SessionFolder:
    """A session of a lab whose home is a folder."""
    return SessionFolder.begin(folder / "artifacts" / "runs" / "sessions", name, tracking=tracking)


def kept(session: SessionFolder, prompt: str, task: str = "text_to_image", *, seed: int = 0, seconds: float = 0.25, **settings: Any) -> KeptPicture:
    """One more picture of a session; `inpaint` works on the same picture and mask each time."""
    words = {"prompt": prompt, "negative_prompt": settings.pop("negative_prompt", None), "seed": seed}
    spec = asked(task, words, settings, checkpoint="pocket", name=session.name, tracking=session.tracking)
    given = {"image": drawn(1), "mask": disc()} if task == "inpaint" else {}
    folder = session.path.parent / ".given"
    dataset = inputs.dataset_of(inputs.keep(inputs.encoded(given), folder), folder)
    ready = planned(spec, dataset)
    made = painted(ready.edit, given, seconds)
    resolved = ready.resolved.spec
    stamp = stamp_of(
        resolved,
        made.edit,
        versions={"sdxl_lab": "0.2.0", "torch": "2.0"},
        hardware="a processor",
        instruction_set="AVX2",
        sha256=digest_of_pixels(made.image),
        picture_id=resolved.picture_id(made.edit, digests_of_pixels(made.prepared)),
    )
    files = [inputs.file_of(sha256, folder) for sha256 in (dataset.inputs or {}).values()]
    return session.add(stamp, made, given=files, metrics={"change_outside_max": 2.5} if given else {})


def painted(edit: Edit, given: Mapping[str, Image.Image], seconds: float) -> Generated:
    """Pixels that depend on the edit alone."""
    image, mask = drawn(zlib.crc32(edit.model_dump_json().encode())), given.get("mask")
    pictures: dict[str, Any] = {"image": image, "raw": image, "input_image": given.get("image"), "mask_image": mask, "seam_image": mask}
    return Generated(edit=edit, **pictures, working_size=SIZE, stretch=1.0, base_steps=24, refiner_steps=6, seconds=seconds)
