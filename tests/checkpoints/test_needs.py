"""What models take of a GPU by their shapes alone, against models as they are loaded and as they work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.checkpoints.configurations import MODELS
from sdxl_lab.checkpoints.layers import layers_of
from sdxl_lab.checkpoints.locating import locate
from sdxl_lab.checkpoints.needs import coding_bytes, needs_of, step_bytes
from sdxl_lab.checkpoints.shapes import shapes_of
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.families import CONFIGURATIONS
from sdxl_lab.families.pocket import WEIGHTS as POCKET
from sdxl_lab.settings.sections import Compute
from tests.support import loopback_hub
from tests.support.lenders import lent


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global functional, live, load, torch
    import torch
    from torch.nn import functional

    from sdxl_lab.checkpoints.loading import load
    from tests.support import live


COUNTED = {"unet": 2_567_463_684, "refiner": 2_259_526_660, "text_encoder": 123_060_480, "text_encoder_2": 694_659_840, "vae": 83_653_863}
"""Of Stable Diffusion XL's pair, counted on the meta device."""


BEFORE: dict[str, dict[str, int]] = {
    "sd15": {"unet": 859_520_964, "text_encoder": 123_060_480},
    "sd15-inpaint": {"unet": 859_520_964 + 5 * 320 * 9, "text_encoder": 123_060_480},
    "sd21": {"unet": 865_910_724, "text_encoder": 340_387_840},
    "sd2-inpaint": {"unet": 865_910_724 + 5 * 320 * 9, "text_encoder": 340_387_840},
}
"""The same of Stable Diffusion 1 and 2, beside SDXL's number of the VAE."""


def numbers(layers: Any) -> int:
    """
    All that a model's layers hold.
    """
    return sum(layer.numbers for layer in layers)


def configurations(pair: Path) -> dict[str, Any]:
    """
    What a pair says of its models.
    """
    parts = {name: pair / "base" / name for name in MODELS} | {"refiner": pair / "refiner" / "unet"}
    return {name: json.loads((folder / "config.json").read_text()) for name, folder in parts.items()}


@pytest.mark.parametrize("compute", [{}, {"dtype": "float16"}, {"dtype": "bfloat16", "layerwise": "fp8"}, {"layerwise": "fp8"}], ids=str)
def test_weights_are_those_of_the_loaded_models_to_the_byte(random_pair, compute):
    """
    By the headers of files each model has as many bytes as once it is loaded, in whatever dtypes it is then.
    """
    asked = Compute(device="cpu", threads=1, **{"dtype": "float32"} | compute)
    needs = needs_of(shapes_of(locate(str(random_pair))), asked, pixels=64**2, is_refined=True)
    loaded = load(str(random_pair), asked)
    models = {name: getattr(loaded.base, name) for name in MODELS} | {"refiner": loaded.refiner.unet}
    assert needs.weights == {name: sum(weight.nbytes for weight in model.parameters()) for name, model in models.items()}


def test_configurations_tell_as_much_as_files(random_pair):
    """
    Layer by layer, norms and the largest ones included, of the pocket pair, of one of other sizes, and of SDXL's.
    """
    for pair in (random_pair, POCKET):
        by_files = shapes_of(locate(str(pair))).layers
        by_numbers = layers_of(configurations(pair))
        assert {name: sorted(layers, key=repr) for name, layers in by_numbers.items()} == {
            name: sorted(layers, key=repr) for name, layers in by_files.items()
        }
    with loopback_hub.asked(loopback_hub.NOBODY, Path("/nowhere")):
        published = shapes_of(locate("sdxl"))
    assert {name: numbers(layers) for name, layers in published.layers.items()} == COUNTED


def test_one_file_tells_as_much_as_a_folder(random_pair, tmp_path):
    """
    Base and refiner as single files, of the folder's size.
    """
    from diffusers import StableDiffusionXLInpaintPipeline

    from sdxl_lab.pocket.training.single_file import write_single_file

    for name in ("base", "refiner"):
        write_single_file(StableDiffusionXLInpaintPipeline.from_pretrained(random_pair / name), tmp_path / f"{name}.safetensors")
    by_folder = shapes_of(locate(str(random_pair)))
    with pytest.raises(CheckpointError, match="does not say how its models are built"):
        shapes_of(locate(str(tmp_path / "base.safetensors")))  # smaller than SDXL
    with lent("custom", {4: random_pair / "base", None: random_pair / "refiner"}):
        by_one = shapes_of(locate(str(tmp_path / "base.safetensors")))
    assert {name: numbers(layers) for name, layers in by_one.layers.items()} == {name: numbers(layers) for name, layers in by_folder.layers.items()}
    assert by_one.unets == by_folder.unets


