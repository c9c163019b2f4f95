"""Frozen, validated settings: what a run may be told, with units and ranges. Each field's description is what errors call allowed."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import AfterValidator, ConfigDict, Field, create_model, model_validator

from sdxl_lab.settings import ranges
from sdxl_lab.settings.aspects import ASPECT, checked_aspect
from sdxl_lab.settings.choices import OneOf
from sdxl_lab.settings.dilation import AUTO, Auto
from sdxl_lab.settings.documents import Neutral, Section, written
from sdxl_lab.settings.knobs import Knob
from sdxl_lab.settings.schedulers import SCHEDULERS, karras_takers, otherwise_called

Mode = Literal["background", "canvas"]
ColorProfile = Literal["srgb", "ignore"]
Background = Literal["white", "gray", "black"]
Handover = Literal["consistent", "stock", "sdedit"]
Spacing = Literal["leading", "linspace", "trailing"]
PromptSyntax = Literal["plain", "a1111", "comfy", "compel"]
LongPrompt = Literal["cut", "chunks"]

SIDE_MULTIPLE = 8
"""Pixels of a latent cell: no model of these families takes a side that is none of its multiples."""

Count = Annotated[int, Field(strict=True, ge=1)]
PixelCount = Annotated[int, Field(strict=True, ge=0, le=16384)]
Score = Annotated[float, Field(strict=True, ge=0, le=10, allow_inf_nan=False)]
Weight = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Strength = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)]
Side = Annotated[int, Field(strict=True, ge=SIDE_MULTIPLE, le=16384, multiple_of=SIDE_MULTIPLE)]
Seed = Annotated[int, Field(strict=True, ge=ranges.SEED_LIMITS[0], le=ranges.SEED_LIMITS[1])]
Text = Annotated[str, Field(strict=True)]
Size = tuple[Count, Count]
Corner = tuple[Annotated[int, Field(strict=True, ge=0)], Annotated[int, Field(strict=True, ge=0)]]

WEIGHT = "a finite number, 0 or more"
STRENGTH = "a number above 0, at most 1"
SIDE = f"a whole number of pixels from 8 to 16384 that {SIDE_MULTIPLE} divides, or None"
PIXELS = "a whole number of pixels from 0 to 16384"
SCORE = "a number from 0 to 10, or None for the default"
SIZE = "[height, width] in pixels, two whole numbers of 1 or more, or None for the working size"
CORNER = "[top, left] in pixels, two whole numbers of 0 or more, or None for [0, 0]"

HEIGHT_WIDTH, TOP_LEFT = ("height", "width"), ("top", "left")


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError(f"a kernel needs a middle pixel: take {size - 1} or {size + 1}")
    return size


ODD = AfterValidator(_odd)

SyntaxOfPrompts = Annotated[PromptSyntax, Neutral("plain", since="0.2.0"), Knob(is_shown=True)]
LongPrompts = Annotated[LongPrompt, Neutral("cut", since="0.2.0"), Knob()]
SYNTAX = "one of plain, a1111, comfy, compel"
LONG = "one of cut, chunks"


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


class ImageReading(Settings):
    """How the file of a sample's picture becomes the pixels that are edited. One for the whole run, since a sample's input is kept once.

    Attributes:
        color_profile: `srgb` brings colors that are written by a profile (ICC), such as Display P3 of a phone, to sRGB, which the models were
            trained on and a PNG without profile means; `ignore` takes the numbers as they are, so that colors look different afterwards.
        background: What a transparent picture is laid over.
    """

    color_profile: Annotated[ColorProfile, Neutral("ignore", since="0.2.0")] = Field(default="srgb", description="one of srgb, ignore")
    background: Annotated[Background, Neutral("white", since="0.2.0")] = Field(default="white", description="one of white, gray, black")


class PictureSize(Settings):
    """The size at which the models see a picture; with neither, what suits picture and checkpoint.

    Attributes:
        width: In pixels, a multiple of 8; likewise `height`. Both or neither.
    """

    width: Annotated[Side | None, Neutral(None, since="0.2.0"), Knob(soft=(64, 2048), unit="px", none="auto", is_shown=True)] = Field(
        default=None, description=SIDE
    )
    height: Annotated[Side | None, Neutral(None, since="0.2.0"), Knob(soft=(64, 2048), unit="px", none="auto", is_shown=True)] = Field(
        default=None, description=SIDE
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.width is None) != (self.height is None):
            given, missing = ("width", "height") if self.height is None else ("height", "width")
            raise ValueError(f"got {given} {getattr(self, given)} without {missing}; give both, or neither")
        return self

    @property
    def given(self) -> tuple[int, int] | None:
        """(width, height), or None where it is left to picture and checkpoint."""
        return None if self.width is None or self.height is None else (self.width, self.height)


class SizeAsAsked(PictureSize):
    """The size at which the models see a picture, by its sides or its aspect; with neither, what suits picture and checkpoint.

    Attributes:
        aspect: Width to height, such as `16:9`, from `1:4` to `4:1`: the nearest of the sizes that SDXL was trained at, in proportion to what the
            checkpoint was made for. None for no wish; not beside `width` and `height`.
    """

    aspect: Annotated[
        Annotated[str, Field(strict=True), AfterValidator(checked_aspect)] | None,
        Knob(suggested=("1:1", "5:4", "4:3", "3:2", "16:9", "21:9", "4:5", "3:4", "2:3", "9:16", "9:21"), is_shown=True),
    ] = Field(default=None, description=ASPECT)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.aspect is not None and self.given:
            raise ValueError(f"got aspect {self.aspect} beside width {self.width} and height {self.height}; give the aspect or the sides")
        return self


class Denoising(Settings):
    """How a run spends the noise schedule, and where the base hands over to the refiner.

    Attributes:
        num_inference_steps: Steps of the full schedule, 1 to 1000. Checkpoints bring their own default: 70, 30 for the pocket one, fewer for those
            that were distilled to few steps.
        guidance_scale: Classifier-free guidance weight (Ho & Salimans, arXiv:2207.12598), 0 or more; 1.0 or less turns it off.
        strength: How far what is repainted is noised first, in (0, 1]; exactly 1.0 starts from pure noise, though image to image leaves a trace of
            the picture in it.
        scheduler: The sampler, by its common short name. Checkpoints that were distilled to few steps bring their own.
        timestep_spacing: Where the steps lie among the training timesteps (arXiv:2305.08891, table 2): `trailing` begins at the last timestep,
            where there is nothing but noise, `leading` one step below it, as SDXL does, and `linspace` spreads them from the last to the first.
            None is the checkpoint's own; those that were distilled to few steps bring `trailing`.
        karras: Whether noise is spread over the steps by the schedule of Karras et al. (arXiv:2206.00364, eq. 5), closer where there is little.
        high_noise_frac: Share of the training timesteps given to the base, in (0, 1), or None for no refiner.
        handover: What the refiner receives: `consistent` continues as if the run had never been split, `stock` is what
            diffusers does when called twice. With `sdedit` the base spends the whole schedule, and the refiner goes over what it
            finished, as far as `refiner.strength` says (SDEdit, arXiv:2108.01073); `high_noise_frac` is not needed then.
    """

    num_inference_steps: Annotated[int, Knob(label="Steps", soft=(1, 100), is_shown=True)] = Field(
        default=50, strict=True, ge=1, le=1000, description="a whole number of steps from 1 to 1000"
    )
    guidance_scale: Annotated[Weight, Knob(label="Guidance", soft=(0, 15), step=0.5, is_shown=True)] = Field(default=7.5, description=WEIGHT)
    strength: Annotated[Strength, Knob(is_shown=True)] = Field(default=0.99, description=STRENGTH)
    scheduler: Annotated[str, OneOf(table=SCHEDULERS, refused=otherwise_called), Knob(is_shown=True)] = "euler"
    timestep_spacing: Annotated[Spacing | None, Neutral(None, since="0.2.0"), Knob(none="its own")] = Field(
        default=None, description="one of leading, linspace, trailing, or None for the checkpoint's own"
    )
    karras: Annotated[bool, Neutral(False, since="0.2.0"), Knob(label="Karras sigmas")] = Field(
        default=False, strict=True, description="true or false"
    )
    high_noise_frac: Annotated[float | None, Knob(label="High-noise fraction", is_shown=True)] = Field(
        default=None, strict=True, gt=0, lt=1, allow_inf_nan=False, description="a number above 0 and below 1, or None for no refiner"
    )
    handover: Handover = Field(default="consistent", description="one of consistent, stock, sdedit")

    @model_validator(mode="after")
    def _karras_where_it_is_taken(self) -> Self:
        if self.karras and not SCHEDULERS[self.scheduler].takes_karras:
            raise ValueError(
                f"got karras true with scheduler {self.scheduler}, which spreads its noise in one way alone; set karras to false, or take one of "
                f"{', '.join(karras_takers())}"
            )
        return self

    @property
    def told_scheduler(self) -> dict[str, Any]:
        """What the scheduler is told of it, over the configuration of the checkpoint's own."""
        return SCHEDULERS[self.scheduler].told(karras=self.karras, timestep_spacing=self.timestep_spacing)

    @property
    def is_refined(self) -> bool:
        """Whether the refiner has a part in it."""
        return self.high_noise_frac is not None or self.handover == "sdedit"

    @property
    def asks_for_refiner(self) -> tuple[str, Any, str]:
        """The key that gives the refiner its part, its value, and the one that would not."""
        if self.handover == "sdedit":
            return "handover", self.handover, "consistent"
        return "high_noise_frac", self.high_noise_frac, "null"


