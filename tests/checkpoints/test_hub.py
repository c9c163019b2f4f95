import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from sdxl_lab.checkpoints.hub import Repository
from sdxl_lab.checkpoints.locating import identify, locate
from sdxl_lab.checkpoints.shapes import shapes_of
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.families import FAMILIES
from sdxl_lab.pocket.training.single_file import write_single_file
from tests.conftest import write_checkpoint
from tests.support.loopback_hub import NOBODY, Hub, asked, serving
from tests.support.run_folders import environment

pytestmark = pytest.mark.timeout(600)

BASE, REFINER = "stabilityai/stable-diffusion-xl-base-1.0", "stabilityai/stable-diffusion-xl-refiner-1.0"
INPAINT = "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"
DECOYS = (
    "LICENSE.md",
    "comparison.png",
    "sd_xl_base_1.0.safetensors",
    "sd_xl_base_1.0_0.9vae.safetensors",
    "sd_xl_offset_example-lora_1.0.safetensors",
    "text_encoder/flax_model.msgpack",
    "text_encoder/model.onnx",
    "text_encoder_2/model.onnx_data",
    "text_encoder_2/model.safetensors",
    "unet/diffusion_flax_model.msgpack",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/model.onnx",
    "unet/openvino_model.bin",
    "unet/openvino_model.xml",
    "vae/diffusion_pytorch_model.safetensors",
    "vae_1_0/config.json",
    "vae_1_0/diffusion_pytorch_model.fp16.safetensors",
    "vae_1_0/diffusion_pytorch_model.safetensors",
    "vae_decoder/config.json",
    "vae_decoder/model.onnx",
    "vae_encoder/openvino_model.xml",
)
"""What SDXL's repositories hold besides the half-precision pipeline: other precisions, frameworks and autoencoders."""


@pytest.fixture(scope="module", params=["here", pytest.param("apart", marks=pytest.mark.slow)])
def place(request) -> str:
    """
    Which process asks the hub while it is up: this one, or one that knows the hub by its environment and has imported nothing yet.
    """
    return request.param


@pytest.fixture(scope="module")
def hub(tmp_path_factory, place):
    """
    A hub with the three repositories as they are laid out: fp16 variants alone, and files that nobody should fetch.
    """
    root = tmp_path_factory.mktemp("hub")
    for channels, name, published in ((4, BASE, "StableDiffusionXLPipeline"), (9, INPAINT, "StableDiffusionXLInpaintPipeline")):
        folder = write_checkpoint(root / f"{channels}", in_channels=channels, variant="fp16", force_upcast=True)
        for part, repository, class_name in (("base", name, published), ("refiner", REFINER, "StableDiffusionXLImg2ImgPipeline")):
            shutil.copytree(folder / part, root / repository, dirs_exist_ok=True)
            index = root / repository / "model_index.json"
            index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": class_name}))
            for decoy in DECOYS:
                (root / repository / decoy).parent.mkdir(exist_ok=True)
                (root / repository / decoy).write_bytes(b"not to be fetched")
        shutil.rmtree(folder)
    return Hub(root)


@pytest.fixture(scope="module")
def somewhere(tmp_path_factory, scene, hub):
    """
    A folder to run in, with a picture, a mask, the hub's base as a single file, and an empty cache of the hub.
    """
    from diffusers import StableDiffusionXLPipeline
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("somewhere")
    scene[0].save(folder / "image.png")
    scene[1].save(folder / "mask.png")
    base = StableDiffusionXLPipeline.from_pretrained(hub.root / BASE, variant="fp16", use_safetensors=True, add_watermarker=False)
    weights = load_file(write_single_file(base, folder / "single.safetensors"))
    save_file({name: weight for name, weight in weights.items() if not name.startswith("first_stage_model.")}, folder / "no-vae.safetensors")
    return folder


@pytest.fixture(scope="module")
def online(hub, somewhere, place):
    """
    What a process gets while the hub is up.
    """
    names = ["no-vae.safetensors", "sdxl", "sdxl-inpaint", f"{BASE}@{hub.commit(BASE)}", "single.safetensors", "nobody/nothing", f"{BASE}@v9"]
    if place == "here":
        from tests.support.named_checkpoints import loaded

        with serving(hub), asked(hub.url, somewhere / "hub"), pytest.MonkeyPatch.context() as patch:
            patch.chdir(somewhere)
            return loaded(names, hub.root / BASE)
    hidden = {name: value for name, value in environment().items() if not name.startswith("HF_")}
    command = [sys.executable, "-c", "from tests.support.named_checkpoints import main; main()", json.dumps(names), str(hub.root / BASE)]
    with serving(hub):
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(somewhere), "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=somewhere, env=hidden | settings, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_names_load_the_right_repositories(hub, online):
    """
    `sdxl` and `sdxl-inpaint` are a base of 4 and 9 channels with SDXL's refiner, each pinned to its commit, and make a refined picture.
    """
    refiner = hub.commit(REFINER)
    assert online["sdxl"][:3] == [f"{hub.commit(BASE)}+{refiner}", "sdxl", 4]
    assert online["sdxl-inpaint"][:3] == [f"{hub.commit(INPAINT)}+{refiner}", "sdxl", 9]
    assert online["sdxl"][3] > 0
    assert online["sdxl-inpaint"][3] > 0


