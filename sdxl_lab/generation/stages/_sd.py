"""What the stages around the pipelines of Stable Diffusion 1 and 2 share: one text encoder, of which they read the last, normalized hidden state."""

from __future__ import annotations

from typing import Any

from sdxl_lab.generation.encoding import Encoded, last_hidden, lengthened
from sdxl_lab.generation.finite import require_finite
from sdxl_lab.generation.stages._stage import Stage, cut_unsaid
from sdxl_lab.prompts.reading import EMPTY, Reading
from sdxl_lab.settings.sections import Conditioning

SIZES = frozenset(Conditioning.model_fields)
"""What these UNets are not told."""


class SDStage(Stage):
    """A stage of Stable Diffusion 1 or 2."""

    encodes = staticmethod(last_hidden)
    has_fixed_vae = False
    normalizes = True
    passes_over = SIZES

    text_encoder: Any

    def encode_prompt(self, prompt: Any, device: Any, count: int, is_guided: bool, *args: Any, **kwargs: Any) -> tuple[Any, Any]:  # noqa: FBT001 - diffusers'
        """The pipeline's own of a plain text, each once; of other readings what they say. No negative prompt is the empty one to these pipelines."""
        embeds = self._embed(self._words.prompt)
        if not is_guided:
            return embeds, None
        negative_embeds = self._embed(self._words.negative_prompt or EMPTY)
        tokens = max(embeds.shape[1], negative_embeds.shape[1])
        embeds, negative_embeds = (lengthened(each, tokens, lambda: self._embed(EMPTY)) for each in (embeds, negative_embeds))
        return embeds, negative_embeds

    @classmethod
    def _made(cls, components: dict[str, Any], config: Any) -> Any:
        make: Any = cls
        scheduler = components["scheduler"]
        if scheduler.config.get("steps_offset", 1) != 1:
            scheduler.register_to_config(steps_offset=1)  # as the pipelines do themselves, with a warning that is about files
        return make(**components, requires_safety_checker=False)

    def _plainly(self, text: str) -> Encoded:
        pipeline: Any = super()
        with cut_unsaid(pipeline):
            embeds, _ = pipeline.encode_prompt(text, pipeline._execution_device, 1, False)
        return embeds, None

    def _embed(self, reading: Reading) -> Any:
        def embed() -> Any:
            embeds, _ = self._encoded(reading)
            require_finite(embeds, by="text_encoder", model=self.text_encoder)
            return embeds

        return self._cache.recall(("text", self._scope, self._in_text, reading), embed)