def less(section: type[Settings], *names: str) -> type[Settings]:
    """The same section for those who have no use for some of its fields.

    Args:
        section: The section; what it checks of its fields together is still checked.
        names: Of the fields that are left out, which it does not check together with others.
    """
    fields: dict[str, Any] = {name: (field.annotation, field) for name, field in section.model_fields.items() if name not in names}
    checks = section.__pydantic_decorators__.model_validators.items()
    after: dict[str, Any] = {name: model_validator(mode="after")(check.func) for name, check in checks if check.info.mode == "after"}
    return create_model(section.__name__, __base__=Settings, __doc__=section.__doc__, __validators__=after, **fields)


class Refiner(Settings):
    """What only the refiner is told.

    Attributes:
        guidance_scale: Its guidance weight, 0 or more, or None for the base's.
        aesthetic_score: The aesthetic score asked for, 0 to 10.
        negative_aesthetic_score: The aesthetic score guidance leads away from, 0 to 10.
        strength: How far what the base finished is noised again, in (0, 1], for `handover` `sdedit`.
    """

    guidance_scale: Annotated[Weight | None, Knob(label="Guidance", soft=(0, 15), step=0.5, none="base")] = Field(
        default=None, description=f"{WEIGHT}, or None for the base's"
    )
    aesthetic_score: Annotated[Score, Knob(step=0.5)] = Field(default=6.0, description=SCORE)
    negative_aesthetic_score: Annotated[Score, Knob(step=0.5)] = Field(default=2.5, description=SCORE)
    strength: Annotated[Strength, Neutral(0.3, since="0.2.0")] = Field(default=0.3, description=STRENGTH)


