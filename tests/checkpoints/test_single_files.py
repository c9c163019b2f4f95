"""A fine-tuned checkpoint in one file is the models that it was written from, and what it does not hold is found where it says."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdxl_lab.checkpoints.descriptions import cautions, described
from sdxl_lab.checkpoints.files import digest_of_parts
from sdxl_lab.checkpoints.locating import identify, license_of, locate
from sdxl_lab.checkpoints.original_layout import averaged, parameter
from sdxl_lab.checkpoints.own_defaults import traits
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.files.digests import digest_of
from sdxl_lab.pocket.training.single_file import unet_name
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings
from sdxl_lab.spec.edit import Edit
from tests.support.fine_tunes import BASE, UNET, VAE, averages, pocket_pipeline, write_fine_tune, write_shards


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, load, outline, save_file, settle, torch
    import torch
    from safetensors.torch import save_file

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.checkpoints.outlines import outline
    from sdxl_lab.checkpoints.settling import settle
    from sdxl_lab.generation.generate import generate


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
    VAE and both text encoders are the folder's, where plain diffusers takes the first encoder for the second; the UNet is as it reads it.
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


def test_its_averages_are_taken_where_they_are_asked_for(write, fine_tune):
    """
    Plain ones by default, as in other tools, and by `plain`; `ema` are the averages, by name, and other models with another key.
    """
    weights = fine_tune[1]
    path = str(write(more=averages(weights)))
    halved = {name: weight * 0.5 if name.startswith(UNET) else weight for name, weight in weights.items()}
    keys = set()
    for asked, expected in ((None, weights), ("plain", weights), ("ema", halved)):
        loaded = load(path, Compute(device="cpu", weights=asked))
        assert same(by_hand(expected), loaded.base.unet)
        assert same(loaded.base.vae, load(str(fine_tune[0]), CPU).base.vae)
        keys.add(loaded.computed_by.switches)
    assert keys == {(), (("weights", "plain"),), (("weights", "ema"),)}
    [line] = cautions(identify(path), None)
    assert line == "some.safetensors holds EMA weights too, averages over its training; compute.weights ema takes them."
    assert not list(cautions(identify(path), "plain"))


def test_averages_alone_are_a_unet_too(write, fine_tune):
    """
    The names of their weights are found from the text without dots; of the one missing there is nothing to load.
    """
    ema = averages(fine_tune[1])
    alone = str(write(more=ema, less=UNET))
    halved = {name: weight * 0.5 for name, weight in fine_tune[1].items() if name.startswith(UNET)}
    for asked in (None, "ema"):
        assert same(by_hand(halved), load(alone, Compute(device="cpu", weights=asked)).base.unet)
    with pytest.raises(CheckpointError, match=r"is 'plain', but .* holds EMA weights alone; leave it out"):
        settle(Compute(weights="plain"), identify(alone))


def test_names_of_sdxls_averages_are_read(random_sdxl_names):
    """
    Each weight of Stable Diffusion XL's UNet is found from its average's name, though numbers stand beside numbers there.
    """
    assert len(random_sdxl_names) == 1680
    assert [parameter(averaged(name)) for name in random_sdxl_names] == random_sdxl_names
    assert parameter("model_ema.diffusion_modelmystery0weight") is None


@pytest.fixture(scope="module")
def random_sdxl_names() -> list[str]:
    """The names of the weights of SDXL's UNet in the original layout, from a model of its shape without numbers."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10),
            attention_head_dim=(5, 10, 20),
            cross_attention_dim=2048,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
            use_linear_projection=True,
        )
    return [f"{UNET}{unet_name(unet, name)}" for name in unet.state_dict()]


@pytest.mark.parametrize("ending", [".safetensors", ".SAFETENSORS"])
def test_shards_are_the_file_that_they_were_cut_from(fine_tune, tmp_path, ending):
    """
    By the index, by either shard and by what their names begin with it is one checkpoint, with the weights of the whole file.
    """
    path, weights = fine_tune
    index = write_shards(weights, tmp_path, "cut (v2)", ending=ending)
    given = [
        index,
        *(tmp_path / f"cut (v2)-0000{number}-of-00002{ending}" for number in (1, 2)),
        tmp_path / "cut (v2)",
        tmp_path / f"cut (v2){ending}",
    ]
    digests = {identify(str(name)).digest for name in given}
    assert len(digests) == 1
    whole, cut = load(str(path), CPU).base, load(str(given[3]), CPU).base
    assert all(same(getattr(whole, name), getattr(cut, name)) for name in MODELS)
    given[2].write_bytes(given[1].read_bytes())
    assert identify(str(index)).digest not in digests


