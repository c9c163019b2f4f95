"""What a task is, and what the tasks share. Each other file of this package is one task; none knows another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from sdxl_lab.settings.documents import RELEASES, meant
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.settings.sections import Conditioning, Crop, Denoising, EditSettings, MaskAsAsked, PromptAndSeed, Refiner, SizeAsAsked

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Role:
    """What one of a picture's files is to it.

    Attributes:
        name: Its label on sheets and in reports, such as `mask`.
        key: What a line of `images.jsonl` calls it, and `Generated` calls its pixels.
        file: Its name in the sample's folder, `{stem}` standing for what the picture is called there; without its ending Comet lists it so.
        of_sample: Its name where it is the sample's own picture, which all tasks share; None if it never is.
    """

    name: str
    key: str
    file: str
    of_sample: str | None = None


INPUT = Role(name="input", key="input_image", file="{stem}-input.png", of_sample="input.png")
MASK = Role(name="mask", key="mask_image", file="{stem}-mask.png")
RESULT = Role(name="result", key="image", file="{stem}.png")


@dataclass(frozen=True, kw_only=True, eq=False)
class Area:
    """What of a picture is repainted. Both masks are mode "L", in the pixels of the picture as edited, extended where the canvas was.

    Only where `mask.soft` says so they have anything between 0 and 255.

    Attributes:
        repainted: What the model paints.
        composited: What of that is laid over the input.
        ignores_specks: Whether specks count for nothing, here and at the working size.
        has_ignored: Whether any were left out here.
        parts: What people call the white regions of `repainted`.
    """

    repainted: Image.Image
    composited: Image.Image
    ignores_specks: bool = False
    has_ignored: bool = False
    parts: str = "regions to repaint"


DEFAULTS = flatten(EditSettings().model_dump())
_SAYING_NOTHING = {name: {} for name, value in EditSettings() if isinstance(value, BaseModel)}
NEUTRAL = flatten(EditSettings.model_validate(meant(EditSettings, _SAYING_NOTHING)).model_dump())
"""By dotted path: what an edit's setting is where nobody asked for it, and where nothing was to be asked."""


def _is_in(section: type[BaseModel], keys: Sequence[str]) -> bool:
    """Whether a section has the setting to which keys lead."""
    first, *rest = keys
    field = section.model_fields.get(first)
    if field is None or not rest:
        return field is not None
    below = field.annotation
    return isinstance(below, type) and issubclass(below, BaseModel) and _is_in(below, rest)


def _with(section: Any, keys: Sequence[str], value: Any) -> Any:
    """A copy of a section with another value of the setting to which keys lead; what was left open stays so."""
    first, *rest = keys
    return section.model_copy(update={first: _with(getattr(section, first), rest, value) if rest else value})


def _as_asked(asked: Mapping[str, Any], size: tuple[int, int] | None) -> Mapping[str, Any]:
    return asked


def _as_it_is(settings: EditSettings) -> EditSettings:
    return settings


