"""A fine-tuned checkpoint in one file is the models that it was written from, and what it does not hold is found where it says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.checkpoints.locating import identify
from sdxl_lab.checkpoints.own_defaults import traits
from sdxl_lab.settings.sections import Compute
from tests.support.fine_tunes import BASE, pocket_pipeline, write_fine_tune


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global load, outline, save_file, settle, torch
    import torch
    from safetensors.torch import save_file

    from sdxl_lab.checkpoints.loading import load, outline, settle


CPU = Compute(device="cpu")
MODELS = ("unet", "vae", "text_encoder", "text_encoder_2")


@pytest.fixture(scope="module")
def pocket() -> Any:
    """The pocket checkpoint's base, by diffusers."""
    return pocket_pipeline()


@pytest.fixture(scope="module")
def fine_tune(pocket, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """A single file of pocket's shapes, and the weights in it."""
    path = tmp_path_factory.mktemp("models") / "tuned.safetensors"
    return path, write_fine_tune(pocket, path)


@pytest.fixture
def write(tmp_path, fine_tune) -> Any:
    """Writes a single file of other weights than the fine-tune's: with some more, without those that begin so."""

    def written(name: str = "some.safetensors", more: Any = (), less: str = "nothing", **options: Any) -> Path:
        weights = {key: value for key, value in fine_tune[1].items() if not key.startswith(less)} | dict(more)
        save_file({key: value.contiguous() for key, value in weights.items()}, tmp_path / name, **options)
        return tmp_path / name

    return written


def same(one: Any, other: Any) -> bool:
    """
    Whether two models hold the same bits, name by name.
    """
    weights = other.state_dict()
    return one.state_dict().keys() == weights.keys() and all(torch.equal(weight, weights[name]) for name, weight in one.state_dict().items())


def by_hand(weights: dict[str, Any]) -> Any:
    """
    The UNet that plain diffusers makes of a file's weights.
    """
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_single_file(dict(weights), config=str(BASE), subfolder="unet", dtype=torch.float32)


def test_a_file_of_pockets_shapes_is_of_pockets_family(fine_tune, monkeypatch):
    """
    It has pocket's sizes, threads, dtype and steps, and no refiner; and nobody is asked for its configuration.
    """
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    path, _ = fine_tune
    identity, own = identify(str(path)), identify("pocket")
    assert identity.family == "pocket"
    assert settle(CPU, identity) == settle(CPU, own)
    found, pockets = outline(identity, settle(CPU, identity)), outline(own, settle(CPU, own))
    assert (found.sizes, found.in_channels, found.configuration) == (pockets.sizes, 4, pockets.configuration)
    assert (found.has_refiner, pockets.has_refiner) == (False, True)
    assert traits(identity).refiner_from == 0.7


def test_it_holds_what_it_was_written_from(pocket, fine_tune):
    """
    VAE and both text encoders are the folder's, where plain diffusers takes the first encoder for the second, as wide one; the UNet is as it reads it.
    """
    path, weights = fine_tune
    base = load(str(path), CPU).base
    assert all(same(getattr(pocket, name), getattr(base, name)) for name in MODELS[1:])
    assert same(by_hand(weights), base.unet)
    assert not same(pocket.unet, base.unet)
    assert base.scheduler.config == pocket.scheduler.config


def test_it_is_what_plain_diffusers_makes_of_the_file(random_pair, tmp_path):
    """
    Where the text encoders differ in width, the whole pipeline is that of `from_single_file`, its models and its configuration alike.
    """
    from diffusers import StableDiffusionXLInpaintPipeline

    from sdxl_lab.checkpoints.single_files import SingleFile
    from sdxl_lab.pocket.training.single_file import write_single_file

    whole = StableDiffusionXLInpaintPipeline.from_pretrained(random_pair / "base", dtype=torch.float32, add_watermarker=False)
    file = write_single_file(whole, tmp_path / "single.safetensors")
    for dtype in (torch.float32, torch.float16):
        plain = StableDiffusionXLInpaintPipeline.from_single_file(str(file), config=str(random_pair / "base"), dtype=dtype, add_watermarker=False)
        ours = SingleFile(file).load(dtype, {}, configuration=random_pair / "base")
        assert all(same(getattr(plain, name), getattr(ours, name)) for name in MODELS)
        assert {key: value for key, value in plain.config.items() if key[0] != "_"} == {
            key: value for key, value in ours.config.items() if key[0] != "_"
        }


@pytest.mark.slow
def test_loading_takes_no_time(fine_tune):
    """
    A sweep over three fine-tunes of pocket waits for none of them.
    """
    from sdxl_lab.checkpoints.loading import forget

    path, _ = fine_tune
    load(str(path), CPU)
    forget()
    began = time.perf_counter()
    load(str(path), CPU)
    assert time.perf_counter() - began < 0.5
