from __future__ import annotations

import gc
import json
import shutil
import weakref

import pytest

from sdxl_lab.checkpoints.locating import identify
from sdxl_lab.checkpoints.own_defaults import defaults
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.identities import CheckpointIdentity


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global Residence, forget, load, loading, settle, torch
    import torch

    from sdxl_lab.checkpoints import loading
    from sdxl_lab.checkpoints.loading import forget, load
    from sdxl_lab.checkpoints.offload import Residence
    from sdxl_lab.checkpoints.settling import settle


UNET = "base/unet/diffusion_pytorch_model.safetensors"
CONFIG, VAE, TEXT, SCHEDULER = (f"base/{part}config.json" for part in ("unet/", "vae/", "text_encoder/", "scheduler/scheduler_"))


@pytest.fixture
def pair(tmp_path, random_pair):
    """
    A copy of the random pair, to break.
    """
    return shutil.copytree(random_pair, tmp_path / "pair")


def write(path, **changes):
    """
    Change keys of a JSON file.
    """
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


BROKEN = {
    "no weights": (lambda pair: (pair / UNET).unlink(), "diffusion_pytorch_model.safetensors is missing"),
    "pickle only": (lambda pair: (pair / UNET).rename(pair / "base/unet/diffusion_pytorch_model.bin"), "pickled weights alone"),
    "pointer of Git LFS": (lambda pair: (pair / UNET).write_text("version https://git-lfs"), "no whole .safetensors file"),
    "zip archive": (lambda pair: (pair / UNET).write_bytes(b"PK\x03\x04 pickled"), "no whole .safetensors file: a zip archive, as PyTorch's"),
    "cut off": (lambda pair: (pair / UNET).write_bytes((pair / UNET).read_bytes()[:-9]), "no whole .safetensors file"),
    "no index": (lambda pair: (pair / "base/model_index.json").unlink(), "model_index.json is missing"),
    "broken index": (lambda pair: (pair / "base/model_index.json").write_text("{"), "is no JSON"),
    "no folder": (lambda pair: shutil.rmtree(pair / "base/vae"), "vae/config.json is missing"),
    "not SDXL": (lambda pair: write(pair / "base/unet/config.json", addition_embed_type=None), "'text_time', as Stable Diffusion XL has"),
    "other channels": (lambda pair: write(pair / "base/unet/config.json", in_channels=8), "takes 8 channels"),
    "no UNet": (lambda pair: write(pair / "base/model_index.json", unet=[None, None]), "names no unet"),
    "code of its own": (
        lambda pair: write(pair / "base/model_index.json", unet=["my_unet", "UNet"]),
        "takes unet from 'my_unet'; allowed are diffusers and transformers",
    ),
    "an index that is a list": (lambda pair: (pair / "base/model_index.json").write_text("[]"), "is no JSON object"),
    "a tokenizer that the index does not name": (
        lambda pair: write(pair / "base/model_index.json", tokenizer=[None, None]),
        "names no tokenizer; .* `refiner` beside its base",
    ),
    "no scheduler": (lambda pair: shutil.rmtree(pair / "base/scheduler"), "scheduler/scheduler_config.json is missing"),
    "a scheduler without class": (lambda pair: write(pair / SCHEDULER, _class_name=None), "of class None; allowed are diffusers' schedulers"),
    "a scheduler of other noise": (
        lambda pair: write(pair / SCHEDULER, _class_name="FlowMatchEulerDiscreteScheduler"),
        "is of class FlowMatchEulerDiscreteScheduler; allowed",
    ),
    "a class without library": (lambda pair: write(pair / "base/model_index.json", unet=["diffusers"]), r"names \['diffusers'\] as unet; allowed is"),
    "another class of VAE": (
        lambda pair: write(pair / "base/model_index.json", vae=["diffusers", "AutoencoderTiny"]),
        r"'AutoencoderTiny'\] as vae; allowed is AutoencoderKL",
    ),
    "training steps in words": (lambda pair: write(pair / SCHEDULER, num_train_timesteps="many"), "num_train_timesteps 'many'; it must be a whole"),
    "no such prediction": (lambda pair: write(pair / SCHEDULER, prediction_type="x"), "'x'; allowed are epsilon, v_prediction, sample"),
    "no tokenizer": (lambda pair: shutil.rmtree(pair / "base/tokenizer"), "tokenizer/tokenizer_config.json is missing"),
    "no vocabulary": (lambda pair: (pair / "base/tokenizer_2/tokenizer.json").unlink(), "tokenizer_2 has no vocabulary"),
    "an empty vocabulary": (lambda pair: write(pair / "base/tokenizer_2/tokenizer.json", model={"vocab": {}}), "holds no vocabulary"),
    "a larger vocabulary": (lambda pair: write(pair / TEXT, vocab_size=9), r"tokenizer makes \d+ words, and .* reads 9"),
    "a longer tokenizer": (
        lambda pair: write(pair / "base/tokenizer_2/tokenizer_config.json", model_max_length=99),
        r"tokenizer_2 makes 99 tokens a text, and .* reads \d+",
    ),
    "no sample_size": (lambda pair: write(pair / CONFIG, sample_size=None), "sample_size None; it must be a whole number of 1 or more .* 128"),
    "two sample_sizes": (lambda pair: write(pair / CONFIG, sample_size=[8, 8]), r"sample_size \[8, 8\]; it must be a whole number"),
    "a VAE of other latents": (lambda pair: write(pair / VAE, latent_channels=16), "latents of 16 channels; the UNet takes 4"),
    "a VAE of no size": (lambda pair: write(pair / VAE, block_out_channels=[]), "has no list block_out_channels"),
    "another text encoder": (lambda pair: write(pair / TEXT, hidden_size=32), "cross_attention_dim 40, but its text encoders give 56"),
    "another pooled text": (
        lambda pair: write(pair / TEXT.replace("encoder", "encoder_2"), projection_dim=32),
        "projection_class_embeddings_input_dim 72, but text_encoder_2 and 6 sizes give 80",
    ),
    "a refiner of another base": (
        lambda pair: write(pair / CONFIG.replace("base", "refiner"), cross_attention_dim=1280),
        "refiner/unet/config.json has cross_attention_dim 1280, but its text encoders give 24",
    ),
    "refiner without scheduler": (lambda pair: shutil.rmtree(pair / "refiner/scheduler"), "refiner/scheduler/scheduler_config.json is missing"),
    "one file in a folder": (
        lambda pair: ((pair / UNET).rename(pair / "base/whole.safetensors"), (pair / "base/model_index.json").unlink()),
        "holds whole.safetensors: if that is the whole checkpoint, give the file itself",
    ),
    "refiner without weights": (
        lambda pair: (pair / UNET.replace("base", "refiner")).unlink(),
        "refiner/unet/diffusion_pytorch_model.safetensors is missing",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_one_error_before_anything_is_loaded(pair, case):
    """
    What is missing or broken is named by `identify`, which holds no weights in memory.
    """
    destroy, message = BROKEN[case]
    destroy(pair)
    with pytest.raises(CheckpointError, match=message):
        identify(str(pair))


@pytest.mark.parametrize("name", ["nothing-here", "./no/such/folder", "file.ckpt", ""])
def test_a_name_that_means_nothing_lists_what_is_allowed(name, tmp_path, monkeypatch):
    """
    A name that is no checkpoint is an error that says what would be one.
    """
    monkeypatch.chdir(tmp_path)
    listed = r"pocket, pocket-neon, pocket-paper, pocket-sd2, pocket-sd2-inpaint, sdxl, sdxl-inpaint, sdxl-turbo, sdxl-0\.9, sd15, .*, a folder"
    with pytest.raises(CheckpointError, match=listed):
        identify(name or "?")


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-of-this-name/sdxl", "owner/" + "x" * 5000])
def test_a_name_that_no_disk_can_hold_is_one_short_error(name):
    """
    A path that the system refuses to look up is an error like any other, and not repeated at length.
    """
    with pytest.raises(CheckpointError, match=r"give a shorter one|write the whole path") as caught:
        identify(name)
    assert len(str(caught.value)) < 600


def test_a_name_that_no_hub_allows_is_one_error():
    """
    A hub id is checked before anything is asked of the net.
    """
    with pytest.raises(CheckpointError, match=r"'owner/a\.\.b' is no folder, and no name that the hub allows"):
        identify("owner/a..b")


def test_a_digest_is_of_content_not_of_place(pair, random_pair):
    """
    A copy has the digest of the original; another byte of weights, or a refiner less, has another.
    """
    original = identify(str(random_pair)).digest
    assert identify(str(pair)).digest == original
    shutil.rmtree(pair / "refiner")
    assert identify(str(pair)).digest != original


def test_a_bare_pipeline_folder_finds_the_refiner_beside_it(pair):
    """
    The folder above, and the base's own folder, are the same checkpoint.
    """
    assert identify(str(pair / "base")).digest == identify(str(pair)).digest


def test_a_checkpoint_is_loaded_once_and_its_parts_are_shared(random_pair):
    """
    The second time it is the same object; the refiner has the base's own VAE and text_encoder_2.
    """
    checkpoint = load(str(random_pair), Compute(device="cpu", threads=1))
    assert load(identify(str(random_pair)), Compute(device="cpu", threads=1)) is checkpoint
    assert checkpoint.refiner.vae is checkpoint.base.vae
    assert checkpoint.refiner.text_encoder_2 is checkpoint.base.text_encoder_2
    assert checkpoint.refiner.config.requires_aesthetics_score


def test_of_checkpoints_that_nobody_holds_the_latest_is_kept(random_pair, pair, garbage, monkeypatch):
    """
    Loading another one frees the one before, models that refer to themselves included, unless somebody holds it.
    """
    monkeypatch.setattr(loading, "gc", garbage)
    shutil.rmtree(pair / "refiner")
    write(pair / "base/model_index.json", note="a checkpoint that no other test holds")
    one, other = identify(str(random_pair)), identify(str(pair))
    held = load(one)
    released = weakref.ref(load(other).base.unet)
    assert released() is load(other).base.unet
    Residence(torch.device("cpu"), "model").admit(load(other).base, ("unet",))
    assert load(one) is held
    gc.freeze()  # as a warm kernel does between notebooks
    load(other)
    forget()
    gc.unfreeze()
    assert released() is None
    assert load(one) is held


def test_a_checkpoint_that_changed_since_is_refused(random_pair):
    """
    Loading by identity is loading that content.
    """
    stale = identify(str(random_pair)).model_copy(update={"digest": "0" * 64})
    with pytest.raises(CheckpointError, match="has changed: its digest was 000000000000"):
        load(stale, Compute(device="cpu", threads=1))


def test_what_is_left_open_is_chosen_for_checkpoint_and_machine():
    """
    The pocket checkpoint computes on one thread and takes 30 steps, SDXL 70; offloading without a GPU is refused.
    """
    pocket, sdxl = (CheckpointIdentity(name=family, digest="0", family=family) for family in ("pocket", "sdxl"))
    assert settle(Compute(device="cpu"), pocket) == Compute(device="cpu", dtype="float32", threads=1)
    assert [defaults(identity)["denoising"]["num_inference_steps"] for identity in (pocket, sdxl)] == [30, 70]
    with pytest.raises(CheckpointError, match="no GPU to offload from"):
        settle(Compute(device="cpu", offload="model"), sdxl)
