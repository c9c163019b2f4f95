"""Every setting changes the picture, or it is said that it does not; and what spoils a picture is said before it is made."""

from __future__ import annotations

import re
import shutil
import warnings
from dataclasses import replace as replaced
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from sdxl_lab.checkpoints.locating import identify
from sdxl_lab.checkpoints.own_defaults import defaults, traits
from sdxl_lab.settings.hyperparams import flatten, merge, replace, without
from sdxl_lab.spec.cautions import CautionWarning, FewSteps, Traits, cautions
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.tasks import TASKS
from tests import conftest
from tests.support.edits import cpu
from tests.support.profiles import profile
from tests.support.specs import OTHER_VALUES, SIZES, with_other


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, TrajectoryCache
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache


def merged(*layers: dict[str, Any]) -> dict[str, Any]:
    """
    Settings laid over one another.
    """
    return reduce(merge, layers)


STEPS: dict[str, Any] = {"denoising": {"num_inference_steps": 5, "strength": 0.99, "guidance_scale": 6.0}}
REFINED = merge(STEPS, {"denoising": {"high_noise_frac": 0.6}})
AFTERWARDS = merge(STEPS, {"denoising": {"handover": "sdedit"}})
CANVAS = merge(STEPS, {"mode": "canvas", "canvas": {"right_px": 13}})

SCHEDULE: dict[str, Any] = {"denoising": {"num_inference_steps": 5, "guidance_scale": 6.0}, "size": {"width": 64, "height": 72}}
FRAC = {"denoising": {"high_noise_frac": 0.6}}
SDEDIT = {"denoising": {"handover": "sdedit"}}
EULER = {"denoising": {"scheduler": "euler"}}
"""A UNet that is told its guidance is a consistency model's, which brings another."""
NOT_GUIDED = {"denoising": {"guidance_scale": 1.0}}
REFINER_GUIDED = {"refiner": {"guidance_scale": 4.0}}
NEGATIVE_SIZES = {"conditioning": {"negative_original_size": [24, 40], "negative_target_size": [56, 48]}}

OTHERS = OTHER_VALUES | {"conditioning.original_size": [48, 80]}

CONTEXTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "guided": ("random_pair", "inpaint", STEPS),
    "not guided": ("random_pair", "inpaint", merge(STEPS, {"denoising": {"guidance_scale": 1.0}})),
    "nine channels": ("random_inpaint_pair", "inpaint", STEPS),
    "nine channels, from noise": ("random_inpaint_pair", "inpaint", merge(STEPS, {"denoising": {"strength": 1.0}})),
    "from noise": ("random_pair", "inpaint", merge(STEPS, {"denoising": {"strength": 1.0}})),
    "nine channels, from noise, refined": ("random_inpaint_pair", "inpaint", merge(REFINED, {"denoising": {"strength": 1.0}})),
    "beyond the borders": ("random_pair", "outpaint", CANVAS),
    "dilated": ("random_pair", "inpaint", merge(STEPS, {"mask": {"kernel_size": 5}})),
    "dilated by nothing": ("random_pair", "inpaint", merge(STEPS, {"mask": {"iterations": 0}})),
    "refined": ("random_pair", "inpaint", REFINED),
    "refined, not guided": ("random_pair", "inpaint", merge(REFINED, {"denoising": {"guidance_scale": 1.0}})),
    "refined, base guided": ("random_pair", "inpaint", merge(REFINED, {"refiner": {"guidance_scale": 1.0}})),
    "refined, refiner guided": ("random_pair", "inpaint", merge(REFINED, {"denoising": {"guidance_scale": 1.0}, "refiner": {"guidance_scale": 4.0}})),
    "refined by a base": ("two_bases", "inpaint", REFINED),
    "told the guidance": ("told_guidance", "inpaint", merge(STEPS, EULER)),
    "refined afterwards": ("random_pair", "inpaint", AFTERWARDS),
    "from words": ("random_pair", "text_to_image", SCHEDULE),
    "from words, not guided": ("random_pair", "text_to_image", merge(SCHEDULE, NOT_GUIDED)),
    "from words, refined": ("random_pair", "text_to_image", merge(SCHEDULE, FRAC)),
    "from words, refined, with a memory": ("random_pair", "text_to_image", merged(SCHEDULE, FRAC, {"denoising": {"scheduler": "dpmpp_2m"}})),
    "from words, refined, not guided": ("random_pair", "text_to_image", merged(SCHEDULE, FRAC, NOT_GUIDED)),
    "from words, refined, refiner guided": ("random_pair", "text_to_image", merged(SCHEDULE, FRAC, NOT_GUIDED, REFINER_GUIDED)),
    "from words, refined by a base": ("two_bases", "text_to_image", merge(SCHEDULE, FRAC)),
    "from words, refined afterwards": ("random_pair", "text_to_image", merge(SCHEDULE, SDEDIT)),
    "from words, told both sizes": ("random_pair", "text_to_image", merge(SCHEDULE, NEGATIVE_SIZES)),
    "from words, told both sizes, not guided": ("random_pair", "text_to_image", merged(SCHEDULE, NEGATIVE_SIZES, NOT_GUIDED)),
    "from words, told both sizes, refined": ("random_pair", "text_to_image", merged(SCHEDULE, NEGATIVE_SIZES, FRAC)),
    "from words, told both sizes, refined by a base": ("two_bases", "text_to_image", merged(SCHEDULE, NEGATIVE_SIZES, FRAC)),
    "from words, told the guidance": ("told_guidance", "text_to_image", merge(SCHEDULE, EULER)),
    "anew": ("random_pair", "image_to_image", STEPS),
    "anew, not guided": ("random_pair", "image_to_image", merge(STEPS, NOT_GUIDED)),
    "anew, refined": ("random_pair", "image_to_image", REFINED),
    "anew, refined, not guided": ("random_pair", "image_to_image", merge(REFINED, NOT_GUIDED)),
    "anew, refined by a base": ("two_bases", "image_to_image", REFINED),
    "anew, refined afterwards": ("random_pair", "image_to_image", AFTERWARDS),
}
"""A checkpoint, a task and settings, in which each setting alone is given another value."""

QUICK = ("beyond the borders", "refined", "from words, refined")


@pytest.fixture(scope="session")
def told_guidance(tmp_path_factory) -> Path:
    """
    A base whose UNet is told the guidance, as latent consistency models are.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(conftest.OTHER_SIZES, "time_cond_proj_dim", 16)
        return conftest.write_checkpoint(tmp_path_factory.mktemp("told"), refiner=None)


@pytest.fixture(scope="session")
def two_bases(tmp_path_factory) -> Path:
    """
    A pair whose refiner is another base, as people refine by a second checkpoint.
    """
    first, second = (conftest.write_checkpoint(tmp_path_factory.mktemp("base"), refiner=None, seed=seed) for seed in (0, 1))
    shutil.copytree(second / "base", first / "refiner")
    return first


def edit_of(task: Any, settings: dict[str, Any], negative_prompt: str | None = None) -> Edit:
    """
    An edit of the scene, whose prompt has marks and is longer than the tokenizer takes at once.
    """
    values = dict(sample="disc", task=task, prompt="a (red) star on grass, " * 8, negative_prompt=negative_prompt, seed=-732, settings=settings)
    return Edit.model_validate(values)


def heard(edit: Edit, scene: Any, folder: Path, cache: TrajectoryCache) -> tuple[tuple[bytes, bytes], list[str]]:
    """
    The result and what was decoded, and what is said meanwhile of the edit.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", CautionWarning)
        made = generate(edit, scene[0], scene[1], cpu(folder), trajectories=cache)
    return (made.image.tobytes(), made.raw.tobytes()), [str(each.message) for each in caught]


def picture(*asked: Any) -> tuple[bytes, bytes]:
    """
    The same without a word.
    """
    return heard(*asked)[0]