def test_a_repository_is_looked_at_as_far_as_it_is_here(random_pair, tmp_path):
    """
    Nothing is asked of the hub: its configurations tell, or its files, once they are here; of what was published as SDXL the name does.
    """
    shutil.copytree(random_pair / "base", tmp_path / "hub" / "somebody" / "pictures")
    with loopback_hub.serving(loopback_hub.Hub(tmp_path / "hub", tmp_path / "log")) as hub, loopback_hub.asked(hub.url, tmp_path / "cache"):
        source = locate("somebody/pictures")
        with pytest.raises(CheckpointError, match=r"hf download somebody/pictures --include '\*\.json'"):
            shapes_of(source)
        assert shapes_of(locate("sdxl")).known_by == shapes_of(locate("stabilityai/stable-diffusion-xl-base-1.0")).known_by == "name"
        assert (tmp_path / "log").read_text() == ""
        repository: Any = source.base
        repository.fetch_files("model_index.json", "*.json")
        by_configurations = shapes_of(locate("somebody/pictures"))
        repository.fetch()
        by_files = shapes_of(locate("somebody/pictures"))
    assert (by_configurations.known_by, by_files.known_by) == ("configurations", "files")
    assert {name: numbers(layers) for name, layers in by_configurations.layers.items()} == {
        name: numbers(layers) for name, layers in by_files.layers.items()
    }


def test_a_turbo_is_smaller_at_work_and_not_by_weights():
    """
    What is published under other names differs from SDXL where its configuration does: size of pictures, channels.
    """
    sdxl, turbo, inpaint = (shapes_of(locate(name)) for name in ("sdxl", "sdxl-turbo", "sdxl-inpaint"))
    assert (turbo.sizes.area, sdxl.sizes.area) == (512**2, 1024**2)
    assert "refiner" not in turbo.layers
    assert turbo.layers["unet"] == sdxl.layers["unet"]
    assert numbers(inpaint.layers["unet"]) - numbers(sdxl.layers["unet"]) == 5 * 320 * 9


@pytest.mark.parametrize("name", BEFORE)
def test_what_came_before_xl_is_reckoned_by_name(name):
    """
    Nothing of it needs to be here: its models have the numbers of those that were published, and no refiner.
    """
    with loopback_hub.asked(loopback_hub.NOBODY, Path("/nowhere")):
        shapes = shapes_of(locate(name))
    assert shapes.known_by == "name"
    assert {model: numbers(layers) for model, layers in shapes.layers.items()} == {**BEFORE[name], "vae": COUNTED["vae"]}
    assert shapes.sizes.area == (768**2 if name == "sd21" else 512**2)


@pytest.fixture
def no_pairs(monkeypatch):
    """
    Attention that holds no matrix of all pairs, as on a GPU.
    """
    monkeypatch.setattr(functional, "scaled_dot_product_attention", lambda query, *_, **__: torch.empty_like(query))


def on_paper(kind: Any, config: Any) -> Any:
    """
    A model without numbers.
    """
    with torch.device("meta"):
        return kind.from_config(config).eval()


@pytest.mark.usefixtures("no_pairs")
def test_a_model_at_work_holds_what_is_reckoned():
    """
    Of the pocket models, tensors that are alive at once are the most of what is reckoned, and never more.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel

    shapes = shapes_of(locate("pocket"))
    told = configurations(POCKET)
    for name, sizes in (("unet", 6), ("refiner", 5)):
        alive = live.unet_peak_bytes(on_paper(UNet2DConditionModel, told[name]), 32, sizes=sizes)
        assert 0.7 < alive / step_bytes(shapes.unets[name], 4, cells=32**2, is_guided=True) < 1.01
    vae = on_paper(AutoencoderKL, told["vae"])
    with torch.device("meta"), torch.no_grad(), live.Live() as decoding:
        vae.decode(torch.empty(1, 4, 32, 32))
    assert 0.7 < decoding.peak_bytes / coding_bytes(shapes.vae, 4, pixels=256**2) < 1.01


@pytest.mark.slow
@pytest.mark.usefixtures("no_pairs")
def test_sdxl_at_work_holds_what_is_reckoned():
    """
    The same of SDXL's models, whose UNets have the numbers that are reckoned with, and whose VAE encodes with less than it decodes.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel

    shapes = shapes_of(locate("sdxl"))
    for name, folder, sizes in (("unet", "sdxl", 6), ("refiner", "sdxl-refiner", 5)):
        unet = on_paper(UNet2DConditionModel, json.loads((CONFIGURATIONS / folder / "unet" / "config.json").read_text()))
        assert sum(weight.numel() for weight in unet.parameters()) == COUNTED[name]
        alive = live.unet_peak_bytes(unet, 128, sizes=sizes)
        assert 0.9 < alive / step_bytes(shapes.unets[name], 4, cells=128**2, is_guided=True) < 1
    vae = on_paper(AutoencoderKL, json.loads((CONFIGURATIONS / "sdxl" / "vae" / "config.json").read_text()))
    with torch.device("meta"), torch.no_grad():
        with live.Live() as decoding:
            vae.decode(torch.empty(1, 4, 64, 64))
        with live.Live() as encoding:
            vae.encode(torch.empty(1, 3, 512, 512))
    assert encoding.peak_bytes < decoding.peak_bytes
    assert 0.7 < decoding.peak_bytes / coding_bytes(shapes.vae, 4, pixels=512**2) < 1
