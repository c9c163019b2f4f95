"""A run that is ready to start, and what is to be said of it before it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sdxl_lab.datasets import notes
from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.datasets.notes import gathered
from sdxl_lab.datasets.samples import Sample
from sdxl_lab.families import family_of
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.spec.cautions import MINUS_ONE
from sdxl_lab.spec.edit import Edit, PictureKey
from sdxl_lab.spec.generated import Frame
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.tasks import TASKS
from sdxl_lab.wording import counted, printable

if TYPE_CHECKING:
    from PIL import Image

    from sdxl_lab.families import Sizes


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A run that is ready to start: every picture planned, dataset checked, checkpoint identified.

    Attributes:
        spec: What will be made, exactly.
        dataset: Where inputs and masks are read from.
        folder: Where the run is recorded.
        sizes: What the checkpoint was made for.
        left_out: Sample and task of what was asked for and has no prompt.
        room: What is to be said of the disk; at most one line.
        notes: What is to be said of pictures before they are made, such as words that the model will not read: lines by picture.
        learned: Tokens of embeddings, which the tokenizers know besides.
        frames: The crops that the models see, of pictures of which they do not see all.
    """

    spec: ResolvedSpec
    dataset: Dataset
    folder: RunFolder
    sizes: Sizes
    left_out: tuple[tuple[str, str], ...] = ()
    room: tuple[str, ...] = ()
    notes: Mapping[PictureKey, tuple[str, ...]] = field(default_factory=dict)
    learned: tuple[str, ...] = ()
    frames: Mapping[PictureKey, Frame] = field(default_factory=dict)

    def __str__(self) -> str:
        made, planned = len(self.folder.pictures()) if self.folder.is_begun else 0, len(self.spec.edits)
        return "\n".join([f"run {self.spec.run_id[:10]}: {counted(planned, 'picture')}, {made} of them made, in {self.folder.path}", *self.said])

    @property
    def said(self) -> tuple[str, ...]:
        """Everything that is to be said of the run, one line each and each once: of its samples, the disk and its pictures."""
        of_pictures = {self.spec.title(edit): self.notes.get(edit.key, ()) for edit in self.spec.edits}
        return (*self.of_settings, *self.of_samples, *self.room, *gathered(of_pictures))

    @property
    def of_settings(self) -> tuple[str, ...]:
        """What was asked for all tasks and is read by none of those that there are, and a seed that means another thing elsewhere: a line each."""
        asked = self.spec.spec
        paths, tasks = asked.passed_over(), ", ".join(asked.tasks)
        has, it = ("has", "it") if len(paths) == 1 else ("have", "them")
        idle = [f"{' and '.join(paths)} {has} no effect: no task of this run takes {it} ({tasks})"] if paths else []
        # False is what holds without it too, and only here is it known whether somebody wrote it
        refused = {task for task in asked.tasks if asked.given(task).get("denoising", {}).get("karras") is False}
        named = [edit.settings.denoising.scheduler for edit in self.spec.edits if edit.task in refused]
        karras = [f"denoising.karras has no effect: {name} has Karras sigmas anyway" for name in dict.fromkeys(named) if SCHEDULERS[name].is_karras]
        return (*idle, *karras, *([MINUS_ONE] if asked.asks_for_minus_one else []))

    @property
    def of_samples(self) -> tuple[str, ...]:
        """What is to be said of the files of the samples that are edited, read as the run reads them, of their sizes, and of what is left out."""
        edits, own = self.spec.edits, {sample.name: sample.size for sample in self.samples}
        readings = {edit.sample: edit.settings.image for edit in edits if TASKS[edit.task].needs_image}
        masked = {edit.sample for edit in edits if "mask" in TASKS[edit.task].needs(edit.settings)}
        cut = {edit.sample for edit in edits if edit.settings.mask.soft == "off"}
        files = notes.of_samples([sample for sample in self.samples if sample.name in readings], readings, masked, cut)
        asked = [
            (edit.settings.canvas.around(size), given)
            for edit in edits
            if (size := own[edit.sample]) and TASKS[edit.task].needs_image and (given := edit.settings.size.given) and edit.key not in self.frames
        ]
        whole = [edit for edit in edits if edit.key not in self.frames]
        sizes = [(edit.task, self._may_crop(edit), *of) for edit, of in zip(whole, sizes_in(self.dataset, whole, self.sizes), strict=True)]
        samples, checkpoint = {sample.name: sample for sample in self.dataset.samples}, self.spec.checkpoint
        return (
            *files,
            *notes.of_sizes(sizes, known=f"{checkpoint.name} knows {knows}" if (knows := family_of(checkpoint.family).knows) else ""),
            *notes.of_aspects(asked),
            *notes.without_prompt([(samples[name], task) for name, task in self.left_out]),
            *_of_same(edits),
        )

    def _may_crop(self, edit: Edit) -> bool:
        """Whether a crop may show the models more of what is edited: around a mask, where none was asked for; a background is mostly everything."""
        if "mask" not in TASKS[edit.task].needs(edit.settings) or edit.settings.mode is not None:
            return False
        # the edit has only what of a crop matters
        return self.spec.spec.given(edit.task).get("crop", {}).get("padding_mask_crop") is None

    def sizes_of(self, edit: Edit) -> tuple[tuple[int, int], tuple[int, int]]:
        """The size of one of its finished pictures, and the one at which the UNets see it or the crop of it: (width, height) in pixels."""
        [(size, whole)] = sizes_in(self.dataset, [edit], self.sizes)
        return size, frame.size if (frame := self.frames.get(edit.key)) else whole

    @property
    def picture_sizes(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each picture, in pixels, in the order of the edits."""
        return tuple(size for size, _ in sizes_in(self.dataset, self.spec.edits, self.sizes))

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples that are edited, in the order of the edits."""
        return tuple(self.dataset.sample(name) for name in dict.fromkeys(edit.sample for edit in self.spec.edits))

    def inputs(self) -> dict[str, Image.Image]:
        """The pictures as they are read: sample's name to an upright RGB image, of those that a task needs."""
        readings = {edit.sample: edit.settings.image for edit in self.spec.edits if TASKS[edit.task].needs_image}
        read = {name: self.dataset.sample(name).image(**reading.model_dump()) for name, reading in readings.items()}
        return {name: image for name, image in read.items() if image is not None}

    def masks(self) -> dict[str, Image.Image]:
        """The regions to be repainted, whatever the seed: "sample task" to a mask, white where it is repainted; not of tasks that make all."""
        from sdxl_lab.generation.regions import regions

        first = [edit for edit in self.spec.edits if TASKS[edit.task].area and self.spec.ordinals[edit.key] == 0]
        masked = (self.dataset.sample(name) for name in dict.fromkeys(edit.sample for edit in first))
        samples = {sample.name: (sample.size, sample.soft_mask()) for sample in masked if sample.size}
        return {self.spec.title(edit): regions(edit, *samples[edit.sample], self.sizes).repainted for edit in first}

    @property
    def is_done(self) -> bool:
        """Whether the run is recorded and its pictures are still whole."""
        return self.folder.is_done and not self.folder.pending()


def sizes_in(dataset: Dataset, edits: Sequence[Edit], sizes: Sizes) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Of each picture its own size and the working size, each (width, height) in pixels.

    Args:
        dataset: Where the samples are.
        edits: The pictures.
        sizes: What the checkpoint was made for.
    """
    from sdxl_lab.generation.frames import sizes_of

    own = {sample.name: sample.size for sample in dataset.samples}
    return [sizes_of(edit, own[edit.sample], sizes) for edit in edits]


def _of_same(edits: Sequence[Edit]) -> list[str]:
    """Say which samples of words alone get the same picture: those that differ in nothing but their names."""
    same: dict[str, list[str]] = {}
    words_alone = [edit for edit in edits if not TASKS[edit.task].needs(edit.settings)]
    for edit in words_alone:
        same.setdefault(edit.model_dump_json(exclude={"sample"}), []).append(edit.sample)
    most = max(same.values(), key=len, default=[])
    if len(most) < 2:
        return []
    is_all = len(most) == len({edit.sample for edit in words_alone})
    advice = (
        f"give samples: [{printable(most[0])}]" if is_all else f"of those like {printable(most[0])} name one in samples, or give them other seeds"
    )
    return [f"{counted(len(most), 'sample')} get the same prompt and seed, so the same picture: {advice}"]
