from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import yaml

from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.settings.sections import EditSettings
from sdxl_lab.spec.asked_again import as_parameters
from sdxl_lab.spec.identities import CheckpointIdentity, DatasetIdentity
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support.specs import OTHER_VALUES, PARAMETERS, make_spec, plan, with_other

EXAMPLES: list[dict[str, Any]] = [
    {},
    {"denoising": {"num_inference_steps": 50, "high_noise_frac": 0.8}, "seed": 2**64 - 1},
    {"denoising": {"high_noise_frac": 0.8}, "inpaint": {"denoising": {"high_noise_frac": None}, "prompt": "a blue ring", "negative_prompt": ""}},
    {"mask": {"kernel_size": 9, "iterations": 2}, "conditioning": {"original_size": (96, 128)}, "refiner": {"guidance_scale": None}},
    {"canvas": {"left_px": 32}, "outpaint": {"mode": "canvas", "seed": 3, "canvas": {"fill": "noise"}}, "compute": {"threads": 1}},
    {"outpaint": {"mode": "background", "denoising": {"guidance_scale": 9}, "negative_prompt": "text"}, "prompt": "the beach: 'calm' \"sea\"\n🐙"},
]


def _resolved(run: RunSpec, **others: Any) -> ResolvedSpec:
    values: dict[str, Any] = {
        "spec": run,
        "dataset": DatasetIdentity(name="pocket-scenes", version="1", digest="d" * 64),
        "checkpoint": CheckpointIdentity(name="pocket", digest="c" * 64, family="pocket"),
        "edits": plan(run),
        "dtype": "float32",
        "threads": 1,
        "device": "cpu",
    }
    return ResolvedSpec(**{**values, **others})


@pytest.mark.parametrize(
    "others",
    [
        {"name": "other"},
        {"tracking": "off"},
        {"runs_folder": "/elsewhere"},
        {"dataset": "/data/the/same"},
        {"checkpoint": "/models/the/same"},
        {"tasks": ["outpaint", "inpaint"]},
        {"samples": ["ring", "star"]},
        {"samples": ["star", "ring"]},
        {"hyperparameters": {"denoising": {"num_inference_steps": 30}}},
        {"hyperparameters": {"denoising": {"num_inference_steps": 30, "guidance_scale": 7.5}}},
        {"hyperparameters": {"denoising": {"guidance_scale": 7.5, "num_inference_steps": 30}}},
        {"hyperparameters": {"mask": {}, "outpaint": {"mode": "background"}, "refiner": None}},
        {"hyperparameters": {"prompt": "a red star", "seed": -732}},
        {"hyperparameters": {"inpaint": {"seed": -732}, "outpaint": {"seed": -732}}},
        {"hyperparameters": {"compute": {"device": "cuda:1", "offload": "model", "threads": 4, "dtype": "bfloat16"}}},
        {"hyperparameters": {"canvas": {"fill": "noise"}}},
    ],
    ids=str,
)
def test_what_changes_no_pixel_keeps_the_run_id(others):
    """
    Names, tracking, device, offload, paths, the order of anything and defaults spelled out leave run_id as it is.
    """
    assert _resolved(make_spec(**others)).run_id == _resolved(make_spec()).run_id


def test_the_names_of_content_keep_the_run_id():
    """
    Dataset and checkpoint count by digest, not by name, version, revision or device.
    """
    dataset = DatasetIdentity(name="other", version="9", digest="d" * 64)
    checkpoint = CheckpointIdentity(name="other", digest="c" * 64, revision="e" * 40, family="custom")
    assert _resolved(make_spec(), dataset=dataset, checkpoint=checkpoint, device="cuda:0").run_id == _resolved(make_spec()).run_id


def test_seven_is_seven_point_zero():
    """
    A whole number given for a fraction is the same setting.
    """
    runs = [_resolved(make_spec({"denoising": {"guidance_scale": value, "strength": 1}})).run_id for value in (7, 7.0, np.float64(7))]
    assert len(set(runs)) == 1


