"""What came of making a picture again: identical, or by how much it differs and what has changed since."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import write_whole
from sdxl_lab.images.png import digest_of_pixels
from sdxl_lab.records import machine
from sdxl_lab.records.stamps import Stamp, stamp_of, stamped_png
from sdxl_lab.spec.edit import Edit
from sdxl_lab.tasks import TASKS
from sdxl_lab.wording import counted, printable


class ReproduceError(LabError):
    """A picture that cannot be made again here."""


@dataclass(frozen=True, kw_only=True)
class PixelDifference:
    """How far two pictures of one size are apart, as 8-bit RGB.

    Attributes:
        psnr: Peak signal-to-noise ratio in dB, over all red, green and blue values; infinite if none differs.
        levels: The largest difference of a value, 0 to 255.
        share: Share of the pixels that differ in any of the three, 0 to 1.
    """

    psnr: float
    levels: int
    share: float

    @classmethod
    def between(cls, one: Image.Image, other: Image.Image) -> PixelDifference:
        """Measure two RGB pictures of one size."""
        apart = np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16))
        mean_square = float(np.square(apart.astype(np.float64)).mean())
        psnr = 10 * math.log10(255**2 / mean_square) if mean_square else math.inf
        return cls(psnr=psnr, levels=int(apart.max()), share=float((apart.max(axis=2) > 0).mean()))

    def __str__(self) -> str:
        return f"PSNR {self.psnr:.2f} dB, at most {self.levels} of 255 levels, {self.share:.3%} of the pixels"


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a picture's last bits depend on besides its description.

    Attributes:
        device: As torch writes it, such as `cuda:0`.
        hardware: Model of the processor or GPU; None if unknown.
        threads: CPU threads of torch.
        instruction_set: The CPU instructions torch uses; None on other devices.
        versions: Library name to version.
    """

    device: str
    hardware: str | None
    threads: int
    instruction_set: str | None
    versions: Mapping[str, str]

    @classmethod
    def of(cls, stamp: Stamp) -> Conditions:
        """Those a picture was made in."""
        return cls(
            device=stamp.resolved.device,
            hardware=stamp.hardware,
            threads=stamp.resolved.threads,
            instruction_set=stamp.instruction_set,
            versions={**stamp.versions, **_read_by(stamp.edit)},
        )

    @classmethod
    def here(cls, device: str, edit: Edit | None = None) -> Conditions:
        """Those of this process, and of a picture that was made in it."""
        return cls(
            device=device,
            hardware=machine.hardware(device),
            threads=machine.threads() or 1,
            instruction_set=machine.instruction_set() if device == "cpu" else None,
            versions={**machine.versions(), **(_read_by(edit) if edit else {})},
        )

    def changes(self, later: Conditions) -> dict[str, tuple[str, str]]:
        """Name to both values, for each known condition that is not the same. Which of several equal GPUs computes is none of them."""
        after = later._named()
        return {name: (value, after.get(name, "none")) for name, value in self._named().items() if after.get(name) != value}

    def _named(self) -> dict[str, str]:
        named = {"device": self.device.partition(":")[0], "hardware": self.hardware, "threads": str(self.threads)}
        named |= {"instruction set": self.instruction_set, **self.versions}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A picture and what its description makes today.

    Attributes:
        stamp: What the picture says of itself.
        image: What was made.
        difference: Between the picture and what was made.
        is_as_recorded: Whether what was made has the pixels that the stamp names.
        is_retouched: Whether the picture has other pixels than the stamp names.
        contradictions: Setting to its value in the text `parameters` and in the description, where these two disagree.
        changed: Condition to its value when the picture was made and now, for each that is not the same.
        made_with: Device, threads, instructions and versions of now.
        seconds: Wall time of making it.
        picture_id: Names what was made by all that made it here.
    """

    stamp: Stamp
    image: Image.Image = field(repr=False)
    difference: PixelDifference
    is_as_recorded: bool
    is_retouched: bool
    contradictions: Mapping[str, tuple[str, str]]
    changed: Mapping[str, tuple[str, str]]
    made_with: Conditions
    seconds: float
    picture_id: str

    @property
    def is_identical(self) -> bool:
        """Whether the same pixels were made from a description that nobody changed."""
        return self.difference.levels == 0 and self.is_as_recorded and self.stamp.is_unchanged

    def __str__(self) -> str:
        here, resolved = self.made_with, self.stamp.resolved
        words = [here.instruction_set] if here.instruction_set else []
        computed = ", ".join([here.device, counted(here.threads, "thread"), *words])
        edit = self.stamp.edit
        source = f"{edit.sample} of {resolved.dataset.name}" if TASKS[edit.task].needs_image else "its words"
        sources = f"{source} with {' and '.join([resolved.checkpoint.name, *(adapter.path for adapter in resolved.adapters)])}"
        lines = ["identical" if self.is_identical else self._verdict(), f"made again from {sources} in {self.seconds:.1f} s ({computed})"]
        if not self.stamp.is_unchanged:
            stated, own = self.stamp.stated_id[:10], resolved.run_id[:10]
            lines.append(f"its description was changed after it was made: it states run_id {stated}, and its content has {own}")
            lines += _table(self.contradictions, "was", "is now")
        if self.stamp.picture_id not in (None, self.picture_id) and not {"threads", "compel"} & self.changed.keys():
            lines.append(f"its picture_id was changed: it states {str(self.stamp.picture_id)[:10]}, and is {self.picture_id[:10]}")
        if self.changed:
            lines += ["since it was made, this has changed:", *_table(self.changed, "was", "is now")]
        elif not self.is_as_recorded and self.stamp.is_unchanged:
            lines.append("device, threads, instruction set and library versions are those it records, so its description is not that of its pixels")
        return printable("\n".join(lines))

    def _verdict(self) -> str:
        if self.difference.levels == 0:
            return "the same pixels, but not the same description"
        if self.is_retouched and self.is_as_recorded:
            return f"its pixels were changed after it was made: {self.difference}; made again, it is what was recorded"
        also = "; its pixels were also changed after it was made" if self.is_retouched else ""
        return f"different: {self.difference}{also}"

    def save(self, path: Path) -> Path:
        """Write what was made, with a description of its own.

        Args:
            path: A PNG, replaced if it exists.

        Returns:
            The path.

        Raises:
            DiskError: The folder is missing, full or not writable.
        """
        here = self.made_with
        resolved = self.stamp.resolved.model_copy(update={"device": here.device, "threads": here.threads})
        facts = {"versions": dict(here.versions), "hardware": here.hardware, "instruction_set": here.instruction_set}
        edit = self.stamp.edit.model_copy(update={"compel": here.versions.get("compel")})
        said = {"picture_id": self.picture_id, "notes": self.stamp.notes, "frame": self.stamp.frame}
        stamp = stamp_of(resolved, edit, **facts, sha256=digest_of_pixels(self.image), **said)
        write_whole(path, stamped_png(self.image, stamp))
        return path


def _read_by(edit: Edit) -> dict[str, str]:
    """The library that read its prompts, where one did."""
    return {"compel": edit.compel} if edit.compel else {}


def _table(rows: Mapping[str, tuple[str, str]], before: str, after: str) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"  {name:<{width}}  {before} {_short(one)}, {after} {_short(other)}" for name, (one, other) in rows.items()]


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
