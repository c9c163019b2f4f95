"""What other tools and diffusers call our settings, and what they have that there is no setting for."""

from __future__ import annotations

ELSEWHERE = {
    "steps": "denoising.num_inference_steps",
    "num_steps": "denoising.num_inference_steps",
    "sampling_steps": "denoising.num_inference_steps",
    "cfg": "denoising.guidance_scale",
    "cfg_scale": "denoising.guidance_scale",
    "guidance": "denoising.guidance_scale",
    "denoise": "denoising.strength",
    "denoising_strength": "denoising.strength",
    "sampler": "denoising.scheduler",
    "sampler_name": "denoising.scheduler",
    "sampler_index": "denoising.scheduler",
    "sampling_method": "denoising.scheduler",
    "use_karras_sigmas": "denoising.karras",
    "karras_sigmas": "denoising.karras",
    "spacing": "denoising.timestep_spacing",
    "denoising_end": "denoising.high_noise_frac",
    "denoising_start": "denoising.high_noise_frac",
    "high_noise_fraction": "denoising.high_noise_frac",
    "refiner_switch_at": "denoising.high_noise_frac",
    "switch_at": "denoising.high_noise_frac",
    "ascore": "refiner.aesthetic_score",
    "dilation": "mask.kernel_size",
    "blur": "mask.feather_px",
    "feather": "mask.feather_px",
    "blur_factor": "mask.blur_px",
    "soft_inpainting": "mask.soft",
    "soft_inpainting_enabled": "mask.soft",
    "soft_mask": "mask.soft",
    "differential_diffusion": "mask.soft",
    "differential": "mask.soft",
    "color_correction": "mask.color_match",
    "color_correct": "mask.color_match",
    "img2img_color_correction": "mask.color_match",
    "poisson_blend": "mask.blend",
    "seamless_clone": "mask.blend",
    "inpaint_full_res_padding": "crop.padding_mask_crop",
    "only_masked_padding": "crop.padding_mask_crop",
    "masked_area_padding": "crop.padding_mask_crop",
    "context_from_mask_extend_factor": "crop.context_factor",
    "context_expand_factor": "crop.context_factor",
    "context_expand_pixels": "crop.padding_mask_crop",
    "torch_dtype": "compute.dtype",
    "precision": "compute.dtype",
    "sd_vae": "compute.vae",
    "tiled_vae": "compute.vae_tiling",
    "enable_vae_tiling": "compute.vae_tiling",
    "enable_tiling": "compute.vae_tiling",
    "fp8_e4m3fn_unet": "compute.layerwise",
    "fp8_storage": "compute.layerwise",
    "fp8": "compute.layerwise",
    "layerwise_casting": "compute.layerwise",
    "enable_layerwise_casting": "compute.layerwise",
    "num_images_per_prompt": "seeds",
    "batch_size": "seeds",
    "batch_count": "seeds",
    "n_iter": "seeds",
    "generator": "seed",
    "noise_seed": "seed",
    "embedding": "embeddings",
    "textual_inversion": "embeddings",
    "textual_inversions": "embeddings",
    "lora": "loras",
    "lora_model": "loras",
    "lora_weights": "loras",
    "negative": "negative_prompt",
    "prompt_attention": "prompt_syntax",
    "prompt_parser": "prompt_syntax",
    "prompt_weighting": "prompt_syntax",
    "syntax": "prompt_syntax",
    "emphasis": "prompt_syntax",
    "weight_interpretation": "prompt_syntax",
    "prompt_s/r": "prompt_replace",
    "prompt_sr": "prompt_replace",
    "prompt_search_replace": "prompt_replace",
    "search_replace": "prompt_replace",
    "search_and_replace": "prompt_replace",
    "replace": "prompt_replace",
    "dynamic_prompts": "wildcards",
    "dynamic_prompt": "wildcards",
    "wildcard": "wildcards",
    "random_prompts": "wildcards",
    "truncate_long_prompts": "long_prompt",
    "max_embeddings_multiples": "long_prompt",
    "model": "checkpoint",
    "ckpt_name": "checkpoint",
    "sd_model_checkpoint": "checkpoint",
}
"""Their names, in lower case and with underscores, to ours: of hyperparameters, else a parameter of runs."""

