"""Whether a checkpoint's files hold every weight that its models ask for, in the right shape: a library fills what is missing with random numbers."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from sdxl_lab.checkpoints.configurations import INDEX, MODELS, components_in, read_json
from sdxl_lab.checkpoints.files import PipelineFolder
from sdxl_lab.checkpoints.locating import Source, configuration, locate
from sdxl_lab.checkpoints.single_files import Part, SingleFile
from sdxl_lab.checkpoints.weight_files import CheckpointError, shapes_in
from sdxl_lab.files.digests import cache_folder
from sdxl_lab.files.disk import DiskError, write_whole
from sdxl_lab.spec.identities import CheckpointIdentity

FORMER_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""What diffusers called a VAE's attention before 0.12, and calls it now; it reads both."""


def require_weights(identity: CheckpointIdentity) -> None:
    """See that a checkpoint's files lack no weight: a second for models of SDXL's size, after imports that take several.

    Args:
        identity: What `identify` made of its name. What comes from the hub is looked at when it is loaded.

    Raises:
        CheckpointError: One is missing, or of another shape than its configuration asks for.
    """
    require_weights_of(locate(identity.name, identity.revision))


def require_weights_of(source: Source) -> None:
    """As `require_weights`, of what was located.

    Args:
        source: What `locate` found.

    Raises:
        CheckpointError: As in `require_weights`.
    """
    parts = [part for part in (source.base, source.refiner) if isinstance(part, Part)]
    if parts and not _is_known_whole(source.identity.digest):
        for part in parts:
            if isinstance(part, SingleFile):
                _require_whole_file(part, configuration(part, source.family))
            else:
                require_whole(part)
        _remember_whole(source.identity.digest)


def require_whole(part: PipelineFolder) -> None:
    """Compare what the files of a folder hold with what its configuration asks for, before any of it is read.

    Args:
        part: A base or refiner whose configuration was checked.

    Raises:
        CheckpointError: A weight is missing, or of another shape. Names model, file and weight, and what to do.
    """
    index = read_json(part.path / INDEX)
    for component in part.models:
        config = part.path / component / "config.json"
        library, class_name = index[component]
        expected = _shapes_of(on_paper(library, class_name, config))
        found = {_name(name): (shape, file) for file in part.weights(component) for name, shape in shapes_in(file).items()}
        if lost := sorted(expected.keys() - found.keys()):
            files = ", ".join(file.name for file in part.weights(component))
            raise CheckpointError(
                f"{part.path / component} lacks {len(lost)} of the {len(expected)} weights that its config.json asks for, {lost[0]} first "
                f"(in {files}); copy or download both files again, from one source."
            )
        for name, shape in expected.items():
            if found[name][0] != shape:
                raise CheckpointError(
                    f"{found[name][1]} holds {name} of shape {[*found[name][0]]}, and {config} asks for {[*shape]}; the two are not of one model: "
                    "copy both from one source."
                )


def _require_whole_file(part: SingleFile, configuration: Path) -> None:
    """Compare what a single file holds with what its configuration asks for, before any of it is read.

    Args:
        part: A base or refiner that was checked.
        configuration: What it is like, as a folder in diffusers' layout.

    Raises:
        CheckpointError: A weight is missing, or of another shape. Names model and weight, and what to do.
    """
    index = read_json(configuration / INDEX)
    for component in part.models(components_in(index)):
        config = configuration / component / "config.json"
        library, class_name = index[component]
        expected = on_paper(library, class_name, config)
        shapes = _shapes_of(expected)
        for weights in ("plain", "ema") if component == "unet" and part.has_ema and part.has_plain else (None,):
            found = _converted(part, component, weights, expected)
            advice = "it is of another architecture than its text encoders say, or not whole: take it from its source again, or another checkpoint."
            if lost := sorted(shapes.keys() - found.keys()):
                raise CheckpointError(f"{part.path} lacks {len(lost)} of the {len(shapes)} weights of its {component}, {lost[0]} first; {advice}")
            for name, shape in shapes.items():
                if found[name] != shape:
                    raise CheckpointError(
                        f"{part.path} holds {name} of its {component} in shape {[*found[name]]}, and {config} asks for {[*shape]}; {advice}"
                    )


