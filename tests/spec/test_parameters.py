from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdxl_lab.settings.arguments import laid_over
from sdxl_lab.settings.hyperparams import flatten, replace
from sdxl_lab.spec.parameters import takes_none, takes_text
from sdxl_lab.spec.run_spec import RunSpec, SpecError

PARAMETERS: dict[str, Any] = {"name": "octopus", "dataset": "pocket-scenes", "checkpoint": "pocket"}


def _spec(hyperparameters: dict[str, Any] | None = None, **others: Any) -> RunSpec:
    return RunSpec.from_parameters(**{**PARAMETERS, "hyperparameters": hyperparameters or {}, **others})


def _hyper(path: str, value: Any) -> dict[str, Any]:
    return {"hyperparameters": replace({}, path, value)}


BAD: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("name with a space", {"name": "a b"}, "name", ["'a b'", "letters, digits"]),
    ("name that climbs", {"name": "../x"}, "name", ["'../x'", "folder's name"]),
    ("name too long", {"name": "x" * 81}, "name", ["at most 80"]),
    ("dataset missing", {"dataset": None}, "dataset", ["missing", "workspace/name:version"]),
    ("dataset null as text", {"dataset": "null"}, "dataset", ["the text 'null'", "-y 'dataset: null'"]),
    ("checkpoint a number", {"checkpoint": 3}, "checkpoint", ["got 3", ".safetensors"]),
    ("samples a list that is a text", {"samples": "[octopus]"}, "samples", ["The text holds a list"]),
    ("samples a bare text", {"samples": "octopus"}, "samples", ["Write ['octopus']"]),
    ("samples a list as text", {"samples": "['a', 'b']"}, "samples", ["holds a list", "-y"]),
    ("samples None as text", {"samples": "None"}, "samples", ["the text 'None'", "write None in Python, null in a YAML file"]),
    ("samples empty", {"samples": []}, "samples", ["got []", "None for all"]),
    ("samples twice", {"samples": ["a", "b", "a"]}, "samples", ["Given twice: a"]),
    ("samples with a number", {"samples": ["a", 1]}, "samples[1]", ["got 1"]),
    ("tasks misspelt", {"tasks": ["inpant"]}, "tasks[0]", ["'inpant'", "mean inpaint?"]),
    ("tasks empty", {"tasks": ()}, "tasks", ["got []", "one or more of inpaint, outpaint"]),
    ("tasks a bare text", {"tasks": "inpaint"}, "tasks", ["Write ['inpaint']"]),
    ("tasks a tuple as text", {"tasks": "('inpaint', 'outpaint')"}, "tasks", ["holds a tuple", "papermill"]),
    ("tracking unknown", {"tracking": "onlin"}, "tracking", ["auto, online, offline, off", "mean online?"]),
    ("tracking off as YAML 1.1 reads it", {"tracking": False}, "tracking", ["put quotes around off"]),
    ("a power of ten as YAML 1.1 reads it", _hyper("denoising.strength", "1e-1"), "hyperparameters.denoising.strength", ["Write 1.0e-1:"]),
    ("runs_folder empty", {"runs_folder": ""}, "runs_folder", ["got ''"]),
    ("unknown parameter", {"runs_foler": "x"}, "runs_foler", ["valid here are name, dataset", "mean runs_folder?"]),
    ("setting on the wrong level", {"guidance_scale": 9}, "guidance_scale", ["mean hyperparameters.denoising.guidance_scale?"]),
    ("another tool's name", _hyper("denoising.steps", 9), "hyperparameters.denoising.steps", ["mean hyperparameters.denoising.num_inference_steps?"]),
    ("hyperparameters as text", {"hyperparameters": '{"seed": null}'}, "hyperparameters", ["holds a dictionary", "denoising, refiner"]),
    ("unknown section", _hyper("denosing.strength", 1), "hyperparameters.denosing", ["mean denoising?"]),
    ("dotted key", {"hyperparameters": {"mask.kernel_size": 3}}, "hyperparameters.mask.kernel_size", ["write {mask: {kernel_size: ...}}"]),
    ("key that is no text", {"hyperparameters": {"mask": {1: 2}}}, "hyperparameters.mask[1]", ["a key that is no text"]),
    ("section a number", _hyper("mask", 9), "hyperparameters.mask", ["got 9", "kernel_size, iterations, feather_px, latent_mask"]),
    ("steps zero", _hyper("denoising.num_inference_steps", 0), "hyperparameters.denoising.num_inference_steps", ["got 0", "from 1 to 1000"]),
    ("steps not whole", _hyper("denoising.num_inference_steps", 30.0), "hyperparameters.denoising.num_inference_steps", ["Write 30"]),
    (
        "steps as text",
        _hyper("denoising.num_inference_steps", "70"),
        "hyperparameters.denoising.num_inference_steps",
        ["Write 70, without quotes", "not by -r"],
    ),
    ("steps a yes or no", _hyper("denoising.num_inference_steps", True), "hyperparameters.denoising.num_inference_steps", ["got True"]),
    ("guidance negative", _hyper("denoising.guidance_scale", -0.1), "hyperparameters.denoising.guidance_scale", ["got -0.1", "0 or more"]),
    ("guidance infinite", _hyper("denoising.guidance_scale", float("inf")), "hyperparameters.denoising.guidance_scale", ["got inf", "finite"]),
    ("guidance not a number", _hyper("denoising.guidance_scale", float("nan")), "hyperparameters.denoising.guidance_scale", ["got nan", "finite"]),
    ("strength zero", _hyper("denoising.strength", 0), "hyperparameters.denoising.strength", ["above 0, at most 1"]),
    ("strength above 1", _hyper("denoising.strength", 1.01), "hyperparameters.denoising.strength", ["got 1.01"]),
    ("PNDM", _hyper("denoising.scheduler", "pndm"), "hyperparameters.denoising.scheduler", ["cannot be split at the hand-over", "euler_a"]),
    ("global noise", _hyper("denoising.scheduler", "dpmpp_sde"), "hyperparameters.denoising.scheduler", ["dpmpp_2m_sde"]),
    ("scheduler misspelt", _hyper("denoising.scheduler", "eular"), "hyperparameters.denoising.scheduler", ["mean euler?"]),
    ("hand-over at 1", _hyper("denoising.high_noise_frac", 1), "hyperparameters.denoising.high_noise_frac", ["got 1", "None runs the base alone"]),
    (
        "hand-over at 0",
        _hyper("denoising.high_noise_frac", 0.0),
        "hyperparameters.denoising.high_noise_frac",
        ["got 0.0", "None runs the base alone"],
    ),
    (
        "hand-over null as text",
        _hyper("denoising.high_noise_frac", "null"),
        "hyperparameters.denoising.high_noise_frac",
        ["-y 'hyperparameters: {denoising: {high_noise_frac: null}}'"],
    ),
    ("hand-over unknown", _hyper("denoising.handover", "naive"), "hyperparameters.denoising.handover", ["consistent, stock"]),
    ("aesthetic score", _hyper("refiner.aesthetic_score", 11), "hyperparameters.refiner.aesthetic_score", ["got 11", "0 to 10"]),
    ("even kernel", _hyper("mask.kernel_size", 4), "hyperparameters.mask.kernel_size", ["odd", "take 3 or 5"]),
    ("kernel zero", _hyper("mask.kernel_size", 0), "hyperparameters.mask.kernel_size", ["got 0", "odd"]),
    ("iterations negative", _hyper("mask.iterations", -1), "hyperparameters.mask.iterations", ["got -1", "0 or more"]),
    ("feather negative", _hyper("mask.feather_px", -1), "hyperparameters.mask.feather_px", ["got -1"]),
    ("latent mask", _hyper("mask.latent_mask", "max"), "hyperparameters.mask.latent_mask", ["nearest, cover"]),
    ("size of one side", _hyper("conditioning.target_size", [128]), "hyperparameters.conditioning.target_size[1]", ["[height, width]"]),
    ("size zero", _hyper("conditioning.target_size", [128, 0]), "hyperparameters.conditioning.target_size[1]", ["got 0", "1 or more"]),
    ("size a tuple as text", _hyper("conditioning.original_size", "(1, 2)"), "hyperparameters.conditioning.original_size", ["holds a tuple"]),
    (
        "crop negative",
        _hyper("conditioning.crops_coords_top_left", [0, -8]),
        "hyperparameters.conditioning.crops_coords_top_left[1]",
        ["got -8", "[top, left]"],
    ),
    ("canvas negative", _hyper("canvas.left_px", -1), "hyperparameters.canvas.left_px", ["got -1", "pixels"]),
    ("canvas without its mode", _hyper("canvas.left_px", 8), "hyperparameters.outpaint.mode", ["take mode canvas"]),
    ("mode without its canvas", _hyper("outpaint.mode", "canvas"), "hyperparameters.outpaint.canvas", ["0 pixels on every side", "left_px"]),
    ("mode unknown", _hyper("outpaint.mode", "border"), "hyperparameters.outpaint.mode", ["background, canvas"]),
    ("mode of inpaint", _hyper("inpaint.mode", "canvas"), "hyperparameters.inpaint.mode", ["move it to hyperparameters.outpaint.mode"]),
    ("compute by task", _hyper("outpaint.compute", {"threads": 1}), "hyperparameters.outpaint.compute", ["move it to hyperparameters.compute"]),
    ("device", _hyper("compute.device", "gpu"), "hyperparameters.compute.device", ["cuda:N"]),
    ("dtype", _hyper("compute.dtype", "fp16"), "hyperparameters.compute.dtype", ["Write float16"]),
    ("threads zero", _hyper("compute.threads", 0), "hyperparameters.compute.threads", ["1 to 1024"]),
    ("seed not whole", _hyper("seed", 1.5), "hyperparameters.seed", ["got 1.5"]),
    ("seed too large", _hyper("outpaint.seed", 2**64), "hyperparameters.outpaint.seed", ["2**64 - 1"]),
    ("prompt a list", _hyper("prompt", ["a"]), "hyperparameters.prompt", ["got ['a']", "a text", "quotes"]),
    ("name a number", {"name": 7}, "name", ["got 7", "In YAML, put quotes around a text"]),
    ("prompt of broken bytes", _hyper("inpaint.prompt", "caf\udce9"), "hyperparameters.inpaint.prompt", ["'\\udce9' as character 4", "UTF-8"]),
    ("key by its name", {"comet_api_key": "anything"}, "comet_api_key", ["looks like an API key", "COMET_API_KEY"]),
    ("key in a prompt", _hyper("inpaint.prompt", "x hf_" + "aB3" * 8), "hyperparameters.inpaint.prompt", ["looks like an API key"]),
]