def test_every_setting_of_a_picture_changes_the_run_id():
    """
    Each setting, alone, gives a run_id of its own; the table of other values covers all there are.
    """
    settings = EditSettings().model_dump(mode="json")
    assert set(flatten(settings)) == set(OTHER_VALUES)
    edit = plan(make_spec())[0]
    ids = {_resolved(make_spec()).run_id}
    for path, value in OTHER_VALUES.items():
        other = edit.model_copy(update={"settings": EditSettings.model_validate(with_other(settings, path, value))})
        ids.add(_resolved(make_spec(), edits=(other,)).run_id)
    assert len(ids) == 1 + len(OTHER_VALUES)


def test_every_word_digest_and_machine_setting_changes_the_run_id():
    """
    Samples, tasks, prompts, seeds, digests, dtype, threads and the VAE each give a run_id of their own.
    """
    plain = make_spec()
    variants = [
        _resolved(plain),
        _resolved(make_spec(samples=["star"])),
        _resolved(make_spec(tasks=["inpaint"])),
        _resolved(make_spec({"prompt": "a red star "})),
        _resolved(make_spec({"negative_prompt": ""})),
        _resolved(make_spec({"seed": 732})),
        _resolved(make_spec({"inpaint": {"seed": 732}})),
        _resolved(make_spec({"compute": {"vae": "fp16-fix"}})),
        _resolved(plain, dataset=DatasetIdentity(name="pocket-scenes", digest="e" * 64)),
        _resolved(plain, checkpoint=CheckpointIdentity(name="pocket", digest="e" * 64, family="pocket")),
        _resolved(plain, dtype="bfloat16"),
        _resolved(plain, threads=2),
    ]
    assert len({variant.run_id for variant in variants}) == len(variants)
    assert all(len(variant.run_id) == 64 for variant in variants)


def test_a_changed_copy_has_its_own_run_id():
    """
    A copy with another picture does not keep the run_id of what it was copied from.
    """
    whole = _resolved(make_spec())
    assert whole.run_id != whole.model_copy(update={"edits": whole.edits[:1]}).run_id


def test_another_process_computes_the_same_run_id(tmp_path):
    """
    A spec written to disk has the same run_id when another interpreter, with another hash seed, reads it.
    """
    whole = _resolved(make_spec(EXAMPLES[2]))
    path = tmp_path / "spec.json"
    path.write_text(whole.to_json(), encoding="utf-8")
    code = "import sys; from sdxl_lab.spec.resolved_spec import ResolvedSpec as Spec; print(Spec.from_json(open(sys.argv[1]).read()).run_id)"
    out = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"})
    assert out.stdout.strip() == whole.run_id


@pytest.mark.parametrize("hyperparameters", EXAMPLES)
def test_a_resolved_spec_survives_json(hyperparameters):
    """
    Reading what was written gives an equal spec, and so does validating its own parameters again.
    """
    whole = _resolved(make_spec(hyperparameters))
    again = ResolvedSpec.from_json(whole.to_json())
    assert again == whole
    assert again.to_json() == whole.to_json()
    assert json.loads(whole.to_json())["run_id"] == whole.run_id
    assert RunSpec.from_parameters(**again.spec.model_dump()) == whole.spec


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda text: text[:-20], "not JSON"),
        (lambda text: "[]", "format"),
        (lambda text: text.replace('"format": 1', '"format": 99'), "format"),
        (lambda text: text.replace("a red star", "a blue star"), "run_id"),
        (lambda text: text.replace('"seed": -732', '"seed": "x"'), "edits[0].seed"),
        (lambda text: text.replace('"threads": 1', '"thread": 1'), "threads: missing"),
    ],
)
def test_a_spoilt_spec_file_is_noticed(spoil, word):
    """
    A spec file that was cut off, changed or written by another version is refused with the reason.
    """
    text = _resolved(make_spec()).to_json()
    assert spoil(text) != text
    with pytest.raises(SpecError) as caught:
        ResolvedSpec.from_json(spoil(text))
    assert word in str(caught.value)