class Mask(Settings):
    """How the dataset's mask becomes the region that is repainted.

    Attributes:
        kernel_size: Side of the square dilation kernel in pixels of the input, odd, 1 or more; 1 leaves the mask as given. What is asked for may be
            `auto`, see `MaskAsAsked`.
        iterations: How often the kernel is applied, 0 or more.
        feather_px: Width in pixels of the soft edge along which the result is blended into the input, 0 for a hard one.
        latent_mask: How the mask is brought to the latents' size: `nearest`, what diffusers does, or `cover`, by max-pooling.
        specks: What becomes of connected parts of the dataset's mask, white or black, that are smaller than a latent cell, 8x8 pixels at the
            working size: `ignore` leaves them out before the mask is dilated, `keep` takes them as they are. Records hold it only where it
            makes another picture.
    """

    kernel_size: Annotated[int, ODD] = Field(
        default=1, strict=True, ge=1, le=16383, description="an odd whole number of pixels from 1 (which leaves the mask as given) to 16383"
    )
    iterations: Annotated[int, Knob(soft=(0, 10))] = Field(default=1, strict=True, ge=0, le=10000, description="a whole number, 0 or more")
    feather_px: Annotated[PixelCount, Knob(label="Feather", soft=(0, 64), is_shown=True)] = Field(default=0, description=PIXELS)
    latent_mask: Literal["nearest", "cover"] = Field(default="nearest", description="one of nearest, cover")
    specks: Annotated[Literal["ignore", "keep"], Neutral("keep", since="0.2.0")] = Field(default="ignore", description="one of ignore, keep")