@pytest.mark.parametrize(("parameters", "path", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_parameter_gets_one_clear_error(parameters, path, words):
    """
    A bad parameter is refused with exactly one problem, at its dotted path, that says what was got or what is allowed.
    """
    with pytest.raises(SpecError) as caught:
        RunSpec.from_parameters(**{**PARAMETERS, **parameters})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: ")
    assert problem in str(caught.value)
    for word in words:
        assert word in problem


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("denoising.num_inference_steps", 1),
        ("denoising.num_inference_steps", 1000),
        ("denoising.guidance_scale", 0),
        ("denoising.guidance_scale", 100.5),
        ("denoising.strength", 1),
        ("denoising.strength", 1e-3),
        ("denoising.high_noise_frac", None),
        ("denoising.high_noise_frac", 0.999),
        *(("denoising.scheduler", name) for name in ("euler", "euler_a", "ddim", "dpmpp_2m", "dpmpp_2m_karras")),
        *(("denoising.scheduler", name) for name in ("dpmpp_2m_sde", "unipc", "heun", "lcm")),
        ("refiner.guidance_scale", None),
        ("refiner.aesthetic_score", 10),
        ("mask.kernel_size", 1),
        ("mask.kernel_size", 31),
        ("mask.iterations", 0),
        ("mask.feather_px", 0),
        ("conditioning.original_size", [1, 4096]),
        ("conditioning.crops_coords_top_left", (0, 0)),
        ("canvas.overlap_px", 0),
        ("compute.device", "cuda:3"),
        ("compute.device", "mps"),
        ("compute.dtype", "bfloat16"),
        ("compute.threads", None),
        ("compute.offload", "sequential"),
        ("outpaint.mode", "background"),
        ("seed", -(2**63)),
        ("seed", 2**64 - 1),
        ("inpaint.seed", 0),
        ("prompt", ""),
        ("negative_prompt", "none, nothing"),
    ],
)
def test_the_ends_of_a_range_are_allowed(path, value):
    """
    Every range includes what it says it includes, and the value arrives as it was given.
    """
    expected = tuple(value) if isinstance(value, list) else value
    assert flatten(_spec(replace({}, path, value)).hyperparameters) == {path: expected}


