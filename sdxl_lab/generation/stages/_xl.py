"""What the stages around Stable Diffusion XL's pipelines share: two text encoders, or a refiner's one, and what these pool."""

from __future__ import annotations

from typing import Any

import torch

from sdxl_lab.generation.encoding import Encoded, hidden_and_pooled, lengthened
from sdxl_lab.generation.finite import require_finite
from sdxl_lab.generation.stages._stage import Stage, cut_unsaid
from sdxl_lab.prompts.reading import EMPTY, Reading


class XLStage(Stage):
    """A stage of Stable Diffusion XL."""

    encodes = staticmethod(hidden_and_pooled)
    has_fixed_vae = True
    normalizes = False

    text_encoder: Any
    text_encoder_2: Any

    def encode_prompt(self, prompt: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The pipeline's own of a plain text, each once; of other readings what they say. Both prompts get as many tokens as the longer one has."""
        pipeline: Any = self
        embeds, pooled = self._embed(self._words.prompt)
        if not kwargs["do_classifier_free_guidance"]:
            return embeds, None, pooled, None
        if kwargs["negative_prompt"] is None and pipeline.config["force_zeros_for_empty_prompt"]:
            return embeds, torch.zeros_like(embeds), pooled, torch.zeros_like(pooled)
        negative_embeds, negative_pooled = self._embed(self._words.negative_prompt or EMPTY)
        tokens = max(embeds.shape[1], negative_embeds.shape[1])
        embeds, negative_embeds = (lengthened(each, tokens, lambda: self._embed(EMPTY)[0]) for each in (embeds, negative_embeds))
        return embeds, negative_embeds, pooled, negative_pooled

    @classmethod
    def _made(cls, components: dict[str, Any], config: Any) -> Any:
        make: Any = cls
        told = {
            "requires_aesthetics_score": config.requires_aesthetics_score,
            "force_zeros_for_empty_prompt": config.force_zeros_for_empty_prompt,
            "add_watermarker": False,
        }
        return make(**components | cls._passed(told))

    def _plainly(self, text: str) -> Encoded:
        pipeline: Any = super()
        with cut_unsaid(pipeline):
            embeds, _, pooled, _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False)
        return embeds, pooled

    def _embed(self, reading: Reading) -> Encoded:
        def embed() -> Encoded:
            embeds, pooled = self._encoded(reading)
            width = self.text_encoder_2.config.hidden_size
            if self.text_encoder is not None:
                require_finite(embeds[..., :-width], by="text_encoder", model=self.text_encoder)
            for output in (embeds[..., -width:], pooled):
                require_finite(output, by="text_encoder_2", model=self.text_encoder_2)
            return embeds, pooled

        if self.text_encoder is not None:
            return self._cache.recall(("text", self._scope, self._in_text, reading), embed)
        both = None if reading.text is None else self._cache.get(("text", self._scope, self._in_text, reading))
        if both is None:
            return self._cache.recall(("text of text_encoder_2", self._scope, self._in_text, reading), embed)
        # The refiner has text_encoder_2 alone, the base's own; its tokens are the last columns of the base's.
        embeds, pooled = both
        return embeds[..., -self.text_encoder_2.config.hidden_size :].contiguous(), pooled