def _none(given: Mapping[str, Any]) -> Sequence[str]:
    return ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One way of making a picture of a sample. All that the rooms above know of it is here.

    Attributes:
        name: In parameters, metadata, records and file names.
        takes: The keys of `hyperparameters` that it takes, `image` and `compute` aside, which cannot differ by task.
        needs: Of an edit's settings: what a sample must bring, `image` and `mask`.
        pipeline: The kind of diffusers' pipeline that makes it: a key of `sdxl_lab.generation.stages.STAGES`.
        area: Of the settings, the picture's (width, height), the sample's mask if one is needed, and the pixels of a latent cell: what is
            repainted. Raises `MaskError`. None where all of the picture is made.
        suits: Its own defaults of `denoising`, over those of the checkpoint's family; one that was distilled to few steps keeps its guidance.
        complete: Of nested settings as asked, those not given absent, and the picture's (width, height), None without one: the same with nothing
            left to choose.
        fit: Of an edit's settings that code gave or a document holds: the same with nothing left to choose. Raises `ValueError` for settings
            that do not fit the task; the message says what to change.
        contradictions: Of what parameters give: the same faults as lines that start with the key they are about.
        holds: Of settings that it does not take: the values that are true of it, by dotted path, where these are not the neutral ones.
        refusals: By key that it does not take: why, and where that belongs.
        elsewhere: What other tools call it.
        roles: Of a picture's files, as sheets show them; the result is the last.
        is_default: Whether a run makes it where no tasks are given.
        since: The release that brought it. Documents of 0.1.0's tasks hold settings that they do not take, as 0.1.0 wrote them.
    """

    name: str
    takes: type[PromptAndSeed]
    needs: Callable[[EditSettings], Collection[str]]
    pipeline: str = "inpaint"
    area: Callable[[EditSettings, tuple[int, int], Image.Image | None, float], Area] | None = None
    suits: Mapping[str, Any] = field(default_factory=dict)
    complete: Callable[[Mapping[str, Any], tuple[int, int] | None], Mapping[str, Any]] = _as_asked
    fit: Callable[[EditSettings], EditSettings] = _as_it_is
    contradictions: Callable[[Mapping[str, Any]], Sequence[str]] = _none
    holds: Mapping[str, Any] = field(default_factory=dict)
    refusals: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Sequence[str] = ()
    roles: tuple[Role, ...] = (INPUT, MASK, RESULT)
    is_default: bool = False
    since: str = RELEASES[-1]

    @property
    def is_first(self) -> bool:
        """Whether it is one of 0.1.0's."""
        return self.since == RELEASES[0]

    @cached_property
    def needs_image(self) -> bool:
        """Whether a sample must bring a picture."""
        return "image" in self.needs(EditSettings())

    @cached_property
    def untaken(self) -> tuple[str, ...]:
        """Dotted paths of an edit's settings that it does not take."""
        return tuple(path for path in NEUTRAL if not self._depends_on(path))

    def _depends_on(self, path: str) -> bool:
        section = path.partition(".")[0]
        if section == "image":
            return self.needs_image
        return (section == "size" and not self.needs_image) or _is_in(self.takes, path.split("."))  # where no picture has a size, an edit has one

    def size_of(self, settings: EditSettings, size: tuple[int, int] | None) -> tuple[int, int]:
        """How large its result is.

        Args:
            settings: All settings.
            size: (width, height) of the sample's picture in pixels; None for a task that needs none.

        Returns:
            (width, height) in pixels: those of the picture in its canvas, whatever size the models saw. Where all of it is made anew, the size
            that was asked for, if one was.
        """
        given = settings.size.given
        if given and (size is None or self.area is None):
            return given
        assert size is not None, f"{self.name} makes a picture of no size"
        return settings.canvas.around(size)

    def only_taken(self, settings: EditSettings) -> EditSettings:
        """Make neutral what it does not take.

        Raises:
            ValueError: Somebody asked for such a setting; the message says which.
        """
        values = flatten(settings.model_dump())
        for path in self.untaken:
            value, held = values[path], self.holds.get(path, NEUTRAL[path])
            if value not in (DEFAULTS[path], NEUTRAL[path], held):
                raise ValueError(f"got {path} {value!r} for task {self.name}, which takes no {path}; leave it out")
            settings = settings if value == held else _with(settings, path.split("."), held)
        return settings

    def file_of(self, role: Role, settings: EditSettings, stem: str) -> str:
        """The name of a picture's file in its sample's folder, where the picture is called `stem`: as the task, unless there are several."""
        if role.of_sample and not settings.canvas.extends:
            return role.of_sample
        return role.file.format(stem=stem)


class MaskHyperparameters(PromptAndSeed):
    """The keys of a task that repaints by a mask."""

    denoising: Denoising = Denoising()
    refiner: Refiner = Refiner()
    mask: MaskAsAsked = MaskAsAsked()
    conditioning: Conditioning = Conditioning()
    size: SizeAsAsked = SizeAsAsked()
    crop: Crop = Crop()


def area_of_mask(settings: EditSettings, mask: Image.Image, cell_px: float, *, is_background: bool = False) -> Area:
    """Repaint the object of a mask, or all but it.

    Args:
        settings: All settings.
        mask: The sample's, white is the object; any mode.
        cell_px: Pixels of a latent cell; a connected part of the mask with fewer is a speck.
        is_background: Whether all but the object is repainted.

    Raises:
        MaskError: Nothing would be repainted.
    """
    from sdxl_lab.images import masks, soft_masks  # not above: the gate asks tasks for their settings, and is light

    ignores, asked = settings.mask.specks == "ignore", settings.mask
    how = {"specks_area": cell_px if ignores else 0, "is_inverted": is_background}
    # A speck is looked for before it is dilated, and again at the working size, where thin parts of the mask may have come apart.
    if asked.soft == "off":
        repainted, has_ignored = masks.region_of(mask, asked.kernel_size, asked.iterations, **how)
    else:
        repainted, has_ignored = soft_masks.region_of(mask, asked.kernel_size, asked.iterations, blur_px=asked.blur_px, **how)
    return Area(
        repainted=repainted,
        composited=repainted if asked.soft == "off" else soft_masks.composited(repainted),
        ignores_specks=ignores,
        has_ignored=has_ignored,
        parts="holes in the object's mask" if is_background else "regions to repaint",
    )
