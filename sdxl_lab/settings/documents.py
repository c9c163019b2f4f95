"""The growth rule: how settings are written into documents, so that those of every earlier version are read as what they meant.

A document is what a record, a PNG or a sweep keeps of settings. Keys that 0.1.0 wrote are always written. A key that came later is left out while
it holds its neutral value, the one under which the picture is what it was before; where a document lacks the key, it means that value. So a new
setting changes neither what an old document says nor any digest over one. Neutral is not the default: what is not given gets the default, and is
written unless it is neutral.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sdxl_lab.settings.hyperparams import without

RELEASES = ("0.1.0", "0.2.0")
"""Whose defaults can be asked for; the latest one last."""

FIRST_KEYS: Mapping[str, frozenset[str]] = {
    section: frozenset(keys.split())
    for section, keys in {
        "Denoising": "num_inference_steps guidance_scale strength scheduler high_noise_frac handover",
        "Refiner": "guidance_scale aesthetic_score negative_aesthetic_score",
        "Mask": "kernel_size iterations feather_px latent_mask",
        "Conditioning": "original_size crops_coords_top_left target_size negative_original_size negative_crops_coords_top_left negative_target_size",
        "Canvas": "left_px right_px top_px bottom_px fill overlap_px",
        "Compute": "device dtype threads offload vae",
        "EditSettings": "denoising refiner mask conditioning canvas mode",
        "Edit": "sample task prompt negative_prompt seed settings",
        "RunSpec": "name dataset checkpoint samples tasks hyperparameters tracking runs_folder",
        "DatasetIdentity": "name version digest",
        "CheckpointIdentity": "name digest revision family",
        "ResolvedSpec": "spec dataset checkpoint edits dtype threads device",
    }.items()
}
"""What 0.1.0 wrote. Nothing is ever added to it."""


@dataclass(frozen=True)
class Neutral:
    """Marks the field of a key that came after 0.1.0; one without a mark has its default for neutral.

    Attributes:
        value: Under which the picture is what it was before there was the key.
        since: The version that brought the key, such as `0.2.0`.
    """

    value: Any
    since: str


class Section(BaseModel):
    """Settings that can be written into a document."""

    @property
    def unsaid(self) -> Collection[str]:
        """Dotted paths that its document leaves out, since they mean nothing in it."""
        return ()


def later_fields(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a section that documents leave out while they are neutral, by name."""
    first = FIRST_KEYS.get(section.__name__, frozenset())
    return {name: field for name, field in section.model_fields.items() if name not in first}


def neutral(field: FieldInfo) -> Any:
    """The value of a later field under which pictures are what they were before."""
    return next((mark.value for mark in field.metadata if isinstance(mark, Neutral)), field.get_default(call_default_factory=True))


def written(settings: BaseModel) -> dict[str, Any]:
    """Write settings as a document holds them.

    Args:
        settings: A section, or anything made of sections.

    Returns:
        Plain values of JSON, without later keys that are neutral.
    """
    return _said(settings, settings.model_dump(mode="json"))


def meant(section: type[BaseModel], document: Any) -> Any:
    """Complete a document with what the lack of a later key means.

    Args:
        section: What the document describes.
        document: As some version wrote it; anything that is not as it should be is left for validation.

    Returns:
        A copy with the neutral value of each later key that it lacks.
    """
    if not isinstance(document, Mapping):
        return document
    later, complete = later_fields(section), dict(document)
    for name, field in section.model_fields.items():
        below = _section(field.annotation)
        if name not in complete and name in later:
            complete[name] = {} if below is field.annotation else neutral(field)
        if below and name in complete:
            value = complete[name]
            complete[name] = [meant(below, item) for item in value] if isinstance(value, list) else meant(below, value)
    return complete


def digest_of(document: Mapping[str, Any]) -> str:
    """Identify a document by its content.

    Args:
        document: Plain values of JSON.

    Returns:
        sha256, hex, over it in one canonical form.
    """
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def canonical(value: Any) -> str:
    """The one text of a plain value: keys sorted, nothing but ASCII, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _said(settings: BaseModel, values: Mapping[str, Any]) -> dict[str, Any]:
    said, unsaid = dict(_kept(settings, values)), settings.unsaid if isinstance(settings, Section) else ()
    return without(said, unsaid) if unsaid else said


def _kept(settings: BaseModel, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    later = later_fields(type(settings))
    for name, value in values.items():
        held = getattr(settings, name)
        if isinstance(held, BaseModel):
            value = _said(held, value)
            is_neutral = not value
        elif isinstance(held, tuple) and held and isinstance(held[0], BaseModel):
            value = [_said(item, below) for item, below in zip(held, value, strict=True)]
            is_neutral = False
        else:
            is_neutral = name in later and held == neutral(later[name])
        if not (name in later and is_neutral):
            yield name, value


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, alone or in a tuple of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((arg for arg in get_args(annotation) if isinstance(arg, type) and issubclass(arg, BaseModel)), None)
