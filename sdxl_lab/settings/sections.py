"""The settings, by their names: all that a picture depends on, what the dataset may say otherwise, and every section of `framing` and `denoising`.

They are frozen and validated, with units and ranges. Each field's description is what errors call allowed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from sdxl_lab.settings import ranges
from sdxl_lab.settings.denoising import Compute, Conditioning, Denoising, Refiner, less
from sdxl_lab.settings.documents import Neutral
from sdxl_lab.settings.framing import Canvas, Crop, ImageReading, Mask, MaskAsAsked, PictureSize, SizeAsAsked
from sdxl_lab.settings.knobs import Knob
from sdxl_lab.settings.replacements import REPLACEMENTS, checked
from sdxl_lab.settings.values import Seed, Settings, Text

__all__ = [
    "Canvas",
    "Compute",
    "Conditioning",
    "Crop",
    "Denoising",
    "EditSettings",
    "ImageReading",
    "Mask",
    "MaskAsAsked",
    "Mode",
    "PictureSize",
    "PromptAndSeed",
    "Refiner",
    "Seed",
    "Settings",
    "SizeAsAsked",
    "Text",
    "less",
]

Mode = Literal["background", "canvas"]
PromptSyntax = Literal["plain", "a1111", "comfy", "compel"]
LongPrompt = Literal["cut", "chunks"]
Wildcards = Literal["text", "draw"]

SyntaxOfPrompts = Annotated[PromptSyntax, Neutral("plain", since="0.2.0"), Knob(is_shown=True)]
LongPrompts = Annotated[LongPrompt, Neutral("cut", since="0.2.0"), Knob()]
SYNTAX = "one of plain, a1111, comfy, compel"
LONG = "one of cut, chunks"


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
        crop: What of it they see; neutral where that is all of it.
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
    crop: Crop = Crop()
    prompt_syntax: SyntaxOfPrompts = Field(default="plain", description=SYNTAX)
    long_prompt: LongPrompts = Field(default="cut", description=LONG)


PROMPT = "a text, or None for the dataset's own"
SEED = "a whole number from -2**63 to 2**64 - 1, or None for the dataset's own, which is 0 where it gives none"
SEEDS = (
    f"a list of 1 to {ranges.MOST_SEEDS} different seeds, each a whole number from -2**63 to 2**64 - 1, a text such as 1-4, 10-40 (10), 1-9 [3] "
    "or random(4), or None for one picture"
)
OF_THE_PROMPT = ("prompt_replace", "negative_prompt_replace", "wildcards")
"""What makes other prompts of those that are given; a picture has them as they became."""

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
        prompt_replace: Words of the prompt, the dataset's own or the one given here, and what stands in their place, `{red: blue}`: whole words,
            several of them at the same time. One that is not in the prompt is an error. Below it each word is an axis of a sweep.
        negative_prompt_replace: The same of the negative prompt.
        wildcards: What becomes of `{red|blue}` and `__colors__` in both: `text` leaves them as they stand; `draw` puts one of the words there, or a
            line of the list `colors.txt` in the dataset's folder or in `artifacts/wildcards`, chosen by sample and seed.
        seed: Where the noise comes from, over the dataset's own.
        seeds: Instead of `seed`, for several pictures of each sample in one run: a list, a range or random ones.
    """

    prompt: Annotated[Text | None, Knob(is_shown=True)] = Field(default=None, description=PROMPT)
    negative_prompt: Annotated[Text | None, Knob(is_shown=True)] = Field(default=None, description=PROMPT)
    prompt_syntax: SyntaxOfPrompts = Field(default="plain", description=SYNTAX)
    long_prompt: LongPrompts = Field(default="cut", description=LONG)
    prompt_replace: Annotated[Any, AfterValidator(checked)] | None = Field(default=None, description=REPLACEMENTS)
    negative_prompt_replace: Annotated[Any, AfterValidator(checked)] | None = Field(default=None, description=REPLACEMENTS)
    wildcards: Annotated[Wildcards, Knob(is_shown=True)] = Field(default="text", description="one of text, draw")
    seed: Annotated[Seed | None, Knob(is_seed=True, is_shown=True)] = Field(default=None, description=SEED)
    seeds: Annotated[Any, AfterValidator(_as_asked)] | None = Field(default=None, description=SEEDS)