def is_named(path: str, caution: str) -> bool:
    """
    Whether a caution says of a setting, or of all of its section, that it has no effect.
    """
    names, *reason = re.split(" has no effect: | have no effect: ", caution)
    return bool(reason) and any(path == name or path.startswith(f"{name}.") for name in names.split(" and "))


@pytest.fixture(scope="session")
def photograph(scene) -> tuple[Image.Image, Image.Image]:
    """The scene as files whose reading matters: with a color profile, and half transparent; the mask with a speck."""
    image, mask = scene[0].convert("RGBA"), scene[1].copy()
    image.putalpha(128)
    image.info["icc_profile"] = profile()
    mask.paste(255, (0, 0, 3, 3))
    return image, mask


@pytest.mark.parametrize("context", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in CONTEXTS])
def test_a_setting_changes_the_picture_or_it_is_said_that_it_does_not(request, photograph, context):
    """
    In each context, each setting given another value gives another picture, is refused, or is named as one without effect: exactly one of these.

    Among the latter is `negative_crops_coords_top_left` in a base: the day that diffusers reads it there, this law fails.
    """
    fixture, task, settings = CONTEXTS[context]
    folder, cache = request.getfixturevalue(fixture), TrajectoryCache()
    photograph = photograph if TASKS[task].needs_image else (None, None)
    has_refiner = cpu(folder).refiner is not None
    plain, known = picture(edit_of(task, settings), photograph, folder, cache), cpu(folder).traits
    wrong = {}
    for path, value in [*OTHERS.items(), ("negative_prompt", "snow")]:
        if (path == "denoising.high_noise_frac" and not has_refiner) or flatten(settings).get(path) == value:
            continue
        if path == "mask.specks" and settings.get("mode") == "canvas":  # there it is neutral whatever is asked
            continue
        try:
            edit = edit_of(task, settings, "snow") if path == "negative_prompt" else edit_of(task, with_other(settings, path, value))
        except ValidationError:
            assert path.startswith(("canvas", "mode")) or path in TASKS[task].untaken
            continue
        if f"settings.{path}" in edit.unsaid:  # the one value that is true of it all the same
            assert edit == edit_of(task, settings)
            continue
        made, warned = heard(edit, photograph, folder, cache)
        said = [caution for caution in {*cautions(edit, known), *warned} if is_named(path, caution)]
        # What has no effect here may have had some in the context: then it is as good as left out.
        beside = picture(edit_of(task, without(settings, [path])), photograph, folder, cache) if said and path in flatten(settings) else plain
        if (made != beside) == bool(said):
            wrong[path] = said
    assert wrong == {}


def test_guidance_between_none_and_one_is_none(random_pair, scene):
    """
    A scale of 0.5 makes the picture of 0 and of 1, in base and refiner, and that is said.
    """
    cache, refined = TrajectoryCache(), merge(REFINED, {"denoising": {"guidance_scale": 1.0}})
    for settings, path in ((STEPS, "denoising.guidance_scale"), (refined, "refiner.guidance_scale")):
        edits = [edit_of("inpaint", replace(settings, path, scale)) for scale in (0, 0.5, 1)]
        assert len({picture(edit, scene, random_pair, cache) for edit in edits}) == 1
        assert [any(f"{path} 0.5 is as none" in caution for caution in cautions(edit)) for edit in edits] == [False, True, False]


@pytest.mark.parametrize("task", ["inpaint", "outpaint"])
@pytest.mark.parametrize("checkpoint", ["pocket", "sdxl", "sdxl-inpaint", "stabilityai/sdxl-turbo", "somebody/sdxl-lightning-4step"])
@pytest.mark.parametrize("hyperparameters", [{}, {"refined": 0.8}, {"canvas": {"fill": "noise"}, "mask": {"kernel_size": 9}}])
def test_defaults_need_no_caution(checkpoint, task, hyperparameters):
    """
    Where nothing unusual is asked for, nothing is said, whatever the checkpoint.
    """
    identity = CheckpointIdentity(
        name=checkpoint, digest="0", family=checkpoint if checkpoint == "pocket" else "custom" if "/" in checkpoint else "sdxl"
    )
    if "refined" in hyperparameters:
        hyperparameters = {} if "/" in checkpoint else {"denoising": {"high_noise_frac": 0.8}}
    spec = RunSpec.from_parameters(name="a", dataset="b", checkpoint=checkpoint, hyperparameters=hyperparameters)
    [edit] = spec.edits("star", task, prompt="a star", negative_prompt=None, seed=1, defaults=defaults(identity), size=(64, 64), sizes=SIZES)
    assert cautions(edit, traits(identity)) == []