def test_every_problem_is_in_one_message():
    """
    A parameters cell that is wrong in every line is told so in every line, and nothing else.
    """
    wrong = {
        "name": "a b",
        "dataset": "null",
        "samples": "octopus",
        "tasks": ["inpaint", "outpant"],
        "tracking": "on",
        "runs_folder": 7,
        "steps": 30,
        "api_key": "x",
        "hyperparameters": {
            "denoising": {"num_inference_steps": 0, "guidance_scale": -1, "strength": "null", "scheduler": "pndm", "high_noise_frac": 1, "steps": 1},
            "refiner": 5,
            "mask": {"kernel_size": 4, "iterations": -1, "latent_mask": "max"},
            "conditioning": {"target_size": [0, 8]},
            "inpaint": {"compute": {}, "seed": 2**64},
        },
    }
    expected = {
        "name", "dataset", "samples", "tasks[1]", "tracking", "runs_folder", "steps", "api_key", "checkpoint",
        "hyperparameters.denoising.num_inference_steps", "hyperparameters.denoising.guidance_scale", "hyperparameters.denoising.strength",
        "hyperparameters.denoising.scheduler", "hyperparameters.denoising.high_noise_frac", "hyperparameters.denoising.steps",
        "hyperparameters.refiner", "hyperparameters.mask.kernel_size", "hyperparameters.mask.iterations", "hyperparameters.mask.latent_mask",
        "hyperparameters.conditioning.target_size[0]", "hyperparameters.inpaint.compute", "hyperparameters.inpaint.seed",
    }  # fmt: skip
    with pytest.raises(SpecError) as caught:
        RunSpec.from_parameters(**wrong)
    assert sorted(problem.partition(": ")[0] for problem in caught.value.problems) == sorted(expected)
    assert str(caught.value).startswith(f"{len(expected)} problems in the parameters:")


