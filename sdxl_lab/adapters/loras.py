"""LoRAs: small matrices that were trained, which are added to layers of the UNet and the text encoders, each as strongly as one likes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from sdxl_lab.adapters._adapter import FromFile, Models, Named, Put, Tensor
from sdxl_lab.adapters._lora_content import Content, content_of
from sdxl_lab.adapters._lora_faults import of_files, of_names
from sdxl_lab.settings.documents import digest_of

Strength = Annotated[float, Field(strict=True, ge=-5, le=5, allow_inf_nan=False)]

WEIGHT = "a number from -5 to 5, where 0 is as without it"
TEXT_ENCODERS = ("text_encoder", "text_encoder_2")


class Lora(FromFile):
    """What was trained to be added to a checkpoint's weights.

    Attributes:
        file: Where it is: a LoRA for the checkpoint's family, as diffusers, kohya's scripts and most others write it.
        weight: How strongly it is added; at 0 the picture is the one without it, bit for bit.
        text_encoder_weight: The same for what of it is for the text encoders; `weight` if left out.
        refiner: Whether the refiner reads prompts with it too, by the text encoder that it shares with the base.
    """

    weight: Strength = Field(default=1.0, description=WEIGHT)
    text_encoder_weight: Strength | None = Field(default=None, description=f"{WEIGHT}, or None for weight")
    refiner: bool = Field(default=False, strict=True, description="true or false")


class Loras(Named):
    """LoRAs, by name. One set for the whole run; records hold them by content."""

    of: ClassVar = Lora

    __pydantic_extra__: dict[str, Lora]  # pyright: ignore[reportIncompatibleVariableOverride] - as pydantic wants it


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What of a LoRA changes pictures, whatever was asked for besides.

    Attributes:
        unet: Its weight in the UNet, 0 if it has no layers there; likewise `text` in the text encoders.
        refiner: Whether the refiner reads with it.
    """

    unet: float
    text: float
    refiner: bool

    @classmethod
    def of(cls, asked: Lora, content: Content) -> Effect:
        """That of a file with these weights."""
        text = asked.weight if asked.text_encoder_weight is None else asked.text_encoder_weight
        has_text = not content.parts.isdisjoint(TEXT_ENCODERS)
        text = text if has_text else 0.0
        return cls(
            unet=asked.weight if "unet" in content.parts else 0.0,
            text=text,
            refiner=asked.refiner and text != 0 and "text_encoder_2" in content.parts,
        )


class _LowRank:
    label = "Lora hashes"
    what = "a LoRA"
    section: type[Named] = Loras
    is_known_by_tensors = True

    def take(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Content:
        return content_of(tensors, metadata)

    def digest(self, name: str, asked: Lora, content: Content) -> str:
        effect = Effect.of(asked, content)
        told = {"weight": effect.unet or 0.0, "text_encoder_weight": effect.text or 0.0, "refiner": effect.refiner}  # 0.0 for -0.0
        return digest_of({"kind": "loras", "content": content.digest, **told})

    def is_neutral(self, asked: Lora, content: Content) -> bool:
        effect = Effect.of(asked, content)
        return effect.unet == effect.text == 0

    def in_text(self, put: Put, role: str) -> Hashable:
        effect = Effect.of(put.asked, put.content)
        reads = effect.text != 0 and (role == "base" or effect.refiner)
        return ("loras", put.content.digest, effect.text) if reads else None

    def faults(self, put: Sequence[Put], models: Models) -> list[tuple[str, str]]:
        on = [one for one in put if not self.is_neutral(one.asked, one.content)]
        return [*of_files(put, models), *of_names(on)]

    def unasked(self, put: Sequence[Put], texts: Sequence[str]) -> list[tuple[str, str]]:
        read = " ".join(" ".join(texts).casefold().split())
        asked = ((one.name, one.content.said.trigger) for one in put)
        missing = ((name, words) for name, words in asked if words and not any(word in read for word in _apart(words)))
        return [(name, f"was trained with {words!r}, by what its file says, which stands in no prompt") for name, words in missing]

    def told(self, asked: Lora) -> str:
        text = "" if asked.text_encoder_weight is None else f", text encoders at {asked.text_encoder_weight:g}"
        return f"at {asked.weight:g}{text}{', in the refiner too' if asked.refiner else ''}"

    def in_prompt(self, name: str, asked: Lora) -> str:
        text = asked.weight if asked.text_encoder_weight is None else asked.text_encoder_weight
        weights = f"{text:g}" if text == asked.weight else f"{text:g}:{asked.weight:g}"
        return f"<lora:{name}:{weights}>"

    def titles(self, content: Content, file: str) -> tuple[str, ...]:
        return (*reversed(file.split("/")), *content.said.titles)

    @contextmanager
    def on(self, pipelines: Sequence[Any], put: Sequence[Put], role: str = "base") -> Iterator[Mapping[int, Any]]:
        """As the protocol has it. They are added in an order that depends on what their files hold alone: in another one sums are rounded otherwise.

        The base's UNet has them, and never the refiner's, which is another model. Of a text encoder that both stages share, it depends on who reads.
        """
        from sdxl_lab.adapters._lora_layers import worn  # imports torch

        ordered = sorted(put, key=lambda one: one.content.digest)
        effects = [(one.content, Effect.of(one.asked, one.content)) for one in ordered]
        base, *_ = pipelines
        weights = {"unet": [effect.unet if role == "base" else 0.0 for _, effect in effects]}
        weights |= {name: [effect.text if role == "base" or effect.refiner else 0.0 for _, effect in effects] for name in TEXT_ENCODERS}
        with ExitStack() as stack:
            for part, of_part in weights.items():
                if (model := getattr(base, part, None)) is None:
                    continue
                on = [(content, weight) for (content, _), weight in zip(effects, of_part, strict=True) if weight and part in content.parts]
                stack.enter_context(worn(model, part, on))
            yield {}


LORAS = _LowRank()


def _apart(words: str) -> list[str]:
    """What of trigger words may stand by itself."""
    return [" ".join(word.split()) for word in words.casefold().split(",") if word.strip()]
