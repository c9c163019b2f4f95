"""Checkpoints of random weights, in diffusers' layout, for the tests that need models and not pictures worth looking at."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.artifact_backend import backend as backend
from tests.support.artifact_backend import kept_worker as kept_worker
from tests.support.artifact_backend import one_worker as one_worker
from tests.support.artifact_backend import stand_in as stand_in
from tests.support.browser import browser as browser
from tests.support.first_generations import write_first_generation

# Before torch reads them. Bits depend on the thread count, and one is the kindest to whoever shares the machine; where a test has two, the one
# that waits does so without computing.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

# Importing what the tests need leaves no garbage, and looking for it takes a fifth of the time.
gc.set_threshold(100_000, 50, 100)

OTHER_SIZES: dict[str, Any] = dict(
    block_out_channels=(32, 64),
    layers_per_block=1,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    attention_head_dim=(2, 4),
    transformer_layers_per_block=1,
    use_linear_projection=True,
    norm_num_groups=8,
    addition_embed_type="text_time",
    addition_time_embed_dim=8,
    sample_size=8,
)
"""A UNet for 64x64 pixels that shares no width with the pocket checkpoint's; as shallow as can be, since its every layer costs the tests seconds."""


def write_checkpoint(
    folder: Path, *, in_channels: int = 4, refiner: str | None = "refiner", variant: str | None = None, force_upcast: bool = False, seed: int = 0
) -> Path:
    """
    Write `base/` of 64x64 pixels, and beside it a refiner: `refiner` as SDXL's, `twin` with the base's own UNet, or None.

    With the variant `fp16` the weights are halved and named as the hub's repositories name them.
    """
    import torch
    from diffusers import StableDiffusionXLInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from sdxl_lab.pocket.training import architecture

    torch.manual_seed(seed)
    tokenizer = architecture.build_tokenizer()
    widths: dict[str, Any] = dict(vocab_size=len(tokenizer), max_position_embeddings=architecture.MAX_TOKENS, intermediate_size=64, projection_dim=24)
    widths |= dict(num_hidden_layers=2, num_attention_heads=2)
    widths |= {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    first = CLIPTextModel(CLIPTextConfig(hidden_size=16, hidden_act="quick_gelu", **widths)).eval()
    second = CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=24, hidden_act="gelu", **widths)).eval()
    for encoder in (first, second):
        for weight in encoder.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    vae, scheduler = architecture.build_vae().eval(), architecture.build_scheduler()
    vae.register_to_config(force_upcast=force_upcast)
    unet = UNet2DConditionModel(
        in_channels=in_channels, cross_attention_dim=40, projection_class_embeddings_input_dim=6 * 8 + 24, **OTHER_SIZES
    ).eval()
    base: Any = dict(vae=vae, text_encoder=first, text_encoder_2=second, tokenizer=tokenizer, tokenizer_2=tokenizer, unet=unet, scheduler=scheduler)

    def save(pipeline: Any, name: str) -> None:
        pipeline.to(torch.float16 if variant == "fp16" else torch.float32, silence_dtype_warnings=True)
        pipeline.save_pretrained(folder / name, variant=variant)

    save(StableDiffusionXLInpaintPipeline(**base, add_watermarker=False), "base")
    if refiner == "twin":
        save(StableDiffusionXLInpaintPipeline(**base, add_watermarker=False), "refiner")
    elif refiner is not None:
        unet = UNet2DConditionModel(in_channels=4, cross_attention_dim=24, projection_class_embeddings_input_dim=5 * 8 + 24, **OTHER_SIZES).eval()
        parts = base | dict(text_encoder=None, tokenizer=None, unet=unet)
        pipeline = StableDiffusionXLInpaintPipeline(
            **parts, requires_aesthetics_score=True, force_zeros_for_empty_prompt=False, add_watermarker=False
        )
        save(pipeline, "refiner")
    return folder


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """
    Files that share a kernel go to one process.
    """
    from tests.support.scheduling import WithItsKernel

    return WithItsKernel(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """
    Thousands of tests and all modules are no garbage; looking through them at each collection costs more than some tests.
    """
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call() -> None:
    """
    With pytest's variable each test has an environment of its own, and a warm kernel serves one environment.
    """
    os.environ.pop("PYTEST_CURRENT_TEST", None)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    """
    The same for a kernel that starts in a fixture.
    """
    os.environ.pop("PYTEST_CURRENT_TEST", None)


@pytest.fixture(scope="session", autouse=True)
def no_account(tmp_path_factory):
    """
    Whoever runs the tests may have an account at Comet; nothing is sent there.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("COMET_")]:
            patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """
    A shell's background job ignores ctrl-C, and so would whatever the tests start and interrupt.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def garbage():
    """
    A checkpoint that makes room for another has garbage looked for, which takes a second among all that the tests hold: left out.

    What it gives is the real collector, for the tests of memory.
    """
    from sdxl_lab.checkpoints import loading

    with pytest.MonkeyPatch.context() as patch:
        collector = loading.gc
        patch.setattr(loading, "gc", SimpleNamespace(collect=lambda: 0, unfreeze=lambda: None))
        yield collector


@pytest.fixture(scope="session")
def random_pair(tmp_path_factory, garbage) -> Path:
    """
    A folder with a random base and refiner of other sizes than the pocket checkpoint's.
    """
    return write_checkpoint(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="session")
def random_inpaint_pair(tmp_path_factory, garbage) -> Path:
    """
    The same with a 9-channel base.
    """
    return write_checkpoint(tmp_path_factory.mktemp("inpaint-pair"), in_channels=9)


@pytest.fixture(scope="session")
def twin_pair(tmp_path_factory, garbage) -> Path:
    """
    A folder whose refiner has the base's own UNet and text encoders.
    """
    return write_checkpoint(tmp_path_factory.mktemp("twins"), refiner="twin")


@pytest.fixture(scope="session")
def sd1(tmp_path_factory, garbage) -> Path:
    """
    A folder as Stable Diffusion 1.5 is published, of random weights.
    """
    return write_first_generation(tmp_path_factory.mktemp("first") / "one", 1)


@pytest.fixture(scope="session")
def sd1_inpaint(tmp_path_factory, garbage) -> Path:
    """
    The same with 9 channels.
    """
    return write_first_generation(tmp_path_factory.mktemp("first") / "one-inpaint", 1, in_channels=9)


@pytest.fixture(scope="session")
def sd2(tmp_path_factory, garbage) -> Path:
    """
    A folder as Stable Diffusion 2.1 is published, of random weights: its UNet predicts v.
    """
    return write_first_generation(tmp_path_factory.mktemp("first") / "two", 2, prediction="v_prediction")


@pytest.fixture(scope="session")
def sd2_inpaint(tmp_path_factory, garbage) -> Path:
    """
    A folder as Stable Diffusion 2's for inpainting, of random weights: 9 channels, and its UNet predicts noise.
    """
    return write_first_generation(tmp_path_factory.mktemp("first") / "two-inpaint", 2, in_channels=9)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """
    A working folder in which nothing is yet.
    """
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def sample():
    """
    A sample with picture and mask that comes with the lab.
    """
    from sdxl_lab.datasets.sources import fetch

    return fetch("pocket-scenes").sample("red-circle")


@pytest.fixture(scope="session")
def scene() -> tuple[Image.Image, Image.Image]:
    """
    A picture of 64x64 pixels and its mask, a disc off the latents' grid.
    """
    rows, columns = np.mgrid[:64, :64]
    pixels = np.stack([rows * 4, columns * 4, (rows * columns) % 256], axis=-1).astype(np.uint8)
    disc = ((rows - 29) ** 2 + (columns - 37) ** 2 < 17**2).astype(np.uint8) * 255
    return Image.fromarray(pixels), Image.fromarray(disc)