def test_an_error_survives_the_way_between_processes():
    """
    A pickled error comes back with its message and its problems.
    """
    with pytest.raises(SpecError) as caught:
        _spec(_hyper("mask.kernel_size", 4)["hyperparameters"], name="a b")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.problems) == (str(caught.value), caught.value.problems)


SECRETS = ["hf_" + "a1B2" * 8, "sk-" + "abcd1234" * 4, "AKIA" + "IOSFODNN7EXAMPLE", "ghp_" + "x9Y" * 12, "Lq8Xv2Zb0TnR4kWmP7cYdE1sA"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "place",
    [
        lambda key: {"name": key},
        lambda key: {"samples": ["octopus", key]},
        lambda key: {"anything": key},
        lambda key: {key: 1},
        lambda key: _hyper("inpaint.prompt", f"a star, key {key}."),
        lambda key: _hyper("mask.kernel_size", key),
        lambda key: {"hyperparameters": {"mask": {key: 3}}},
        lambda key: {"hyperparameters": {"mask": [{"deep": [key]}]}},
        lambda key: {"dataset": f"/data/{key}/scenes"},
    ],
)
def test_a_key_is_refused_wherever_it_stands_and_never_repeated(secret, place):
    """
    No error about parameters that hold a key repeats the key.
    """
    with pytest.raises(SpecError, match="looks like an API key") as caught:
        RunSpec.from_parameters(**{**PARAMETERS, **place(secret)})
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value)
    assert len(caught.value.problems) == 1