def test_a_hub_id_may_be_pinned(hub, online):
    """
    A revision after @ is the one that is loaded.
    """
    assert online[f"{BASE}@{hub.commit(BASE)}"][0] == hub.commit(BASE)


def test_a_single_file_is_the_pipeline_it_was_written_from(hub, online):
    """
    In the layout SDXL was published in it makes the same picture to the bit.
    """
    assert online["single.safetensors"][1:] == ["custom", *online[f"{BASE}@{hub.commit(BASE)}"][2:]]


def test_a_single_file_without_a_vae_takes_that_of_the_repository(hub, online):
    """
    Which alone is fetched for it, and makes the same picture to the bit.
    """
    assert online["no-vae.safetensors"][2:] == online["single.safetensors"][2:]
    fetched = [(repository, name) for repository, _, name in hub.fetched]
    assert sorted(fetched[:2]) == [(BASE, "vae/config.json"), (BASE, "vae/diffusion_pytorch_model.fp16.safetensors")]


def test_only_what_is_needed_is_fetched(hub, online):
    """
    Half-precision .safetensors by commit, no pickles, no single files, and of the refiner its UNet alone; nothing twice.
    """
    assert len(hub.fetched) == len(set(hub.fetched))
    assert not {name for _, _, name in hub.fetched} & set(DECOYS)
    weights = {(repository, name) for repository, _, name in hub.fetched if not name.endswith((".json", ".txt"))}
    parts = ("text_encoder/model", "text_encoder_2/model", "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model")
    expected = {(repository, f"{part}.fp16.safetensors") for repository in (BASE, INPAINT) for part in parts}
    assert weights == expected | {(REFINER, "unet/diffusion_pytorch_model.fp16.safetensors")}
    assert {revision for _, revision, _ in hub.fetched} == {hub.commit(repository) for repository in (BASE, INPAINT, REFINER)}


def test_repositories_that_are_not_there_are_named(online):
    """
    An unknown repository or revision is one error that says which.
    """
    assert "the hub has no nobody/nothing at revision 'main'" in online["nobody/nothing"]
    assert f"the hub has no {BASE} at revision 'v9'" in online[f"{BASE}@v9"]


@pytest.mark.parametrize("is_by_choice", [pytest.param(False, marks=pytest.mark.slow), True])
def test_offline_the_cache_serves_the_same(hub, online, somewhere, monkeypatch, is_by_choice):
    """
    Without the hub, by choice or not, what was loaded once is loaded again, with the same commit and the same picture.
    """
    from tests.support.named_checkpoints import loaded

    names = ["sdxl", "sdxl-inpaint", "single.safetensors", "no-vae.safetensors"]
    monkeypatch.chdir(somewhere)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", is_by_choice)
    with asked(NOBODY, somewhere / "hub"):
        assert loaded(names, hub.root / BASE) == {name: online[name] for name in names}


def test_with_neither_hub_nor_cache_there_is_one_clear_error(tmp_path):
    """
    It names the repository, the revision, and what to do.
    """
    with asked(NOBODY, tmp_path), pytest.raises(CheckpointError) as caught:
        identify("sdxl")
    for part in (BASE, "'main'", NOBODY, "hf download", "folder"):
        assert part in str(caught.value)


def test_a_repository_that_left_its_place_is_not_to_be_downloaded_from_there(tmp_path):
    """
    What is said names the checkpoint as it is called here, and gives no command for a place where nothing is.
    """
    for repository, name in FAMILIES["sd"].moved.items():
        with asked(NOBODY, tmp_path), pytest.raises(CheckpointError) as to_load:
            identify(repository)
        with asked(NOBODY, tmp_path), pytest.raises(CheckpointError) as to_measure:
            shapes_of(locate(repository))
        for said in (str(to_load.value), str(to_measure.value)):
            assert f"give {name}, the same checkpoint by its name here" in said
            assert "hf download" not in said


def test_the_command_that_is_named_brings_all_that_is_needed(hub, tmp_path):
    """
    The client's own command, run as the message has it where the hub answers, leaves a cache that serves without it, and brings no single file.
    """
    with asked(NOBODY, tmp_path / "hub"), pytest.raises(CheckpointError) as caught:
        identify(BASE)
    [line] = re.findall(r"`(hf download [^`]*)`", str(caught.value))
    with serving(hub):
        hub.fetched.clear()
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
        hidden = {name: value for name, value in environment().items() if not name.startswith("HF_")}
        client = [str(Path(sys.executable).with_name("hf")), *shlex.split(line)[1:]]
        subprocess.run(client, env=hidden | settings, check=True, capture_output=True, timeout=300)
        brought = {name for _, _, name in hub.fetched}
    with asked(NOBODY, tmp_path / "hub"):
        assert Repository(BASE).fetch().path.name == hub.commit(BASE)
    assert {name for name in brought if "/" not in name} == {"model_index.json"}
    assert {name.rpartition(".")[2] for name in brought} <= {"json", "txt", "safetensors"}
