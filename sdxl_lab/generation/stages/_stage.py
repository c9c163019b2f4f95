"""What the stages share: diffusers' own pipelines, which encode nothing twice, remember every step and start after any of them."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from sdxl_lab.adapters.embeddings import learned_by, written_out
from sdxl_lab.generation.by_compel import by_compel
from sdxl_lab.generation.encoding import Encoded, encoded, restored_by, text_encoders
from sdxl_lab.generation.finite import require_finite
from sdxl_lab.generation.single_precision import SinglePrecision
from sdxl_lab.generation.softness import Softness
from sdxl_lab.generation.steps import predictions
from sdxl_lab.generation.trajectory import StepState, Trajectory, TrajectoryCache
from sdxl_lab.process.quiet import unsaid
from sdxl_lab.prompts.reading import Reading, Words
from sdxl_lab.spec.cautions import was_said

WHOLE: Mapping[str, None] = {"noise": None, "image_latents": None, "masked_image_latents": None}
"""What the trajectory of a picture that is made as a whole keeps of its origin, as no step blends anything in."""

AttnProcessor2_0.__call__.__signature__ = inspect.signature(AttnProcessor2_0.__call__)  # pyright: ignore[reportFunctionMemberAccess]
"""As it is: diffusers asks for it at each attention of each step, and Python would work it out anew."""

CUT = "The following part of your input was truncated"
"""How the pipelines begin to say of each encoder what of a prompt it does not read; a note of the picture says it once."""


class Stage:
    """The base or the refiner at work on one picture: a class that is one of a kind, of an architecture, and one of diffusers' pipelines too.

    It draws from the generator in its pipeline's order. Only what diffusers computes for nothing is left out, so a run from the beginning equals
    the plain pipeline's bit for bit.

    Whatever a model gives is looked through for NaN and infinity before it is kept: texts and images as they are encoded, latents after each
    step on a CPU, where it costs nothing, and after the last one on a GPU, which would have to wait each time, and the decoded picture.

    Attributes:
        passes_over: What its pipeline cannot be told, as it means nothing there, or the image says it.
        hears: The tensors that it is told of each evaluation, as its pipeline calls them.
        encodes: Runs a text encoder over a chunk, as its pipeline does.
        has_fixed_vae: Whether there is a VAE for half precision that could be taken instead of its own.
        normalizes: Whether `encodes` gives the last hidden state, normalized, and nothing pooled.
    """

    passes_over: ClassVar[frozenset[str]] = frozenset()
    hears: ClassVar[tuple[str, ...]] = ("latents",)
    encodes: ClassVar[Any]
    has_fixed_vae: ClassVar[bool]
    normalizes: ClassVar[bool]

    vae: Any
    unet: Any
    scheduler: Any
    _decoded: Any
    _interrupt: bool
    _role: str
    _latent_mask: torch.Tensor | None
    _softness: Softness | None
    _image_latents: torch.Tensor | None
    _words: Words
    _cache: TrajectoryCache
    _device: Any
    _scope: Hashable
    _in_text: Hashable
    _start: Any
    _origin: dict[str, torch.Tensor | None]
    _timesteps: torch.Tensor
    _finished: bool

    @classmethod
    def of(
        cls,
        pipeline: Any,
        *,
        role: str,
        scheduler: Any,
        latent_mask: torch.Tensor | None,
        words: Words,
        cache: TrajectoryCache,
        scope: Hashable,
        in_text: Hashable,
        instead: Mapping[int, Any] = MappingProxyType({}),
        softness: Softness | None = None,
        image_latents: torch.Tensor | None = None,
    ) -> Any:
        """A stage around a loaded pipeline's own models.

        Args:
            pipeline: A loaded pipeline, of whatever kind.
            role: `base` or `refiner`, for errors.
            scheduler: Of this stage alone.
            latent_mask: (1, 1, H/8, W/8), 1 where the latents are repainted and 0 elsewhere; None where all are made.
            words: What the prompts say that it is called with.
            cache: Where encodings are looked up and kept.
            scope: Names the models as they were loaded, and whatever else changes their bits; part of every key.
            in_text: Names what is on the text encoders, for this stage; part of the keys of texts.
            instead: What is used in place of some of the pipeline's components, by the `id` of these.
            softness: How much is kept of each evaluation, where the mask is soft.
            image_latents: What a soft mask keeps, where that is not what the pipeline is called with.
        """
        components = {name: instead.get(id(component), component) for name, component in pipeline.components.items()}
        stage = cls._made(components | {"scheduler": scheduler}, pipeline.config)
        stage.set_progress_bar_config(disable=True)
        stage.image_processor = stage._decoded = _Decoded(vae_scale_factor=stage.vae_scale_factor)
        stage._decoded.vae, stage._decoded.has_fixed_vae = pipeline.vae, cls.has_fixed_vae
        stage._role = role
        stage._latent_mask, stage._words, stage._cache = latent_mask, words, cache
        stage._softness, stage._image_latents = softness, image_latents
        stage._scope, stage._in_text = scope, in_text
        stage._start, stage._origin, stage._finished, stage._device = None, {}, False, None
        return stage

    def run(
        self,
        start: Trajectory | None,
        *,
        seed: int,
        stop: int,
        output_type: str,
        after_step: Callable[[int, torch.Tensor | None], object],
        predicts: bool,
        keep: Callable[[Trajectory], object],
        **call: Any,
    ) -> tuple[Trajectory, Any]:
        """Denoise up to a step, and decode if asked.

        Args:
            start: Where to go on from, or None to begin.
            seed: Of the picture; read only at the beginning.
            stop: Evaluations of the whole run after which to stop; a start that has them already is only decoded.
            output_type: diffusers' own: `latent`, `pil`, `np` or `pt`.
            after_step: Called with the evaluations of the whole run so far and, if it `predicts`, with the clean latents as they are predicted.
                Whatever it raises ends the run at once.
            predicts: Whether they are wanted.
            keep: Called with the run once it is whole, or as far as it came when `after_step` ended it; all of it is finite.
            **call: Everything else the pipeline is called with.

        Returns:
            The run, including what it started from, and the output as `output_type` says.

        Raises:
            NotFiniteError: A model gave NaN or infinity; nothing of that is kept.
        """
        pipeline: Any = self
        generator = torch.Generator().manual_seed(seed)
        if start is not None:
            generator.set_state(start.states[-1].generator_state)
        states = list(start.states) if start else []
        forgotten = start.forgotten if start else 0
        hearing = predictions(self.scheduler) if predicts else nullcontext(lambda: None)

        def made() -> Trajectory:
            return Trajectory(**self._origin, states=tuple(states), forgotten=forgotten)

        def remember(_pipeline: Any, step: int, _timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            changed = self._softened(tensors, step, forgotten + len(states) + 1)
            latents = changed.get("latents", tensors["latents"]).clone()
            self._interrupt = forgotten + len(states) + 1 >= stop
            if self._interrupt or latents.device.type == "cpu":
                require_finite(latents, by=f"the {self._role}'s UNet", model=self.unet, guidance_scale=pipeline.guidance_scale)
            states.append(StepState(latents=latents, generator_state=generator.get_state(), scheduler_state=_copy(vars(self.scheduler))))
            try:
                after_step(forgotten + len(states), self._clean(predicted()))
            except BaseException:
                if bool(torch.isfinite(latents).all()):
                    keep(made())
                raise
            # The autoencoder may be kept in a wider dtype than the UNet.
            return changed | ({"latents": latents.to(self.vae.dtype)} if self._interrupt and output_type != "latent" else {})

        self._start, heard = start, {"callback_on_step_end_tensor_inputs": list(self.hears)}
        self._decoded.guidance_scale = call["guidance_scale"]
        with hearing as predicted:
            output = pipeline(generator=generator, output_type=output_type, callback_on_step_end=remember, **heard, **self._passed(call)).images[0]
        keep(made())
        return made(), output

    def _softened(self, tensors: Mapping[str, torch.Tensor], step: int, evaluation: int) -> dict[str, torch.Tensor]:
        """What a soft mask makes of the tensors of an evaluation: those that are others from then on."""
        return {}

    @property
    def _execution_device(self) -> torch.device:
        """The pipeline's own, for which it goes through all modules of all models: found once a picture."""
        if self._device is None:
            pipeline: Any = super()
            self._device = pipeline._execution_device
        return self._device

    def get_timesteps(self, *args: Any, **kwargs: Any) -> Any:
        """The pipeline's own, where it has one, less the steps already made."""
        pipeline: Any = super()
        timesteps, count = pipeline.get_timesteps(*args, **kwargs)
        self._timesteps = timesteps
        if self._start is None:
            return timesteps, count
        self._restore_scheduler()
        self._timesteps = remaining = timesteps[self._start.steps :]
        self._finished = len(remaining) == 0
        return remaining, max(len(remaining), 1)

    def get_guidance_scale_embedding(self, w: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The pipeline's own, for UNets that are told their guidance, of a guidance that no default dtype has rounded."""
        pipeline: Any = super()
        with SinglePrecision():
            told = torch.tensor(pipeline.guidance_scale - 1).repeat(len(w))
            return pipeline.get_guidance_scale_embedding(told, *args, **kwargs)

    def _maybe_convert_prompt(self, prompt: str, tokenizer: Any) -> str:
        """What diffusers calls to write out embeddings of several vectors."""
        return written_out(prompt, learned_by(tokenizer))

    def _restore_scheduler(self) -> None:
        vars(self.scheduler).update(_copy(self._start.states[-1].scheduler_state))

    def _clean(self, predicted: torch.Tensor | None) -> torch.Tensor | None:
        """A copy of predicted latents: multistep solvers go on from their own."""
        return None if predicted is None else blended(predicted.clone(), self._origin["image_latents"], self._latent_mask)

    def _resumed(self) -> torch.Tensor:
        """The remembered latents; in the autoencoder's dtype where no step is left to be made."""
        latents = self._start.states[-1].latents
        return latents.to(self.vae.dtype) if self._finished else latents

    @classmethod
    def _made(cls, components: dict[str, Any], config: Any) -> Any:
        """One around models, told what a loaded pipeline's configuration says."""
        raise NotImplementedError

    @classmethod
    def _passed(cls, told: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in told.items() if name not in cls.passes_over}

    def _encoded(self, reading: Reading) -> Encoded:
        """What a prompt says, as embeddings: a plain text by the pipeline's own, other readings by theirs."""
        pipeline: Any = self
        if reading.text is not None:
            return self._plainly(reading.text)
        encoders, device = text_encoders(self), pipeline._execution_device
        with torch.no_grad():
            if reading.compel:
                return by_compel(encoders, reading, device, normalizes=self.normalizes)
            factors: list[float] = []
            found = encoded(encoders, reading, self._of_chunk, factors.append)
        if factors:
            self._cache.put(restored_by(self._scope, self._in_text, reading), tuple(factors))
        return found

    def _plainly(self, text: str) -> Encoded:
        """What the pipeline itself makes of a text."""
        raise NotImplementedError

    def _of_chunk(self, name: str, model: Any, ids: tuple[int, ...]) -> Encoded:
        """Of text_encoder_2 base and refiner have the same, unless what is on it is for the base alone."""
        pipeline: Any = self
        key = ("chunk", self._scope, self._in_text, name, ids)
        return self._cache.recall(key, lambda: self.encodes(model, ids, pipeline._execution_device))

    def _posterior(self, image: torch.Tensor) -> DiagonalGaussianDistribution:
        """What the autoencoder makes of an image: a distribution, from which each picture samples with its own generator."""

        def encode() -> torch.Tensor:
            parameters = self.vae.encode(image.to(self.vae.dtype)).latent_dist.parameters
            require_finite(parameters, by="the VAE's encoder", model=self.vae, has_fixed_vae=self.has_fixed_vae)
            return parameters

        digest = hashlib.sha256(image.float().cpu().contiguous().numpy().data).hexdigest()
        return DiagonalGaussianDistribution(self._cache.recall(("image", self._scope, tuple(image.shape), digest), encode))


class _Decoded(VaeImageProcessor):
    """diffusers' own image processor, which would make black of NaN and white of infinity.

    By the time it is called, the VAE is in its own dtype again, if the pipeline widened it to decode.
    """

    vae: Any = None
    guidance_scale = 0.0
    has_fixed_vae = True

    def postprocess(self, image: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """The processor's own."""
        told = {"guidance_scale": self.guidance_scale, "has_fixed_vae": self.has_fixed_vae}
        require_finite(image, by="the VAE's decoder", model=self.vae, **told)
        return super().postprocess(image, *args, **kwargs)


def cut_unsaid(pipeline: Any) -> AbstractContextManager[None]:
    """A block in which a pipeline keeps to itself what of a prompt it does not read, where the lab has said so.

    Args:
        pipeline: A stage's, which encodes in the block.
    """
    return unsaid(pipeline.encode_prompt.__module__, CUT) if was_said() else nullcontext()


def blended(latents: torch.Tensor, image_latents: torch.Tensor | None, latent_mask: torch.Tensor | None) -> torch.Tensor:
    """Latents in the mask, and the image's clean ones around it; where nothing is kept of an image, the latents as they are."""
    if image_latents is None or latent_mask is None:
        return latents
    return torch.where(latent_mask.to(latents.device) > 0, latents, image_latents)


def _copy(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A scheduler's attributes as they stand, less who listens to it: it shifts its lists in place, but writes into no tensor."""
    return {name: list(value) if isinstance(value, list) else value for name, value in attributes.items() if name != "step"}
