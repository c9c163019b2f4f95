"""What a run will do exactly: `ResolvedSpec`, whose hash is `run_id`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import PurePath
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from sdxl_lab.adapters import ADAPTERS
from sdxl_lab.files.addresses import is_address
from sdxl_lab.settings.documents import Neutral, canonical, digest_of, meant, written
from sdxl_lab.settings.sections import Crop, ImageReading, Mask, Settings, Text
from sdxl_lab.spec.asked_again import with_files
from sdxl_lab.spec.computed_by import ComputedBy
from sdxl_lab.spec.edit import Edit, PictureKey, apart
from sdxl_lab.spec.identities import AdapterIdentity, CheckpointIdentity, DatasetIdentity
from sdxl_lab.spec.problems import problems
from sdxl_lab.spec.run_spec import RUNS_FOLDER, RunSpec, SpecError
from sdxl_lab.spec.templates import Template

SPEC_FORMAT = 1


class ResolvedSpec(Settings):
    """What a run will do exactly: every picture, every setting, the content of dataset and checkpoint.

    Attributes:
        spec: What was asked for.
        dataset: What it found.
        checkpoint: What it found.
        edits: The pictures to make, in order.
        dtype: The type the UNet computes in, such as `float32`.
        threads: CPU threads of torch.
        device: Such as `cpu` or `cuda:0`.
        adapters: What is on the checkpoint's models, sorted by kind and digest; records hold it only where there are some.
        idle: What was asked for besides and leaves every picture as it is, such as a LoRA at weight 0.
        steps: Name of each sample to its index in the dataset, from 0, by which Comet lines runs up; None where the samples are the dataset's first
            ones in its order, and in records of 0.1.0, whose samples are numbered as the run has them.
        templates: What prompts were before words of them were replaced or drawn; of those that are as they were given there is none.
    """

    spec: RunSpec
    dataset: DatasetIdentity
    checkpoint: CheckpointIdentity
    edits: tuple[Edit, ...]
    dtype: Text
    threads: Annotated[int, Field(strict=True, ge=1, le=1024)]
    device: Text
    adapters: tuple[AdapterIdentity, ...] = ()
    idle: Annotated[tuple[AdapterIdentity, ...], Neutral((), since="0.2.0")] = ()
    steps: Annotated[dict[Text, Annotated[int, Field(strict=True, ge=0)]] | None, Neutral(None, since="0.2.0")] = None
    templates: Annotated[tuple[Template, ...], Neutral((), since="0.2.0")] = ()

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, document: Any) -> Any:
        return meant(cls, document)

    @cached_property
    def run_id(self) -> str:
        """sha256, hex, over what changes pixels: the dataset's digest, pictures in any order, and all of `computed_by`.

        Of a document that was read it is the one of the document as it stands there. Name, tracking, device, offload and paths do not change it.
        """
        return _run_id(written(self))

    @property
    def computed_by(self) -> ComputedBy:
        """All besides edits and dataset that changes its pixels."""
        adapters = tuple(adapter.digest for adapter in self.adapters)
        return ComputedBy.of(self.checkpoint.digest, self.spec.compute, dtype=self.dtype, threads=self.threads, adapters=adapters)

    @cached_property
    def ordinals(self) -> Mapping[PictureKey, int]:
        """The place of each picture among those of its sample and task, which differ in their seeds, from 0."""
        places: dict[PictureKey, int] = {}
        before = Counter[tuple[str, str]]()
        for edit in self.edits:
            places[edit.key] = before[edit.sample, edit.task]
            before[edit.sample, edit.task] += 1
        return places

    @cached_property
    def given_prompts(self) -> Mapping[tuple[str, str], Mapping[str, str]]:
        """By sample and task what prompts were before words of them were replaced or drawn, by name; those that are as they were given are absent."""
        return {(template.sample, template.task): template.given for template in self.templates}

    def template_of(self, edit: Edit) -> Mapping[str, str]:
        """The same of one picture."""
        return self.given_prompts.get((edit.sample, edit.task), {})

    def title(self, edit: Edit) -> str:
        """What people call a picture of the run: its sample and task, and its seed unless it is the first of them."""
        return apart(f"{edit.sample} {edit.task}", " ", edit.seed, self.ordinals[edit.key])

    def picture_id(self, edit: Edit, pixels: Mapping[str, str]) -> str:
        """Name a picture by all that made it: two of one name have the same pixels, whichever runs, samples or datasets they belong to.

        Args:
            edit: The picture.
            pixels: By role, such as `input` and `mask`: what `digest_of_pixels` takes of each of its files but the result, as they were used;
                the input upright, in its canvas.

        Returns:
            sha256, hex, over these, the edit without its sample's name, and all of `computed_by`.
        """
        made_of = {key: value for key, value in written(edit).items() if key != "sample"}
        return digest_of({**pixels, "edit": made_of, **self.computed_by.hashed()})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, but that a changed copy has its own `run_id`, `ordinals` and `given_prompts`."""
        copy = super().model_copy(update=update, deep=deep)
        if update:
            for name in ("run_id", "ordinals", "given_prompts"):
                vars(copy).pop(name, None)
        return copy

    def to_json(self) -> str:
        """Write it as JSON, its `run_id` included, for `from_json` and for people.

        Returns:
            Indented JSON text.
        """
        return _indented({"format": SPEC_FORMAT, "run_id": self.run_id, **written(self)})

    @property
    def asked_for(self) -> tuple[AdapterIdentity, ...]:
        """All adapters that were asked for, those without effect last."""
        return (*self.adapters, *self.idle)

    @property
    def files(self) -> dict[str, str]:
        """The file of each adapter as it is asked for, by `AdapterIdentity.path`."""
        asked = ((adapter.path, self.spec.hyperparameters.get(adapter.kind, {}).get(adapter.name)) for adapter in self.asked_for)
        return {path: section["file"] for path, section in asked if section}

    def asked_of(self, adapter: AdapterIdentity) -> Any:
        """The section that asks for an adapter; None where no such kind is known here."""
        section = self.spec.hyperparameters.get(adapter.kind, {}).get(adapter.name)
        return ADAPTERS[adapter.kind].section.of.model_validate(section) if section and adapter.kind in ADAPTERS else None

    def told_of(self, adapter: AdapterIdentity) -> str:
        """An adapter's file, and what is asked of it, in short: `moon.safetensors at 0.8`."""
        section = self.asked_of(adapter)
        told = ADAPTERS[adapter.kind].told(section) if section else ""
        return f"{adapter.file or adapter.name} {told}".rstrip()

    @property
    def on_models(self) -> dict[str, Any]:
        """What is asked to be on the checkpoint's models, by dotted path: the file of each and its content, in short, and what is asked of it."""
        told: dict[str, Any] = {}
        for adapter in self.asked_for:
            section = self.asked_of(adapter)
            asked = section.model_dump(mode="json", exclude={"file"}) if section else {}
            told[adapter.path] = str(adapter)
            told |= {f"{adapter.path}.{key}": value for key, value in asked.items() if value is not None and value is not False}
        return told

    def portable(self) -> dict[str, Any]:
        """Describe it without local paths: dataset and checkpoint by name, no runs folder.

        Returns:
            What `to_json` writes, as plain values; `from_json` reads it too, and its `run_id` is the same.
        """
        dataset, checkpoint = _public_dataset(self.dataset), _public_checkpoint(self.checkpoint)
        version = f":{dataset.version}" if dataset.version and "/" in dataset.name and ":" not in dataset.name else ""
        files = _public_files(self.spec.hyperparameters) | {adapter.path: adapter.file for adapter in self.asked_for if adapter.file}
        public = {"dataset": dataset.name + version, "checkpoint": checkpoint.name, "runs_folder": RUNS_FOLDER}
        spec = self.spec.model_copy(update=public | {"hyperparameters": with_files(self.spec.hyperparameters, files)})
        return json.loads(self.model_copy(update={"spec": spec, "dataset": dataset, "checkpoint": checkpoint}).to_json())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Args:
            text: JSON.

        Returns:
            An equal spec.

        Raises:
            SpecError: The text is no JSON, of another format, not valid, or its content is not the one its `run_id` names.
        """
        resolved, run_id = cls.as_stated(text)
        if resolved.run_id != run_id:
            line = f"run_id: got {run_id}, but its content is {resolved.run_id}; it was changed by hand or by a fault: make the run again"
            raise SpecError([line], "the resolved spec")
        return resolved

    @classmethod
    def as_stated(cls, text: str) -> tuple[Self, Any]:
        """Read what `to_json` wrote, perhaps changed since, but valid.

        Args:
            text: JSON.

        Returns:
            The spec, and the `run_id` the text states, which is the spec's own unless something was changed.

        Raises:
            SpecError: The text is no JSON, of another format, or not valid.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise SpecError([f"not JSON ({error}); it was cut off or changed: make the run again"], "the resolved spec") from None
        if not isinstance(values, dict) or values.pop("format", None) != SPEC_FORMAT:
            raise SpecError([f"format: allowed is {SPEC_FORMAT}; read it with the version of sdxl_lab that wrote it"], "the resolved spec")
        run_id = values.pop("run_id", None)
        try:
            resolved = cls.model_validate(values)
        except ValidationError as error:
            lines = problems(error, cls)
            later = ["it may be of a later version of sdxl_lab, which has more settings: update sdxl_lab"] if "unknown key" in "".join(lines) else []
            raise SpecError([*lines, *later], "the resolved spec") from None
        vars(resolved)["run_id"] = _run_id(values)  # as it is stored, whatever this version would write
        return resolved, run_id


