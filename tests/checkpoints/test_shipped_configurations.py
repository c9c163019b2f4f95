"""What the package holds of single files: the configurations that they share, and CLIP's words. Nothing is asked of the net."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sdxl_lab.checkpoints import clip_words
from sdxl_lab.checkpoints.configurations import check_configuration, check_pair, components_in, read_json
from sdxl_lab.checkpoints.derived import whole
from sdxl_lab.checkpoints.locating import identify, locate
from sdxl_lab.checkpoints.own_defaults import traits
from sdxl_lab.checkpoints.shapes import shapes_of
from sdxl_lab.checkpoints.tokens import loaded, tokenizers
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.families import CONFIGURATIONS, FAMILIES
from sdxl_lab.files.digests import cache_folder
from sdxl_lab.settings.sections import Compute
from tests.support import original_layouts as layouts
from tests.support.loopback_hub import NOBODY, asked


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global on_paper, outline, require_weights, save_file, settle, tensors_of
    from safetensors.torch import save_file

    from sdxl_lab.checkpoints.outlines import outline
    from sdxl_lab.checkpoints.settling import settle
    from sdxl_lab.checkpoints.whole_weights import on_paper, require_weights
    from sdxl_lab.pocket.training.single_file import tensors_of


FIVE_MORE = 5 * 320 * 9
"""What five more channels of its input add to a UNet's first convolution."""

VAE, CLIP_L, CLIP_H, CLIP_G = 83_653_863, 123_060_480, 340_387_840, 694_659_840

COUNTED: dict[str, dict[str, int]] = {
    "sdxl": {"unet": 2_567_463_684, "vae": VAE, "text_encoder": CLIP_L, "text_encoder_2": CLIP_G},
    "sdxl-inpaint": {"unet": 2_567_463_684 + FIVE_MORE, "vae": VAE, "text_encoder": CLIP_L, "text_encoder_2": CLIP_G},
    "sdxl-refiner": {"unet": 2_259_526_660},
    "sd15": {"unet": 859_520_964, "vae": VAE, "text_encoder": CLIP_L},
    "sd15-inpaint": {"unet": 859_520_964 + FIVE_MORE, "vae": VAE, "text_encoder": CLIP_L},
    "sd21": {"unet": 865_910_724, "vae": VAE, "text_encoder": CLIP_H},
    "sd21-base": {"unet": 865_910_724, "vae": VAE, "text_encoder": CLIP_H},
    "sd2-inpaint": {"unet": 865_910_724 + FIVE_MORE, "vae": VAE, "text_encoder": CLIP_H},
}
"""Numbers of the models that were published."""

NOISE: dict[str, tuple[str, str, str | None, int]] = {
    # its scheduler, what its UNet predicts, how its steps are spaced, and the side of its pictures
    "sdxl": ("EulerDiscreteScheduler", "epsilon", "leading", 1024),
    "sdxl-inpaint": ("EulerDiscreteScheduler", "epsilon", "leading", 1024),
    "sdxl-refiner": ("EulerDiscreteScheduler", "epsilon", "leading", 1024),
    "sd15": ("PNDMScheduler", "epsilon", None, 512),
    "sd15-inpaint": ("DDIMScheduler", "epsilon", None, 512),
    "sd21": ("DDIMScheduler", "v_prediction", None, 768),
    "sd21-base": ("PNDMScheduler", "epsilon", None, 512),
    "sd2-inpaint": ("PNDMScheduler", "epsilon", None, 512),
}

BYTES: dict[str, str] = {
    "sdxl/unet/config.json": "30ebc70750223e59006f7f2b4e1e6c102570aa19a9c4ae3e1fbe7591332dbae6",
    "sdxl/text_encoder/config.json": "39b8b2e4b1949e36969caa425b6c81c68bace99198dd9078ce05d16ad401fe7f",
    "sd21-base/unet/config.json": "ce0c6d379e3b1d3e1f79338de70c80a1e36f17a6372439a8249b6fb0dfa1b608",
    "sd21-base/vae/config.json": "424117cb534ce03497c41305ed868980123917b2b6abba4bbaa615e968772903",
    "sd21-base/scheduler/scheduler_config.json": "11ac5627d7df0fa344b875c4b5722b1767a8a2aa1684c2cf8b4d614300127234",
    "sd21-base/tokenizer/special_tokens_map.json": "f118ab3a983206e4f32583448de6bd6aae4ee21869135cef1f5848a753cdaab6",
    "clip/merges.txt": "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a",
}
"""The sha256 of files as repositories of the hub have them, whose digests are published beside them."""

VOCABULARY = "e089ad92ba36837a0d31433e555c8f45fe601ab5c221d4f607ded32d9f7a4349"
"""The same of `vocab.json`, which follows from the merges."""

