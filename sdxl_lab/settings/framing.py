"""Settings of a picture's pixels: how its file is read, how large the models see it, and what of it is repainted."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sdxl_lab.settings.aspects import ASPECT, checked_aspect
from sdxl_lab.settings.dilation import AUTO, Auto
from sdxl_lab.settings.documents import Neutral
from sdxl_lab.settings.knobs import Knob
from sdxl_lab.settings.values import PIXELS, PixelCount, Settings

ColorProfile = Literal["srgb", "ignore"]
Background = Literal["white", "gray", "black"]
Fill = Literal["original", "neutral", "blur", "telea", "navier_stokes", "noise"]
Soft = Literal["off", "threshold", "blend"]

SIDE_MULTIPLE = 8
"""Pixels of a latent cell: no model of these families takes a side that is none of its multiples."""

Side = Annotated[int, Field(strict=True, ge=SIDE_MULTIPLE, le=16384, multiple_of=SIDE_MULTIPLE)]
SIDE = f"a whole number of pixels from 8 to 16384 that {SIDE_MULTIPLE} divides, or None"


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError(f"a kernel needs a middle pixel: take {size - 1} or {size + 1}")
    return size


ODD = AfterValidator(_odd)


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
        fill: What the region to repaint holds, at the working size, before it is noised: the picture's own pixels (`original`), mid-gray
            (`neutral`), the colors around it, spread over it (`blur`) or continued inwards as OpenCV does (`telea`, `navier_stokes`), or random
            colors (`noise`). Of a canvas it fills the new sides, too.
        color_match: `ring` shifts the colors of what was decoded by what differs between it and the input in a ring around the region, 16 pixels of
            the working size wide. None leaves them.
        blend: How the result is laid over the input: `alpha` as it is, or `poisson`, which keeps its gradients and takes the input's levels
            at the boundary (Pérez et al. 2003). Both soften by `feather_px`, and leave all pixels beyond as they are.
        soft: Whether a gray of the mask says how far a pixel is repainted, black not at all, white as far as `denoising.strength` says: `threshold`
            repaints it in the last of the steps alone, as many as its gray tells (differential diffusion); `blend` lays so much of what is painted
            over the input after each step; `off` cuts the mask at half.
        blur_px: Width in pixels of the strip around the region to repaint in which a soft mask fades to black. What was white stays so.
    """

    kernel_size: Annotated[int, ODD] = Field(
        default=1, strict=True, ge=1, le=16383, description="an odd whole number of pixels from 1 (which leaves the mask as given) to 16383"
    )
    iterations: Annotated[int, Knob(soft=(0, 10))] = Field(default=1, strict=True, ge=0, le=10000, description="a whole number, 0 or more")
    feather_px: Annotated[PixelCount, Knob(label="Feather", soft=(0, 64), is_shown=True)] = Field(default=0, description=PIXELS)
    latent_mask: Literal["nearest", "cover"] = Field(default="nearest", description="one of nearest, cover")
    specks: Annotated[Literal["ignore", "keep"], Neutral("keep", since="0.2.0")] = Field(default="ignore", description="one of ignore, keep")
    fill: Annotated[Fill, Neutral("original", since="0.2.0"), Knob(label="Fill the mask with")] = Field(
        default="original", description="one of original, neutral, blur, telea, navier_stokes, noise"
    )
    color_match: Annotated[Literal["ring"] | None, Neutral(None, since="0.2.0"), Knob(none="off")] = Field(
        default=None, description="ring, or None for none"
    )
    blend: Annotated[Literal["alpha", "poisson"], Neutral("alpha", since="0.2.0"), Knob()] = Field(
        default="alpha", description="one of alpha, poisson"
    )
    soft: Annotated[Soft, Neutral("off", since="0.2.0"), Knob(label="Soft mask")] = Field(default="off", description="one of off, threshold, blend")
    blur_px: Annotated[PixelCount, Neutral(0, since="0.2.0"), Knob(label="Soft mask, blur", soft=(0, 64))] = Field(default=0, description=PIXELS)


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


class Crop(Settings):
    """Whether the models see all of a picture, or only what is around the region to repaint, larger; what they make is put back into the picture.

    Attributes:
        padding_mask_crop: Pixels of the picture, 0 or more, that are seen around that region on each side, at least `mask.feather_px`; 0 crops, too.
            None for the whole picture.
        context_factor: What is seen beside the region, in proportion to it: so many times as wide and as high as the region, and the padding around
            that. 1 for the padding alone.
        min_upscale: How many times larger than in the whole picture the region has to be seen, or else the whole picture is; 1 for where it is
            not smaller, 0 for always.
    """

    padding_mask_crop: Annotated[
        PixelCount | None,
        Neutral(None, since="0.2.0"),
        Knob(label="Crop to the mask, padding", soft=(0, 256), unit="px", none="whole picture", is_shown=True),
    ] = Field(default=None, description=f"{PIXELS}, or None for the whole picture")
    context_factor: Annotated[float, Neutral(1.0, since="0.2.0"), Knob(label="Crop context", soft=(1, 4), step=0.1)] = Field(
        default=1.0, strict=True, ge=1, le=64, allow_inf_nan=False, description="a number from 1 (the padding alone) to 64"
    )
    min_upscale: Annotated[float, Neutral(1.0, since="0.2.0"), Knob(label="Crop only from, times", soft=(0, 4), step=0.1)] = Field(
        default=1.0, strict=True, ge=0, le=1024, allow_inf_nan=False, description="a number from 0 (always) to 1024"
    )


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
