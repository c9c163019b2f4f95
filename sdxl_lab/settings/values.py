"""What settings are made of: the base of their sections, and the types and words that several of them share."""

from __future__ import annotations

import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ConfigDict, Field, model_validator

from sdxl_lab.settings import ranges
from sdxl_lab.settings.documents import Section

Count = Annotated[int, Field(strict=True, ge=1)]
PixelCount = Annotated[int, Field(strict=True, ge=0, le=16384)]
Weight = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Strength = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)]
Seed = Annotated[int, Field(strict=True, ge=ranges.SEED_LIMITS[0], le=ranges.SEED_LIMITS[1])]
Text = Annotated[str, Field(strict=True)]

WEIGHT = "a finite number, 0 or more"
STRENGTH = "a number above 0, at most 1"
PIXELS = "a whole number of pixels from 0 to 16384"


class Settings(Section):
    """Base of everything a run can be told: frozen, without unknown keys, and None read as "not set here".

    A key that holds None is dropped where None is no value of its field, so that its default applies and YAML's empty
    `denoising:` says nothing. Values are never echoed by pydantic, since a mistyped one may be a secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_none(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        fields = cls.model_fields
        return {key: value for key, value in values.items() if value is not None or key not in fields or _takes_none(fields[key].annotation)}


def _takes_none(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation)
