"""LoRAs of a run: refused in one message before anything is loaded, as none at weight 0, and recorded by content."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdxl_lab.adapters._lora_names import Places
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support.datasets import write_dataset
from tests.support.edits import same
from tests.support.lone_pictures import QUICK
from tests.support.loras import as_diffusers, layers_in, matrices, write


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global torch, finish, run
    import torch

    from sdxl_lab.runs.experiment import finish, run


@pytest.fixture
def lab(tmp_path, monkeypatch, random_pair) -> Path:
    """A folder to work in, with a dataset of two scenes and the file of a LoRA for the random checkpoint."""
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "scenes")
    write(tmp_path / "moon.safetensors", as_diffusers(matrices(random_pair / "base", 1)))
    return tmp_path


def asked(checkpoint: Path | str, loras: Any, **others: Any) -> RunSpec:
    """One quick picture."""
    hyperparameters = {**QUICK, "loras": loras, **others.pop("hyperparameters", {})}
    parameters = {"name": "made", "dataset": "scenes", "samples": ["scene-0"], "tasks": ["inpaint"], "tracking": "off", "runs_folder": "runs"}
    return RunSpec.from_parameters(**{**parameters, "checkpoint": str(checkpoint), "hyperparameters": hyperparameters, **others})


# --- refused -------------------------------------------------------------------------------------------------------------------------------------

Q = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
"""A layer of the random checkpoint's UNet, 64 wide."""


def pair(name: str = Q, width: int = 64, out: int = 64, rank: int = 2, ends: tuple[str, str] = ("lora_A", "lora_B")) -> dict[str, Any]:
    """The two matrices of one layer."""
    return {f"{name}.{ends[0]}.weight": torch.ones(rank, width), f"{name}.{ends[1]}.weight": torch.ones(out, rank)}


def kohya(name: str, width: int, out: int, **others: Any) -> dict[str, Any]:
    """The same in kohya's words."""
    return pair(name, width, out, ends=("lora_down", "lora_up"), **others)


