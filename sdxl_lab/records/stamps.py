"""The text chunk `sdxl_lab` of a PNG: all that is needed to make the picture again, and no local path. Beside it `parameters`, for other tools."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import TypeAdapter, ValidationError

from sdxl_lab.errors import LabError
from sdxl_lab.images.png import PngError, png, text_in
from sdxl_lab.records import infotext, machine
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Frame
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import SpecError
from sdxl_lab.tasks import RESULT, TASKS
from sdxl_lab.wording import UNSEEN, printable

KEYWORD = "sdxl_lab"
STAMP_FORMAT = 1
LIMIT_BYTES = 1 << 20
"""Longest stamp that is written or read, 1 MiB. One with a prompt of 1,000 words has 10 KiB."""

_KEYS = {"format", "run_id", "resolved", "versions", "hardware", "instruction_set", "sha256", "picture_id", "notes", "frame"}
MADE_WITH = ("versions", "hardware", "instruction_set")
"""What a picture's last bits depend on besides its description."""

_DIGEST = re.compile(r"[0-9a-f]{64}")

_NAME = re.compile(rf"[^\n{UNSEEN}]{{1,300}}")
_OF_ADAPTERS = {"kind": _NAME, "name": _NAME, "digest": _DIGEST, "file": _NAME, "sha256": _DIGEST, "tensors_sha256": _DIGEST}
LONGEST_NOTE = 2000
_NOTE = re.compile(rf"[^\n{UNSEEN}]{{1,{LONGEST_NOTE}}}")


class StampError(LabError):
    """A picture has no stamp, or one that cannot be trusted to say how the picture was made."""


