"""A single file of Stable Diffusion 1 or 2 is the folder that it was written from: bit for bit the same models and the same pictures."""

# pyright: reportCallIssue=false
# A scene is a picture and its mask.

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdxl_lab.checkpoints.descriptions import cautions, described
from sdxl_lab.checkpoints.locating import identify, locate
from sdxl_lab.checkpoints.original_layout import averaged, parameter
from sdxl_lab.checkpoints.shapes import shapes_of
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.families.sd import SD2_INPAINT, SD15, SD15_INPAINT, SD21, SD21_BASE
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings
from sdxl_lab.spec.edit import Edit
from tests.support.fine_tunes import averages, write_shards
from tests.support.first_generations import write_first_generation
from tests.support.lenders import lent
from tests.support.loopback_hub import NOBODY, Hub, asked, serving
from tests.support.original_layouts import CLIP, OPEN_CLIP, UNET, VAE, original, unet


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, load, outline, require_weights, save_file, settle, torch
    import torch
    from safetensors.torch import save_file

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.checkpoints.outlines import outline
    from sdxl_lab.checkpoints.settling import settle
    from sdxl_lab.checkpoints.whole_weights import require_weights
    from sdxl_lab.generation.generate import generate


MODELS = ("unet", "vae", "text_encoder")
PUBLISHED: dict[str, tuple[str, Any, dict[str, Any], str | None]] = {
    # its repository, what tells its files from others, what its models are, and what has to be said of what they predict
    "1.5": (SD15, (1, 4), dict(generation=1), None),
    "1.5 for inpainting": (SD15_INPAINT, (1, 9), dict(generation=1, in_channels=9), None),
    "2-base": (SD21_BASE, (2, 4, "epsilon"), dict(generation=2), "epsilon"),
    "2.1": (SD21, (2, 4), dict(generation=2, prediction="v_prediction"), "v"),
    "2 for inpainting": (SD2_INPAINT, (2, 9), dict(generation=2, in_channels=9), None),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, garbage) -> dict[str, Path]:
    """A random folder of each kind, at the place of its repository in a hub."""
    root = tmp_path_factory.mktemp("hub")
    return {kind: write_first_generation(root / repository, **own, seed=len(kind)) for kind, (repository, _, own, _) in PUBLISHED.items()}


@pytest.fixture(scope="module", autouse=True)
def small(folders) -> Iterator[None]:
    """Files are as small as the folders, whose configurations they share."""
    with lent("sd", {built: folders[kind] for kind, (_, built, _, _) in PUBLISHED.items()}):
        yield


@pytest.fixture(autouse=True)
def alone(small, tmp_path) -> Iterator[None]:
    """There is no hub, and no cache of one: whoever asks for something gets an error."""
    with asked(NOBODY, tmp_path / "no-cache"):
        yield


@pytest.fixture
def hub(folders, tmp_path) -> Iterator[Hub]:
    """The hub, asked by this process, with an empty cache of its own."""
    with serving(Hub(folders["1.5"].parents[1])) as hub, asked(hub.url, tmp_path / "cache"):
        yield hub


@pytest.fixture(scope="module")
def weights(folders) -> dict[str, dict[str, Any]]:
    """Those of each folder, in the original layout."""
    return {kind: original(folder) for kind, folder in folders.items()}


@pytest.fixture
def write(weights, tmp_path) -> Any:
    """Writes a kind's single file, with some more weights, or without those that begin so."""

    def written(kind: str, *, more: Any = (), less: str = "nothing", name: str = "some.safetensors") -> str:
        held = {key: value for key, value in weights[kind].items() if not key.startswith(less)} | dict(more)
        save_file({key: value.contiguous() for key, value in held.items()}, tmp_path / name)
        return str(tmp_path / name)

    return written


def compute(prediction: str | None = None, **others: Any) -> Compute:
    """
    On one thread.
    """
    return Compute(device="cpu", dtype="float32", threads=1, prediction=prediction, **others)  # pyright: ignore[reportArgumentType]


def picture(checkpoint: Any, scene: Any, task: str = "inpaint") -> np.ndarray:
    """
    What it paints, in a few steps.
    """
    denoising = Denoising(num_inference_steps=3, guidance_scale=5.0, scheduler="ddim", strength=1.0)
    edit = Edit(sample="disc", task=task, prompt="a red star", negative_prompt="blue", seed=3, settings=EditSettings(denoising=denoising))
    return np.asarray(generate(edit, *(scene if task == "inpaint" else (None, None)), checkpoint).raw)