OLD = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
REFUSED: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "nothing": (dict, "it holds nothing; take a LoRA for Stable Diffusion XL"),
    "nan": (lambda: pair() | {f"{Q}.lora_A.weight": torch.full((2, 64), torch.nan)}, rf"{re.escape(Q)}\.lora_A\.weight holds NaN or infinity"),
    "kohya-nan": (lambda: {name: one * torch.inf for name, one in kohya("lora_unet_x", 64, 64).items()}, "lora_unet_x.lora_down.weight holds NaN"),
    "kohya-half": (lambda: dict(list(kohya("lora_te1_x", 64, 64).items())[:1]), r"lora_te1_x has lora_A \(lora_down\) without"),
    "infinity": (lambda: {name: one.bfloat16() * torch.inf for name, one in pair().items()}, "to_q.lora_A.weight holds NaN or infinity"),
    "whole-numbers": (
        lambda: {name: one.long() for name, one in pair().items()},
        "to_q.lora_A.weight is of type I64; allowed are F32, F16, BF16, F64",
    ),
    "no-up": (lambda: dict(list(pair().items())[:1]), r"to_q has lora_A \(lora_down\) without lora_B \(lora_up\); the file is not whole"),
    "no-down": (lambda: dict(list(pair().items())[1:]), r"to_q has lora_B \(lora_up\) without lora_A \(lora_down\); the file is not whole"),
    "alpha-alone": (lambda: pair() | {"lora_te1_x.alpha": torch.tensor(1.0)}, "lora_te1_x has alpha without any matrix"),
    "odd-alpha": (lambda: pair() | {f"{Q}.alpha": torch.tensor(torch.nan)}, "to_q has an alpha that is no number"),
    "no-product": (lambda: pair() | {f"{Q}.lora_B.weight": torch.ones(64, 3)}, r"matrices of \[2, 64\] and \[64, 3\], whose product is none"),
    "twice": (lambda: pair() | kohya(f"lora_unet_{Q.removeprefix('unet.').replace('.', '_')}", 64, 64), "it has more than one LoRA for a layer"),
    "loha": (lambda: {"lora_unet_x.hada_w1_a": torch.ones(2, 2)}, "it is a LoHa, and only plain LoRAs"),
    "lokr": (lambda: {"lora_unet_x.lokr_w1": torch.ones(2, 2)}, "it is a LoKr, and only plain LoRAs"),
    "dora": (lambda: pair() | {f"{Q}.lora_magnitude_vector": torch.ones(64)}, "it is a DoRA, and only plain LoRAs"),
    "kohya-dora": (lambda: kohya("lora_unet_x", 64, 64) | {"lora_unet_x.dora_scale": torch.ones(64)}, "it is a DoRA, and only plain LoRAs"),
    "tucker": (lambda: kohya("lora_unet_x", 64, 64) | {"lora_unet_x.lora_mid.weight": torch.ones(2, 2)}, "it is a LoCon in Tucker form"),
    "more": (lambda: pair() | {"unet.conv_in.bias": torch.ones(2)}, "it holds 1 tensors of 3 that are no LoRA's, unet.conv_in.bias"),
    "strange": (
        lambda: pair() | {key: one for n in range(5) for key, one in pair(f"unet.down_blocks.9.resnets.{n}.conv1").items()},
        r"5 of its 6 layers are none of this checkpoint's, unet\.down_blocks\.9.*unet\.\S*2\.conv1 and 2 more; take a LoRA for this checkpoint",
    ),
    "wide": (
        lambda: pair(width=320, out=320),
        r"1 of its 1 layers are of other widths: \S*to_q is for weights of \[320, 320\], and .* are \[64, 64\]",
    ),
    "sd1": (
        lambda: kohya(OLD, 768, 320) | kohya("lora_te_text_model_x", 768, 768),
        "it is for Stable Diffusion 1, of one text encoder by its layers' names, and the checkpoint has two text encoders; take a LoRA for",
    ),
    "sd1-unet": (lambda: kohya(OLD, 768, 320), "other widths.*its cross attention reads text 768 wide, as that of Stable Diffusion 1"),
    "sd2": (lambda: kohya(OLD, 1024, 320), "other widths.*its cross attention reads text 1024 wide, as that of Stable Diffusion 2"),
    "refiner": (
        lambda: kohya("lora_unet_input_blocks_8_1_transformer_blocks_3_attn2_to_k", 1280, 768),
        "1 of its 1 layers are none of.*cross attention reads text 1280 wide, as that of the refiner",
    ),
    "xl": (lambda: pair(Q.replace("attn1.to_q", "attn2.to_k"), width=2048, out=640), "reads text 2048 wide, as that of Stable Diffusion XL"),
    "flux": (lambda: kohya("lora_unet_double_blocks_0_img_attn_proj", 64, 64), "it is for Flux; take a LoRA for Stable Diffusion XL"),
    "flux-too": (lambda: pair("transformer.single_transformer_blocks.0.attn.to_q"), "it is for Flux; take a LoRA"),
    "sd3": (lambda: pair("transformer.transformer_blocks.0.attn.to_q") | kohya("lora_te3_x", 64, 64), "it is for Stable Diffusion 3"),
    "embedding": (lambda: {"clip_l": torch.ones(1, 16), "clip_g": torch.ones(1, 24)}, r"it is an embedding .*, where a LoRA is needed"),
    "checkpoint": (lambda: {"conditioner.embedders.1.model.x": torch.ones(1)}, "it is a base of Stable Diffusion XL, where a LoRA is needed"),
    "unet": (lambda: {"down_blocks.0.resnets.0.conv1.weight": torch.ones(1)}, "it is a UNet alone, where a LoRA is needed"),
    "vae": (lambda: {"decoder.conv_in.weight": torch.ones(1)}, "it is a VAE alone, where a LoRA is needed"),
}


MISNAMED = {
    "zip": (b"PK\x03\x04\x14\x00\x00\x08archive/data.pkl", "a zip archive, as PyTorch's .pt and .ckpt are, which can run code"),
    "pickled": (pickle.dumps({"lora": 1.0}), "a pickle, which can run code"),
    "page": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "a web page, such as one that asks to sign in"),
    "answer": (b'{"error": "Invalid credentials"}', "a text, such as a server's answer"),
    "gguf": (b"GGUF\x03\x00\x00\x00", "a GGUF file"),
}
"""What people come to have by such a name: content, and what it is called."""


