"""Which weights a model of a checkpoint has, before any is loaded: by the headers of its files, or by what its configuration describes.

By name, for any model's class, which takes torch and seconds; where numbers alone are asked for, of models of SDXL's kind, `layers.py` counts them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from sdxl_lab.checkpoints.configurations import INDEX, read_json
from sdxl_lab.checkpoints.files import PipelineFolder
from sdxl_lab.checkpoints.locating import locate
from sdxl_lab.checkpoints.weight_files import shapes_in
from sdxl_lab.files.digests import cache_folder, until_changed
from sdxl_lab.files.disk import DiskError, write_whole
from sdxl_lab.process.imports import importing
from sdxl_lab.spec.identities import CheckpointIdentity


def weights_of(identity: CheckpointIdentity, configuration: Path, component: str) -> Mapping[str, tuple[int, ...]]:
    """Names and shapes of a model's weights, as the libraries name them now.

    Args:
        identity: Which checkpoint.
        configuration: The folder that says what its base is like.
        component: The model, such as `unet`.

    Raises:
        CheckpointError: A file is not there, or not whole.
    """
    base = locate(identity.name, identity.revision).base
    if isinstance(base, PipelineFolder):
        return _in_files(tuple(base.weights(component)))
    return _described(configuration, component)


@until_changed(lambda files: files, most=12)
def _in_files(files: tuple[Path, ...]) -> Mapping[str, tuple[int, ...]]:
    return {name: shape for file in files for name, shape in shapes_in(file).items()}


def _described(configuration: Path, component: str) -> Mapping[str, tuple[int, ...]]:
    """By the models' classes, which take seconds to import: what they said is kept in the user's cache."""
    library, class_name = read_json(configuration / INDEX)[component]
    config = configuration / component / "config.json"
    memory = _memory(class_name, config)
    if (known := _remembered(memory)) is not None:
        return known
    with importing:
        from sdxl_lab.checkpoints.whole_weights import on_paper

    shapes = {name: tuple(weight.shape) for name, weight in on_paper(library, class_name, config).state_dict().items()}
    with suppress(DiskError):
        write_whole(memory, json.dumps(shapes).encode())
    return shapes


def _remembered(memory: Path) -> Mapping[str, tuple[int, ...]] | None:
    """What was kept, if it is there and whole: the cache is a folder that anything may have written to."""
    with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        shapes = {name: tuple(shape) for name, shape in json.loads(memory.read_text("utf-8")).items()}
        if shapes and all(type(side) is int and side > 0 for shape in shapes.values() for side in shape):
            return shapes
    return None


def _memory(class_name: str, config: Path) -> Path:
    known_by = [class_name, hashlib.sha256(config.read_bytes()).hexdigest(), *map(metadata.version, ("diffusers", "transformers"))]
    return cache_folder() / "shapes" / hashlib.sha256(json.dumps(known_by).encode()).hexdigest()
