"""Checkpoints that were distilled to few steps: what is published of them is used as its model card says, and what is no checkpoint is called so."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.checkpoints.locating import identify, license_of
from sdxl_lab.checkpoints.own_defaults import few_steps, traits
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.doctor import models
from sdxl_lab.families import FAMILIES, OTHER, Published
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.sections import EditSettings
from sdxl_lab.spec.cautions import cautions
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests import conftest
from tests.support.datasets import write_dataset
from tests.support.edits import PROMPT, SEED, cpu, same
from tests.support.loopback_hub import NOBODY, Hub, asked, serving
from tests.support.published_schedulers import SDXL, TURBO


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global diffusers, generate, plan, SweepFile, torch
    import diffusers
    import torch

    from sdxl_lab.generation.generate import generate
    from sdxl_lab.sweeps.planner import plan
    from sdxl_lab.sweeps.sweep_file import SweepFile


"""As stabilityai/sdxl-turbo has it."""

KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "turbo": ("sdxl-turbo", TURBO, {}),
    "lightning": ("sdxl_lightning_4step", SDXL, {}),
    "hyper": ("hyper-sdxl-8steps", SDXL, {}),
    "lcm": ("lcm-sdxl", SDXL, {"time_cond_proj_dim": 256}),
    "a LoRA of lcm, merged": ("lcm-merged", SDXL, {}),
}
"""Folder, scheduler and UNet of each kind, as published but for their widths."""


@pytest.fixture(scope="session")
def distilled(tmp_path_factory, garbage) -> dict[str, Path]:
    """
    A random base of each kind.
    """
    folders = {}
    for kind, (name, scheduler, unet) in KINDS.items():
        with pytest.MonkeyPatch.context() as patch:
            for key, value in unet.items():
                patch.setitem(conftest.OTHER_SIZES, key, value)
            written = conftest.write_checkpoint(tmp_path_factory.mktemp("few"), refiner=None)
        folders[kind] = (written / "base").rename(written / name)
        (folders[kind] / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
        index = folders[kind] / "model_index.json"
        index.write_text(json.dumps(json.loads(index.read_text()) | {"scheduler": ["diffusers", scheduler["_class_name"]]}))
    return folders


def as_its_card_says(kind: str, pipeline: Any) -> dict[str, Any]:
    """
    Set diffusers' pipeline as the model card does; what it is called with.
    """
    config = pipeline.scheduler.config
    if kind == "turbo":
        return dict(num_inference_steps=4, guidance_scale=0.0)
    if kind == "lightning":
        pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(config, timestep_spacing="trailing")
        return dict(num_inference_steps=4, guidance_scale=0)
    if kind == "hyper":
        pipeline.scheduler = diffusers.DDIMScheduler.from_config(config, timestep_spacing="trailing")
        return dict(num_inference_steps=8, guidance_scale=0)
    pipeline.scheduler = diffusers.LCMScheduler.from_config(config)
    return dict(num_inference_steps=8, guidance_scale=7.5 if kind == "lcm" else 1.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", ["text_to_image", "inpaint"])
def test_the_defaults_make_what_the_model_card_makes(distilled, scene, kind, task):
    """
    An edit that leaves everything open is the picture of plain diffusers, set and called as the model card says, bit for bit; of it nothing is said.
    """
    folder = distilled[kind]
    name = {"text_to_image": "StableDiffusionXLPipeline", "inpaint": "StableDiffusionXLInpaintPipeline"}[task]
    pipeline = getattr(diffusers, name).from_pretrained(folder, dtype=torch.float32, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    call = as_its_card_says(kind, pipeline) | dict(prompt=PROMPT, width=64, height=64)
    pictures = {} if task == "text_to_image" else {"image": scene[0], "mask_image": scene[1]}
    strength = {"strength": 1.0} if pictures else {}
    expected = pipeline(**call, **pictures, **strength, generator=torch.Generator().manual_seed(SEED)).images[0]

    image, mask = scene if pictures else (None, None)
    edit = Edit(sample="disc", task=task, prompt=PROMPT, seed=SEED, settings=EditSettings())
    made = generate(edit, image, mask, cpu(folder))
    assert same(expected, made.raw)
    assert cautions(made.edit, traits(identify(str(folder)))) == []
    assert made.base_steps == call["num_inference_steps"]


def test_a_unet_that_is_told_its_guidance_is_a_consistency_models(distilled, tmp_path):
    """
    Under a name that says nothing, its configuration tells; the base that it was made from is none.
    """
    for kind, expected in {"lcm": "lcm", "a LoRA of lcm, merged": None}.items():
        plain = shutil.copytree(distilled[kind], tmp_path / f"mine-{len(kind)}")
        few = few_steps(identify(str(plain)))
        assert (few and few.kind) == expected


def test_a_refiner_has_no_step_of_few(distilled, random_pair, tmp_path):
    """
    Four trailing steps hand over no later than above 0.75 of the schedule; the error gives the fractions that work, and they do.
    """
    pair = tmp_path / "pair"
    shutil.copytree(distilled["turbo"], pair / "sdxl-turbo")
    shutil.copytree(random_pair / "refiner", pair / "refiner")
    dataset = write_dataset(tmp_path / "scenes", count=1)

    def asked_for(frac: float) -> RunSpec:
        settings = {"denoising": {"high_noise_frac": frac}}
        values = dict(name="a", dataset=str(dataset), checkpoint=str(pair / "sdxl-turbo"), tracking="off", tasks=["inpaint"])
        return RunSpec.from_parameters(**values, hyperparameters=settings, runs_folder=str(tmp_path))

    with pytest.raises(
        SpecError,
        match=r"leaves the refiner no step and the base all 4: .* Choose it between 0\.001 and 0\.75, or more steps, .*handover sdedit",
    ):
        resolve(asked_for(0.8))
    assert len(resolve(asked_for(0.75)).spec.edits) == 1


def test_karras_for_a_scheduler_of_the_checkpoint_s_own_is_refused_with_what_takes_it(distilled, tmp_path):
    """
    Turbo brings a scheduler that does not take Karras' sigmas; asking for them alone is one error that names it.
    """
    values = dict(name="a", dataset=str(write_dataset(tmp_path / "scenes", count=1)), checkpoint=str(distilled["turbo"]), tracking="off")
    spec = RunSpec.from_parameters(**values, hyperparameters={"denoising": {"karras": True}}, runs_folder=str(tmp_path))
    with pytest.raises(SpecError, match=r"denoising: got karras true with scheduler euler_a, .* or take one of euler,"):
        resolve(spec)


NO_PIPELINES: dict[str, tuple[list[str], str]] = {
    "ByteDance/SDXL-Lightning": (
        [*(f"sdxl_lightning_{n}step{part}.safetensors" for n in (2, 4, 8) for part in ("", "_unet", "_lora"))],
        r"single files \(sdxl_lightning_2step\.safetensors, sdxl_lightning_4.*hf download ByteDance/SDXL-Lightning sdxl_lightning_8step",
    ),
    "ByteDance/Hyper-SD": (["Hyper-SDXL-1step-Unet.safetensors", "Hyper-SDXL-8steps-lora.safetensors"], r"has LoRAs \(Hyper-SDXL-8steps-lora"),
    "latent-consistency/lcm-lora-sdxl": (["pytorch_lora_weights.safetensors"], r"has LoRAs \(pytorch_lora_weights"),
    "latent-consistency/lcm-sdxl": (["config.json", "diffusion_pytorch_model.safetensors"], r"is one model alone, such as a UNet"),
    "somebody/notes": (["README.md"], r"has no model_index\.json"),
}
"""Files of repositories that hold no pipeline, and what is said of them."""


def test_a_repository_that_holds_no_pipeline_is_told_apart_before_anything_is_downloaded(tmp_path):
    """
    What there is instead is named, with what to do; it is said when the checkpoint is identified.
    """
    for repository, (files, _) in NO_PIPELINES.items():
        (tmp_path / "hub" / repository).mkdir(parents=True)
        for file in files:
            (tmp_path / "hub" / repository / file).write_bytes(b"")
    with serving(Hub(tmp_path / "hub")) as hub, asked(hub.url, tmp_path / "cache"):
        for repository, (_, message) in NO_PIPELINES.items():
            with pytest.raises(CheckpointError, match=f"^{repository} .*{message}"):
                identify(repository)
        assert hub.fetched == []


@pytest.mark.parametrize("repository", FAMILIES[OTHER].downloads)
def test_without_a_connection_nobody_is_told_to_download_what_is_no_checkpoint(repository, tmp_path):
    """
    Of a repository that is none as a whole, the one file or the merged checkpoint is named, as on the page.
    """
    with asked(NOBODY, tmp_path), pytest.raises(CheckpointError) as caught:
        identify(repository)
    commands = re.findall(r"hf download [^`]*", str(caught.value))
    page = (Path(__file__).parents[2] / "docs/few-steps.md").read_text("utf-8")
    assert commands == [command for command in re.findall(r"hf download [^`]*", page) if command.split()[2] == repository]
    assert "UNet" in str(caught.value) or "LoRA" in str(caught.value) or commands


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("SDXL-Turbo", "Did you mean sdxl-turbo?"),
        ("sdxl_turbo", "Did you mean sdxl-turbo?"),
        ("turbo", "Did you mean sdxl-turbo?"),
        ("SDXL", "Did you mean sdxl?"),
        ("pokcet", "Did you mean pocket?"),
        ("sdxl-lightning", "`hf download ByteDance/SDXL-Lightning"),
        ("hyper-sd", "Of ByteDance/Hyper-SD: "),
        ("lcm", "Of latent-consistency/lcm-sdxl: "),
        ("zzz", "a hub id such as owner/name."),
    ],
)
def test_a_name_that_stands_for_nothing_is_answered_by_what_was_meant(written, meant):
    """
    Other letters lead to a name that there is; a way of distilling that has none, to what to download; what resembles nothing, to what is allowed.
    """
    with pytest.raises(CheckpointError) as caught:
        identify(written)
    assert meant in str(caught.value)
    assert ("Did you mean" in str(caught.value)) == ("Did" in meant)


def test_a_folder_that_is_a_unet_alone_is_called_so(distilled):
    """
    A consistency model as it is published, one model in a folder, is told to belong into the folder of a base.
    """
    with pytest.raises(CheckpointError, match=r"is a UNet alone, without model_index\.json; .* in place of `unet` in a copy"):
        identify(str(distilled["lcm"] / "unet"))


def test_each_checkpoint_of_the_hub_that_has_a_name_has_a_license():
    """
    Whoever plans with one reads it.
    """
    published = [place for family in FAMILIES.values() for place in family.names.values() if isinstance(place, Published)]
    assert len(published) > 3
    assert [place.base for place in published if not place.license] == []


def test_the_first_version_has_its_refiner_by_its_name(tmp_path, random_pair):
    """
    The repository of a base that has a name is without one, and the error says under which name it has; by the name, both are identified.
    """
    base, refiner = "stabilityai/stable-diffusion-xl-base-0.9", "stabilityai/stable-diffusion-xl-refiner-0.9"
    for part, repository in (("base", base), ("refiner", refiner)):
        shutil.copytree(random_pair / part, tmp_path / "hub" / repository)
    values = dict(name="a", dataset=str(write_dataset(tmp_path / "scenes", count=1)), tracking="off", runs_folder=str(tmp_path), tasks=["inpaint"])
    settings = {"denoising": {"high_noise_frac": 0.8}}
    with serving(Hub(tmp_path / "hub")) as hub, asked(hub.url, tmp_path / "cache"):
        assert identify("sdxl-0.9").revision == f"{hub.commit(base)}+{hub.commit(refiner)}"
        resolved = resolve(RunSpec.from_parameters(checkpoint="sdxl-0.9", hyperparameters=settings, **values))
        assert resolved.spec.edits[0].settings.denoising.scheduler == "euler"
        with pytest.raises(SpecError, match=r"the checkpoint has no refiner; take sdxl-0\.9, which has one, or set high_noise_frac to null"):
            resolve(RunSpec.from_parameters(checkpoint=base, hyperparameters=settings, **values))


CARDS: dict[str, str | None] = {
    "---\nlicense: openrail++\ntags: [a]\n---\n# A model": "openrail++",
    "---\nlicense: other\nlicense_name: faipl-1.0-sd\nlicense_link: x\n---\n": "faipl-1.0-sd",
    "---\nlicense: other\n---\n": "other",
    "---\nlicense: [mit, apache-2.0]\n---\n": "mit, apache-2.0",
    "---\ntags: [a]\n---\n": None,
    "---\nlicense: {a: [\n---\n": None,
    "---\nlicense: 3\n---\n": None,
    "license: mit\n": None,
    "": None,
}


@pytest.mark.parametrize("card", CARDS)
def test_a_model_card_tells_the_license(random_pair, tmp_path, card):
    """
    By what it begins with, beside the folder's files or above its base; one that says nothing, or nothing that can be read, is as none.
    """
    pair = shutil.copytree(random_pair, tmp_path / "pair")
    for folder in (pair, pair / "base"):
        (folder / "README.md").write_text(card)
        assert license_of(identify(str(pair))) == CARDS[card]
        (folder / "README.md").unlink()
    assert license_of(identify(str(pair))) is None


@pytest.fixture
def hub_of_one(tmp_path, random_pair):
    """
    A hub with one base that has a model card, which this process asks.
    """
    repository = shutil.copytree(random_pair / "base", tmp_path / "hub" / "somebody" / "tiny")
    (repository / "README.md").write_text("---\nlicense: openrail++\n---\n")
    with serving(Hub(tmp_path / "hub")) as hub, asked(hub.url, tmp_path / "cache"):
        yield hub


def test_a_plan_says_the_license_once(hub_of_one, tmp_path):
    """
    Of a checkpoint from the hub, by its model card, which comes with its configuration; of the built-in one nothing.
    """
    common = {"dataset": str(write_dataset(tmp_path / "scenes", count=1)), "runs_folder": str(tmp_path), "tracking": "off", "tasks": ["inpaint"]}
    grid = {"checkpoint": ["somebody/tiny", "pocket"], "hyperparameters.denoising.num_inference_steps": [3, 4]}
    said = str(plan(SweepFile.from_dict({"name": "a", "parameters": common, "grid": grid})))
    assert [line for line in said.splitlines() if ": license " in line] == ["checkpoint somebody/tiny: license openrail++"]


def test_a_plan_says_what_a_distilled_checkpoint_was_made_for(distilled, tmp_path):
    """
    In one line, with steps, guidance, scheduler and spacing, a spacing only where the scheduler takes one; of others nothing.
    """
    common = {"dataset": str(write_dataset(tmp_path / "scenes", count=1)), "runs_folder": str(tmp_path), "tracking": "off", "tasks": ["inpaint"]}
    grid = {"checkpoint": [str(distilled["turbo"]), "pocket"]}
    said = str(plan(SweepFile.from_dict({"name": "a", "parameters": common, "grid": grid})))
    assert re.findall(r"made for .*", said) == ["made for 4 steps: guidance 0, euler_a, trailing"]
    others = {"somebody/sdxl_lightning_4step": "4 steps: guidance 0, euler, trailing", "somebody/my-lcm-1step": "1 step: guidance 1, lcm"}
    for name, made in others.items():
        assert str(few_steps(CheckpointIdentity(name=name, digest="0", family=OTHER))) == f"made for {made}"


def test_doctor_says_the_license_of_what_is_not_here_yet(tmp_path):
    """
    Of a checkpoint that has a name, so that nobody has to download it first.
    """
    with asked(NOBODY, tmp_path):
        [found] = models.files("sdxl-turbo")
    assert "license: Stability AI Community License" in str(found)


@pytest.mark.parametrize(
    ("denoising", "is_told"),
    [
        ({"scheduler": "dpmpp_2m_karras", "karras": False}, True),
        ({"scheduler": "dpmpp_2m_karras"}, False),
        ({"scheduler": "dpmpp_2m", "karras": False}, False),
    ],
)
def test_karras_false_beside_a_scheduler_that_is_karras_is_said_to_change_nothing(denoising, is_told, tmp_path):
    """
    Whoever writes it means the other scheduler; whoever leaves it out is told nothing.
    """
    values = dict(name="a", dataset=str(write_dataset(tmp_path / "scenes", count=1)), checkpoint="pocket", tracking="off", tasks=["inpaint"])
    found = resolve(RunSpec.from_parameters(**values, hyperparameters={"denoising": denoising}, runs_folder=str(tmp_path)))
    said = [line for line in found.of_settings if "karras" in line]
    assert said == ["denoising.karras has no effect: dpmpp_2m_karras has Karras sigmas anyway"] * is_told