def test_all_that_is_wrong_is_said_at_once(lab, random_pair):
    """
    Each file that is no LoRA, or none for this checkpoint, whatever its weight, is a line of one message, before any weight is loaded.
    """
    for name, (held, _) in REFUSED.items():
        write(lab / f"{name}.safetensors", held())
    (lab / "empty.safetensors").touch()
    (lab / "half.safetensors").write_bytes((lab / "moon.safetensors").read_bytes()[:-100])
    (lab / "pointer.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    (lab / "again.safetensors").write_bytes((lab / "moon.safetensors").read_bytes())
    (lab / "folder.safetensors").mkdir()
    for name, (content, _) in MISNAMED.items():
        (lab / f"{name}.safetensors").write_bytes(content)
    names = [*REFUSED, *MISNAMED, "empty", "half", "pointer", "folder", "gone", "moon", "again"]
    named = {name: {"file": f"{name}.safetensors", "weight": place % 2} for place, name in enumerate(names)} | {
        "moon": "moon.safetensors",
        "again": "again.safetensors",
        "word": "pocket-blurry.safetensors",
    }
    with pytest.raises(SpecError) as error:
        resolve(asked(random_pair, named))
    parted = [re.fullmatch(r"hyperparameters\.loras\.(\S+)\.file: got '[\w-]+\.safetensors'; (.*)", line) for line in error.value.problems]
    assert all(parted)
    said = {found[1]: found[2] for found in parted if found}
    others = {
        "empty": r"it is no whole .safetensors file \(empty\)",
        **{name: f"it is no whole .safetensors file .{re.escape(said)}.*; take another file" for name, (_, said) in MISNAMED.items()},
        "half": r"it is no whole .safetensors file \(Error while",
        "pointer": r"it is no whole .safetensors file \(a pointer of Git LFS.*git lfs pull",
        "folder": "it is a folder; give a .safetensors file in it",
        "word": r"there is no such file, .*; pocket-blurry\.safetensors is an embedding .*: give it as embeddings\.NAME\.file",
        "gone": "there is no such file, in the working folder, the dataset's, or artifacts/loras",
        "again": "it is the same LoRA as moon; leave one of them out",
    }
    expected = {name: line for name, (_, line) in REFUSED.items()} | others
    assert said.keys() == expected.keys()
    for name, line in expected.items():
        assert re.search(line, said[name]), f"{name}: {said[name]}"
        assert str(lab) not in said[name]


def test_a_lora_is_no_checkpoint(lab):
    """
    A LoRA in the checkpoint's place is told where it belongs.
    """
    with pytest.raises(
        CheckpointError,
        match=r"is a LoRA, where a base of Stable Diffusion XL, 1 or 2 is needed; give it as hyperparameters\.loras.*-p loras.NAME.file FILE",
    ):
        resolve(asked(lab / "moon.safetensors", {}))


def test_the_built_in_lora_is_no_checkpoint(lab):
    """
    Its name in the checkpoint's place is told where it belongs, and no other name is offered.
    """
    for name in ("pocket-moon", "pocket-moon.safetensors"):
        with pytest.raises(CheckpointError, match=rf"no checkpoint '{name}': pocket-moon is a built-in LoRA: give it as loras\.NAME\.file"):
            resolve(asked(name, {}))


GATE: dict[str, tuple[Any, str]] = {
    "pickle": ({"x": "x.ckpt"}, r"x\.file: got 'x\.ckpt'; .*Only \.safetensors files are read, since a \.ckpt file can run code"),
    "heavy": ({"x": {"file": "x.safetensors", "weight": 6}}, r"x\.weight: got 6; allowed is a number from -5 to 5"),
    "nan": ({"x": {"file": "x.safetensors", "weight": float("nan")}}, r"x\.weight: got nan; allowed is a number from -5 to 5"),
    "a word": ({"x": {"file": "x.safetensors", "weight": "strong"}}, r"x\.weight: got 'strong'; allowed is a number from -5 to 5"),
    "yes": ({"x": {"file": "x.safetensors", "refiner": "yes"}}, r"x\.refiner: got 'yes'; allowed is true or false"),
    "a dot": ({"add-v1.0": "x.safetensors"}, r"loras: got the name 'add-v1\.0'; allowed are letters.*; names hold no dots.*: write add-v1-0"),
    "a parted name": (
        {"add-v1": {"0": {"1": {"file": "x.safetensors", "weight": 1.0}}}},
        r"1 problem.*\n.*loras\.add-v1\.0: got the name 'add-v1\.0\.1'; names hold no dots.*: write loras\.add-v1-0-1$",
    ),
    "a parted name alone": ({"add-v1": {"0": "x.safetensors"}}, r"1 problem.*\n.*add-v1\.0: got the name 'add-v1\.0'; .*: write loras\.add-v1-0$"),
    "a weight alone": ({"x": 0.4}, r"loras\.x: got 0\.4; allowed is a dictionary.*\. For a weight, write loras\.x\.weight 0\.4$"),
    "a file alone": ("x.safetensors", r"loras: got 'x\.safetensors'; allowed is a dictionary of names.*\. Write loras\.NAME\.file x\.safetensors$"),
    "another key": (
        {"x": {"file": "x.safetensors", "scale": 1}},
        r"x\.scale: unknown key; valid here are file, weight, text_encoder_weight, refiner",
    ),
}


@pytest.mark.parametrize("case", GATE)
def test_the_gate_refuses_what_needs_no_look(case):
    """
    What can be known of the words alone is said by the gate.
    """
    given, said = GATE[case]
    with pytest.raises(SpecError, match=said):
        asked("pocket", given)


@pytest.mark.parametrize("part", ["unet", "text_encoder", "text_encoder_2"])
def test_a_configuration_says_what_the_files_hold(random_pair, monkeypatch, tmp_path, part):
    """
    Where no file here names a model's layers as diffusers does, its configuration tells the same, without the models' classes once they were asked.
    """
    from sdxl_lab.checkpoints import weight_shapes, whole_weights

    monkeypatch.setenv("SDXL_LAB_CACHE", str(tmp_path))
    described = weight_shapes._described(random_pair / "base", part)
    held = {name.removeprefix("text_model."): shape for (of, name), shape in layers_in(random_pair / "base").items() if of == part}
    places = Places.in_weights(described).shapes
    assert {name.removeprefix("text_model."): shape for name, shape in places.items()} == held
    monkeypatch.setattr(whole_weights, "on_paper", None)
    assert weight_shapes._described(random_pair / "base", part) == described


# --- found and recorded --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [{"weight": 0}, {"weight": -0.0, "text_encoder_weight": 0}, {"weight": 0, "refiner": True}])
def test_weight_0_is_none(lab, random_pair, told):
    """
    A LoRA of weight 0 is not there: the run, its pictures and what they are called are those without; a document says that it was asked for.
    """
    control, zero = (resolve(asked(random_pair, loras)) for loras in ({}, {"moon": {"file": "moon.safetensors", **told}}))
    assert (zero.spec.run_id, zero.spec.adapters, zero.spec.computed_by) == (control.spec.run_id, (), control.spec.computed_by)
    assert zero.spec.spec.hyperparameters["loras"]["moon"]["file"] == str(lab / "moon.safetensors")
    assert str(lab) not in json.dumps(zero.spec.portable())
    assert zero.spec.portable()["spec"]["hyperparameters"]["loras"]["moon"]["file"] == "moon.safetensors"


def test_half_of_it_may_be_on(lab, random_pair):
    """
    Weights of layers that a file has not are no part of a run's name; those that it has are.
    """
    write(lab / "unet.safetensors", as_diffusers(matrices(random_pair / "base", 2, parts=["unet"])))

    def run_id(file: str, **told: Any) -> str:
        return resolve(asked(random_pair, {"moon": {"file": file, **told}})).spec.run_id

    assert run_id("unet.safetensors") == run_id("unet.safetensors", text_encoder_weight=0.5) == run_id("unet.safetensors", refiner=True)
    assert run_id("unet.safetensors", weight=0, text_encoder_weight=1.0) == resolve(asked(random_pair, {})).spec.run_id
    others = [run_id("moon.safetensors", **told) for told in ({}, {"text_encoder_weight": 0.5}, {"weight": 0, "text_encoder_weight": 1.0})]
    assert len(set(others)) == 3


def test_a_file_is_known_by_its_content(lab, random_pair):
    """
    Under another name, with other words about itself, it is the same run.
    """
    from safetensors.torch import load_file

    before = resolve(asked(random_pair, {"moon": "moon.safetensors"})).spec
    write(lab / "other.safetensors", load_file(lab / "moon.safetensors"), metadata={"ss_network_dim": "4"})
    after = resolve(asked(random_pair, {"sun": "other.safetensors"})).spec
    assert after.run_id == before.run_id
    assert after.adapters[0].sha256 != before.adapters[0].sha256


def test_a_picture_says_what_was_on(lab, random_pair):
    """
    Record, PNG and infotext name the LoRA by content, and the picture of weight 0 is the control's, name and all.
    """
    made = {}
    for weight in (None, 0, 0.7):
        resolved = resolve(
            asked(random_pair, {} if weight is None else {"moon": {"file": "moon.safetensors", "weight": weight}}, name=f"at-{weight}")
        )
        [picture] = run(resolved)
        finish(resolved)
        made[weight] = RunFolder(resolved.folder.path).pictures()[0], picture
    assert made[0][0].picture_id == made[None][0].picture_id != made[0.7][0].picture_id
    assert made[0][0].sha256 == made[None][0].sha256 != made[0.7][0].sha256
    assert same(*(Image.open(made[weight][1].image) for weight in (None, 0)))
    text = made[0.7][1].image.read_bytes()
    assert b'Lora hashes: "moon: ' in text
    assert str(lab).encode() not in text