def test_a_vae_beside_a_file_takes_the_place_of_its_own(write, pocket, fine_tune, tmp_path):
    """
    In either layout's names, by the checkpoint's name and `.vae`; and it is part of what the checkpoint is.
    """
    other = pocket_pipeline().vae
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(0.5)
    file = write()
    without = identify(str(file))
    names = {
        "diffusers": dict(other.state_dict()),
        "original": {key.removeprefix(VAE): value * 0.5 for key, value in fine_tune[1].items() if key.startswith(VAE)},
    }
    found = []
    for kind, tensors in names.items():
        save_file({key: value.contiguous() for key, value in tensors.items()}, tmp_path / "some.vae.safetensors")
        loaded = load(str(file), CPU)
        assert same(other, loaded.base.vae), kind
        assert same(by_hand(fine_tune[1]), loaded.base.unet)
        found.append(loaded.identity.digest)
    assert len({*found, without.digest}) == 3
    assert "the VAE beside it, some.vae.safetensors" in str(described(locate(str(file))))


def test_a_file_without_a_vae_takes_its_familys(write, pocket, fine_tune):
    """
    Pocket's own, which is said, and is part of what the checkpoint is.
    """
    file = write(less=VAE)
    assert same(pocket.vae, load(str(file), CPU).base.vae)
    identity = identify(str(file))
    assert list(cautions(identity, None)) == ["some.safetensors: it holds no VAE, and takes that of pocket."]
    own = f"sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:10]}"
    assert described(locate(str(file))) == f"{own}; it holds no VAE, and takes that of pocket"
    assert described(locate(str(file)), but=cautions(identity, None)) == own
    assert identity.digest != digest_of_parts([digest_of([file], root=file.parent), None])
    assert identify(str(fine_tune[0])).digest == digest_of_parts([digest_of([fine_tune[0]], root=fine_tune[0].parent), None])


@pytest.mark.parametrize("keys", [("v_pred",), ("v_pred", "ztsnr")])
def test_a_file_that_says_so_is_read_as_one_of_v_prediction(write, pocket, fine_tune, keys):
    """
    Its picture is that of diffusers with the scheduler's configuration set by hand, as model cards of such fine-tunes have it.
    """
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    file = write(more={key: torch.empty(0) for key in keys})
    loaded = load(str(file), CPU)
    told = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": "ztsnr" in keys}
    scheduler = EulerDiscreteScheduler.from_config(pocket.scheduler.config, **told)
    parts = pocket.components | {"unet": by_hand(fine_tune[1]), "scheduler": scheduler}
    plain = StableDiffusionXLPipeline(**parts, add_watermarker=False, force_zeros_for_empty_prompt=pocket.config.force_zeros_for_empty_prompt)
    plain.set_progress_bar_config(disable=True)
    given: dict[str, Any] = dict(num_inference_steps=3, guidance_scale=5.0, width=128, height=128)
    expected = plain("a red star", **given, generator=torch.Generator().manual_seed(3)).images[0]
    denoising = Denoising(num_inference_steps=3, guidance_scale=5.0, scheduler="euler", strength=1.0)
    edit = Edit(sample="x", task="text_to_image", prompt="a red star", seed=3, settings=EditSettings(denoising=denoising))
    assert np.array_equal(np.asarray(generate(edit, None, None, loaded).image), np.asarray(expected))
    assert traits(loaded.identity).prediction == "v_prediction"
    assert "it predicts v" in str(described(locate(str(file))))


def test_the_license_in_a_file_is_told(write):
    """
    As its metadata has it, by the key of the model metadata standard.
    """
    assert license_of(identify(str(write(metadata={"modelspec.license": "CreativeML Open\nRAIL++-M"})))) == "CreativeML Open RAIL++-M"
    assert license_of(identify(str(write("other.safetensors")))) is None


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