class MaskAsAsked(Mask):
    """How the dataset's mask becomes the region that is repainted; the kernel may be left to the size of the picture.

    Attributes:
        kernel_size: `auto` grows the region by a sixteenth of the picture's shorter side on each side; what is outpainted around an object by
            a 128th, and a canvas not at all.
    """

    # Settings are frozen, so that what is asked for may be wider than what is stored.
    kernel_size: Annotated[  # pyright: ignore[reportIncompatibleVariableOverride]
        Annotated[int, Field(strict=True, ge=1, le=16383), ODD] | Auto, Knob(label="Dilation kernel", soft=(1, 255), unit="px", is_shown=True)
    ] = Field(
        default=AUTO,
        description="an odd whole number of pixels from 1 (which leaves the mask as given) to 16383, or auto, in proportion to the picture",
    )


class Conditioning(Settings):
    """SDXL's micro-conditioning (arXiv:2307.01952, section 2.2): what the picture is said to have been.

    Attributes:
        original_size: (height, width) in pixels before it was scaled for training, or None for the working size.
        crops_coords_top_left: (top, left) in pixels of its crop, or None for (0, 0).
        target_size: (height, width) in pixels it is made for, or None for the working size. The refiner has none.
        negative_original_size: `original_size` for the negative prompt, or None for the positive one's.
        negative_crops_coords_top_left: `crops_coords_top_left` for the negative prompt, or None for (0, 0).
        negative_target_size: `target_size` for the negative prompt, or None for the positive one's.
    """

    original_size: Annotated[Size | None, Knob(parts=HEIGHT_WIDTH, unit="px", none="auto")] = Field(default=None, description=SIZE)
    crops_coords_top_left: Annotated[Corner | None, Knob(parts=TOP_LEFT, unit="px")] = Field(default=None, description=CORNER)
    target_size: Annotated[Size | None, Knob(parts=HEIGHT_WIDTH, unit="px", none="auto")] = Field(default=None, description=SIZE)
    negative_original_size: Annotated[Size | None, Knob(parts=HEIGHT_WIDTH, unit="px", none="auto")] = Field(default=None, description=SIZE)
    negative_crops_coords_top_left: Annotated[Corner | None, Knob(parts=TOP_LEFT, unit="px")] = Field(default=None, description=CORNER)
    negative_target_size: Annotated[Size | None, Knob(parts=HEIGHT_WIDTH, unit="px", none="auto")] = Field(default=None, description=SIZE)