def few(kind: str, steps: int, guidance: float) -> Traits:
    """
    What is known of a checkpoint distilled to few steps.
    """
    published = {"turbo": "euler_a", "lightning": "euler", "hyper": "ddim", "lcm": "lcm"}[kind]
    schedulers = ("lcm", "tcd") if kind == "lcm" else ()
    distilled = FewSteps(kind=kind, num_inference_steps=steps, guidance_scale=guidance, scheduler=published, schedulers=schedulers)
    return Traits(few_steps=distilled, timestep_spacing="trailing")


TURBO_AS_MADE: dict[str, Any] = dict(num_inference_steps=4, strength=1.0, guidance_scale=0.0)
SPOILT: dict[str, tuple[dict[str, Any], Traits, str]] = {
    "SDXL's settings for Turbo": (
        {},
        few("turbo", 4, 0.0),
        r"\(turbo\) was made for about 4 steps .* num_inference_steps 70 and guidance_scale 7\.5 burn the picture: take about 4 and guidance",
    ),
    "guidance for Lightning": (
        TURBO_AS_MADE | {"guidance_scale": 7.5},
        few("lightning", 8, 0.0),
        r"\(lightning\).*; guidance_scale 7\.5 burns the picture: take 0\.",
    ),
    "steps for Turbo": (
        TURBO_AS_MADE | {"num_inference_steps": 17},
        few("turbo", 4, 0.0),
        r"; num_inference_steps 17 burns the picture: take about 4\.",
    ),
    "the first step left out": (
        TURBO_AS_MADE | {"strength": 0.99},
        few("turbo", 4, 0.0),
        r"strength 0\.99 leaves out the first .* choose strength 1\.0",
    ),
    "leading steps": (
        TURBO_AS_MADE,
        replaced(few("turbo", 4, 0.0), timestep_spacing="leading"),
        r"timestep_spacing is leading, .* choose timestep_spacing trailing",
    ),
    "leading steps, asked for": (TURBO_AS_MADE | {"timestep_spacing": "leading"}, few("turbo", 4, 0.0), r"choose timestep_spacing trailing"),
    "half of the steps": (
        TURBO_AS_MADE | {"num_inference_steps": 3},
        few("lightning", 8, 0.0),
        r"about 8 steps .* num_inference_steps 3 leaves the picture unfinished: take about 8",
    ),
    "a picture predicted instead of noise": (
        TURBO_AS_MADE | {"num_inference_steps": 1},
        few("lightning", 1, 0.0),
        r"predicts the picture instead of noise, .* take one made for 2 steps",
    ),
    "a step that begins late": (TURBO_AS_MADE | {"num_inference_steps": 1}, few("hyper", 1, 0.0), r"begins at timestep 800, .* take one made for 2"),
    "Euler for a consistency model": (TURBO_AS_MADE, few("lcm", 4, 1.0), r"choose scheduler lcm"),
    "Euler and leading steps for a consistency model": (
        TURBO_AS_MADE,
        replaced(few("lcm", 4, 1.0), timestep_spacing="leading"),
        r"euler blurs: choose scheduler lcm",
    ),
    "a scheduler as Turbo's": ({}, Traits(may_be_few_steps=True), r"If it is such a one, 70 steps at guidance_scale 7\.5 burn it"),
    "a refiner early": (dict(high_noise_frac=0.6), Traits(refiner_from=0.8), r"high_noise_frac is 0\.6, .* trained from 0\.8 on"),
    "stock with 9 channels": (dict(high_noise_frac=0.8, handover="stock"), Traits(in_channels=9), r"choose handover consistent"),
    "no refiner": (dict(high_noise_frac=0.8), Traits(has_refiner=False), r"this checkpoint has no refiner; set high_noise_frac to null"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_what_spoils_a_picture_is_said(case):
    """
    Settings that a checkpoint was not made for are named with what to choose instead, in one sentence each.
    """
    denoising, known, message = SPOILT[case]
    edit = edit_of("inpaint", {"denoising": {"num_inference_steps": 70, "guidance_scale": 7.5, "strength": 0.99} | denoising})
    (said,) = cautions(edit, known)
    assert re.search(message, said)
    assert cautions(edit) == []


@pytest.mark.parametrize(("steps", "karras"), [(10, False), (34, False), (35, False), (10, True)])
def test_lms_at_few_steps_is_told_of_karras(steps, karras):
    """
    Below 35 steps without Karras' sigmas, and of no other scheduler; nor where a checkpoint was made for few steps.
    """
    asked = {"num_inference_steps": steps, "guidance_scale": 5.0, "strength": 1.0, "karras": karras}
    edit, other = (edit_of("text_to_image", {"denoising": asked | {"scheduler": name}}) for name in ("lms", "euler"))
    said = [line for line in cautions(edit) if "breaks pictures up" in line]
    expected = f"lms without karras breaks pictures up at {steps} steps: set karras to true, or take 35 steps or more."
    assert said == [expected] * (steps < 35 and not karras)
    assert not [line for line in (*cautions(other), *cautions(edit, few("lightning", 4, 0.0))) if "breaks pictures up" in line]


FAR_SIZES = {
    (2048, 2048): r"size 2048x2048 has 4 times the pixels this checkpoint was trained at; expect things twice: .* about 1024x1024 pixels",
    (1024, 1704): r"size 1024x1704 has 1\.7 times .* twice",
    (512, 512): r"size 512x512 has 0\.25 times .* expect a poor picture: take size\.aspect, or about 1024x1024 pixels",
    (1024, 1536): None,
    (704, 704): None,
}


@pytest.mark.parametrize("task", ["inpaint", "image_to_image", "text_to_image"])
@pytest.mark.parametrize("size", FAR_SIZES)
def test_a_size_far_from_what_a_checkpoint_was_trained_at_is_said(task, size):
    """
    More than 1.6 times its pixels, or less than 0.4 times, make a poor picture in every task; of a size that nobody asked for nothing is said.
    """
    edit, known = edit_of(task, {"size": {"width": size[0], "height": size[1]}}), Traits(area=1024**2)
    said, message = cautions(edit, known), FAR_SIZES[size]
    assert len(said) == bool(message)
    assert re.search(message or "", "".join(said))
    assert cautions(edit) == cautions(edit_of(task, {}), known) == []


def test_what_is_known_before_loading_is_what_is_known_after(random_pair, random_inpaint_pair, two_bases, told_guidance):
    """
    The files of a folder tell as much of a checkpoint as its loaded models.
    """
    for folder in (random_pair, random_inpaint_pair, two_bases, told_guidance):
        has_refiner = cpu(folder).refiner is not None
        loaded = cpu(folder)
        assert traits(identify(str(folder)), area=loaded.sizes.area) == replaced(loaded.traits, has_refiner=has_refiner)


def test_cautions_are_given_as_warnings(random_pair, scene):
    """
    A picture is made all the same, with each caution as a warning that points to whoever asked for it.
    """
    edit = edit_of("inpaint", merge(STEPS, {"conditioning": {"negative_crops_coords_top_left": [8, 0]}, "refiner": {"aesthetic_score": 9.0}}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        generate(edit, scene[0], scene[1], cpu(random_pair))
    ours = [warning for warning in caught if warning.category is CautionWarning]
    assert [str(warning.message) for warning in ours] == cautions(edit, cpu(random_pair).traits)
    assert [warning.filename for warning in ours] == [__file__] * 2