def same(one: Any, other: Any) -> bool:
    """
    Whether two models hold the same bits, name by name.
    """
    held = other.state_dict()
    return one.state_dict().keys() == held.keys() and all(torch.equal(weight, held[name]) for name, weight in one.state_dict().items())


@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_file_makes_the_pictures_of_its_folder(folders, write, scene, kind):
    """
    Its models, its schedule and its pictures are the folder's, and so is what is known of it before.
    """
    _, _, own, prediction = PUBLISHED[kind]
    path, folder = write(kind), str(folders[kind])
    identity = identify(path)
    assert identity.family == identify(folder).family == "sd"
    found = outline(identity, settle(compute(prediction), identity))
    assert (found.in_channels, found.sizes, found.has_refiner) == (own.get("in_channels", 4), outline(identify(folder), compute()).sizes, False)
    require_weights(identity)
    single, whole = load(path, compute(prediction)), load(folder, compute())
    assert all(same(getattr(single.base, name), getattr(whole.base, name)) for name in MODELS)
    assert single.base.scheduler.config.get("prediction_type", "epsilon") == own.get("prediction", "epsilon")
    for task in ("inpaint", "text_to_image") if single.base.unet.config.in_channels == 4 else ("inpaint",):
        assert np.array_equal(picture(single, scene, task), picture(whole, scene, task))


def test_a_yaml_beside_a_file_says_what_it_predicts(folders, write, scene, tmp_path):
    """
    As the original's configurations do, in place of the setting: the pictures are those of the folder that predicts it, of its size.
    """
    for kind, said in (("2-base", {}), ("2.1", {"parameterization": "v"})):
        path = write(kind, name="v2.safetensors")
        (tmp_path / "v2.yaml").write_text(json.dumps({"model": {"params": {"linear_start": 0.00085, **said}}}))
        assert np.array_equal(picture(load(path, compute()), scene), picture(load(str(folders[kind]), compute()), scene))


def test_what_it_predicts_makes_another_run_and_another_picture(write, scene):
    """
    The same file by either prediction: two pictures, two keys of all caches, one checkpoint.
    """
    path = write("2.1")
    loaded = [load(path, compute(prediction)) for prediction in ("epsilon", "v")]
    assert loaded[0].identity == loaded[1].identity
    assert [one.computed_by.switches for one in loaded] == [(("prediction", "epsilon"),), (("prediction", "v"),)]
    assert not np.array_equal(*(picture(one, scene) for one in loaded))


@pytest.mark.parametrize("kind", ["1.5", "2-base"])
def test_a_file_without_a_vae_takes_that_of_the_repository(hub, folders, write, scene, kind):
    """
    Which is said, is in the digest, and makes the folder's picture where that has the same.
    """
    prediction = PUBLISHED[kind][3]
    path, whole = write(kind, less=VAE, name="bare.safetensors"), write(kind)
    lender = SD15 if kind == "1.5" else SD21
    assert identify(path).digest != identify(whole).digest
    assert list(cautions(identify(path), None)) == [f"bare.safetensors: it holds no VAE, and takes that of {lender}."]
    loaded = load(path, compute(prediction))
    lent = load(str(folders["1.5" if kind == "1.5" else "2.1"]), compute())
    assert same(loaded.base.vae, lent.base.vae)
    assert same(loaded.base.unet, load(whole, compute(prediction)).base.unet)


@pytest.mark.parametrize("kind", ["1.5", "2 for inpainting"])
def test_averages_are_taken_where_they_are_asked_for(write, weights, kind):
    """
    The plain weights by default, the averages by `ema`, and averages alone as they are; all other models stay.
    """
    ema = averages(weights[kind])
    path, alone = write(kind, more=ema), write(kind, more=ema, less=UNET, name="alone.safetensors")
    plain, averaged_, only = load(path, compute()), load(path, compute(weights="ema")), load(alone, compute())
    assert torch.equal(averaged_.base.unet.conv_in.weight, plain.base.unet.conv_in.weight * 0.5)
    assert same(averaged_.base.unet, only.base.unet)
    assert same(averaged_.base.text_encoder, plain.base.text_encoder)
    assert torch.equal(plain.base.unet.conv_in.weight, weights[kind][f"{UNET}input_blocks.0.0.weight"])


