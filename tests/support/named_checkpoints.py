"""What checkpoints of some names are, and what they paint: in this process, or by `main` in one of its own."""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from sdxl_lab.checkpoints.loading import forget, load
from sdxl_lab.checkpoints.locating import identify
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.generation.generate import generate
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings
from sdxl_lab.spec.edit import Edit
from tests.support.lenders import lent


def loaded(names: Iterable[str], base: Path | None = None) -> dict[str, Any]:
    """By name: [revision, family, channels, refiner steps, digest of what it paints into `image.png` in the working folder], or its error.

    Single files among them are built as a base in a folder is, if there is one.
    """
    forget()
    with lent("custom", {4: base} if base else {}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: _loaded(name) for name in names}


def _loaded(name: str) -> Any:
    try:
        identity = identify(name)
        checkpoint = load(identity, Compute(device="cpu", dtype="float32", threads=1))
    except CheckpointError as error:
        return str(error)
    denoising = Denoising(num_inference_steps=6, high_noise_frac=0.8 if checkpoint.refiner else None)
    edit = Edit(sample="disc", task="inpaint", prompt="a red star", seed=3, settings=EditSettings(denoising=denoising))
    picture = generate(edit, Image.open("image.png"), Image.open("mask.png"), checkpoint)
    channels, digest = checkpoint.base.unet.config.in_channels, hashlib.sha256(picture.raw.tobytes()).hexdigest()
    return [identity.revision, identity.family, channels, picture.refiner_steps, digest]


def main() -> None:
    """Print what `loaded` says of the names that are the first argument, in JSON, and the base that is the second."""
    print(json.dumps(loaded(json.loads(sys.argv[1]), Path(sys.argv[2]))))