def test_what_is_sent_away_holds_no_path():
    """
    The portable form names dataset and checkpoint without a folder, reads back, and keeps the run_id.
    """
    run = make_spec(dataset="/home/somebody/scenes", checkpoint="/models/somebody/sdxl.safetensors", runs_folder="/home/somebody/runs")
    whole = _resolved(
        run,
        dataset=DatasetIdentity(name="/home/somebody/scenes", digest="d" * 64),
        checkpoint=CheckpointIdentity(name="/models/somebody/sdxl.safetensors", digest="c" * 64, family="sdxl"),
    )
    portable = whole.portable()
    assert "somebody" not in json.dumps(portable)
    again = ResolvedSpec.from_json(json.dumps(portable))
    assert again.run_id == whole.run_id
    assert (again.spec.dataset, again.spec.checkpoint) == ("scenes", "sdxl.safetensors")
    assert whole.spec.dataset == "/home/somebody/scenes"


def test_public_names_are_sent_whole():
    """
    An artifact's name and version and a hub id stay in the portable form: they are how others find the content.
    """
    hub = CheckpointIdentity(name="stabilityai/stable-diffusion-xl-base-1.0", digest="c" * 64, revision="4" * 40, family="sdxl")
    artifact = DatasetIdentity(name="lab/scenes", version="1.2.0", digest="d" * 64)
    portable = _resolved(make_spec(checkpoint="sdxl", dataset="lab/scenes:1.2.0"), checkpoint=hub, dataset=artifact).portable()
    assert portable["spec"]["dataset"] == "lab/scenes:1.2.0"
    assert portable["spec"]["checkpoint"] == "stabilityai/stable-diffusion-xl-base-1.0"


@pytest.mark.parametrize("hyperparameters", EXAMPLES)
def test_a_picture_continues_from_its_parameters(hyperparameters):
    """
    The parameters of a picture, through YAML, plan exactly that picture, without asking the dataset for words.
    """
    whole = _resolved(make_spec(hyperparameters, tracking="off", runs_folder="elsewhere"))
    for edit in whole.edits:
        parameters = yaml.safe_load(yaml.safe_dump(as_parameters(edit, whole), allow_unicode=True))
        again = RunSpec.from_parameters(**parameters)
        assert plan(again, words={"prompt": None, "negative_prompt": None, "seed": None}) == (edit,)
        assert (again.tracking, again.runs_folder, again.compute) == (whole.spec.tracking, whole.spec.runs_folder, whole.spec.compute)
        assert parameters["hyperparameters"]["seed"] == edit.seed


def test_a_pictures_parameters_are_minimal():
    """
    Nothing is written that was neither chosen nor part of the picture's own words.
    """
    whole = _resolved(make_spec({"mask": {"kernel_size": 3}, "canvas": {"fill": "noise"}, "inpaint": {"mask": {"kernel_size": 5}}}))
    edit = next(edit for edit in whole.edits if edit.task == "inpaint")
    assert as_parameters(edit, whole) == {
        **PARAMETERS,
        "samples": ["star"],
        "tasks": ["inpaint"],
        "hyperparameters": {"mask": {"kernel_size": 5}, "prompt": "a red star", "seed": -732},
    }


def test_the_public_face_is_light():
    """
    Importing the library, its gate included, brings in neither torch nor diffusers nor Comet nor numpy.
    """
    code = (
        "import sys, sdxl_lab; sdxl_lab.RunSpec.from_parameters(name='a', dataset='b', checkpoint='c'); "
        "heavy = {'torch', 'diffusers', 'transformers', 'comet_ml', 'cv2', 'numpy', 'PIL', 'huggingface_hub'} & set(sys.modules); "
        "assert not heavy, heavy; assert 'RunSpec' in dir(sdxl_lab)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
