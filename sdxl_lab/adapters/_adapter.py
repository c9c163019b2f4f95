"""What an adapter says of itself: its settings, what of a file it takes, what it must fit, and how it is on the models while a picture is made."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, model_validator

from sdxl_lab.errors import LabError
from sdxl_lab.files.places import misread
from sdxl_lab.settings.sections import Settings

SUFFIX = ".safetensors"
BUILT_IN = Path(__file__).parents[1] / "pocket"
"""Holds a folder of each kind that comes with the lab."""
PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
FILE = (
    "the path of a .safetensors file, the name of one in the dataset's folder, in the lab's own for these or built in, or a repository of the hub, "
    "owner/name or owner/name/file.safetensors"
)
NAME = "letters, digits, dashes and underscores, at most 60, starting with a letter or digit"
NO_DOTS = "names hold no dots, which part the names of settings"
_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_LONGEST_NAME = 60
_GATE = "parameters"


class AdapterError(LabError):
    """A file that holds no such adapter, or one that does not fit the checkpoint."""


def _readable(written: str, info: ValidationInfo) -> str:
    if PurePath(written).suffix.lower() in PICKLED:
        raise ValueError(
            f"only {SUFFIX} files are read, since a {PurePath(written).suffix} file can run code when it is loaded: convert it on a machine you trust"
        )
    if info.context == _GATE and (reason := misread(written, "file")):
        raise ValueError(reason)
    return written


class FromFile(Settings):
    """One adapter, which comes from a file.

    Attributes:
        file: Where it is.
    """

    file: Annotated[str, Field(strict=True, min_length=1), AfterValidator(_readable)] = Field(description=FILE)


class Named(Settings):
    """Adapters of one kind, each by a name that people choose.

    A text in place of a section is its file. A name that holds None, or a file that is None, says that there is none.

    Attributes:
        of: The section of each.
    """

    model_config = ConfigDict(extra="allow")

    of: ClassVar[type[FromFile]]

    @model_validator(mode="before")
    @classmethod
    def _of_files(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        kept = {name: value for name, value in values.items() if not _is_absent(value)}
        for name in kept:
            if not (isinstance(name, str) and is_name(name)):
                offer = f"; {NO_DOTS}: write {without_dots(name)}" if isinstance(name, str) and is_name(without_dots(name)) else ""
                raise ValueError(f"got the name {name!r}; allowed are {NAME}{offer}")
        return {name: {"file": value} if isinstance(value, str) else value for name, value in kept.items()}


def is_name(text: str) -> bool:
    """Whether an adapter may be called so."""
    return 0 < len(text) <= _LONGEST_NAME and set(text) <= _NAME_LETTERS and text[0].isalnum()


def without_dots(name: str) -> str:
    """A name that may be allowed in place of one with dots."""
    return name.replace(".", "-")


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, Mapping) and "file" in value and value["file"] is None)


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor as its file holds it.

    Attributes:
        dtype: As safetensors writes it, such as `F16`.
        shape: Its sides.
        data: Its numbers, row by row, little end first.
    """

    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    @property
    def is_finite(self) -> bool:
        """Whether it holds neither NaN nor infinity, of which all bits of the exponent are set."""
        import numpy as np

        exponent = {"F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80), "F32": ("<u4", 0x7F800000), "F64": ("<u8", 0x7FF0000000000000)}
        kind, bits = exponent[self.dtype]
        return not bool(((np.frombuffer(self.data, kind) & bits) == bits).any())

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def number(self) -> float:
        """The first of them, as a number."""
        import numpy as np

        if self.dtype == "BF16":  # the upper half of a float of 32 bits
            return float((np.frombuffer(self.data, "<u2", 1).astype("<u4") << 16).view("<f4")[0])
        return float(np.frombuffer(self.data, {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8"}[self.dtype], 1)[0])


@dataclass(frozen=True, kw_only=True)
class Models:
    """What adapters must fit, before weights are loaded.

    Attributes:
        configuration: Folder of the base in diffusers' layout; its weights need not be there.
        tokenizers: Those of the base, loaded.
        weights: Of one of its models, such as `unet`: name to shape, as transformers and diffusers name them now. Raises `LabError` if that cannot
            be known.
    """

    configuration: Path
    tokenizers: tuple[Any, ...]
    weights: Callable[[str], Mapping[str, tuple[int, ...]]]

    @property
    def text_encoders(self) -> dict[str, int]:
        """The width of each of the base's text encoders, by its name in the pipeline."""
        found = {name: self._config(name) for name in ("text_encoder", "text_encoder_2")}
        return {name: config["hidden_size"] for name, config in found.items() if config}

    @property
    def text_width(self) -> int | None:
        """How wide the text is that the base's cross attention reads; None where its configuration does not tell."""
        return self._config("unet").get("cross_attention_dim")

    def _config(self, name: str) -> Mapping[str, Any]:
        file = self.configuration / name / "config.json"
        return json.loads(file.read_bytes()) if file.is_file() else {}


@dataclass(frozen=True, kw_only=True, eq=False)
class Put:
    """An adapter that is to be on the models.

    Attributes:
        kind: Its name in `ADAPTERS`.
        name: What people call it.
        asked: Its section.
        content: What `Adapter.take` took.
        digest: What `Adapter.digest` says of it.
    """

    kind: str
    name: str
    asked: Any
    content: Any
    digest: str


class Adapter(Protocol):
    """A technique that changes what a checkpoint's models give.

    Attributes:
        label: What the tools around AUTOMATIC1111's web UI call those of a picture.
        what: What a file of it is called in a message, as `checkpoints.weight_files.KINDS` has it.
        section: Its section of settings, absent unless given.
        is_known_by_tensors: Whether those tools know a file by the sha256 of its tensors, instead of by that of all of it.
    """

    label: str
    what: str
    section: type[Named]
    is_known_by_tensors: bool

    def take(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Any:
        """Take what a file holds.

        Args:
            tensors: By name.
            metadata: What the file says of itself, which anybody may have written.

        Raises:
            AdapterError: It is not one of these, or not finite. Says what was got and what is allowed.
        """
        ...

    def digest(self, name: str, asked: Any, content: Any) -> str:
        """sha256, hex, over all that changes pictures: what its file holds, however it is called there, and what it is told.

        Args:
            name: What people call it, which is no part of it unless it says something to the models.
            asked: Its section.
            content: What was taken.
        """
        ...

    def is_neutral(self, asked: Any, content: Any) -> bool:
        """Whether it leaves every picture as it is: then it is not put on the models, and names nothing.

        Args:
            asked: Its section.
            content: What was taken.
        """
        ...

    def in_text(self, put: Put, role: str) -> Hashable:
        """What of it changes what a stage's text encoders make of a text, by content; None if nothing does.

        Args:
            put: One of this kind.
            role: `base` or `refiner`.
        """
        ...

    def faults(self, put: Sequence[Put], models: Models) -> list[tuple[str, str]]:
        """Say what does not fit, among themselves or the checkpoint.

        Args:
            put: All of this kind.
            models: What they are to be on.

        Returns:
            For each a dotted path below the section's name, such as `unaesthetic.file`, and a sentence.
        """
        ...

    def unasked(self, put: Sequence[Put], texts: Sequence[str]) -> list[tuple[str, str]]:
        """Say which of them no prompt asks for: name, and what goes on from it."""
        ...

    def told(self, asked: Any) -> str:
        """What stands behind its file where it is shown, such as how strongly it is there; perhaps nothing."""
        ...

    def in_prompt(self, name: str, asked: Any) -> str:
        """What the tools around AUTOMATIC1111's web UI have in a prompt to ask for it; empty where its word stands there anyway.

        Args:
            name: What those tools call it.
            asked: Its section.
        """
        ...

    def titles(self, content: Any, file: str) -> tuple[str, ...]:
        """Names that may tell for how few steps it was made; none where it cannot change that.

        Args:
            content: What was taken.
            file: What its file is called, as `AdapterIdentity.file` has it.
        """
        ...

    def on(self, pipelines: Sequence[Any], put: Sequence[Put], role: str = "base") -> AbstractContextManager[Mapping[int, Any]]:
        """Have them on the models while a stage is at work, which leaves these exactly as they were.

        Args:
            pipelines: Loaded ones of diffusers, which may share models, the base's first.
            put: All of this kind; none where none is asked for, which takes off what an interrupt may have left of an earlier picture.
            role: Which stage it is, `base` or `refiner`.

        Returns:
            A context manager of what a stage uses instead: the `id` of one of the pipelines' components to that in its place.
        """
        ...