def test_the_key_of_the_environment_is_known_whatever_its_shape(monkeypatch):
    """
    The value of COMET_API_KEY is refused even if it looks like a word.
    """
    monkeypatch.setenv("COMET_API_KEY", "plainwords")
    with pytest.raises(SpecError, match="looks like an API key") as caught:
        _spec({"prompt": "a star of plainwords"})
    assert "plainwords" not in str(caught.value)


@pytest.mark.parametrize(
    "innocent",
    [
        "/home/ada/.cache/huggingface/hub/models--stabilityai--stable-diffusion-xl-base-1.0/snapshots/462165984030d82259a11f4367a4eed129e94a7b",
        "stabilityai/stable-diffusion-xl-base-1.0",
        "/data/StableDiffusionXLInpaint10",
        "/tmp/pytest-of-somebody/pytest-12/test_a_key_is_refused_wherever0/checkpoint",
        "d" * 64,
        "2026-11-21T05-28-39-octopus",
    ],
)
def test_names_paths_and_digests_are_not_taken_for_keys(innocent):
    """
    What people and caches call checkpoints is let through.
    """
    assert _spec(checkpoint=innocent).checkpoint == innocent


def test_words_about_secrets_are_no_secrets():
    """
    A prompt about tokens, keys and passwords is only a prompt.
    """
    text = "a password on a keyboard, secret token, api_key"
    assert _spec({"prompt": text}).hyperparameters["prompt"] == text


def test_sparse_stays_sparse():
    """
    A spec holds the keys that were given and no other.
    """
    given = {"denoising": {"guidance_scale": 9, "high_noise_frac": None}, "outpaint": {"mask": {"kernel_size": 3}}}
    assert flatten(_spec(given).hyperparameters) == {
        "denoising.guidance_scale": 9.0,
        "denoising.high_noise_frac": None,
        "outpaint.mask.kernel_size": 3,
    }


def test_numbers_and_paths_of_a_notebook_become_plain():
    """
    Numbers of numpy, paths and tuples are taken as Python's own; what was given is left as it was.
    """
    given = {
        "seed": np.int64(-5),
        "denoising": {"strength": np.float64(0.5), "guidance_scale": -0.0},
        "conditioning": {"target_size": (np.int32(8), 9)},
    }
    run = _spec(given, dataset=Path("data/mine"), tasks=("outpaint",), samples=[np.str_("a")])
    assert run.dataset == "data/mine"
    assert json.dumps(run.hyperparameters, sort_keys=True) == (
        '{"conditioning": {"target_size": [8, 9]}, "denoising": {"guidance_scale": 0.0, "strength": 0.5}, "seed": -5}'
    )
    assert type(run.hyperparameters["seed"]) is int
    assert given["seed"].dtype == np.int64


@pytest.mark.parametrize(
    ("path", "is_none"),
    [
        ("denoising.timestep_spacing", True),
        ("denoising.high_noise_frac", True),
        ("denoising.scheduler", False),
        ("loras.moon", True),
        ("loras.moon.file", True),
        ("embeddings.moon", True),
        ("embeddings.moon.token", False),
        ("compute.offload", False),
        ("prompt", False),
        ("nowhere", False),
    ],
)
def test_none_on_a_command_line_is_null_where_it_can_mean_nothing_else(path, is_none):
    """
    As plans and reports write it, also of an adapter; not where it is a choice, a text, or where null is not allowed.
    """
    path = f"hyperparameters.{path}"
    assert takes_none(path, RunSpec) == is_none
    for word in ("none", "None"):
        given = laid_over(
            {}, values=[(path, word)], takes_text=lambda name: takes_text(name, RunSpec), takes_none=lambda name: takes_none(name, RunSpec)
        )
        assert (list(flatten(given).values()) == [None]) == is_none