_NOT_HERE = {
    "tiling seamless": "pictures that tile are not there",
    "subseed subseed_strength variation_seed variation_strength": (
        "variation seeds are not there; seeds makes several pictures, image_to_image a variation of one"
    ),
    "clip_skip clip_stop_at_last_layers": (
        "there is no clip skip: text encoders are read where diffusers reads them, SDXL's at the last layer but one, those of Stable Diffusion 1 and "
        "2 at the last"
    ),
    "enable_hr hr_scale hr_upscaler hr_second_pass_steps hr_resize_x hr_resize_y hires_fix hires_upscale upscaler": (
        "upscalers and the hires fix are not there; image_to_image of the picture, with a larger size and strength 0.4, paints it larger"
    ),
    "restore_faces face_restorer": "faces are not restored afterwards; inpaint repaints one",
    "inpaint_full_res only_masked inpaint_area": (
        "crop.padding_mask_crop, such as 32, shows the models the mask with so many pixels around it alone; None shows the whole picture"
    ),
    "inpainting_fill masked_content": (
        "mask.fill says what is under the mask at first: blur is their fill, and original the same; neutral and noise come near latent nothing and "
        "latent noise, which are not there"
    ),
    "infill infill_method infill_colour_hex": (
        "mask.fill says what is under the mask at first: telea, which is their cv2, neutral, blur or others; what a canvas begins with is canvas.fill"
    ),
    "mask_blur": (
        "mask.feather_px fades what is painted into the input; mask.soft threshold with mask.blur_px repaints less and less towards the mask's edge"
    ),
    "inpainting_mask_invert mask_mode": "inpaint repaints the white of the mask, and outpaint all but that",
    "mask_blend_power schedule_bias mask_blend_scale preservation_strength inpaint_detail_preservation transition_contrast_boost": (
        "soft inpainting has no weights of its own here; mask.soft blend lays over the input as much of each step as the mask's gray says"
    ),
    "composite_mask_influence mask_influence composite_difference_threshold difference_threshold composite_difference_contrast": (
        "a soft mask's composite follows the mask alone; where hardly anything was repainted the input is kept"
    ),
    "expand grow_mask_by": "mask.kernel_size is twice the pixels and one: 17 grows a mask by 8",
    "medvram medvram_sdxl enable_model_cpu_offload model_cpu_offload": "compute.offload does that: model, or auto",
    "lowvram enable_sequential_cpu_offload sequential_cpu_offload": "compute.offload does that: sequential, or group, which is faster, or auto",
    "group_offload enable_group_offload": "compute.offload does that: group",
    "vae_slicing enable_vae_slicing enable_slicing": "pictures are decoded one at a time: there is nothing to slice",
    "xformers opt_sdp_attention": "attention is PyTorch's own scaled_dot_product_attention; there is nothing to choose",
    "end_at_step start_at_step refiner_steps": "denoising.high_noise_frac is the base's share of the steps: 20 of 25 are 0.8",
    "refiner_checkpoint": "the refiner is the checkpoint's own; denoising.high_noise_frac, such as 0.8, asks for it",
    "lora_scale lora_weight lora_strength cross_attention_kwargs": "a LoRA's weight stands beside its file: loras.NAME.weight",
    "hypernetwork": "hypernetworks are not there",
    "controlnet control_net ip_adapter": "ControlNet and IP-Adapter are not there",
    "prompt_2 negative_prompt_2 style_prompt text_g text_l": "all text encoders of a checkpoint read one prompt",
    "prompt_embeds negative_prompt_embeds pooled_prompt_embeds": (
        "embeddings are made from the prompt; prompt_syntax gives words a weight, long_prompt reads more of them"
    ),
    "token_normalization": "weights are taken as prompt_syntax says; there is nothing to normalize",
    "combinatorial_generation combinatorial_batches": (
        "not all of {red|blue} are made at once: prompt_replace as an axis of a sweep, {COLOR: [red, blue]}, makes a picture of each"
    ),
    "prompt_order": "words do not change places by themselves; give the orders as values of prompt in a sweep's grid",
    "comma_padding_backtrack": "long_prompt chunks begins a new chunk where one is full; BREAK, with prompt_syntax a1111, where you want it",
    "styles": "styles are not there; write their words into the prompt",
    "schedule_type scheduler_type": ("of schedule types Karras is karras true, and SGM Uniform timestep_spacing trailing; others are not there"),
    "use_exponential_sigmas use_beta_sigmas": "of other spreads of noise karras true is there; these are not",
    "algorithm_type solver_order solver_type": (
        "the solver is the scheduler's own: dpmpp_2m, dpmpp_2m_sde and dpmpp_3m_sde are of order 2, 2 and 3; other orders are not there"
    ),
    "rescale_betas_zero_snr beta_schedule": "the noise schedule is the checkpoint's own, as its scheduler's configuration says",
    "prediction_type parameterization v_parameterization": (
        "what a UNet predicts is the checkpoint's own; of a single file that does not say, compute.prediction is epsilon or v"
    ),
    "guidance_rescale": "rescaled guidance is not there; a lower denoising.guidance_scale burns less",
    "eta s_churn s_tmin s_tmax s_noise": "samplers have no settings of their own here; euler_a and dpmpp_2m_sde draw noise at each step",
}
NOT_HERE = {name: said for names, said in _NOT_HERE.items() for name in names.split()}
"""Names of other tools, as above, for which there is no setting of ours to put in their place: what to say of them."""


def as_listed(name: str) -> str:
    """A name as the tables have it.

    Args:
        name: As it was written, such as `CFG Scale` or `negative-prompt`.
    """
    return name.strip().replace("-", "_").replace(" ", "_").casefold()