class _StrangeError(ValueError):
    """A value in a stamp that sdxl_lab would not write."""


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What a picture says of itself.

    Attributes:
        run_id: The run it was made in, which may have made others too.
        resolved: That run cut down to this one picture: dataset and checkpoint by digest, names instead of local paths.
        versions: Library name to version.
        hardware: Model of the processor or GPU that computed it; None in pictures that do not say.
        instruction_set: The CPU instructions torch used, or None where it does not matter.
        sha256: Of the pixels, as `digest_of_pixels` takes it.
        stated_id: The `run_id` that the picture states for `resolved`, whose own it is unless the description was changed.
        picture_id: Names the picture by all that made it; None in pictures of 0.1.0.
        notes: What was to be said of it when it was made, one line each.
        frame: The crop that the models saw; None where they saw all of it.
    """

    run_id: str
    resolved: ResolvedSpec
    versions: dict[str, str]
    hardware: str | None
    instruction_set: str | None
    sha256: str
    stated_id: str
    picture_id: str | None = None
    notes: tuple[str, ...] = ()
    frame: Frame | None = None

    @property
    def edit(self) -> Edit:
        """The picture that was made: sample, task, prompts, seed, settings."""
        return self.resolved.edits[0]

    @property
    def made_with(self) -> dict[str, Any]:
        """Versions, hardware and instruction set."""
        return {key: getattr(self, key) for key in MADE_WITH}

    @property
    def is_unchanged(self) -> bool:
        """Whether the description is the one its `run_id` was computed from."""
        return self.stated_id == self.resolved.run_id

    def parameters(self, size: tuple[int, int]) -> str:
        """Write the text that other tools read.

        Args:
            size: (width, height) of the picture in pixels.

        Returns:
            The content of the text chunk `parameters`.
        """
        version = self.versions.get("sdxl_lab", "")
        resolved = self.resolved
        template = resolved.template_of(self.edit)
        adapters = [(adapter, resolved.asked_of(adapter)) for adapter in resolved.adapters]
        return infotext.write(self.edit, resolved.checkpoint, size=size, version=version, adapters=adapters, template=template)


def stamp_of(
    resolved: ResolvedSpec,
    edit: Edit,
    *,
    versions: dict[str, str],
    hardware: str | None,
    instruction_set: str | None,
    sha256: str,
    picture_id: str | None = None,
    notes: Sequence[str] = (),
    frame: Frame | None = None,
) -> Stamp:
    """Cut a run down to one of its pictures.

    Args:
        resolved: The run.
        edit: One of its edits.
        versions: Library name to version.
        hardware: Model of the processor or GPU.
        instruction_set: The CPU instructions torch used, or None.
        sha256: Of the picture's pixels.
        picture_id: Names the picture by all that made it; None if that is not known.
        notes: What is to be said of it, one line each.
        frame: The crop that the models saw, if they did not see all of it.

    Returns:
        The stamp to write into the picture.
    """
    narrowed = resolved.spec.model_copy(update={"samples": (edit.sample,), "tasks": (edit.task,)})
    templates = tuple(template for template in resolved.templates if template.is_of(edit))
    one = resolved.model_copy(update={"spec": narrowed, "edits": (edit,), "steps": None, "templates": templates})
    portable = ResolvedSpec.from_json(json.dumps(one.portable()))
    return Stamp(
        run_id=resolved.run_id,
        resolved=portable,
        versions=versions,
        hardware=hardware,
        instruction_set=instruction_set,
        sha256=sha256,
        stated_id=portable.run_id,
        picture_id=picture_id,
        notes=tuple(notes),
        frame=frame,
    )


def stamped_png(image: Image.Image, stamp: Stamp) -> bytes:
    """Encode a picture as PNG with its stamp.

    Args:
        image: The picture.
        stamp: What it says of itself.

    Returns:
        The file's bytes; the same for the same picture and stamp.

    Raises:
        StampError: The stamp is longer than 1 MiB, which only a prompt can make it.
    """
    values = {
        "format": STAMP_FORMAT,
        "run_id": stamp.run_id,
        "resolved": json.loads(stamp.resolved.to_json()),
        **stamp.made_with,
        "sha256": stamp.sha256,
    }
    later = {"picture_id": stamp.picture_id, "notes": list(stamp.notes), "frame": stamp.frame and asdict(stamp.frame)}
    text = json.dumps(values | {key: value for key, value in later.items() if value})
    if len(text) > LIMIT_BYTES:
        raise StampError(
            f"the description of {stamp.edit.sample} would take {len(text)} bytes of its PNG; at most {LIMIT_BYTES} are allowed: shorten its prompt"
        )
    return png(image, {KEYWORD: text, infotext.KEYWORD: stamp.parameters(image.size)})


def read_stamp(picture: Path) -> Stamp:
    """Read what a picture says of itself, from a file that may come from anywhere.

    The picture itself is not decoded, and no more than 1 MiB of the file is held in memory.

    Args:
        picture: A PNG.

    Returns:
        Its stamp. That the pixels are the ones it names is for the caller to check.

    Raises:
        StampError: No file, no PNG, no stamp, or one that is damaged, too long, of another version, or changed by hand.
    """
    stamp = read_stated(picture)
    if not stamp.is_unchanged:
        raise StampError(
            f"{picture} does not say how it was made: its description was changed afterwards (it states run_id {stamp.stated_id[:10]}, and has "
            f"{stamp.resolved.run_id[:10]}); give the file from the run's images folder, or see with `sdxl-lab reproduce` what it describes now"
        )
    return stamp


def read_stated(picture: Path) -> Stamp:
    """Read what a picture says of itself, as `read_stamp` does, even where that was changed after the picture was made.

    Args:
        picture: A PNG.

    Returns:
        Its stamp; `is_unchanged` says whether it can be trusted.

    Raises:
        StampError: No file, no PNG, no stamp, or one that is damaged, too long, or of another version.
    """
    try:
        text = text_in(picture, KEYWORD, most_bytes=LIMIT_BYTES)
    except PngError as error:
        raise StampError(str(error)) from error
    except OSError as error:
        raise StampError(f"cannot read {picture}: {error.strerror or error}; give the path of a PNG that sdxl_lab made") from error
    if text is None:
        if result := _made_beside(picture):
            role, name = result
            raise StampError(f"{picture} is the {role} of a picture that sdxl_lab made; give that: {picture.with_name(name)}")
        raise StampError(
            f"{picture} says nothing of how it was made: sdxl_lab did not make it, or a program that saved it again dropped its text chunk "
            f"{KEYWORD!r}; give the file from the run's images folder"
        )
    try:
        return _parse(json.loads(text))
    except (ValueError, RecursionError, KeyError, TypeError, SpecError) as error:
        reason = (
            printable(str(error)[:2000])
            if isinstance(error, (SpecError, _StrangeError))
            else f"its text chunk {KEYWORD!r} is not what sdxl_lab writes"
        )
        version = machine.versions().get("sdxl_lab", "unknown")
        raise StampError(
            f"{picture} does not say how it was made: {reason}; give the file from the run's images folder, and if a later version made it "
            f"than this {version}, update sdxl_lab"
        ) from error


def _made_beside(picture: Path) -> tuple[str, str] | None:
    """What a file of a picture is to it, and the name of the picture beside it; None if it belongs to none that says how it was made."""
    for role in dict.fromkeys(role for task in TASKS.values() for role in task.roles if role != RESULT):
        ending = role.file.removeprefix("{stem}")
        if picture.name == role.of_sample:
            candidates = [beside for name in TASKS for beside in sorted(picture.parent.glob(f"{name}*.png"))]
        else:
            candidates = [picture.with_name(picture.name.removesuffix(ending) + ".png")] if picture.name.endswith(ending) else []
        for beside in candidates:
            with suppress(PngError, OSError):
                if text_in(beside, KEYWORD, most_bytes=LIMIT_BYTES) is not None:
                    return role.name, beside.name
    return None


def _parse(values: Any) -> Stamp:
    if values["format"] != STAMP_FORMAT:
        raise _StrangeError(f"format: allowed is {STAMP_FORMAT}")
    unknown = sorted(set(values) - _KEYS)
    if unknown:
        raise _StrangeError(f"{unknown[0][:50]}: unknown key; valid here are {', '.join(sorted(_KEYS))}")
    versions = dict(values["versions"])
    if len(versions) > 100:
        raise _StrangeError(f"versions: got {len(versions)}, at most 100 are read")
    resolved, stated_id = ResolvedSpec.as_stated(json.dumps(values["resolved"]))
    if len(resolved.edits) != 1:
        raise _StrangeError(f"resolved.edits: a picture has one edit, not {len(resolved.edits)}")
    for name, identity in (("dataset", resolved.dataset), ("checkpoint", resolved.checkpoint)):
        _matching(f"resolved.{name}.digest", identity.digest, _DIGEST)
        _matching(f"resolved.{name}.name", identity.name, _NAME)
    for kind, adapters in (("adapters", resolved.adapters), ("idle", resolved.idle)):
        for index, adapter in enumerate(adapters):
            for key, pattern in _OF_ADAPTERS.items():
                if (value := getattr(adapter, key)) is not None:
                    _matching(f"resolved.{kind}[{index}].{key}", value, pattern)
    _matching("resolved.device", resolved.device, _NAME)
    _matching("resolved.edits[0].sample", resolved.edits[0].sample, _NAME)
    hardware, instruction_set = values.get("hardware"), values["instruction_set"]
    return Stamp(
        run_id=_matching("run_id", values["run_id"], _DIGEST),
        resolved=resolved,
        versions={_matching("versions", name, _NAME): _matching("versions", version, _NAME) for name, version in versions.items()},
        hardware=None if hardware is None else _matching("hardware", hardware, _NAME),
        instruction_set=None if instruction_set is None else _matching("instruction_set", instruction_set, _NAME),
        sha256=_matching("sha256", values["sha256"], _DIGEST),
        stated_id=_matching("resolved.run_id", stated_id, _DIGEST),
        picture_id=None if values.get("picture_id") is None else _matching("picture_id", values["picture_id"], _DIGEST),
        notes=tuple(_matching("notes", note, _NOTE) for note in values.get("notes", ())),
        frame=_frame(values["frame"]) if values.get("frame") else None,
    )


def _frame(values: Any) -> Frame:
    try:
        return TypeAdapter(Frame).validate_python(values)
    except ValidationError:
        raise _StrangeError(
            "frame: allowed is a box of four whole numbers and a size of two, such as {'box': [0, 0, 64, 64], 'size': [128, 128]}"
        ) from None


def _matching(path: str, value: Any, pattern: re.Pattern[str]) -> str:
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    allowed = (
        "64 hexadecimal digits" if pattern is _DIGEST else f"a text of at most {LONGEST_NOTE if pattern is _NOTE else 300} characters on one line"
    )
    raise _StrangeError(f"{path}: allowed is {allowed}")


def as_note(text: str) -> str:
    """Make a text fit to be a note: one line that a terminal shows as it is, of at most 2,000 characters.

    Args:
        text: Any text; a prompt may be quoted in it.
    """
    line = printable(" ".join(text.split()))
    return line if len(line) <= LONGEST_NOTE else f"{line[: LONGEST_NOTE - 1]}…"
