"""Settings of how a picture is computed: the noise schedule, the refiner, what the models are told of its size, and the machine."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, create_model, model_validator

from sdxl_lab.settings.choices import OneOf
from sdxl_lab.settings.documents import Neutral, written
from sdxl_lab.settings.knobs import Knob
from sdxl_lab.settings.schedulers import SCHEDULERS, karras_takers, otherwise_called
from sdxl_lab.settings.values import STRENGTH, WEIGHT, Count, Settings, Strength, Weight

Handover = Literal["consistent", "stock", "sdedit"]
Spacing = Literal["leading", "linspace", "trailing"]

Score = Annotated[float, Field(strict=True, ge=0, le=10, allow_inf_nan=False)]
Size = tuple[Count, Count]
Corner = tuple[Annotated[int, Field(strict=True, ge=0)], Annotated[int, Field(strict=True, ge=0)]]

SCORE = "a number from 0 to 10, or None for the default"
SIZE = "[height, width] in pixels, two whole numbers of 1 or more, or None for the working size"
CORNER = "[top, left] in pixels, two whole numbers of 0 or more, or None for [0, 0]"

HEIGHT_WIDTH, TOP_LEFT = ("height", "width"), ("top", "left")


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
        weights: Of a single file's UNet `ema`, the averages over its training, or `plain`, what the training ended with; None for the plain ones if
            the file holds them.
        prediction: Of a single file's UNet, what it gives: `epsilon`, which is noise, or `v`; None for what the file says, which one of Stable
            Diffusion 2 does not.
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
    weights: Annotated[Literal["ema", "plain"] | None, Neutral(None, since="0.2.0"), Knob(label="UNet's weights", none="plain")] = Field(
        default=None, description="ema or plain, or None for the plain ones if a single file holds them"
    )
    prediction: Annotated[Literal["epsilon", "v"] | None, Neutral(None, since="0.2.0"), Knob(label="UNet's prediction", none="as it says")] = Field(
        default=None, description="epsilon or v, or None for what a single file says of itself"
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
