"""One stage of a picture: diffusers' inpainting pipeline, which encodes nothing twice, remembers every step and starts after any of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from diffusers import StableDiffusionXLInpaintPipeline
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.utils.torch_utils import randn_tensor

from sdxl_lab.generation.finite import require_finite
from sdxl_lab.generation.trajectory import StepState, Trajectory, TrajectoryCache


class Stage(StableDiffusionXLInpaintPipeline):
    """The base or the refiner at work on one picture.

    It draws from the generator in diffusers' order: sample of the image's encoding, noise, sample of the masked image's encoding, noise of
    the sampler. Only what diffusers computes for nothing is left out, so a run from the beginning equals the plain pipeline's bit for bit.

    Whatever a model gives is looked through for NaN and infinity before it is kept: texts and images as they are encoded, latents after each
    step on a CPU, where it costs nothing, and after the last one on a GPU, which would have to wait each time, and the decoded picture.
    """

    @classmethod
    def of(cls, pipeline: Any, *, role: str, scheduler: Any, latent_mask: torch.Tensor, cache: TrajectoryCache, scope: Hashable) -> Stage:
        """A stage around a loaded pipeline's own models.

        Args:
            pipeline: A loaded `StableDiffusionXLInpaintPipeline`.
            role: `base` or `refiner`, for errors.
            scheduler: Of this stage alone.
            latent_mask: (1, 1, H/8, W/8), 1 where the latents are repainted and 0 elsewhere.
            cache: Where encodings are looked up and kept.
            scope: Names the models, and whatever else changes their bits; part of every key.
        """
        config = pipeline.config
        stage = cls(
            **{**pipeline.components, "scheduler": scheduler},
            requires_aesthetics_score=config.requires_aesthetics_score,
            force_zeros_for_empty_prompt=config.force_zeros_for_empty_prompt,
            add_watermarker=False,
        )
        stage.set_progress_bar_config(disable=True)
        stage.image_processor = stage._decoded = _Decoded(vae_scale_factor=stage.vae_scale_factor)
        stage._decoded.vae = pipeline.vae
        stage._role = role
        stage._latent_mask, stage._cache, stage._scope = latent_mask, cache, scope
        stage._start, stage._origin, stage._finished = None, {}, False
        return stage

    def run(
        self, start: Trajectory | None, *, seed: int, stop: int, output_type: str, after_step: Callable[[int], object] = lambda _: None, **call: Any
    ) -> tuple[Trajectory, Any]:
        """Denoise up to a step, and decode if asked.

        Args:
            start: Where to go on from, or None to begin.
            seed: Of the picture; read only at the beginning.
            stop: Evaluations of the whole run after which to stop; a start that has them already is only decoded.
            output_type: diffusers' own: `latent`, `pil`, `np` or `pt`.
            after_step: Called with the evaluations of the whole run so far.
            **call: Everything else the pipeline is called with.

        Returns:
            The run, including what it started from, and the output as `output_type` says.

        Raises:
            NotFiniteError: A model gave NaN or infinity; nothing of that is remembered.
        """
        generator = torch.Generator().manual_seed(seed)
        if start is not None:
            generator.set_state(start.states[-1].generator_state)
        states = list(start.states) if start else []
        forgotten = start.forgotten if start else 0

        def remember(_pipeline: Any, _step: int, _timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            latents = tensors["latents"].clone()
            self._interrupt = forgotten + len(states) + 1 >= stop
            if self._interrupt or latents.device.type == "cpu":
                require_finite(latents, by=f"the {self._role}'s UNet", model=self.unet, guidance_scale=self.guidance_scale)
            states.append(StepState(latents=latents, generator_state=generator.get_state(), scheduler_state=_copy(vars(self.scheduler))))
            after_step(forgotten + len(states))
            # The autoencoder may be kept in a wider dtype than the UNet.
            return {"latents": latents.to(self.vae.dtype)} if self._interrupt and output_type != "latent" else {}

        self._start = start
        self._decoded.guidance_scale = call["guidance_scale"]
        pipeline: Any = self
        output = pipeline(generator=generator, output_type=output_type, callback_on_step_end=remember, **call).images[0]
        return Trajectory(**self._origin, states=tuple(states), forgotten=forgotten), output

    def get_timesteps(self, num_inference_steps: int, strength: float, device: Any, denoising_start: float | None = None) -> Any:
        """The pipeline's own, less the steps already made."""
        timesteps, count = super().get_timesteps(num_inference_steps, strength, device, denoising_start)
        if self._start is None:
            return timesteps, count
        vars(self.scheduler).update(_copy(self._start.states[-1].scheduler_state))
        remaining = timesteps[self._start.steps :]
        self._finished = len(remaining) == 0
        return remaining, max(len(remaining), 1)

    def prepare_latents(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The pipeline's own at the beginning of a run, the remembered ones later."""
        wants_image = kwargs["return_image_latents"]
        if self._start is None:
            outputs: tuple[Any, ...] = super().prepare_latents(*args, **kwargs)
            self._origin = {"noise": outputs[1], "image_latents": outputs[2] if wants_image else None}
            return outputs
        latents, noise, image_latents = self._start.states[-1].latents, self._start.noise, self._start.image_latents
        if wants_image and image_latents is None:
            # A 9-channel base keeps no clean latents. The encoding's mean takes nothing from the generator.
            image_latents = self.vae.config.scaling_factor * self._posterior(kwargs["image"]).mode().to(latents.dtype)
        self._origin = {"noise": noise, "image_latents": image_latents}
        if self._finished:
            latents = latents.to(self.vae.dtype)
        return (latents, noise, image_latents) if wants_image else (latents, noise)

    def prepare_mask_latents(self, mask: Any, masked_image: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """The pipeline's own, with this stage's mask for latents, and without the encoding that only a 9-channel UNet reads."""
        batch_size, height, width, _, device, generator, guided = args
        if self._start is not None:
            masked_image = self._start.masked_image_latents
        elif masked_image is not None and self.unet.config.in_channels == 4:
            shape = (batch_size, self.vae.config.latent_channels, height // self.vae_scale_factor, width // self.vae_scale_factor)
            randn_tensor(shape, generator=generator, device=device, dtype=self.vae.dtype)
            masked_image = None
        mask, masked_image_latents = super().prepare_mask_latents(self._latent_mask, masked_image, *args, **kwargs)
        once = masked_image_latents.chunk(2)[0] if guided and masked_image_latents is not None else masked_image_latents
        self._origin["masked_image_latents"] = once
        return mask, masked_image_latents

    def encode_prompt(self, prompt: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The pipeline's own, each text once."""
        embeds, pooled = self._embed(prompt)
        if not kwargs["do_classifier_free_guidance"]:
            return embeds, None, pooled, None
        if kwargs["negative_prompt"] is None and self.config["force_zeros_for_empty_prompt"]:
            return embeds, torch.zeros_like(embeds), pooled, torch.zeros_like(pooled)
        negative_embeds, negative_pooled = self._embed(kwargs["negative_prompt"] or "")
        return embeds, negative_embeds, pooled, negative_pooled

    def _embed(self, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        def embed() -> tuple[torch.Tensor, torch.Tensor]:
            embeds, _, pooled, _ = super(Stage, self).encode_prompt(text, do_classifier_free_guidance=False)
            width = self.text_encoder_2.config.hidden_size
            if self.text_encoder is not None:
                require_finite(embeds[..., :-width], by="text_encoder", model=self.text_encoder)
            for output in (embeds[..., -width:], pooled):
                require_finite(output, by="text_encoder_2", model=self.text_encoder_2)
            return embeds, pooled

        if self.text_encoder is not None:
            return self._cache.recall(("text", self._scope, text), embed)
        both = self._cache.get(("text", self._scope, text))
        if both is None:
            return self._cache.recall(("text of text_encoder_2", self._scope, text), embed)
        # The refiner has text_encoder_2 alone, the base's own; its tokens are the last columns of the base's.
        embeds, pooled = both
        return embeds[..., -self.text_encoder_2.config.hidden_size :].contiguous(), pooled

    def _encode_vae_image(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return self.vae.config.scaling_factor * self._posterior(image).sample(generator).to(image.dtype)

    def _posterior(self, image: torch.Tensor) -> DiagonalGaussianDistribution:
        """What the autoencoder makes of an image: a distribution, from which each picture samples with its own generator."""

        def encode() -> torch.Tensor:
            parameters = self.vae.encode(image.to(self.vae.dtype)).latent_dist.parameters
            require_finite(parameters, by="the VAE's encoder", model=self.vae)
            return parameters

        digest = hashlib.sha256(image.float().cpu().contiguous().numpy().data).hexdigest()
        return DiagonalGaussianDistribution(self._cache.recall(("image", self._scope, tuple(image.shape), digest), encode))


class _Decoded(VaeImageProcessor):
    """diffusers' own image processor, which would make black of NaN and white of infinity.

    By the time it is called, the VAE is in its own dtype again, if the pipeline widened it to decode.
    """

    vae: Any = None
    guidance_scale = 0.0

    def postprocess(self, image: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """The processor's own."""
        require_finite(image, by="the VAE's decoder", model=self.vae, guidance_scale=self.guidance_scale)
        return super().postprocess(image, *args, **kwargs)


def _copy(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A scheduler's attributes as they stand: it shifts its lists in place, but writes into no tensor."""
    return {name: list(value) if isinstance(value, list) else value for name, value in attributes.items()}