def as_it_matters(
    edit: Edit, *, readings: Collection[str] | None = None, has_specks: bool = True, is_soft: bool = True, crop: Crop | None = None
) -> Edit:
    """Make each setting neutral that came later and makes no difference: then the description is the one it had before there was a choice.

    Args:
        edit: The picture to make.
        readings: The keys of its settings' `image` that do make a difference; None leaves them as they are.
        has_specks: Whether `mask.specks` does.
        is_soft: Whether `mask.soft` and `mask.blur_px` do.
        crop: What of its `crop` does; None leaves it as it is.

    Returns:
        The edit, or a copy that makes the same pixels.
    """
    asked = edit.settings.model_copy()
    if readings is not None:
        kept = {key: value for key, value in asked.image.model_dump().items() if key in readings}
        asked = asked.model_copy(update={"image": ImageReading(**meant(ImageReading, {}) | kept)})
    idle = [*([] if has_specks else ["specks"]), *([] if is_soft else ["soft", "blur_px"])]
    if idle:
        before = meant(Mask, {})
        asked = asked.model_copy(update={"mask": asked.mask.model_copy(update={name: before[name] for name in idle})})
    if crop is not None:
        asked = asked.model_copy(update={"crop": crop})
    return edit.model_copy(update={"settings": asked})


