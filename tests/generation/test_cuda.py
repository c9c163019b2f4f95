"""The same laws on a GPU in half precision, against plain diffusers there. Skipped without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdxl_lab.checkpoints.configurations import MODELS
from sdxl_lab.runs import experiment, resolution
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.run_spec import RunSpec
from tests.conftest import write_checkpoint
from tests.generation.test_generate import REFERENCE_SCHEDULERS
from tests.support.datasets import write_dataset
from tests.support.edits import NEGATIVE, PROMPT, SEED, make_edit, same


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global Checkpoint, generate, GpuMemoryError, load, loading, StableDiffusionXLInpaintPipeline, torch, TrajectoryCache, diffusers
    import diffusers
    import torch
    from diffusers import StableDiffusionXLInpaintPipeline

    from sdxl_lab.checkpoints import loading
    from sdxl_lab.checkpoints.checkpoint import Checkpoint
    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.checkpoints.memory import GpuMemoryError
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache

    if not torch.cuda.is_available():
        pytest.skip("no GPU that CUDA can use")


pytestmark = pytest.mark.filterwarnings("ignore:.*upcast_vae:FutureWarning")  # plain diffusers calls its own deprecated method
STEPS = 10


@pytest.fixture(scope="module")
def half_pair(tmp_path_factory) -> Path:
    """
    A random pair as the hub's repositories hold SDXL: files of the variant fp16, a VAE that overflows in it.
    """
    return write_checkpoint(tmp_path_factory.mktemp("half"), variant="fp16", force_upcast=True)


@pytest.fixture(scope="module")
def half_twins(tmp_path_factory) -> Path:
    """
    The same, with a refiner that has the base's own UNet and text encoders.
    """
    return write_checkpoint(tmp_path_factory.mktemp("half-twins"), refiner="twin", variant="fp16", force_upcast=True)


def cuda(folder: Path, **compute: Any) -> Checkpoint:
    """
    The checkpoint in a folder as the lab chooses to compute it here.
    """
    return load(str(folder), Compute(threads=1, **compute))


def plain(folder: Path, scheduler: str = "euler", **arguments: Any) -> Any:
    """
    What diffusers makes of the same picture; this lab has no part in it.
    """
    pipeline: Any = StableDiffusionXLInpaintPipeline.from_pretrained(folder, variant="fp16", dtype=torch.float16, add_watermarker=False).to("cuda")
    pipeline.scheduler = REFERENCE_SCHEDULERS[scheduler](pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    defaults = dict(prompt=PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, generator=torch.Generator().manual_seed(SEED))
    return pipeline(**defaults | dict(width=64, height=64, strength=0.99) | arguments).images[0]


def test_a_gpu_computes_in_half_precision_and_decodes_in_float32(half_pair):
    """
    Left to itself, the lab takes the GPU, float16 for UNets and text encoders, and float32 for a VAE that needs it.
    """
    checkpoint = cuda(half_pair)
    models = {name: getattr(checkpoint.base, name) for name in MODELS} | {"refiner": checkpoint.refiner.unet}
    assert {model.device.type for model in models.values()} == {"cuda"}
    assert {name: model.dtype for name, model in models.items() if model.dtype != torch.float16} == {"vae": torch.float32}


@pytest.mark.parametrize("scheduler", ["euler", "euler_a", "dpmpp_2m", "heun", "deis", "kdpm2_a", "lms", "tcd"])
def test_base_alone_equals_the_plain_pipeline_on_a_gpu(half_pair, scene, scheduler):
    """
    With the same seed, a base without refiner decodes the very picture that diffusers' own pipeline does there.
    """
    image, mask = scene
    expected = plain(half_pair / "base", scheduler, image=image, mask_image=mask)
    assert same(expected, generate(make_edit(scheduler=scheduler, num_inference_steps=STEPS), image, mask, cuda(half_pair)).raw)


def test_stock_hand_over_equals_two_plain_calls_on_a_gpu(half_pair, scene):
    """
    Stock hands over what diffusers does when it is called twice, each time with a generator fresh from the seed.
    """
    image, mask = scene
    latents = plain(half_pair / "base", image=image, mask_image=mask, denoising_end=0.6, output_type="latent")
    expected = plain(half_pair / "refiner", image=latents[None], mask_image=mask, denoising_start=0.6)
    actual = generate(make_edit(num_inference_steps=STEPS, high_noise_frac=0.6, handover="stock"), image, mask, cuda(half_pair)).raw
    assert same(expected, actual)


@pytest.mark.parametrize("task", ["text_to_image", "image_to_image"])
def test_whole_pictures_equal_the_plain_pipelines_on_a_gpu(half_pair, scene, task):
    """
    Text to image and image to image, alone and handed over as diffusers does, are its own pictures there too.
    """
    image, asked = (None, {}) if task == "text_to_image" else (scene[0], {"strength": 0.8})
    start: dict[str, Any] = {"width": 64, "height": 64} if image is None else {"image": image, **asked}
    words: dict[str, Any] = dict(prompt=PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, guidance_scale=5.0)
    names = ["StableDiffusionXLPipeline" if image is None else "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLImg2ImgPipeline"]
    options: dict[str, Any] = dict(variant="fp16", dtype=torch.float16, add_watermarker=False)
    base, refiner = (
        getattr(diffusers, name).from_pretrained(half_pair / part, **options).to("cuda")
        for name, part in zip(names, ("base", "refiner"), strict=True)
    )
    seeded = torch.Generator().manual_seed
    latents = base(**start, **words, denoising_end=0.6, output_type="latent", generator=seeded(SEED)).images
    expected = {
        None: base(**start, **words, generator=seeded(SEED)).images[0],
        0.6: refiner(image=latents, **words, denoising_start=0.6, generator=seeded(SEED)).images[0],
    }
    for frac, picture in expected.items():
        edit = make_edit(
            task, num_inference_steps=STEPS, guidance_scale=5.0, high_noise_frac=frac, handover="stock" if frac else "consistent", **asked
        )
        assert same(picture, generate(edit, image, None, cuda(half_pair)).image)


def test_consistent_hand_over_to_the_same_unet_is_no_hand_over_on_a_gpu(half_twins, scene):
    """
    Split in two with the same UNet, a run ends bit for bit where the unsplit one does.
    """
    image, mask = scene
    expected = plain(half_twins / "base", image=image, mask_image=mask)
    assert same(expected, generate(make_edit(num_inference_steps=STEPS, high_noise_frac=0.6), image, mask, cuda(half_twins)).raw)


def test_shared_trajectories_change_nothing_on_a_gpu(half_pair, scene):
    """
    Pictures of several hand-overs from one remembered trajectory equal those made one by one.
    """
    image, mask = scene
    checkpoint, cache = cuda(half_pair), TrajectoryCache()
    for frac in (None, 0.6, 0.8):
        edit = make_edit(num_inference_steps=STEPS, high_noise_frac=frac)
        shared = generate(edit, image, mask, checkpoint, trajectories=cache).raw
        assert same(generate(edit, image, mask, checkpoint).raw, shared)


@pytest.mark.parametrize("offload", ["model", "sequential", "group"])
def test_offloaded_models_make_the_same_picture_on_a_gpu(half_pair, scene, offload):
    """
    Models that wait in main memory give the same bits, and leave the GPU when another one comes.
    """
    image, mask = scene
    edit = make_edit(num_inference_steps=STEPS, high_noise_frac=0.6)
    assert same(generate(edit, image, mask, cuda(half_pair)).raw, generate(edit, image, mask, cuda(half_pair, offload=offload)).raw)
    base = cuda(half_pair, offload=offload).base
    resident = [name for name in MODELS if {parameter.device.type for parameter in getattr(base, name).parameters()} == {"cuda"}]
    assert len(resident) <= (1 if offload == "model" else 0)


def test_what_fits_stays_on_the_gpu(half_pair, scene):
    """
    Left to the lab, a checkpoint that fits is not offloaded, and makes the same picture.
    """
    image, mask = scene
    checkpoint, edit = cuda(half_pair, offload="auto"), make_edit(num_inference_steps=STEPS, high_noise_frac=0.6)
    assert checkpoint.offload == "none"
    assert same(generate(edit, image, mask, cuda(half_pair)).raw, generate(edit, image, mask, checkpoint).raw)


def test_at_the_end_of_a_gpus_memory_the_next_setting_is_named(half_pair):
    """
    Where a process may hold next to nothing of the GPU, loading names what takes less.
    """
    loading.forget()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        with pytest.raises(GpuMemoryError, match=r"out of memory .* compute\.vae to fp16-fix .*; then compute\.offload to model"):
            load(str(half_pair), Compute(threads=2))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_seed_means_the_same_on_a_gpu(random_pair, scene):
    """
    In float32, GPU and CPU start from the same noise and end at pictures that differ by rounding.
    """
    image, mask = scene
    edit = make_edit(num_inference_steps=STEPS)
    there = generate(edit, image, mask, load(str(random_pair), Compute(device="cuda", dtype="float32", threads=1))).raw
    here = generate(edit, image, mask, load(str(random_pair), Compute(device="cpu", threads=1))).raw
    assert np.abs(np.asarray(here, float) - np.asarray(there, float)).mean() < 0.5


@pytest.mark.parametrize("offload", ["none", "model"])
def test_a_checkpoint_that_was_let_go_leaves_the_gpu(half_pair, scene, offload):
    """
    The GPU holds nothing of it then, also where its models moved in and out; what CUDA's libraries keep is there since the first time.
    """
    image, mask = scene
    edit = make_edit(num_inference_steps=STEPS, high_noise_frac=0.6)
    held = []
    for _ in range(3):
        generate(edit, image, mask, cuda(half_pair, offload=offload))
        during = torch.cuda.memory_allocated()
        loading.forget()
        held.append(torch.cuda.memory_allocated())
        assert held[-1] < during
    assert held[1] == held[2]


def test_a_run_on_a_gpu_is_recorded_and_reproduced(half_pair, tmp_path):
    """
    A run made there records the GPU's peak memory, and reproduce makes its picture again, identical.
    """
    dataset = write_dataset(tmp_path / "scenes")
    hyperparameters = {"denoising": {"num_inference_steps": STEPS, "high_noise_frac": 0.6}, "compute": {"threads": 1}}
    spec = RunSpec.from_parameters(
        name="gpu", dataset=str(dataset), checkpoint=str(half_pair), samples=None, tasks=["inpaint"], hyperparameters=hyperparameters,
        tracking="off", runs_folder=str(tmp_path / "runs"),
    )  # fmt: skip
    resolved = resolution.resolve(spec)
    assert (resolved.spec.device, resolved.spec.dtype) == ("cuda", "float16")
    for picture in experiment.run(resolved):
        assert picture.metrics["gpu_peak_memory_bytes"] > 0
        loading.forget()
        assert reproduce(picture.image, dataset=str(dataset), checkpoint=str(half_pair)).is_identical