class Canvas(Settings):
    """How far the picture is extended beyond its borders, in pixels of the input. Only outpainting with mode `canvas` uses it.

    Attributes:
        left_px: Pixels added on the left, 0 or more; likewise `right_px`, `top_px` and `bottom_px`.
        fill: What the new region holds before it is painted: the picture reflected, or noise.
        overlap_px: How far into the picture the repainted region reaches, 0 or more; what is composited there is its own
            pixels again, so it only gives the seam context.
    """

    left_px: Annotated[PixelCount, Knob(label="Canvas left", soft=(0, 512), is_shown=True)] = Field(default=0, description=PIXELS)
    right_px: Annotated[PixelCount, Knob(label="Canvas right", soft=(0, 512), is_shown=True)] = Field(default=0, description=PIXELS)
    top_px: Annotated[PixelCount, Knob(label="Canvas top", soft=(0, 512), is_shown=True)] = Field(default=0, description=PIXELS)
    bottom_px: Annotated[PixelCount, Knob(label="Canvas bottom", soft=(0, 512), is_shown=True)] = Field(default=0, description=PIXELS)
    fill: Literal["reflect", "noise"] = Field(default="reflect", description="one of reflect, noise")
    overlap_px: Annotated[PixelCount, Knob(soft=(0, 128))] = Field(default=8, description=PIXELS)

    @property
    def extends(self) -> bool:
        """Whether any side grows."""
        return any(self.sides.values())

    @property
    def sides(self) -> dict[str, int]:
        """Side to the pixels of the input that are added there."""
        return {name: getattr(self, name) for name in ("left_px", "right_px", "top_px", "bottom_px")}

    def around(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) of a picture in its canvas, in pixels, given its own."""
        return self.left_px + size[0] + self.right_px, self.top_px + size[1] + self.bottom_px


class Compute(Settings):
    """Where and how a run is computed. One for the whole run; `auto` and None are chosen for checkpoint and machine.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        dtype: `auto`, `float32`, `float16` or `bfloat16`.
        threads: CPU threads of torch, 1 to 1024: the count changes the bits.
        offload: What leaves the GPU while it waits: `none`, `model` (one part at a time), `sequential` (one layer at a time) or `group` (one layer,
            while the next one is on its way; pins main memory); `auto` takes the fastest of the first three that fits what is free of the GPU.
            Pixels are the same.
        vae: `fp16-fix` for the VAE that decodes in half precision, or None for the checkpoint's own.
        layerwise: `fp8` keeps the weights of the UNets in 8 bits (float8 e4m3), each layer's made wide while it computes, or None for all of their
            bits. Other pixels.
        vae_tiling: Whether the VAE encodes and decodes in overlapping tiles, half as wide and high as the checkpoint's own pictures. Other pixels,
            with seams at worst.
    """

    device: Annotated[str, Field(strict=True, pattern=r"^(auto|cpu|mps|cuda(:[0-9]+)?)$"), Knob(suggested=("auto", "cpu", "cuda", "mps"))] = Field(
        default="auto", description="one of auto, cpu, cuda, cuda:N, mps"
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(default="auto", description="one of auto, float32, float16, bfloat16")
    threads: Annotated[int | None, Knob(soft=(1, 64), none="auto")] = Field(
        default=None, strict=True, ge=1, le=1024, description="a whole number from 1 to 1024, or None for the checkpoint's own"
    )
    offload: Literal["none", "auto", "model", "sequential", "group"] = Field(
        default="none", description="one of none, auto, model, sequential, group"
    )
    vae: Annotated[Literal["fp16-fix"] | None, Knob(label="VAE", none="its own")] = Field(
        default=None, description="fp16-fix, or None for the checkpoint's own"
    )
    layerwise: Annotated[Literal["fp8"] | None, Neutral(None, since="0.2.0"), Knob(label="Layerwise weights", none="whole")] = Field(
        default=None, description="fp8, or None for weights of all bits"
    )
    vae_tiling: Annotated[bool, Neutral(False, since="0.2.0"), Knob(label="VAE tiling")] = Field(
        default=False, strict=True, description="true or false"
    )

    @property
    def changing(self) -> dict[str, Any]:
        """What of it changes pixels besides dtype and threads, by key; what makes no difference is left out."""
        kept = written(self)
        return {key: value for key, value in kept.items() if key not in ("device", "dtype", "threads", "offload") and value is not None}


class EditSettings(Settings):
    """Everything but words and seed that one picture depends on, with nothing left to choose.

    Attributes:
        denoising: The schedule and the hand-over.
        refiner: What only the refiner is told.
        mask: From the dataset's mask to the region repainted.
        conditioning: SDXL's micro-conditioning.
        canvas: The extension; all 0 unless `mode` is `canvas`.
        mode: How to outpaint: `background` repaints all but the object, `canvas` paints beyond the borders. None for other tasks.
        image: How the sample's picture is read; neutral where that makes no difference to it.
        size: The size at which the models see it, where it is not left to picture and checkpoint.
        prompt_syntax: How prompt and negative prompt are read.
        long_prompt: What becomes of what the text encoders do not take at once.
    """

    denoising: Denoising = Denoising()
    refiner: Refiner = Refiner()
    mask: Mask = Mask()
    conditioning: Conditioning = Conditioning()
    canvas: Canvas = Canvas()
    mode: Mode | None = None
    image: ImageReading = ImageReading()
    size: PictureSize = PictureSize()
    prompt_syntax: SyntaxOfPrompts = Field(default="plain", description=SYNTAX)
    long_prompt: LongPrompts = Field(default="cut", description=LONG)


PROMPT = "a text, or None for the dataset's own"
SEED = "a whole number from -2**63 to 2**64 - 1, or None for the dataset's own, which is 0 where it gives none"
SEEDS = (
    f"a list of 1 to {ranges.MOST_SEEDS} different seeds, each a whole number from -2**63 to 2**64 - 1, a text such as 1-4, 10-40 (10), 1-9 [3] "
    "or random(4), or None for one picture"
)
DEFAULT_SEED = 0
"""The same each time, so that a run given again is the same run."""


def _as_asked(seeds: Any) -> Any:
    try:
        ranges.seeds(seeds)
    except ranges.RangeError as error:
        raise ValueError(str(error)) from None
    return seeds


class PromptAndSeed(Settings):
    """What the dataset says of a picture, and parameters may say otherwise; base of everything that holds hyperparameters.

    Attributes:
        prompt: The text to paint, over the dataset's own.
        negative_prompt: The text to lead away from, over the dataset's own.
        prompt_syntax: How both are read: `plain` as they stand; `a1111` with the marks of AUTOMATIC1111's web UI, `(word:1.3)`, `(word)`, `[word]`
            and `BREAK`, weighed as it does; `comfy` with ComfyUI's, `(word:1.3)` and `(word)`, weighed as it does; `compel` by that library,
            `word++` and `(two words)1.3`, which `pip install 'sdxl-lab[compel]'` brings.
        long_prompt: What becomes of a prompt that is longer than the text encoders take at once, 75 tokens, or the pocket checkpoint's 30: `cut`
            leaves out the rest, of each part where `BREAK` parts it; `chunks` encodes it in as many chunks as it needs.
        seed: Where the noise comes from, over the dataset's own.
        seeds: Instead of `seed`, for several pictures of each sample in one run: a list, a range or random ones.
    """

    prompt: Annotated[Text | None, Knob(is_shown=True)] = Field(default=None, description=PROMPT)
    negative_prompt: Annotated[Text | None, Knob(is_shown=True)] = Field(default=None, description=PROMPT)
    prompt_syntax: SyntaxOfPrompts = Field(default="plain", description=SYNTAX)
    long_prompt: LongPrompts = Field(default="cut", description=LONG)
    seed: Annotated[Seed | None, Knob(is_seed=True, is_shown=True)] = Field(default=None, description=SEED)
    seeds: Annotated[Any, AfterValidator(_as_asked)] | None = Field(default=None, description=SEEDS)


def _takes_none(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation)