def test_other_names_of_the_text_encoder_are_read(folders, write, weights):
    """
    Without `text_model`, as some trainers write Stable Diffusion 1, and as SD-Turbo's file has that of 2.
    """
    for kind, begins, instead in (("1.5", CLIP, "cond_stage_model.transformer."), ("2-base", OPEN_CLIP, "conditioner.embedders.0.model.")):
        renamed = {f"{instead}{name.removeprefix(begins)}": weight for name, weight in weights[kind].items() if name.startswith(begins)}
        path = write(kind, more=renamed, less=begins, name=f"{kind}.safetensors")
        identity = identify(path)
        require_weights(identity)
        assert identity.family == "sd"
        assert same(load(path, compute(PUBLISHED[kind][3])).base.text_encoder, load(str(folders[kind]), compute()).base.text_encoder)


def test_shards_and_a_vae_beside_are_read(folders, weights, tmp_path):
    """
    As those of XL are.
    """
    index = write_shards(weights["1.5"], tmp_path, "cut")
    save_file({key.removeprefix(VAE): value * 0.5 for key, value in weights["1.5"].items() if key.startswith(VAE)}, tmp_path / "cut.vae.safetensors")
    loaded, whole = load(str(index), compute()).base, load(str(folders["1.5"]), compute()).base
    assert same(loaded.unet, whole.unet)
    assert torch.equal(loaded.vae.decoder.conv_in.weight, whole.vae.decoder.conv_in.weight * 0.5)


def test_a_refiner_beside_it_is_another_checkpoints(write, weights, tmp_path):
    """
    In a folder of files one called `refiner` is XL's.
    """
    path = write("1.5")
    save_file(weights["2.1"], tmp_path / "refiner.safetensors")
    assert locate(path).refiner is None
    assert identify(path).family == "sd"


def test_what_it_lacks_is_named_before_it_is_loaded(write):
    """
    A weight, or a layer of its text encoder.
    """
    for less, said in (
        (f"{UNET}out.2.weight", "of its unet, conv_out.weight first"),
        (f"{CLIP}final_layer_norm", "of its text_encoder, final_layer_norm"),
    ):
        identity = identify(write("1.5", less=less))
        with pytest.raises(CheckpointError, match=rf"lacks \d of the \d+ weights {said}"):
            require_weights(identity)


def test_it_is_described_and_reckoned_by_its_header(write):
    """
    By generation, EMA and prediction; and its layers are those of its folder.
    """
    assert "Stable Diffusion 1" in str(described(locate(write("1.5"))))
    path = write("2.1", more={"v_pred": torch.empty(0)})
    said = str(described(locate(path)))
    assert "Stable Diffusion 2" in said
    assert "it predicts v" in said
    loaded = load(path, compute()).base
    assert {name: sum(layer.numbers for layer in layers) for name, layers in shapes_of(locate(path)).layers.items()} == {
        name: sum(weight.numel() for weight in getattr(loaded, name).parameters()) for name in MODELS
    }


def test_a_lent_vae_comes_once_and_alone(hub, write, scene):
    """
    Nothing else is asked of the hub; then the cache serves without it.
    """
    path = write("1.5", less=VAE, name="bare.safetensors")
    made = picture(load(path, compute()), scene)
    fetched = [(repository, name) for repository, _, name in hub.fetched]
    assert sorted(fetched) == [(SD15, "vae/config.json"), (SD15, "vae/diffusion_pytorch_model.safetensors")]
    from huggingface_hub import constants

    from sdxl_lab.checkpoints.loading import forget

    forget()
    with asked(NOBODY, Path(constants.HF_HUB_CACHE)):
        assert np.array_equal(made, picture(load(path, compute()), scene))


@pytest.mark.parametrize("generation", [1, 2])
def test_names_of_averages_are_read(generation):
    """
    Each weight of a UNet of that generation's size is found from its average's name.
    """
    from diffusers import UNet2DConditionModel

    blocks = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    with torch.device("meta"):
        model = UNet2DConditionModel(
            block_out_channels=(320, 640, 1280, 1280),
            down_block_types=blocks,
            up_block_types=("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
            cross_attention_dim=768 if generation == 1 else 1024,
            attention_head_dim=8 if generation == 1 else (5, 10, 20, 20),
            use_linear_projection=generation == 2,
        )
    names = [*unet(model)]
    assert len(names) == 686
    assert [parameter(averaged(name)) for name in names] == names