def _public_dataset(dataset: DatasetIdentity) -> DatasetIdentity:
    artifact = dataset.version and re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w.-]+)?", dataset.name)
    return dataset if artifact else dataset.model_copy(update={"name": _last(dataset.name)})


def _public_checkpoint(checkpoint: CheckpointIdentity) -> CheckpointIdentity:
    hub_id = checkpoint.revision and re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", checkpoint.name)
    return checkpoint if hub_id or is_address(checkpoint.name) else checkpoint.model_copy(update={"name": _last(checkpoint.name)})


def _public_files(hyperparameters: Mapping[str, Any]) -> dict[str, str]:
    """The files of adapters that are asked for where they lie here, by their names: records made before had no identity of those without effect."""
    asked = {f"{kind}.{name}": section["file"] for kind in ADAPTERS for name, section in hyperparameters.get(kind, {}).items()}
    return {path: _last(file) for path, file in asked.items() if PurePath(file).is_absolute()}


def _last(path: str) -> str:
    """The last part of a path, whichever system wrote it."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] or "unnamed"


def _run_id(document: Mapping[str, Any]) -> str:
    edits = sorted(document["edits"], key=canonical)
    return digest_of({"dataset": document["dataset"]["digest"], "edits": edits, **ComputedBy.stored(document).hashed()})


def _indented(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