def _is_known_whole(digest: str) -> bool:
    """Whether files of this content were found whole before, by the libraries that are installed: to look again takes seconds of imports.

    Args:
        digest: Of the checkpoint, its configuration included.
    """
    return _memory(digest).is_file()


def _remember_whole(digest: str) -> None:
    """Remember, in the user's cache folder, that files of this content are whole.

    Args:
        digest: As for `_is_known_whole`.
    """
    with suppress(DiskError):
        write_whole(_memory(digest), b"")


def require_filled(pipeline: Any, path: Path) -> None:
    """See that no model of a pipeline that was read from a single file still lacks weights.

    Args:
        pipeline: As it was loaded.
        path: The file.

    Raises:
        CheckpointError: One does.
    """
    for component in MODELS:
        model = getattr(pipeline, component, None)
        empty = [name for name, weight in model.named_parameters() if weight.is_meta] if model is not None else []
        if empty:
            raise CheckpointError(f"{path} lacks {len(empty)} weights of its {component}, {empty[0]} first; copy or download it again.")


def _memory(digest: str) -> Path:
    known_by = json.dumps([digest, *map(metadata.version, ("diffusers", "transformers"))])
    return cache_folder() / "whole" / hashlib.sha256(known_by.encode()).hexdigest()


def on_paper(library: str, class_name: str, config: Path) -> torch.nn.Module:
    """The model that a configuration describes, with shapes and no numbers.

    Args:
        library: Whose class it is, as a pipeline's index has it.
        class_name: Of the model.
        config: Its config.json.

    Raises:
        CheckpointError: The library has no such class, or the file describes none.
    """
    content = read_json(config)
    kind = getattr(importlib.import_module(library), class_name, None)
    if kind is None:
        raise CheckpointError(f"{config.parents[1] / INDEX} names {class_name}, which this version of {library} has not; update {library}.")
    from huggingface_hub.errors import StrictDataclassError

    try:
        with torch.device("meta"):
            return kind.from_config(content) if library == "diffusers" else kind(kind.config_class.from_dict(content))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, StrictDataclassError) as error:
        raise CheckpointError(f"{config} describes no {class_name} ({' '.join(str(error).split())}); copy or download it again.") from error


def _converted(part: SingleFile, component: str, weights: str | None, model: torch.nn.Module) -> Mapping[str, tuple[int, ...]]:
    """Shapes of a single file's weights by diffusers' names for them, as diffusers itself would read them."""
    from diffusers.loaders import single_file_utils as diffusers

    held = {name: torch.empty(shape, device="meta") for name, shape in part.shapes(component, weights).items()}
    try:
        if component == "unet":
            read = diffusers.convert_ldm_unet_checkpoint(held, model.config)
        elif component == "vae":
            is_converted = held.keys() >= model.state_dict().keys()
            read = held if is_converted else diffusers.convert_ldm_vae_checkpoint(held, model.config)
        elif part.is_open_clip(component):
            read = diffusers.convert_open_clip_checkpoint(model, held, prefix=part.prefix(component).removesuffix("model.") + "model.")
        else:
            read = diffusers.convert_ldm_clip_checkpoint(held)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{part.path} holds another {component} than Stable Diffusion has ({error}); take another file.") from error
    return {_name(name): tuple(weight.shape) for name, weight in read.items()}


def _shapes_of(model: torch.nn.Module) -> Mapping[str, tuple[int, ...]]:
    return {_name(name): tuple(weight.shape) for name, weight in model.state_dict().items()}


def _name(name: str) -> str:
    """A weight's name, whichever version of the libraries wrote it."""
    name = name.removeprefix("text_model.")
    for former, now in FORMER_NAMES.items():
        name = name.replace(former, now)
    return name