READ: dict[str, list[int]] = {
    "a photo of a cat": [320, 1125, 539, 320, 2368],
    "An Astronaut riding a horse, in the style of Van Gogh": [550, 18376, 6765, 320, 4558, 267, 530, 518, 1844, 539, 2451, 19697],
    "it's 50% off": [585, 568, 276, 271, 260, 1007],
    "MASTERPIECE  (best:1.2), 8k_uhd": [12066, 263, 949, 281, 272, 269, 273, 2361, 279, 330, 318, 84, 4414],
    "naïve café, 日本 🐱": [1097, 35689, 563, 15304, 267, 39121, 19277, 361, 22979],
}
"""Texts, and what CLIP's own tokenizer makes of them (open_clip 3.3.0, `SimpleTokenizer.encode`)."""

BEGIN, END = 49406, 49407


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch) -> Iterator[None]:
    """There is no hub, no cache of one, and a cache folder of the lab that is empty."""
    monkeypatch.setenv("SDXL_LAB_CACHE", str(tmp_path / "lab"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with asked(NOBODY, tmp_path / "hub"):
        yield


def models(kind: str) -> dict[str, Any]:
    """
    A kind's models, of shapes alone, by name.
    """
    index = read_json(CONFIGURATIONS / kind / "model_index.json")
    return {name: on_paper(index[name][0], index[name][1], CONFIGURATIONS / kind / name / "config.json") for name in COUNTED[kind]}


@pytest.mark.parametrize("kind", COUNTED)
def test_models_have_as_many_numbers_as_were_published(kind):
    """
    By diffusers' and transformers' own classes.
    """
    assert {name: sum(weight.numel() for weight in model.parameters()) for name, model in models(kind).items()} == COUNTED[kind]


@pytest.mark.parametrize("kind", COUNTED)
def test_parts_fit_each_other_and_make_pictures_of_the_right_size(kind):
    """
    Each folder passes the checks of a pipeline's folder, and its noise is its repository's.
    """
    folder, is_refiner = whole(CONFIGURATIONS / kind, {}), kind == "sdxl-refiner"
    check_configuration(folder, is_refiner=is_refiner)
    if is_refiner:
        check_pair(whole(CONFIGURATIONS / "sdxl", {}), folder)
    told, unet = read_json(folder / "scheduler" / "scheduler_config.json"), read_json(folder / "unet" / "config.json")
    scheduler, prediction, spacing, side = NOISE[kind]
    assert (told["_class_name"], told.get("prediction_type", "epsilon"), told.get("timestep_spacing")) == (scheduler, prediction, spacing)
    assert (told["beta_schedule"], told["beta_start"], told["beta_end"], told["steps_offset"]) == ("scaled_linear", 0.00085, 0.012, 1)
    assert (told["clip_sample"], told["set_alpha_to_one"], told["skip_prk_steps"]) == (False, False, True)
    assert read_json(folder / "model_index.json")["scheduler"] == ["diffusers", scheduler]
    assert unet["sample_size"] * 8 == side
    assert bool(unet.get("upcast_attention")) == (kind == "sd21")


def test_files_are_those_that_were_published():
    """
    Byte for byte, where a digest of theirs is known.
    """
    assert {name: hashlib.sha256((CONFIGURATIONS / name).read_bytes()).hexdigest() for name in BYTES} == BYTES
    assert hashlib.sha256(clip_words.files()["vocab.json"]).hexdigest() == VOCABULARY
    assert "Copyright (c) 2021 OpenAI" in (CONFIGURATIONS / "clip" / "LICENSE").read_text()


def test_each_architecture_has_a_folder_of_its_own():
    """
    Nothing lies there that no file takes, and no family names one that is not there.
    """
    places = {lender.configuration for name in ("sd", "custom") for lender in FAMILIES[name].single_files.values()}
    assert places == {file.parent for file in CONFIGURATIONS.glob("*/model_index.json")} == {CONFIGURATIONS / kind for kind in COUNTED}


def write_full_size(path: Path, kind: str) -> Path:
    """
    A file with the names and shapes of a kind's weights in the original layout, in 8 bits, whose content is a hole.
    """
    built = models(kind)
    if kind.startswith("sdxl"):
        own = models("sdxl") | built | {"text_encoder": None} if kind == "sdxl-refiner" else built
        weights = tensors_of(SimpleNamespace(**own))
    else:
        encoder = layouts.clip if kind.startswith("sd15") else layouts.open_clip
        weights = {**layouts.unet(built["unet"]), **layouts.vae(built["vae"]), **encoder(built["text_encoder"])}
    header, end = {}, 0
    for name, weight in weights.items():
        header[name] = {"dtype": "F8_E4M3", "shape": list(weight.shape), "data_offsets": [end, end + weight.numel()]}
        end += weight.numel()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + end)
    return path


@pytest.mark.parametrize(
    "kind", [kind if kind == "sd21-base" else pytest.param(kind, marks=pytest.mark.slow) for kind in COUNTED if "refiner" not in kind]
)
def test_a_file_of_full_size_is_known_with_nothing_fetched(tmp_path, kind):
    """
    Found, settled, planned, seen to lack no weight, and reckoned: by its header and what the package holds.
    """
    path = write_full_size(tmp_path / "file.safetensors", kind)
    if kind == "sdxl":
        write_full_size(tmp_path / "refiner.safetensors", "sdxl-refiner")
    identity = identify(str(path))
    assert identity.family == ("custom" if kind.startswith("sdxl") else "sd")
    compute = settle(Compute(device="cpu", prediction={"sd21": "v", "sd21-base": "epsilon"}.get(kind)), identity)  # pyright: ignore[reportArgumentType]
    found, (_, _, spacing, side) = outline(identity, compute), NOISE[kind]
    assert found.configuration == whole(CONFIGURATIONS / kind, {})
    assert (found.sizes.area, found.in_channels, found.has_refiner) == (side**2, 9 if "inpaint" in kind else 4, kind == "sdxl")
    require_weights(identity)
    known = traits(identity)
    assert (known.in_channels, known.timestep_spacing, known.is_scheduled_alike) == (found.in_channels, spacing, True if found.has_refiner else None)
    assert len(tokenizers(identity)) == (2 if kind.startswith("sdxl") else 1)
    reckoned = shapes_of(locate(str(path)), compute.prediction)
    expected = COUNTED[kind] | ({"refiner": COUNTED["sdxl-refiner"]["unet"]} if found.has_refiner else {})
    assert {name: sum(layer.numbers for layer in layers) for name, layers in reckoned.layers.items()} == expected
    assert reckoned.sizes == found.sizes


def test_nobody_is_told_what_cannot_be_known(sd2, tmp_path):
    """
    Of Stable Diffusion 2 what the UNet predicts is no trait of the file, until a .yaml beside it says so.
    """
    path = tmp_path / "v2.safetensors"
    save_file(layouts.original(sd2), path)
    assert traits(identify(str(path))).prediction is None
    (tmp_path / "v2.yaml").write_text("model: {params: {parameterization: v}}")
    assert traits(identify(str(path))).prediction == "v_prediction"


@pytest.mark.parametrize("kind", [kind for kind in COUNTED if kind != "sdxl-refiner"])
def test_words_are_read_as_clip_reads_them(kind):
    """
    By each tokenizer, whose texts end at 77 tokens and are filled up as its encoder was trained: the second of SDXL and that of 2 by `!`, word 0.
    """
    index = read_json(CONFIGURATIONS / kind / "model_index.json")
    for name in ("tokenizer", "tokenizer_2") if "tokenizer_2" in components_in(index) else ("tokenizer",):
        tokenizer, filling = loaded(whole(CONFIGURATIONS / kind, {}) / name), 0 if name == "tokenizer_2" or kind.startswith("sd2") else END
        assert (len(tokenizer), tokenizer.model_max_length) == (49408, 77)
        for text, numbers in READ.items():
            read = tokenizer(text, padding="max_length").input_ids
            assert read == [BEGIN, *numbers, END, *[filling] * (75 - len(numbers))]


def test_a_whole_configuration_is_written_once():
    """
    It is the same folder each time, and another one where a file says something of its noise.
    """
    first = whole(CONFIGURATIONS / "sdxl", {})
    before = {file: file.stat().st_mtime_ns for file in first.rglob("*")}
    assert whole(CONFIGURATIONS / "sdxl", {"prediction_type": "epsilon"}) == first
    told = whole(CONFIGURATIONS / "sdxl", {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True})
    assert whole(CONFIGURATIONS / "sdxl", {}) == first
    assert {file: file.stat().st_mtime_ns for file in first.rglob("*")} == before
    assert {path.parent for path in (first, told)} == {cache_folder() / "configurations"}
    said = read_json(told / "scheduler" / "scheduler_config.json")
    assert said == {**read_json(first / "scheduler" / "scheduler_config.json"), "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    assert (told / "tokenizer_2" / "vocab.json").read_bytes() == (first / "tokenizer_2" / "vocab.json").read_bytes()


def test_a_cache_folder_that_takes_no_files_is_named(tmp_path, monkeypatch):
    """
    With what to set instead.
    """
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("SDXL_LAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match=r"the configuration of a single file is kept in the cache folder: .*\(SDXL_LAB_CACHE\)"):
        whole(CONFIGURATIONS / "sd15", {})
